"""What the app knows at one moment, gathered off the screen's thread: all runs, the chosen one in detail, the machine.

The registry answers for the runs that are over, so that a thousand of them cost next to nothing. Equal facts make equal values:
whoever compares two of them knows whether there is anything to draw.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from engine.config.problems import UserError
from engine.events.lines import Record
from engine.events.process import host_name
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.status import ALIVE, Lease
from engine.events.types import Host, Memory, RunStart, Swap
from musubi_tui.machine.load import MachineLoad, read_load
from musubi_tui.presets.unfinished import Unfinished, unfinished
from musubi_tui.runs.costs import at_todays_price
from musubi_tui.runs.fetching import fetch_line, is_away
from musubi_tui.runs.home import usual_home
from musubi_tui.runs.origin import read_origin
from musubi_tui.runs.outline import Outline, outline
from musubi_tui.runs.pricing import known_price
from musubi_tui.runs.queue import QueueFile
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.snapshot import Snapshot, encoded, snapshot, snapshot_and_events
from musubi_tui.tui.numbers import means
from musubi_tui.tui.view import Detail, View, WaitingHook

_CURVE_STEPS = 2000  # the card's curve shows the last so many steps
_CURVE_CELLS = 60
_HOOK_SECONDS = 24 * 3600.0  # nobody waits longer for a command after a run
_COARSE_SECONDS = 10  # a countdown moves in such steps
GONE = "gone"  # the directory was moved or deleted by hand


class RunsReader:
    """Reads the homes. Not for two threads at once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._detail: tuple[object, Detail] | None = None
        self._outline: tuple[object, Outline] | None = None
        self._drafts: tuple[object, tuple[Unfinished, ...]] | None = None
        self._machine: MachineLoad | None = None
        self._queue: tuple[object, dict[str, int], str] | None = None

    def view(self, chosen: str = "") -> View:
        """The facts of now; ``chosen`` is the folder of the run to read in detail, "" for the newest active one."""
        listed = self.listed()
        runs = listed.runs
        busy = any(now.state in ALIVE and now.host == host_name() for now in runs)
        if busy or self._machine is None or self._machine.busy:
            self._machine = read_load(self._home, busy=busy)
        wanted = next((now for now in runs if now.run_dir == chosen), runs[0] if runs else None)
        detail = self._read_detail(wanted, listed.price) if wanted else None
        return replace(listed, detail=detail, machine=self._machine, hooks=_hooks(runs))

    def listed(self) -> View:
        """The list of runs alone: what the registry and the queue say, nothing of any single run or of the machine."""
        entries = Registry(self._home).runs()
        runs = tuple(replace(entry.summary, state=GONE) if entry.gone else entry.summary for entry in entries)
        known = known_price()
        price = known.per_hour if known else None
        runs = tuple(at_todays_price(now, price) for now in _without_heartbeats(runs))
        places, held = self._read_queue()
        return View(
            runs,
            next((now for now in runs if now.state in ALIVE), None),
            archived=frozenset(entry.summary.run_dir for entry in entries if entry.archived),
            winners=frozenset(entry.summary.run_dir for entry in entries if entry.winner),
            drafts=self._read_drafts(),
            queue=places,
            held=held,
            price=price,
        )

    def _read_drafts(self) -> tuple[Unfinished, ...]:
        """Read again when a file came, went or was replaced: all of that touches its folder."""
        mark = _mark(usual_home() / "drafts", usual_home() / "wizard-drafts")
        if self._drafts is None or self._drafts[0] != mark:
            self._drafts = mark, unfinished()
        return self._drafts[1]

    def _read_queue(self) -> tuple[dict[str, int], str]:
        """Places of what waits on this machine, and why nothing of it is started."""
        file = QueueFile(self._home)
        mark = _mark(file.path)
        if self._queue is None or self._queue[0] != mark:
            try:
                queue = file.read()
                places = {entry.run_dir: place for place, entry in enumerate(queue.waiting(), 1)}
                self._queue = mark, places, queue.held
            except UserError as error:
                self._queue = mark, {}, str(error)
        return self._queue[1], self._queue[2]

    def _read_detail(self, now: Snapshot, price: float | None) -> Detail:
        run = RunDirectory(Path(now.run_dir))
        mark = (now, _mark(run.events, run.notes))
        if self._detail is None or self._detail[0] != mark:
            steps = sound_index(run).tail(_CURVE_STEPS)
            losses = [entry.loss for entry in steps if entry.loss == entry.loss]
            norm = steps[-1].grad_norm if steps else None
            whole, records = (now, []) if now.state == GONE else snapshot_and_events(run)
            whole = _without_heartbeats((whole,))[0]
            elsewhere = now.state in ALIVE and now.host != host_name()
            origin = None if now.state == GONE else read_origin(run)
            whole = at_todays_price(whole, price)
            fetch = fetch_line(whole) if whole.state not in (*ALIVE, GONE) and is_away(whole) else ""
            norm = norm if norm == norm else None
            made = encoded(records) if whole.kind == "cache" else ()
            curve, set_up, memory = means(losses, _CURVE_CELLS), self._read_outline(run), _memory_of(records)
            self._detail = mark, Detail(whole, curve, norm, origin, elsewhere, fetch, made, set_up, *memory)
        return self._detail[1]

    def _read_outline(self, run: RunDirectory) -> Outline:
        """Read again only when the files did change: a run of 100,000 items lists them once, and steps every second."""
        mark = (run.path, _mark(run.run_toml, run.items))
        if self._outline is None or self._outline[0] != mark:
            self._outline = mark, outline(run)
        return self._outline[1]


def _memory_of(records: list[Record]) -> tuple[Memory | None, int | None, Swap | None]:
    """(the last word of the last attempt on memory, bytes of its first card, the last word on the block swap)."""
    memory, card, swap = None, None, None
    for event in (record.event for record in records):
        if isinstance(event, RunStart):
            memory, card, swap = None, None, None
        elif isinstance(event, Memory):
            memory = event
        elif isinstance(event, Swap):
            swap = event
        elif isinstance(event, Host) and event.gpus:
            total = event.gpus[0].get("total")
            card = total if isinstance(total, int) else card
    return memory, card, swap


def _without_heartbeats(runs: tuple[Snapshot, ...]) -> tuple[Snapshot, ...]:
    """A heartbeat that moves is nothing to draw."""
    return tuple(replace(now, heartbeat=None) if now.heartbeat else now for now in runs)


def _hooks(runs: tuple[Snapshot, ...]) -> tuple[WaitingHook, ...]:
    """Commands that wait or work after a run's end: while they do, the run's lease is held."""
    found = []
    for now in runs:
        if now.state in ALIVE or not now.ended or now.state == GONE or _age(now.ended) > _HOOK_SECONDS:
            continue
        run = RunDirectory(Path(now.run_dir))
        lease = Lease.read(run)
        hook = snapshot(run).hook if lease is not None and lease.alive(run) else None
        if hook and hook["state"] in ("waiting", "started"):
            left = max(0.0, -_age(hook["until"])) if hook["state"] == "waiting" and hook["until"] else None
            coarse = None if left is None else math.ceil(left / _COARSE_SECONDS) * _COARSE_SECONDS
            found.append(WaitingHook(now.run_dir, hook["name"], hook["state"], coarse))
    return tuple(found)


def _age(iso: str) -> float:
    """Seconds since a moment; infinite for a text that is none."""
    try:
        return time.time() - datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return math.inf


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
