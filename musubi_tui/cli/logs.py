"""``runs logs``: what the engine process and its libraries printed, cleaned and without secrets; as it grows with ``-f``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from engine.config.language import say
from musubi_tui.cli.output import OK, narrate
from musubi_tui.cli.readers import has_left

if TYPE_CHECKING:
    from engine.events.rundir import RunDirectory

_POLL_SECONDS = 0.5
_CHUNK = 1 << 16


def print_log(run: RunDirectory, lines: int, *, follow: bool) -> int:
    """The last ``lines`` (0: all) of engine.log, then what is added until the run ends; Ctrl-C, or a reader that leaves, only stops the telling."""
    from engine.events.redaction import redact
    from engine.events.status import ALIVE, true_state
    from musubi_tui.runs.telling import clean

    def goes_on() -> bool:
        return follow and not has_left(sys.stdout) and true_state(run) in (*ALIVE, "queued")

    told = False
    try:
        for line in log_lines(run, lines, goes_on):
            told = True
            sys.stdout.write(clean(redact(line)) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return OK
    if not told:
        events = f"`musubi-tui runs watch {run.id} --plain`"
        narrate(
            say(
                f"The engine of {run.id} wrote nothing here. What happened in the run: {events}",
                f"{run.id} のエンジンは何も出力していません。run の経過: {events}",
            )
        )
    return OK


def log_lines(run: RunDirectory, lines: int, goes_on: Callable[[], bool]) -> Iterator[str]:
    """Whole lines of engine.log from the ``lines``-th last on, and those that follow while ``goes_on`` says so.

    A line that is being written is waited for; what a killed engine left of one is told at the end. The file may come later.
    """
    rest, position = b"", -1
    while True:
        last = not goes_on()
        try:
            with run.engine_log.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if position < 0:
                    position = _start(file, size, lines)
                elif size < position:  # another attempt began the file anew
                    rest, position = b"", 0
                while data := os.pread(file.fileno(), _CHUNK, position):
                    position += len(data)
                    *whole, rest = (rest + data).split(b"\n")
                    yield from (_shown(line) for line in whole)
        except FileNotFoundError:
            position = 0
        if last:
            if rest:
                yield _shown(rest)
            return
        time.sleep(_POLL_SECONDS)


def _start(file: BinaryIO, size: int, lines: int) -> int:
    """The byte where the last ``lines`` begin, found from the end."""
    if not lines:
        return 0
    position, found = size, 0
    while position > 0:
        begin = max(0, position - _CHUNK)
        data = os.pread(file.fileno(), position - begin, begin)
        place = len(data) - (1 if position == size and data.endswith(b"\n") else 0)
        while (place := data.rfind(b"\n", 0, place)) >= 0:
            found += 1
            if found == lines:
                return begin + place + 1
        position = begin
    return 0


def _shown(line: bytes) -> str:
    """Of a line that was written over and over (a progress bar) the last version."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    return text.rsplit("\r", 1)[-1]
