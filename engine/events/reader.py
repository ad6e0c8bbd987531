"""Reading events.jsonl while it is written, or long after.

A reader trusts nothing: a torn last line is left for later, a damaged line is passed over, an unknown event is kept as
``Unknown``. Following polls the file (inotify does not work on network volumes) and survives its replacement.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.events.lines import Record, decode_line
from engine.events.steps_index import StepsIndex
from engine.events.types import Checkpoint, RunStart, Sample, Step, Validation

POLL_SECONDS = 0.25
_CHUNK = 1 << 20


def read_events(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Record]:
    """The whole events of the bytes ``start`` to ``stop``, in the order of the file. A missing file has none."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        offset = start
        for line in file:
            if (stop is not None and offset >= stop) or not line.endswith(b"\n"):
                return
            record = decode_line(line, offset)
            if record is not None:
                yield record
            offset += len(line)


def last_record(path: Path) -> Record | None:
    """The last whole event, found from the end of the file."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    window = 1 << 16
    while True:
        start = max(0, size - window)
        with path.open("rb") as file:
            file.seek(start)
            lines = file.read(size - start).split(b"\n")
        # The first piece may begin inside a line, the last one has no newline: both are out, unless the file begins there.
        for line in reversed(lines[:-1] if start == 0 else lines[1:-1]):
            record = decode_line(line + b"\n")
            if record is not None:
                return record
        if start == 0:
            return None
        window *= 8


class Follower:
    """Reads what was appended since the last look. ``poll`` never waits; keep one per viewer."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset  # bytes that were taken, always the start of a line
        self._inode = 0

    def poll(self) -> list[Record]:
        """The events that were completed since the last call. Starts again when the file was replaced or became shorter."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_size < self.offset or (self._inode and stat.st_ino != self._inode):
                    self.offset = 0
                self._inode = stat.st_ino
                return self._take(file.fileno(), stat.st_size)
        except FileNotFoundError:
            return []

    def _take(self, descriptor: int, size: int) -> list[Record]:
        records: list[Record] = []
        rest = b""
        position = self.offset
        while position < size:
            chunk = os.pread(descriptor, min(_CHUNK, size - position), position)
            if not chunk:
                break
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                record = decode_line(line + b"\n", self.offset)
                self.offset += len(line) + 1
                if record is not None:
                    records.append(record)
        return records


def follow(
    path: Path, stop: threading.Event, *, offset: int = 0, poll_seconds: float = POLL_SECONDS
) -> Iterator[Record]:
    """The events of the file as they are written, from byte ``offset`` on, until ``stop`` is set (what is there then is still read)."""
    follower = Follower(path, offset)
    while True:
        last = stop.is_set()
        yield from follower.poll()
        if last:
            return
        stop.wait(poll_seconds)


def story(path: Path) -> list[Record]:
    """All events as an uninterrupted run would have told them.

    An attempt that resumes at step k voids what earlier attempts did after k: their later steps, validations, samples
    and checkpoints are left out.
    """
    return merge_attempts(read_events(path))


def merge_attempts(records: Iterable[Record]) -> list[Record]:
    """``story`` of records that were read already."""
    told: list[Record] = []
    for record in records:
        event = record.event
        if isinstance(event, RunStart):
            told = [kept for kept in told if step_of(kept) is None or (step_of(kept) or 0) <= event.from_step]
        told.append(record)
    return told


def other_events(path: Path, index: StepsIndex) -> Iterator[Record]:
    """The events that are not steps, without reading the steps between them: quick however long the run is."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    for start, stop in index.gaps(size):
        for record in read_events(path, start, stop):
            if not isinstance(record.event, Step):
                yield record


def step_of(record: Record) -> int | None:
    """The step a record belongs to, or None for events that belong to none."""
    event = record.event
    return event.step if isinstance(event, (Step, Validation, Sample, Checkpoint)) else None
