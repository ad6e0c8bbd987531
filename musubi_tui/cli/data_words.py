"""How ``musubi-tui data`` speaks: the options its commands share, its tables, its sentences and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import say
from musubi_tui.cli.output import OK, WRONG_INPUT, narrate, print_line, print_problems, print_table

if TYPE_CHECKING:
    from engine.data import DatasetConfig, Scan
    from musubi_tui.datasets.opening import OpenedDataset

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help=say("Dataset file or preset.", "データセットファイルかプリセット。"), show_default=False
    ),
]
FamilyOption = Annotated[
    str | None,
    typer.Option(
        "--family",
        help=say(
            "Model family of a dataset file; without it the bucket step is 16.",
            "データセットファイルのモデル。省略時のバケットの刻みは16です。",
        ),
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help=say("Print JSON for programs.", "プログラム向けにJSONで出力します。"))
]
BAR_CELLS = 20
_SHOWN_SKIPS = 20
_EXAMPLES = 3


def exit_code(found: Scan) -> int:
    """0 when training could start with this dataset, 2 when it could not: what ``presets check`` says of it."""
    return WRONG_INPUT if found.errors or not found.items else OK


def opened_dataset(file: Path, family: str | None) -> OpenedDataset:
    """Open what was named, and tell how it was read. Raises ``UserError``."""
    from musubi_tui.datasets.opening import open_dataset

    opened = open_dataset(file, family)
    if opened.note:
        narrate(opened.note)
    return opened


def tell_problems(config: DatasetConfig, found: Scan) -> None:
    """Warnings and what stops training; broken files stand in the table already and are only counted here."""
    broken = {skipped.code for skipped in found.skipped if skipped.broken}
    fatal = [problem for problem in found.errors if problem.code not in broken]
    print_problems([*config.warnings, *found.warnings, *fatal])
    stopping = len(found.errors) - len(fatal)
    if stopping:
        narrate(
            say(
                f'Broken files: {stopping}. Training would stop before its first step (on_bad_item = "stop").',
                f'壊れたファイルが {stopping} 件あります。学習は開始前に止まります (on_bad_item = "stop")。',
            )
        )


def kind_word(kind: str) -> str:
    """What a dataset of that kind holds."""
    return say("pictures", "画像") if kind == "image" else say("clips", "クリップ")


def total_line(total: Mapping[str, int]) -> str:
    """The last line of ``data buckets``."""
    steps = total.get("steps_per_epoch", total["batches"])
    line = say(
        f"Total: {total['items']} items from {total['files']} files, {total['batches']} batches per epoch",
        f"合計: {total['files']} ファイルから {total['items']} 件、1エポック {total['batches']} バッチ",
    )
    if steps != total["batches"]:
        line += say(f" = {steps} steps", f" = {steps} ステップ")
    if total["short_batches"]:
        line += say(f", {total['short_batches']} of them short", f" (うち端数 {total['short_batches']})")
    return line


class BucketTable:
    """One dataset's buckets with a histogram; its left-out files below."""

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        self.dataset = dataset

    def print(self) -> None:
        """On stdout."""
        dataset = self.dataset
        counts = say(
            f"{dataset['items']} items from {dataset['files']} files, {dataset['batches']} batches of {dataset['batch_size']}",
            f"{dataset['files']} ファイルから {dataset['items']} 件、{dataset['batches']} バッチ (各 {dataset['batch_size']} 件)",
        )
        print_line(f"{dataset['name']} ({kind_word(dataset['kind'])}): {counts}")
        from engine.data.extras import extra_facts

        for label, fact in extra_facts(dataset["extras"]):
            print_line(f"  {label}: {fact}")
        most = max((bucket["items"] for bucket in dataset["buckets"]), default=1)
        rows = [self._row(bucket, most) for bucket in dataset["buckets"]]
        if rows:
            headers = (
                say("size", "寸法"),
                say("frames", "フレーム"),
                say("items", "件数"),
                say("batches", "バッチ"),
                say("short", "端数"),
                say("larger", "拡大"),
                say("cropped", "切除"),
                "",
            )
            print_table(headers, rows, right=range(7))
        self._print_skipped()
        print_line("")

    def _row(self, bucket: Mapping[str, Any], most: int) -> tuple[object, ...]:
        return (
            f"{bucket['width']}x{bucket['height']}",
            bucket["frames"],
            bucket["items"],
            bucket["batches"],
            f"+{bucket['short']}" if bucket["short"] else "",
            bucket["upscaled"] or "",
            f"{bucket['cropped_percent']:.0f}%",
            "#" * max(1, round(BAR_CELLS * bucket["items"] / most)),
        )

    def _print_skipped(self) -> None:
        from engine.data.reasons import reason_of

        skipped = self.dataset["skipped"]
        if not skipped:
            return
        codes: dict[str, int] = {}
        for entry in skipped:
            codes[entry["code"]] = codes.get(entry["code"], 0) + 1
        counted = ", ".join(f"{count} {reason_of(code).title} ({code})" for code, count in codes.items())
        print_line(say(f"Not trained: {counted}", f"使われないもの: {counted}"))
        for entry in skipped[:_SHOWN_SKIPS]:
            print_line(f"  {entry['path']}: {entry['reason']}")
        if len(skipped) > _SHOWN_SKIPS:
            rest = len(skipped) - _SHOWN_SKIPS
            print_line(say(f"  and {rest} more; --json lists all", f"  ほか {rest} 件 (--json で全件)"))


