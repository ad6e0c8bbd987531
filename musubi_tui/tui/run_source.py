"""Where a run's view comes from: a run directory that an engine may be filling, or a recording played again.

``RunSource.view`` reads files and is meant for a thread; it gives the same object again while nothing happened. A run of a
million steps opens through steps.idx: of events.jsonl only the parts between the steps are read, and of those only what
is still news (the last reading of memory, not all of them).
"""

from __future__ import annotations

import json
import os
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from engine.config.language import say
from engine.events.alive import Pulses
from engine.events.lines import Record, decode_line
from engine.events.reader import Follower, read_events
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.status import ALIVE, Status, true_state
from engine.events.steps_index import StepsIndex
from engine.events.types import Progress, RunStart, Step
from musubi_tui.runs.costs import Bill, todays_price
from musubi_tui.runs.finding import name_of
from musubi_tui.runs.notes import Note, read_notes
from musubi_tui.runs.series import read_records, zeros
from musubi_tui.tui.run_view import Fold, LogLine, RunView

_RECENT_BYTES = 1 << 19  # at the end of events.jsonl, where every event is read
_LONG_RUN = 5000  # steps from which on readings of the past are passed over
_SHORT_GAP = 130  # bytes between two steps that hold no more than a line of progress
_LONGEST_WAIT = 2.0  # seconds of a recording without an event
_READINGS = tuple(f'"type":"{name}"'.encode() for name in ("progress", "host", "memory", "swap", "block"))
_STALE_SECONDS = 30.0


class RunSource(ABC):
    """A run to look at. ``run`` is None for a recording, which nobody can steer."""

    run: RunDirectory | None = None
    title = ""
    shell_words = ""  # what `musubi-tui runs watch` takes to show the same

    @staticmethod
    def live(run_dir: Path) -> RunSource:
        """The run of a run directory, as it is now and goes on."""
        return _Live(RunDirectory(run_dir))

    @staticmethod
    def replay(events: Path, speed: float = 0.0) -> RunSource:
        """A recorded events.jsonl, ``speed`` times as fast as it was recorded (0: all at once)."""
        return _Replay(events, speed)

    @abstractmethod
    def view(self) -> RunView:
        """The run now; the same object again when nothing changed. Raises ``OSError``."""


@dataclass(frozen=True)
class _Outside:
    """What status.json says; a change of it is news."""

    state: str
    phase: str
    reason: str
    step: int
    max_steps: int
    stale: bool
    cost: float | None = None
    today: float | None = None  # the price of an hour that is known now, where the run knew none


