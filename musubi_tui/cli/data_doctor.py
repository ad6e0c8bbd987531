"""``musubi-tui data doctor``: look closer than a scan, say what is wrong, and apply the fixes that are safe."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import counted, say
from musubi_tui.cli.arguments import JsonOption, YesOption
from musubi_tui.cli.data_words import FamilyOption, FileArgument, opened_dataset
from musubi_tui.cli.output import OK, WRONG_INPUT, narrate, print_json, print_line, print_problems, print_table

if TYPE_CHECKING:
    from engine.data import Scan
    from engine.data.findings import Diagnosis, Finding
    from musubi_tui.datasets.mending import Plan
    from musubi_tui.datasets.opening import OpenedDataset
    from musubi_tui.datasets.record import Change

_EXAMPLES = 8
_PREVIEWED = 20
HELP = say(
    "Look closer than a scan: decode every file, count every caption, read every cache file; and mend what can be mended.\n\n"
    "  musubi-tui data doctor dataset.toml --family wan --trigger ohwx\n\n"
    "  musubi-tui data doctor dataset.toml --family wan --fix duplicates --fix corrupt\n\n"
    "Each finding says its fix. A fix shows what it would change and asks; --yes does not ask. Nothing is deleted: files go into "
    "NAME.set-aside beside the folder, with a record, and --undo takes the newest changes back. "
    "Exit code 2 when training would not start or caches are damaged.",
    "scan より詳しく調べます。全ファイルをデコードし、キャプションを数え、キャッシュを読み、直せるものは直します。\n\n"
    "  musubi-tui data doctor dataset.toml --family wan --trigger ohwx\n\n"
    "  musubi-tui data doctor dataset.toml --family wan --fix duplicates --fix corrupt\n\n"
    "各項目に修正名が表示されます。修正は変更内容を見せてから確認します (--yes で確認を省略)。削除はしません。"
    "ファイルはフォルダの隣の NAME.set-aside に記録とともに移し、--undo で直前の変更を取り消せます。"
    "学習を開始できない場合やキャッシュが壊れている場合の終了コードは 2 です。",
)


def doctor(
    file: FileArgument,
    family: FamilyOption = None,
    trigger: Annotated[
        str,
        typer.Option(metavar="WORD", help=say("Word that every caption should hold.", "全キャプションに含めたい語。")),
    ] = "",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=say(
                "Tokenizer file or folder, to count tokens exactly.",
                "トークン数を正確に数えるためのトークナイザー (ファイルかフォルダ)。",
            ),
        ),
    ] = None,
    decode: Annotated[
        bool,
        typer.Option(
            "--decode/--no-decode",
            help=say("Whether pictures, videos and caches are read.", "画像・動画・キャッシュを読むかどうか。"),
        ),
    ] = True,
    fix: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help=say("Apply a fix; `all` for every one.", "修正を適用。`all` で全部。")),
    ] = None,
    yes: YesOption = False,
    undo: Annotated[
        bool, typer.Option("--undo", help=say("Take the newest changes back.", "直前の変更を取り消します。"))
    ] = False,
    as_json: JsonOption = False,
) -> int:
    from engine.data.doctor import Examination
    from engine.data.findings import Questions
    from engine.data.tokens import ESTIMATE, open_counter
    from musubi_tui.datasets.opening import scan_index, scan_opened

    opened = opened_dataset(file, family)
    if undo:
        return _undo(opened, as_json)
    place = tokenizer or opened.tokenizer
    questions = Questions(trigger.strip(), ESTIMATE if place is None else open_counter(place, opened.spec), decode)
    with scan_index() as index:
        found = scan_opened(opened, index=index)
    with Counting() as counting:
        diagnosis = Examination(opened.config, found, opened.spec, questions, counting.show).run()
    if fix:
        from musubi_tui.datasets.mending import plan

        wanted = plan(opened, diagnosis, fix, trigger=questions.trigger, counter=questions.counter)
        return _fix(opened, wanted, found, yes, as_json)
    codes = {skipped.code for skipped in found.skipped if skipped.broken}
    if as_json:
        print_json(diagnosis.as_json())
    else:
        codes |= {finding.code for finding in diagnosis.findings}  # are printed
        _print(diagnosis, opened, fine=not found.errors)
    stopping = [problem for problem in found.errors if problem.code not in codes]
    print_problems([*opened.config.warnings, *stopping])
    wrong = found.errors or any(finding.severity == "error" for finding in diagnosis.findings)
    return WRONG_INPUT if wrong else OK


class Counting:
    """Progress on stderr: a line that is rewritten on a terminal, a sentence every tenth elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._what, self._began, self._next, self._told = "", 0.0, 0.0, 0

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._what:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self, what: str, done: int, total: int) -> None:
        """Called after each file."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._next, self._told = what, now, now + 0.3, 0
        if self._live and (now >= self._next or done == total):
            self._next = now + 0.2
            rate = done / max(1e-6, now - self._began)
            sys.stderr.write(f"\r\x1b[K{what} {done}/{total}  {rate:.0f}/s  ETA {(total - done) / rate:.0f} s")
            sys.stderr.flush()
        elif not self._live and total >= 100 and done * 10 // total > self._told:
            self._told = done * 10 // total
            narrate(f"{what} {done}/{total}")


# -- the diagnosis for eyes


def _print(diagnosis: Diagnosis, opened: OpenedDataset, *, fine: bool) -> None:
    print_line(f"{opened.file}: {opened.family_title}")
    for finding in diagnosis.findings:
        print_line("")
        _print_finding(finding)
    _print_tables(diagnosis)
    if fine and not diagnosis.findings:
        print_line("")
        print_line(say("Nothing wrong was found.", "問題は見つかりませんでした。"))
    fixes = [finding.fix for finding in diagnosis.findings if finding.fix]
    if fixes:
        narrate(say(f"To mend: --fix {' --fix '.join(fixes)}", f"修正するには: --fix {' --fix '.join(fixes)}"))


def _print_finding(finding: Finding) -> None:
    mark = "x" if finding.severity == "error" else "!"
    fix = f"  [--fix {finding.fix}]" if finding.fix else ""
    print_line(f"{mark} {finding.title}{fix}")
    for entry in finding.entries[:_EXAMPLES]:
        kept = say(" (kept)", " (残す)") if entry.keep else ""
        print_line(f"    {entry.named}  {entry.detail}{kept}")
    if len(finding.entries) > _EXAMPLES:
        rest = len(finding.entries) - _EXAMPLES
        print_line(say(f"    and {rest} more; --json lists all", f"    ほか {rest} 件 (--json で全件)"))
    print_line(f"  -> {finding.advice}")


def _print_tables(diagnosis: Diagnosis) -> None:
    tokens, trigger = diagnosis.tokens, diagnosis.trigger
    print_line("")
    if tokens["captions"]:
        about = "" if tokens["exact"] else say("about ", "約 ")
        limit = say(f" of {tokens['limit']}", f" (上限 {tokens['limit']})") if tokens["limit"] else ""
        kind = (
            say("counted", "実測")
            if tokens["exact"]
            else say("estimated: no tokenizer file is named", "推定: トークナイザー未指定")
        )
        short, long, middle = tokens["shortest"], tokens["longest"], tokens["median"]
        if short == long:
            print_line(say(f"tokens    {about}{long}{limit} ({kind})", f"トークン  {about}{long}{limit} ({kind})"))
        else:
            print_line(
                say(
                    f"tokens    {about}{short} to {long}{limit}, middle {middle} ({kind})",
                    f"トークン  {about}{short} ~ {long}{limit}、中央 {middle} ({kind})",
                )
            )
    if "word" in trigger:
        print_line(say(f"trigger   {trigger['word']!r} in {trigger['held_by']} of {counted(trigger['expected'], 'caption')}", f"トリガー  {trigger['word']!r}: {trigger['expected']} 件中 {trigger['held_by']} 件"))  # fmt: skip
    if trigger["words_in_most"] and trigger["captions"] > 1:
        words = ", ".join(f"{word} {count}" for word, count in trigger["words_in_most"].items())
        print_line(say(f"words     in most captions: {words}", f"頻出語    {words}"))
    if diagnosis.videos:
        print_line("")
        _print_videos(diagnosis.videos)


def _print_videos(videos: Sequence[dict[str, Any]]) -> None:
    headers = (say("video", "動画"), say("size", "寸法"), "fps", say("frames", "フレーム"), say("seconds", "秒"))
    rows = [
        (Path(v["path"]).name, f"{v['width']}x{v['height']}", f"{v['fps']:g}" if v["fps"] else "", v["frames"], "" if v["seconds"] is None else v["seconds"])
        for v in videos[:_PREVIEWED]
    ]  # fmt: skip
    print_table(headers, rows, right=(1, 2, 3, 4))
    if len(videos) > _PREVIEWED:
        rest = len(videos) - _PREVIEWED
        print_line(say(f"and {rest} more; --json lists all", f"ほか {rest} 件 (--json で全件)"))


# -- mending


def _fix(opened: OpenedDataset, wanted: Plan, found: Scan, yes: bool, as_json: bool) -> int:
    """Show the changes, make them when that was agreed, and say what still keeps training from starting."""
    from musubi_tui.datasets.mending import apply

    for sentence in wanted.left:
        narrate(say(f"Left as it is: {sentence}", f"そのまま: {sentence}"))
    if not as_json:
        _preview(opened, wanted.changes, agreed=yes)
    applied = False
    if wanted.changes:
        applied = yes or _agreed(len(wanted.changes))
        if applied:
            apply(opened, wanted.changes)
            narrate(say(f"Done: {counted(len(wanted.changes), 'change')}. --undo takes {'it' if len(wanted.changes) == 1 else 'them'} back.", f"完了: {len(wanted.changes)} 件変更。--undo で取り消せます。"))  # fmt: skip
        else:
            narrate(say("Nothing was changed. --yes applies it.", "変更していません。--yes で適用します。"))
    elif not wanted.left:
        narrate(say("Nothing to change.", "変更はありません。"))
    still = list((_scan_again(opened) if applied else found).errors)
    if as_json:
        from engine.data.summary import printable

        print_json(
            {
                "applied": applied,
                "changes": [_change_json(change) for change in wanted.changes],
                "left": wanted.left,
                "still_in_the_way": [{"code": one.code, "file": printable(one.file), "line": one.line, "message": one.message} for one in still],
            }
        )  # fmt: skip
    if not still:
        return OK
    if applied or not wanted.changes:
        narrate(say(f"Still in the way of training: {len(still)}.", f"まだ学習を妨げているもの: {len(still)} 件"))
        print_problems(still[:_PREVIEWED])
        if len(still) > _PREVIEWED:
            narrate(say(f"and {len(still) - _PREVIEWED} more", f"ほか {len(still) - _PREVIEWED} 件"))
    return WRONG_INPUT


def _scan_again(opened: OpenedDataset) -> Scan:
    """The dataset as it is now: a fix may have changed its file too."""
    from musubi_tui.datasets.opening import open_dataset, scan_index, scan_opened

    with scan_index() as index:
        return scan_opened(open_dataset(opened.file, opened.spec.name if opened.spec else None), index=index)


def _preview(opened: OpenedDataset, changes: Sequence[Change], *, agreed: bool) -> None:
    """What would be changed: of many files the first, but every edit of a dataset file or list."""
    from musubi_tui.datasets.telling import change_line, changes_line

    if not changes:
        return
    if not agreed:
        print_line(say("A preview; nothing is changed yet, and --yes applies it:", "プレビューです。まだ変更していません (--yes で適用):"))  # fmt: skip
    edits = [change for change in changes if change.kind in ("text", "lines")]
    files = [change for change in changes if change.kind not in ("text", "lines")]
    for change in (*edits, *files[:_PREVIEWED]):
        print_line(change_line(change))
    if len(files) > _PREVIEWED:
        rest = len(files) - _PREVIEWED
        print_line(say(f"and {rest} more; --json lists all", f"ほか {rest} 件 (--json で全件)"))
    if len(changes) > 1:
        print_line(say(f"In all: {changes_line(changes)}", f"合計: {changes_line(changes)}"))


def _change_json(change: Change) -> dict[str, Any]:
    from musubi_tui.datasets.list_lines import numbers_of
    from musubi_tui.datasets.telling import readable

    told: dict[str, Any] = {"kind": change.kind, "code": change.code, "path": str(change.path)}
    if change.kind == "lines":
        return {**told, "lines": numbers_of(change)}
    return {**told, "to": str(change.to)} if change.kind == "move" else {**told, "before": readable(change.before), "after": readable(change.after)}  # fmt: skip


def _agreed(count: int) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(say(f"Make {counted(count, 'change')}? [y/N] ", f"{count} 件変更しますか? [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes", "はい")


def _undo(opened: OpenedDataset, as_json: bool) -> int:
    from musubi_tui.datasets.mending import undo
    from musubi_tui.datasets.telling import change_line

    changes = undo(opened)
    if as_json:
        print_json({"undone": [_change_json(change) for change in changes]})
    for change in changes[:_PREVIEWED] if not as_json else ():
        print_line(say("taken back: ", "取り消し: ") + change_line(change))
    narrate(say(f"{counted(len(changes), 'change')} taken back.", f"{len(changes)} 件を取り消しました。"))
    return OK
