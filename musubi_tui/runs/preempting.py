"""Asking the runs of this machine to save and leave: for start scripts, traps and service managers that know a stop is near.

The engine takes TERM as "finish the step, save a complete state, exit 75". A second TERM would make it leave at once, so a run
that is stopping already is only waited for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.config.problems import UserError
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Status, true_state
from musubi_tui.runs.home import find_home
from musubi_tui.runs.queue import QueueFile

_POLL_SECONDS = 0.1
_REST_SECONDS = 120.0


@dataclass(frozen=True)
class Asked:
    """One run that was asked, and the process that works in it."""

    run: RunDirectory
    process: ProcessIdentity

    def gone(self) -> bool:
        """Whether its process has ended."""
        return not self.process.runs_here()


def running_here(runs: Iterable[RunDirectory]) -> list[Asked]:
    """Those of ``runs`` whose engine is a living process of this machine."""
    found = []
    for run in runs:
        status = Status.read(run)
        if status and status.state in ALIVE and status.process and status.process.runs_here():
            found.append(Asked(run, status.process))
    return found


def let_the_queue_rest() -> None:
    """Nothing of this machine's queue is started for two minutes: the machine is about to stop."""
    file = QueueFile(find_home().path)
    if not file.path.exists():
        return
    with contextlib.suppress(UserError, OSError):  # saving what runs must not wait for a queue that cannot be written
        file.edit(lambda queue: replace(queue, quiet_until=max(queue.quiet_until, time.time() + _REST_SECONDS)))


def ask_to_save(runs: Iterable[Asked]) -> None:
    """Send TERM to each that is not stopping yet. One that has just ended is no error."""
    for asked in runs:
        status = Status.read(asked.run)
        if status is not None and status.state != "stopping" and not asked.gone():
            try:
                os.kill(asked.process.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def wait_until_gone(runs: Iterable[Asked], timeout_seconds: float | None) -> list[Asked]:
    """Wait for all of them; the ones that are still there after ``timeout_seconds`` (None: however long it takes)."""
    waiting = list(runs)
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while waiting := [asked for asked in waiting if not asked.gone()]:
        if deadline is not None and time.monotonic() >= deadline:
            return waiting
        time.sleep(_POLL_SECONDS)
    return []


def has_saved(asked: Asked) -> bool:
    """Whether the run that has left can be gone on with, or had nothing left to do."""
    return true_state(asked.run) in ("preempted", "stopped", "done")