class _Live(RunSource):
    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.title = name_of(run)
        self.shell_words = shlex.quote(run.id)
        self._directory = run
        self._fold: Fold | None = None
        self._follower = Follower(run.events)
        self._log = _LogTail(run.engine_log)
        self._items = _Items(run.items)
        self._notes: tuple[Note, ...] = ()
        self._outside: _Outside | None = None
        self._view: RunView | None = None
        self._pulses = Pulses()

    def view(self) -> RunView:
        fold = self._fold
        if fold is None:
            fold = self._fold = Fold(self.title, self._locate, str(self._directory.path))
            self._follower.offset = _open(self._directory, fold)
        before = self._follower.offset
        records = self._follower.poll()
        if self._follower.offset < before:  # the file was replaced
            fold = self._fold = Fold(self.title, self._locate, str(self._directory.path))
        for record in records:
            fold.feed(record)
        lines = self._log.poll()
        now = time.time()
        for line in lines:
            fold.say(line, now)
        outside, heartbeat = self._look_outside(now)
        notes = read_notes(self._directory)
        fresh = self._view is None or bool(records) or bool(lines) or outside != self._outside or notes != self._notes
        if fresh or self._view is None:
            self._outside, self._notes = outside, notes
            view = fold.view(live=True, name=self.title)
            state = outside.state
            bill = Bill.of(view.bill.attempts, outside.today)
            self._view = replace(
                view,
                bill=bill,
                price=view.price if outside.today is None or view.price is not None else outside.today,
                cost=outside.cost if outside.cost is not None else bill.cost(view.worked_seconds),
                state=state,
                phase=view.phase or outside.phase,
                reason=outside.reason or view.reason,
                step=max(view.step, 0 if state == "orphaned" else outside.step),
                max_steps=outside.max_steps or view.max_steps,
                heartbeat=heartbeat,
                now=now if state in ALIVE else view.now,
                item_names=self._items.names(),
                log=with_notes(view.log, notes),
            )
        return self._view

    def _locate(self, path: str) -> str:
        return find_file(path, self._directory.path, self._directory.output, self._directory.output / "sample")

    def _look_outside(self, now: float) -> tuple[_Outside, float | None]:
        status = Status.read(self._directory)
        if status is None:
            return _Outside("queued" if self._directory.path.is_dir() else "gone", "", "", 0, 0, False), None
        heartbeat = datetime.fromisoformat(status.heartbeat).timestamp() if status.heartbeat else None
        seen = self._pulses.look(status.process, status.heartbeat)
        if heartbeat is not None and seen.moved:
            heartbeat = now - seen.still  # by our clock: another machine's may be minutes away from it
        state = true_state(self._directory, status)
        stale = state in ALIVE and heartbeat is not None and now - heartbeat > _STALE_SECONDS
        today = todays_price(status)
        spent = status.cost if today is None else today * status.seconds / 3600
        cost = None if spent is None else round(spent, 2)  # less than a hundredth is no news
        return _Outside(
            state, status.phase, status.reason, status.step, status.max_steps, stale, cost, today
        ), heartbeat


class _Replay(RunSource):
    def __init__(self, events: Path, speed: float) -> None:
        self.title = events.stem if events.name != "events.jsonl" else events.parent.name
        self._speed = speed
        self.shell_words = f"--replay {shlex.quote(str(events))}" + (f" --speed {speed:g}" if speed else "")
        self._records: Iterator[Record] = read_events(events)
        self._next: Record | None = next(self._records, None)
        self._played = self._next.t if self._next else 0.0  # the recording's clock
        self._looked: float | None = None
        folder = events.absolute().parent
        self._fold = Fold(locate=lambda path: find_file(path, folder, folder / "output", folder / "output" / "sample"))
        beside = events.with_name(f"{events.stem}.items.jsonl")
        self._items = _Items(beside if beside.is_file() else events.with_name("items.jsonl"))
        self._view: RunView | None = None

    def view(self) -> RunView:
        now = time.monotonic()
        if self._looked is not None:
            self._played += (now - self._looked) * self._speed
        self._looked = now
        fed = False
        while self._next is not None and (self._speed <= 0 or self._next.t <= self._played):
            fed = True
            self._fold.feed(self._next)
            self._next = next(self._records, None)
        if self._next is not None:
            self._played = max(self._played, self._next.t - _LONGEST_WAIT)
        if fed or self._view is None:
            self._view = self._fold.view(item_names=self._items.names())
        return self._view


def with_notes(log: tuple[LogLine, ...], notes: tuple[Note, ...]) -> tuple[LogLine, ...]:
    """The log with what people wrote, each note where it belongs by its time."""
    if not notes:
        return log
    words = say("note", "メモ")
    own = [LogLine(note.t, "accent", f"{words}  {note.step}  {note.text}") for note in notes]
    return tuple(sorted((*log, *own), key=lambda line: line.t))


def find_file(path: str, *folders: Path) -> str:
    """Where a file that an event names lies: there, or below one of these folders (a relative path), or in one of them under
    its name (a run that was brought home). As it was told when it is nowhere."""
    if "\0" in path or os.path.isfile(path):
        return path
    name = os.path.basename(path)
    places = [folder / (name if os.path.isabs(path) else path) for folder in folders] + [
        folder / name for folder in folders
    ]
    return next((str(place) for place in places if name and os.path.isfile(place)), path)


