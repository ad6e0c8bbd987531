"""Engine processes for tests: forked from this one, which has imported torch and diffusers already (0.1 s instead of 7)."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.config import load_config
from engine.events.lines import Record
from engine.events.reader import story
from engine.events.rundir import RunDirectory
from engine.events.types import Event
from musubi_tui.runs.creating import create_run

E = TypeVar("E", bound=Event)
CHILDREN: list[int] = []  # forked in the running test; whatever still lives at its end is killed


@dataclass
class Child:
    """A running engine."""

    run: RunDirectory
    pid: int

    def wait(self, seconds: float = 120.0) -> int:
        """Its exit code (negative: the signal that killed it)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise TimeoutError((self.run.engine_log.read_text()[-2000:], [str(r) for r in story(self.run.events)[-5:]]))

    def until(self, reached: Callable[[list[Record]], bool], seconds: float = 60.0) -> None:
        """Wait until the events so far satisfy ``reached``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.run.events.exists() and reached(story(self.run.events)):
                return
            time.sleep(0.02)
        raise TimeoutError(f"not reached; last events: {story(self.run.events)[-3:]}")

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)


def new_run(preset: Path, changes: Mapping[str, Any] | None = None, **kind: Any) -> RunDirectory:
    """A run directory as `musubi-tui train` makes it."""
    return create_run(load_config(preset, dict(changes or {})), **kind)


def start(run: RunDirectory) -> Child:
    """Fork an engine on ``run``."""
    import engine.stages  # noqa: F401 - imported here, so that children have it
    from engine.__main__ import main

    pid = os.fork()
    if pid:
        CHILDREN.append(pid)
        return Child(run, pid)
    code = 1
    try:
        os.setsid()
        os.chdir(run.path)
        # pytest's captured streams belong to the parent; a real engine writes to descriptors 1 and 2
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        code = main([str(run.path)])
    finally:
        os._exit(code)


def train(preset: Path, changes: Mapping[str, Any] | None = None, **kind: Any) -> tuple[RunDirectory, int]:
    """Run a preset to its end: (run directory, exit code)."""
    child = start(new_run(preset, changes, **kind))
    return child.run, child.wait()


def end_children() -> None:
    """Kill what a failed test left running."""
    while CHILDREN:
        pid = CHILDREN.pop()
        with suppress(ChildProcessError, ProcessLookupError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def of_type(run: RunDirectory, kind: type[E]) -> list[E]:
    """All events of one type, as an uninterrupted run would have told them."""
    return [record.event for record in story(run.events) if isinstance(record.event, kind)]