# -- data scan


def print_survey(told: Mapping[str, Any]) -> None:
    """``data scan`` for eyes."""
    for line in survey_lines(told):
        print_line(line)


def survey_lines(told: Mapping[str, Any]) -> list[str]:
    """The survey in sentences; the app shows the same ones."""
    lines: list[str] = []
    for room in told["datasets"]:
        lines += ["", f"{room['name']}  {kind_word(room['kind'])}  {room['source']}"]
        lines += [f"  {name:<12} {text}" for name, text in _facts(room)]
        lines += _left_out(room)
    total = told["total"]
    held = total["held_out"]
    out = say(f" Held out for validation: {held} items.", f" 検証用に除外: {held} 件。") if held else ""
    lines += [
        "",
        say(
            f"Trained: {total['items']} items per epoch from {total['files']} files ({size_word(total['bytes'])}). "
            f"Not trained: {total['skipped']} files.{out}",
            f"学習される: {total['files']} ファイル ({size_word(total['bytes'])}) から 1 エポック {total['items']} 件。"
            f"学習されない: {total['skipped']} 件。{out}",
        ),
    ]
    return lines


def _facts(room: Mapping[str, Any]) -> list[tuple[str, str]]:
    kinds = ", ".join(f"{name or '?'} {count}" for name, count in room["extensions"].items())
    repeats = say(f", each {room['repeats']} times", f"、各 {room['repeats']} 回") if room["repeats"] > 1 else ""
    cached = say(", from cache files alone", "、キャッシュのみ") if room["from_caches"] else ""
    files = say(
        f"{room['files']} files ({kinds or 'none'}), {size_word(room['bytes'])}{repeats}{cached}",
        f"{room['files']} ファイル ({kinds or 'なし'})、{size_word(room['bytes'])}{repeats}{cached}",
    )
    facts = [(say("trained", "学習"), files)]
    if room["size"]:
        small, middle, large = ("x".join(map(str, room["size"][k])) for k in ("smallest", "median", "largest"))
        facts.append(
            (
                say("sizes", "寸法"),
                small if small == large else say(f"{small} to {large}, the middle one {middle}", f"{small} ~ {large}、中央 {middle}"),
            )
        )  # fmt: skip
    facts.append((say("captions", "キャプション"), _caption_fact(room["captions"])))
    videos = room.get("videos")
    if videos:
        facts += _video_facts(videos)
    from engine.data.extras import extra_facts

    return facts + extra_facts(room["extras"])


def _caption_fact(captions: Mapping[str, Any]) -> str:
    length = captions["characters"]
    if not captions["written"]:
        return say("none", "なし")
    empty = say(f", {captions['empty']} empty", f"、空 {captions['empty']}") if captions["empty"] else ""
    return say(
        f"{captions['written']} with text{empty}; {length['shortest']} to {length['longest']} characters, middle {length['median']}",
        f"{captions['written']} 件{empty}、{length['shortest']} ~ {length['longest']} 文字 (中央 {length['median']})",
    )


def _video_facts(videos: Mapping[str, Any]) -> list[tuple[str, str]]:
    rates = ", ".join(f"{rate} fps ({count})" for rate, count in videos["fps"].items())
    frames, seconds = videos["frames"], videos["seconds"]
    length = say(
        f"{frames['shortest']} to {frames['longest']} frames", f"{frames['shortest']} ~ {frames['longest']} フレーム"
    )
    if seconds:
        length += say(
            f", {seconds['shortest']:g} to {seconds['longest']:g} s, together {seconds['total']:g} s",
            f"、{seconds['shortest']:g} ~ {seconds['longest']:g} 秒、合計 {seconds['total']:g} 秒",
        )
    return [(say("rates", "レート"), rates), (say("lengths", "長さ"), length)]  # fmt: skip


def _left_out(room: Mapping[str, Any]) -> list[str]:
    from engine.data.reasons import reason_of
    from engine.data.survey import first_examples

    lines = []
    if room["skipped"]:
        count = len(room["skipped"])
        lines.append(f"  {say('NOT trained', '学習されない')}  {count}")
    for code, count in room["skipped_by_code"].items():
        reason = reason_of(code)
        examples = first_examples(room["skipped"], code, _EXAMPLES)
        names = ", ".join(Path(entry["path"]).name for entry in examples)
        more = say(f" and {count - _EXAMPLES} more", f" ほか {count - _EXAMPLES} 件") if count > _EXAMPLES else ""
        lines.append(f"  {count:>6}  {reason.title}: {names}{more}")
        if reason.advice:
            lines.append(f"          -> {reason.advice}")
        elif count <= _EXAMPLES:
            lines += [f"          {entry['reason']}" for entry in examples]
    others = room["others"]
    parts = [f"{name} {count}" for name, count in others["files"].items()]
    if others["folders"]:
        parts.append(say(f"{others['folders']} subfolders", f"サブフォルダ {others['folders']}"))
    if parts:
        lines.append(f"  {say('also there', 'その他'):<12} {', '.join(parts)}")
    return lines


def size_word(size: int) -> str:
    """Bytes as a person reads them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
