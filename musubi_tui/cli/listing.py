"""``runs list``, ``runs archive``, ``runs unarchive`` and ``runs price``: what stands on the list, and what an hour costs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.output import OK, narrate, print_json, print_table
from musubi_tui.terminal_width import cells

if TYPE_CHECKING:
    from musubi_tui.runs.registry import RunEntry

LIST_HELP = say("List runs, newest first.", "run の一覧（新しい順）。")
ARCHIVE_HELP = say(
    "Take finished runs off the lists; nothing is deleted.\n\n  musubi-tui runs archive RUN\n\n  musubi-tui runs list --archived",
    "終了した run を一覧から外します（削除はしません）。\n\n  musubi-tui runs archive RUN\n\n  musubi-tui runs list --archived",
)
UNARCHIVE_HELP = say("Put archived runs back on the lists.", "アーカイブした run を一覧に戻します。")
PRICE_HELP = say(
    "Show or set what an hour of this machine costs; runs that start from now on count money.\n\n  musubi-tui runs price 2.49\n\n"
    "  musubi-tui runs price none",
    "このマシンの 1 時間あたりの料金を表示・設定します。以後に始める run は費用を計算します。\n\n  musubi-tui runs price 2.49\n\n"
    "  musubi-tui runs price none",
)
RunsArgument = Annotated[list[str], typer.Argument(metavar="RUN…", help=say("Which runs.", "対象の run。"))]


def list_(
    state: Annotated[str, typer.Option("--state", metavar="STATE", help=say("Only runs in this state; `gone`: the folder was moved or deleted.", "この状態の run のみ。`gone` はフォルダーが移動・削除されたもの。"))] = "",
    family: Annotated[str, typer.Option("--family", metavar="F", help=say("Only runs of this family.", "このファミリーの run のみ。"))] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, metavar="N", help=say("Only the newest N; 0: all.", "新しい N 件のみ。0 なら全部。"))] = 0,
    archived: Annotated[bool, typer.Option("--archived", help=say("Also archived runs.", "アーカイブした run も表示します。"))] = False,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs.registry import Registry
    from musubi_tui.runs.state_words import state_word

    _check_state(state)
    entries = Registry().runs(whole=as_json)
    hidden = 0 if archived else sum(entry.archived for entry in entries)
    entries = [entry for entry in entries if archived or not entry.archived]
    if not entries and not as_json and not hidden:
        narrate(
            say(
                "There are no runs yet. Start one: musubi-tui train PRESET",
                "まだ run がありません。開始: musubi-tui train PRESET",
            )
        )
        return OK
    wanted = [
        entry
        for entry in entries
        if state in ("", _state(entry), state_word(_state(entry))) and family in ("", entry.summary.family)
    ][: limit or None]
    if as_json:
        marks = [{word: True for word in ("gone", "archived", "winner") if getattr(entry, word)} for entry in wanted]
        print_json([entry.summary.as_json() | mark for entry, mark in zip(wanted, marks)])
        return OK
    print_runs(wanted)
    if any(entry.gone for entry in wanted):
        narrate(
            say(
                "gone: the folder was moved or deleted. `musubi-tui runs rm RUN` takes it off the list.",
                "gone: フォルダーが移動または削除されています。`musubi-tui runs rm RUN` で一覧から消せます。",
            )
        )
    if hidden:
        narrate(say(f"{hidden} archived: `musubi-tui runs list --archived` shows them too.", f"アーカイブ {hidden} 件は `musubi-tui runs list --archived` で表示できます。"))  # fmt: skip
    return OK


def print_runs(entries: Sequence[RunEntry]) -> None:
    """The table, a line a run: on a terminal that is too narrow, what is least missed is shortened or left out."""
    from musubi_tui.runs.state_words import state_word
    from musubi_tui.runs.telling import clock

    rows: list[dict[str, str]] = []
    for entry in entries:
        now = entry.summary
        rows.append({
            "id": now.id,
            say("family", "ファミリー"): now.family,
            say("kind", "種類"): now.kind,
            say("state", "状態"): state_word(_state(entry)) + _marks(entry),
            say("step", "ステップ"): f"{now.step}/{now.max_steps}" if now.max_steps else str(now.step or "-"),
            "loss": "-" if now.loss is None else f"{now.loss:.4f}",
            "ETA": "" if now.eta_seconds is None else clock(now.eta_seconds),
            say("started", "開始"): _local_time(now.started),
        })  # fmt: skip
    if not rows:
        return
    if not any(row["ETA"] for row in rows):  # nothing goes on
        rows = [{title: text for title, text in row.items() if title != "ETA"} for row in rows]
    if sys.stdout.isatty():
        rows = _fitting(rows, shutil.get_terminal_size().columns)
    right = (say("step", "ステップ"), "loss", "ETA")
    headers = tuple(rows[0])
    print_table(headers, [tuple(row.values()) for row in rows], right=[headers.index(one) for one in right if one in headers])  # fmt: skip


def _fitting(rows: list[dict[str, str]], width: int) -> list[dict[str, str]]:
    """The year goes first, then when it started (the id tells), the family, and what follows; id and state stay."""
    started = say("started", "開始")
    if _width(rows) > width:
        rows = [row | {started: row[started][5:] or "-"} for row in rows]
    for title in (started, say("family", "ファミリー"), "ETA", "loss", say("kind", "種類"), say("step", "ステップ")):
        if _width(rows) > width:
            rows = [{one: text for one, text in row.items() if one != title} for row in rows]
    return rows


def _width(rows: list[dict[str, str]]) -> int:
    """Cells of a line of the table, two between columns."""
    widths = [max(cells(title), *(cells(row[title]) for row in rows)) for title in rows[0]]
    return sum(widths) + 2 * (len(widths) - 1)


def archive(runs: RunsArgument, as_json: JsonOption = False) -> int:
    """Take runs off the lists."""
    return _move(runs, True, as_json)


def unarchive(runs: RunsArgument, as_json: JsonOption = False) -> int:
    """Put runs back on the lists."""
    return _move(runs, False, as_json)


def price(
    amount: Annotated[str, typer.Argument(metavar="[PRICE]", help=say("Money per hour, or `none`.", "1 時間あたりの料金、または `none`。"))] = "",
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    """Show or set the price of an hour."""
    from musubi_tui.runs.money import money
    from musubi_tui.runs.pricing import known_price, parse_price, set_price, sign_in

    if amount:
        set_price(None if amount.strip().lower() == "none" else parse_price(amount), sign_in(amount))
    known = known_price()
    if as_json:
        print_json({"price_per_hour": known.per_hour if known else None, "source": known.source if known else None})
    elif known is None:
        narrate(say("No price is known. Set one: musubi-tui runs price 2.49", "料金は未設定です。設定: musubi-tui runs price 2.49"))  # fmt: skip
    else:
        sys.stdout.write(f"{known.per_hour:g}\n")
        narrate(
            say(
                f"{money(known.per_hour)} per hour, from {known.source}",
                f"1 時間あたり {money(known.per_hour)}（{known.source}）",
            )
        )
    return OK


def _move(words: list[str], away: bool, as_json: bool) -> int:
    from engine.events.rundir import RunDirectory
    from musubi_tui.runs import archiving
    from musubi_tui.runs.finding import find_run

    found: list[RunDirectory] = [find_run(word) for word in words]
    for run in found:
        if away:
            archiving.archive(run)
        else:
            archiving.unarchive(run)
    if as_json:
        print_json([{"id": run.id, "archived": away} for run in found])
        return OK
    for run in found:
        narrate(
            say(f"{run.id} is archived.", f"{run.id} をアーカイブしました。")
            if away
            else say(f"{run.id} is on the list again.", f"{run.id} を一覧に戻しました。")
        )
    return OK


def _marks(entry: RunEntry) -> str:
    archived = say(", archived", "・保管済み") if entry.archived else ""
    return archived + (say(", winner", "・最良") if entry.winner else "")


def _state(entry: RunEntry) -> str:
    return "gone" if entry.gone else entry.summary.state


def _check_state(state: str) -> None:
    from engine.events.status import STATES
    from musubi_tui.runs.state_words import state_word

    if state not in ("", *(word for one in ("gone", *STATES) for word in (one, state_word(one)))):
        raise UserError.of(
            "usage",
            say(f"There is no state {state!r}.", f"状態 {state!r} はありません。"),
            say(f"One of: {', '.join((*STATES, 'gone'))}.", f"指定できる値: {', '.join((*STATES, 'gone'))}。"),
            key="state",
        )


def _local_time(iso: str | None) -> str:
    from datetime import datetime

    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M") if iso else "-"
