"""What the app knows at one moment, gathered off the screen's thread: all runs, the chosen one in detail, the machine.

The registry answers for the runs that are over, so that a thousand of them cost next to nothing. Equal facts make equal values:
whoever compares two of them knows whether there is anything to draw.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from engine.events.process import host_name
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE
from engine.events.steps_index import StepsIndex
from musubi_tui.machine.load import MachineLoad, read_load
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.snapshot import Snapshot, snapshot
from musubi_tui.tui.view import Detail, View

_CURVE_STEPS = 2000  # the card's curve shows the last so many steps
_CURVE_CELLS = 24
GONE = "gone"  # the directory was moved or deleted by hand


class RunsReader:
    """Reads the homes. Not for two threads at once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._detail: tuple[object, Detail] | None = None
        self._machine: MachineLoad | None = None

    def view(self, chosen: str = "") -> View:
        """The facts of now; ``chosen`` is the folder of the run to read in detail, "" for the newest active one."""
        entries = Registry(self._home).runs()
        runs = tuple(replace(entry.summary, state=GONE) if entry.gone else entry.summary for entry in entries)
        busy = any(now.state in ALIVE and now.host == host_name() for now in runs)
        if busy or self._machine is None or self._machine.busy:
            self._machine = read_load(self._home, busy=busy)
        wanted = next((now for now in runs if now.run_dir == chosen), runs[0] if runs else None)
        runs = _without_heartbeats(runs)
        active = next((now for now in runs if now.state in ALIVE), None)
        return View(runs, active, self._read_detail(wanted) if wanted else None, self._machine)

    def _read_detail(self, now: Snapshot) -> Detail:
        run = RunDirectory(Path(now.run_dir))
        mark = (now, _mark(run.events))
        if self._detail is None or self._detail[0] != mark:
            steps = StepsIndex(run.steps_idx).tail(_CURVE_STEPS)
            losses = [entry.loss for entry in steps if entry.loss == entry.loss]
            norm = steps[-1].grad_norm if steps else None
            whole = now if now.state == GONE else _without_heartbeats((snapshot(run),))[0]
            self._detail = mark, Detail(whole, _means(losses), norm if norm == norm else None)
        return self._detail[1]


def _without_heartbeats(runs: tuple[Snapshot, ...]) -> tuple[Snapshot, ...]:
    """A heartbeat that moves is nothing to draw."""
    return tuple(replace(now, heartbeat=None) if now.heartbeat else now for now in runs)


def _means(values: list[float]) -> tuple[float, ...]:
    """At most ``_CURVE_CELLS`` means of consecutive values."""
    cells = min(len(values), _CURVE_CELLS)
    edges = [len(values) * cell // cells for cell in range(cells + 1)] if cells else []
    return tuple(sum(values[a:b]) / (b - a) for a, b in pairwise(edges))


def _mark(*paths: Path) -> tuple[tuple[int, int, int], ...]:
    """Changes when one of the files does."""
    marks = []
    for path in paths:
        try:
            facts = os.stat(path)
        except OSError:
            marks.append((0, 0, 0))
        else:
            marks.append((facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return tuple(marks)
