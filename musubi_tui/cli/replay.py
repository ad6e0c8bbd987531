"""Playing a recorded events.jsonl into a display, as if the run went on now."""

from __future__ import annotations

import time
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.reader import read_events
from musubi_tui.cli.live import Display

_LONGEST_WAIT = 2.0  # seconds; a run may have slept between two attempts


def play(path: Path, display: Display, speed: float = 0.0) -> None:
    """Show the events of ``path``, ``speed`` times as fast as they were recorded (0: without waiting).

    Raises ``UserError`` when there is no such file or no event in it. Ctrl-C ends the show.
    """
    if not path.is_file():
        raise UserError.of(
            "missing_file",
            say("There is no such recording.", "そのような記録はありません。"),
            say("Give the events.jsonl of a run.", "run の events.jsonl を指定してください。"),
            file=path,
        )
    before: float | None = None
    try:
        for record in read_events(path):
            if before is not None and speed > 0:
                time.sleep(min(_LONGEST_WAIT, max(0.0, record.t - before) / speed))
            before = record.t
            display.feed([record])
    except KeyboardInterrupt:
        return
    finally:
        display.close()
    if before is None:
        raise UserError.of(
            "no_events", say("There is no event in this file.", "このファイルにイベントがありません。"), file=path
        )
