"""``musubi-tui runs open``: the app on one run, or on a recording that plays. Where the app cannot be shown, its lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import NoMouseOption, RunArgument

if TYPE_CHECKING:
    from engine.events.rundir import RunDirectory

HELP = say(
    "Open the app on a run; it can be left at any time and the run goes on.\n\n"
    "  musubi-tui runs open last\n\n"
    "  musubi-tui runs open --replay events.jsonl --speed 20",
    "アプリで run を開きます。いつ閉じても run は続きます。\n\n"
    "  musubi-tui runs open last\n\n"
    "  musubi-tui runs open --replay events.jsonl --speed 20",
)


def open_run(
    run: RunArgument = "",
    replay: Annotated[Path | None, typer.Option("--replay", metavar="EVENTS", help=say("Play a recorded events.jsonl instead.", "記録された events.jsonl を再生します。"))] = None,
    speed: Annotated[float, typer.Option("--speed", min=0, help=say("Times as fast as it was recorded; 0: at once.", "再生速度の倍率。0 なら待たずに表示。"))] = 0.0,
    no_mouse: NoMouseOption = False,
) -> int:  # fmt: skip
    from musubi_tui.cli.opening import full_screen, open_app
    from musubi_tui.runs.finding import find_run

    if bool(run) == (replay is not None):
        raise UserError.of(
            "usage", say("Give either a run or --replay.", "run か --replay のどちらか一方を指定してください。")
        )
    if replay is not None and not replay.is_file():
        raise UserError.of(
            "missing_file",
            say("There is no such recording.", "そのような記録はありません。"),
            say("Give the events.jsonl of a run.", "run の events.jsonl を指定してください。"),
            file=replay,
        )
    found = find_run(run) if replay is None else None
    if not full_screen():
        return _in_lines(found, replay, speed)
    return open_app(found.path if found is not None else None, replay, speed, mouse=not no_mouse)


def _in_lines(run: RunDirectory | None, replay: Path | None, speed: float) -> int:
    """What the app would show, as ``runs watch --plain``: for a pipe, a screen reader, a dumb terminal."""
    from musubi_tui.cli.following import watch
    from musubi_tui.cli.live import make_display
    from musubi_tui.cli.output import OK, narrate
    from musubi_tui.cli.replay import play

    narrate(say("No terminal for the full-screen app; in lines:", "全画面アプリを表示できる端末ではないため、行で表示します:"))  # fmt: skip
    display = make_display(sys.stdout, plain=True)
    if run is not None:
        return watch(run, display)
    assert replay is not None
    play(replay, display, speed)
    return OK
