"""Staying with a run until it ends: read its events, show them, pass on what the person at the keyboard wants.

Ctrl-C asks the engine once to save and stop; a second one leaves. Ctrl-D, a closed terminal and HUP only detach: the run goes on.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

from engine.config.language import say
from engine.events.reader import Follower
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Status, true_state
from musubi_tui.cli.live import Display
from musubi_tui.cli.output import INTERRUPTED, JOB_FAILED, OK, narrate
from musubi_tui.cli.readers import has_left
from musubi_tui.runs.launching import record_stillborn

_POLL_SECONDS = 0.2
_WATCHMAN_SECONDS = 1.0  # within which an engine's watchman has taken over when the engine was killed
_SAVING = say(
    "Saving, then stopping. Ctrl-C again leaves at once.",
    "保存してから停止します。もう一度 Ctrl-C で即時終了します。",
)


@dataclass
class Wishes:
    """Signals that came in, in order, until the loop looks at them."""

    signals: list[int] = field(default_factory=list)

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler: only notes."""
        self.signals.append(number)


def stay_with(
    run: RunDirectory, process: subprocess.Popen[bytes], display: Display, wishes: Wishes, *, offset: int = 0
) -> int:
    """Show a run that this process started (``listening`` before) until it ends; the exit code of the command."""
    follower = Follower(run.events, offset)
    interrupts = 0
    try:
        while True:
            works = process.pid if process.poll() is None else _watchman(run, process)
            display.feed(follower.poll())
            if works is None:
                break
            while wishes.signals:
                number = wishes.signals.pop(0)
                if number == signal.SIGHUP:
                    return OK
                interrupts += number == signal.SIGINT
                with contextlib.suppress(ProcessLookupError):
                    os.kill(works, number)
                if interrupts > 1:
                    return INTERRUPTED
                if number == signal.SIGINT and works == process.pid:
                    narrate(_SAVING)
            if _end_of_input():
                narrate(say("Detached; the run goes on.", "切り離しました。実行は続きます。") + how_to_watch(run))
                return OK
            time.sleep(_POLL_SECONDS)
    finally:
        display.close()
    record_stillborn(run, process)
    return exit_code(run)


def _watchman(run: RunDirectory, engine: subprocess.Popen[bytes]) -> int | None:
    """The process that tells the end of a run whose engine was killed, and runs the hook that follows; None without one."""
    if engine.returncode >= 0:
        return None
    for _ in range(int(_WATCHMAN_SECONDS / _POLL_SECONDS)):
        status = Status.read(run)
        if status is None or status.process is None:
            return None
        if status.process.pid != engine.pid:
            return status.process.pid if status.process.runs_here() else None
        time.sleep(_POLL_SECONDS)
    return None


def how_to_watch(run: RunDirectory) -> str:
    """The line to type."""
    return say(f" Watch it: musubi-tui runs watch {run.id}", f" 監視: musubi-tui runs watch {run.id}")


def watch(run: RunDirectory, display: Display, *, offset: int = 0) -> int:
    """Show a run that somebody else started until it ends; its exit code. Ctrl-C only leaves: 0, since nothing is decided yet;
    so does a reader that leaves.
    """
    follower = Follower(run.events, offset)
    try:
        while True:
            alive = true_state(run) in (*ALIVE, "queued")
            display.feed(follower.poll())
            if not alive:
                return exit_code(run)
            if has_left(sys.stdout):
                return OK
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        return OK
    finally:
        display.close()


def exit_code(run: RunDirectory) -> int:
    """What a command that waited for this run exits with: the run's own code, 1 when it vanished without one."""
    status = Status.read(run)
    if status is None or status.exit_code is None or true_state(run, status) == "orphaned":
        return JOB_FAILED
    return status.exit_code


@contextlib.contextmanager
def listening() -> Iterator[Wishes]:
    """Note INT, TERM and HUP instead of dying of them."""
    wishes = Wishes()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, wishes.hear) for number in numbers]
    try:
        yield wishes
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def _end_of_input() -> bool:
    """Whether ctrl+d was typed; only asked of a terminal that is ours (reading from the background would stop us)."""
    try:
        if not sys.stdin.isatty() or os.tcgetpgrp(0) != os.getpgrp():
            return False
        ready, _, _ = select.select([0], [], [], 0)
        return bool(ready) and os.read(0, 1024) == b""
    except (OSError, ValueError):
        return False
