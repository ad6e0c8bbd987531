"""``musubi-tui data``: what a dataset holds, before anything is trained on it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.config.language import say
from engine.config.problems import UserError
from engine.families import FamilySpec, TaskSpec, family_names, get_family
from musubi_tui.cli.output import OK, WRONG_INPUT, narrate, print_json, print_problems, print_table

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    help=say(
        "Look at a dataset before anything is trained on it: sizes, buckets, batches, and what is left out and why.",
        "学習の前にデータセットを調べます。寸法、バケット、バッチ、そして使われないものとその理由。",
    ),
)

_BAR_CELLS = 24
_SHOWN_SKIPS = 20
_PRESET_KEYS = {
    "family",
    "base",
    "dataset_config",
    "network_module",
    "dit",
    "vae",
    "output_dir",
    "output_name",
    "network_dim",
}


@app.callback()
def _group() -> None:
    """Keep ``buckets`` a subcommand even while it is the only one."""


@app.command(
    help=say(
        "Show which sizes the pictures and clips are trained at, and how many batches that gives.\n\n"
        "FILE is a dataset file ([bold]\\[general][/bold] and [bold]\\[\\[datasets]][/bold], TOML or JSON) or a preset. Only "
        "file headers are read, and nothing is written.\n\n"
        "  musubi-tui data buckets dataset.toml --family wan\n\n"
        "  musubi-tui data buckets preset.toml --json\n\n"
        "Items count after num_repeats, files before. Files that will not be trained are listed with the reason.",
        "画像とクリップがどの寸法で学習され、何バッチになるかを表示します。\n\n"
        "FILE はデータセットファイル (TOML / JSON) かプリセットです。ファイルのヘッダーだけを読み、何も書き込みません。\n\n"
        "  musubi-tui data buckets dataset.toml --family wan\n\n"
        "  musubi-tui data buckets preset.toml --json\n\n"
        "items は num_repeats 適用後、files は適用前の数です。使われないファイルは理由とともに表示します。",
    )
)
def buckets(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=say("Dataset file or preset.", "データセットファイルかプリセット。"))
    ],
    family: Annotated[
        str | None,
        typer.Option(
            help=say(
                "Model family of a dataset file; without it the bucket step is 16.",
                "データセットファイルのモデル。省略時のバケットの刻みは16です。",
            )
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help=say("Print JSON for programs.", "プログラム向けにJSONで出力します。"))
    ] = False,
) -> int:
    from engine.data import scan
    from engine.data.summary import bucket_summary

    config, spec, task = _read(file, family)
    found = scan(config, spec, task, strict=False)
    summary = bucket_summary(config, found)
    if as_json:
        print_json(summary)
    else:
        for dataset in summary["datasets"]:
            _print_dataset(dataset)
        _print_total(summary["total"])
    broken_codes = {skipped.code for skipped in found.skipped if skipped.broken}
    fatal = [problem for problem in found.errors if problem.code not in broken_codes]
    print_problems([*config.warnings, *found.warnings, *fatal])
    stopping = len(found.errors) - len(fatal)
    if stopping:
        narrate(
            say(
                f'Broken files: {stopping}. Training would stop before its first step (on_bad_item = "stop").',
                f'壊れたファイルが {stopping} 件あります。学習は開始前に止まります (on_bad_item = "stop")。',
            )
        )
    return WRONG_INPUT if fatal or not found.items else OK


def _read(file: Path, family: str | None) -> tuple[Any, FamilySpec | None, TaskSpec | None]:
    """The dataset of a file or preset, with family and task as far as they are known."""
    from engine.data import read_dataset_config
    from engine.data.document import read_document

    document = read_document(file)
    if _is_preset(document.content):
        return _read_preset(file, family)
    spec = _family(family)
    base = _base_folder(file, document.content)
    config = read_dataset_config(file, base_dir=base, spec=spec)
    return config, spec, None if spec is None else spec.task(None)


def _read_preset(file: Path, family: str | None) -> tuple[Any, FamilySpec, TaskSpec]:
    from engine.config import load_config
    from engine.data.preset_dataset import read_preset_dataset

    loaded = load_config(file)
    name = str(loaded.config.get("family"))
    if family is not None and family != name:
        raise UserError.of(
            "conflicting_keys",
            say(
                f"the preset is for {name}, not {family}.",
                f"このプリセットは {name} 用です ({family} ではありません)。",
            ),
            say("Leave --family out.", "--family を外してください。"),
            file=file,
        )
    spec = get_family(name)
    return read_preset_dataset(loaded, spec), spec, spec.task(loaded.config.get("task"))


def _is_preset(content: Mapping[str, Any]) -> bool:
    names = set(content)
    for name, table in content.items():
        if name not in ("general", "datasets") and isinstance(table, Mapping):
            names |= set(table)
    return bool(names & _PRESET_KEYS)


def _family(name: str | None) -> FamilySpec | None:
    if name is None:
        return None
    if name in family_names():
        return get_family(name)
    close = get_close_matches(name, family_names(), n=1)
    known = ", ".join(family_names())
    raise UserError.of(
        "unknown_family",
        say(f"there is no family {name!r}.", f"{name!r} というモデルはありません。"),
        say(
            f"Did you mean {close[0]}? Known: {known}." if close else f"Known: {known}.",
            f"{close[0]} のことですか? 使えるもの: {known}" if close else f"使えるもの: {known}",
        ),
        key="--family",
    )


def _base_folder(file: Path, content: Mapping[str, Any]) -> Path:
    """What relative paths of a bare dataset file count from: its folder, or the working directory when only that fits."""
    beside, here = file.absolute().parent, Path.cwd()
    tables = content.get("datasets")
    written = [
        value
        for table in (tables if isinstance(tables, list) else [])
        if isinstance(table, Mapping)
        for key, value in table.items()
        if key in ("image_directory", "video_directory", "image_jsonl_file", "video_jsonl_file")
        if isinstance(value, str) and "\0" not in value and not Path(value).is_absolute()
    ]
    if not written or beside == here:
        return beside
    if all((here / path).exists() for path in written) and not any((beside / path).exists() for path in written):
        narrate(
            say(
                f"Relative paths are read against the working directory {here}.",
                f"相対パスは作業フォルダ {here} を基準に読みます。",
            )
        )
        return here
    return beside


# -- for eyes


def _print_dataset(dataset: Mapping[str, Any]) -> None:
    kind = say("pictures", "画像") if dataset["kind"] == "image" else say("clips", "クリップ")
    counts = say(
        f"{dataset['items']} items from {dataset['files']} files, {dataset['batches']} batches",
        f"{dataset['files']} ファイルから {dataset['items']} 件、{dataset['batches']} バッチ",
    )
    _print(f"{dataset['name']} ({kind}): {counts}")
    most = max((bucket["items"] for bucket in dataset["buckets"]), default=1)
    rows = []
    for bucket in dataset["buckets"]:
        size = f"{bucket['width']}x{bucket['height']}"
        bar = "#" * max(1, round(_BAR_CELLS * bucket["items"] / most))
        rows.append((size, bucket["frames"], bucket["items"], bucket["batches"], bar))
    if rows:
        headers = (
            say("size", "寸法"),
            say("frames", "フレーム"),
            say("items", "件数"),
            say("batches", "バッチ"),
            "",
        )
        print_table(headers, rows, right=(0, 1, 2, 3))
    _print_skipped(dataset["skipped"])
    _print("")


def _print_skipped(skipped: list[Mapping[str, str]]) -> None:
    if not skipped:
        return
    codes = Counter(entry["code"] for entry in skipped)
    counted = ", ".join(f"{count} {code}" for code, count in codes.most_common())
    _print(say(f"Not trained: {counted}", f"使われないもの: {counted}"))
    for entry in skipped[:_SHOWN_SKIPS]:
        _print(f"  {entry['path']}: {entry['reason']}")
    if len(skipped) > _SHOWN_SKIPS:
        rest = len(skipped) - _SHOWN_SKIPS
        _print(say(f"  and {rest} more; --json lists all", f"  ほか {rest} 件 (--json で全件)"))


def _print_total(total: Mapping[str, int]) -> None:
    _print(
        say(
            f"Total: {total['items']} items from {total['files']} files, {total['batches']} batches per epoch",
            f"合計: {total['files']} ファイルから {total['items']} 件、1エポック {total['batches']} バッチ",
        )
    )


def _print(text: str) -> None:
    """A line of data on stdout; names that are no valid Unicode are shown escaped."""
    sys.stdout.write(text.encode("utf-8", errors="backslashreplace").decode("utf-8") + "\n")
