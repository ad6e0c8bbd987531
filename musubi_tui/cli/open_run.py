"""``musubi-tui runs open``: the app on one run, or on a recording that plays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import RunArgument

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
    path = find_run(run).path if replay is None else None
    if not full_screen():
        raise UserError.of(
            "no_terminal",
            say("The app needs a terminal.", "アプリには端末が必要です。"),
            say("In lines: `musubi-tui runs watch RUN --plain`.", "行表示: `musubi-tui runs watch RUN --plain`。"),
        )
    return open_app(path, replay, speed)