def _open(run: RunDirectory, fold: Fold) -> int:
    """Fold what is there already; the byte of events.jsonl from which on to follow."""
    index = sound_index(run)
    try:
        size = run.events.stat().st_size
    except FileNotFoundError:
        return 0
    if not len(index) or len(index) < _LONG_RUN:
        return 0  # short: simply read it all
    last = index[len(index) - 1]
    end = last.offset + last.length
    if end > size:
        return 0
    fold.steps.load(index)
    story = index.story()
    recent_from = max(0, end - _RECENT_BYTES)
    with run.events.open("rb") as file:
        for record in _passed(file.fileno(), index, recent_from):
            if isinstance(record.event, RunStart):
                steps = fold.steps
                fold.steps = type(steps)()  # the columns hold the merged story already: nothing is to be cut
                fold.feed(record)
                fold.steps = steps
            else:
                fold.feed(record, indexed=True)
    fold.steps.count_images(fold.items_per_step)
    began = zeros(index)
    fold.had_worked({attempt: index[position].t - began[attempt] for position, attempt in index.attempts()})
    if story:
        newest = index[story[-1][-1]]
        fold.step = newest.step
    return end


def _passed(descriptor: int, index: StepsIndex, recent_from: int) -> Iterator[Record]:
    """The events worth knowing of a long run: everything once told, readings and steps only near the end."""
    position = 0
    for start, stop in _gaps(index):
        if start >= recent_from:
            break
        if stop - start > _SHORT_GAP:
            yield from _decode(os.pread(descriptor, stop - start, start), start, recent_from)
        position = stop
    end = index[len(index) - 1]
    begin = max(position, recent_from)
    data = os.pread(descriptor, end.offset + end.length - begin, begin)
    if begin > position:  # landed inside a line
        skip = data.find(b"\n") + 1
        begin, data = begin + skip, data[skip:]
    yield from _decode(data, begin, 0)


def _decode(data: bytes, offset: int, recent_from: int) -> Iterator[Record]:
    for line in data.splitlines(keepends=True):
        if offset >= recent_from or not any(mark in line[:120] for mark in _READINGS):
            record = decode_line(line, offset)
            if record is not None and not (isinstance(record.event, (Step, Progress)) and offset < recent_from):
                yield record
        offset += len(line)


def _gaps(index: StepsIndex) -> Iterator[tuple[int, int]]:
    """Byte ranges between the lines of steps."""
    import numpy as np

    position = 0
    for records in read_records(index, 0, len(index)):
        offset = records["offset"]
        ends = np.concatenate([[position], offset + records["length"]])
        places = np.flatnonzero(offset - ends[:-1] > _SHORT_GAP)
        yield from zip(ends[places].tolist(), offset[places].tolist())
        position = int(ends[-1])


class _LogTail:
    """engine.log as it grows: whole lines, the last of what is there at the start."""

    _FIRST = 16 * 1024

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = -1

    def poll(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if self._offset < 0 or size < self._offset:
                    self._offset = max(0, size - self._FIRST)
                data = os.pread(file.fileno(), min(size - self._offset, 1 << 18), self._offset)
        except OSError:
            return []
        *lines, rest = data.split(b"\n")
        self._offset += len(data) - len(rest)
        return [
            text for line in lines if (text := line.decode("utf-8", "replace").rstrip().rsplit("\r", 1)[-1].strip())
        ]


class _Items:
    """The file names behind the ids of items.jsonl, read again when the file changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = 0
        self._names: dict[str, str] = {}

    def names(self) -> dict[str, str]:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._stamp = stamp
                entries = [json.loads(line) for line in self._path.read_text("utf-8").splitlines() if line.strip()]
                self._names = {str(entry["id"]): Path(str(entry["path"])).name for entry in entries}
        except (OSError, ValueError, KeyError, TypeError):
            return self._names
        return self._names
