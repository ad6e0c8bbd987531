"""How ``musubi-tui data`` speaks: the options its commands share, its tables, its sentences and its exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import counted, say
from engine.config.spelling import readable
from musubi_tui.cli.output import OK, WRONG_INPUT, narrate, print_hanging, print_line, print_problems, print_table
from musubi_tui.datasets.words import hanging, kind_word, place_of, survey_lines

if TYPE_CHECKING:
    from engine.config.problems import Problem
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
BAR_CELLS = 20
_SHOWN_SKIPS = 20


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


def tell_sources_gone(found: Scan) -> None:
    """Folders and lists that do not exist or are empty, before any number: what follows may be of old caches."""
    from engine.data.items import SOURCES_GONE

    print_problems([problem for problem in (*found.errors, *found.warnings) if problem.code in SOURCES_GONE])


def tell_problems(config: DatasetConfig, found: Scan, *, sources_too: bool, ran: str = "") -> None:
    """Warnings and what stops training; broken files stand in the table already and are only counted here.

    Without ``sources_too`` what ``tell_sources_gone`` told is not said again. ``ran``: the command that is running, which needs no hint.
    """
    from engine.data.items import SOURCES_GONE
    from engine.data.reasons import look_command

    broken = {skipped.code for skipped in found.skipped if skipped.broken}
    fatal = [problem for problem in found.errors if problem.code not in broken]
    told = () if sources_too else SOURCES_GONE
    fatal = [replace(one, fix="") if ran and look_command(config.typed, ran) in one.fix else one for one in fatal]
    print_problems(_first([one for one in (*config.warnings, *found.warnings, *fatal) if one.code not in told], config))
    stopping = len(found.errors) - len(fatal)
    if stopping:
        narrate(
            say(
                f'Broken files and lines: {stopping}. Training would stop before its first step; on_bad_item = "skip" in the dataset trains without them.',
                f'壊れたファイルや行が {stopping} 件あります。学習は開始前に止まります。データセットに on_bad_item = "skip" と書けば除外して学習します。',
            )
        )


def _first(problems: Sequence[Problem], config: DatasetConfig) -> Iterator[Problem]:
    """The first of each kind, and how many more there are: a list may have the same fault in each of its lines."""
    from engine.data.reasons import look_command

    told: Counter[str] = Counter()
    for problem in problems:
        told[problem.code] += 1
        if told[problem.code] <= _SHOWN_SKIPS:
            yield problem
    for code, count in told.items():
        if count > _SHOWN_SKIPS:
            first = next(problem for problem in problems if problem.code == code)
            message = say(
                f"{count - _SHOWN_SKIPS} more of these.", f"同様のものがほかに {count - _SHOWN_SKIPS} 件あります。"
            )
            look = look_command(config.typed)
            fix = say(f"`{look} --json` lists all.", f"`{look} --json` で全件を一覧できます。")
            yield replace(first, message=message, fix=fix, line=0, column=0, key="")


def total_line(total: Mapping[str, int]) -> str:
    """The last line of ``data buckets``."""
    steps = total.get("steps_per_epoch", total["batches"])
    line = say(
        f"Total: {counted(total['items'], 'item')} from {counted(total['files'], 'file')}, {counted(total['batches'], 'batch', 'batches')} per epoch",
        f"合計: {total['files']} ファイルから {total['items']} 件、1エポック {total['batches']} バッチ",
    )
    if steps != total["batches"]:
        line += say(f" = {counted(steps, 'step')}", f" = {steps} ステップ")
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
            f"{counted(dataset['items'], 'item')} from {counted(dataset['files'], 'file')}, {counted(dataset['batches'], 'batch', 'batches')} of {dataset['batch_size']}",
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
        room = self.dataset
        told = ", ".join(f"{count} {reason_of(code, room).title} ({code})" for code, count in codes.items())
        print_hanging(say(f"Not trained: {told}", f"使われないもの: {told}"), 2)
        for entry in skipped[:_SHOWN_SKIPS]:
            print_hanging(f"  {place_of(entry, room, whole=True)}: {readable(entry['reason'])}", 4)
        if len(skipped) > _SHOWN_SKIPS:
            rest = len(skipped) - _SHOWN_SKIPS
            print_line(say(f"  and {rest} more; --json lists all", f"  ほか {rest} 件 (--json で全件)"))


def print_survey(told: Mapping[str, Any]) -> None:
    """``data scan`` for eyes."""
    for line in survey_lines(told):
        print_hanging(line, hanging(line))
