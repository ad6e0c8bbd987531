"""steps.idx: fixed-size records beside events.jsonl, so that a run of a million steps opens in milliseconds.

Each step event has one record of ``RECORD.size`` bytes, in the order of the file; each ``run_start`` leaves a mark
(``length`` 0, ``step`` = the step it resumes from). Attempts are ascending and steps ascend within one, so that both are
found by bisection, and the merged story of all attempts is a handful of ranges of records. The index can be rebuilt from the
events at any time; it is never the only copy of anything but speed.
"""

from __future__ import annotations

import array
import math
import mmap
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.events.lines import Record
from engine.events.types import RunStart, Step

RECORD = struct.Struct("<qqdiiiiffffff")  # 64 bytes
_Code = Literal["q", "d", "i", "f"]
_COLUMNS: dict[str, tuple[_Code, int]] = {  # name -> (code of a cell, its place among such cells of a record)
    "seq": ("q", 0),
    "offset": ("q", 1),
    "t": ("d", 2),
    "step": ("i", 6),
    "length": ("i", 7),
    "epoch": ("i", 8),
    "attempt": ("i", 9),
    "loss": ("f", 10),
    "lr": ("f", 11),
    "grad_norm": ("f", 12),
    "step_s": ("f", 13),
    "data_s": ("f", 14),
    "stall_s": ("f", 15),
}


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One record. Numbers that were null are NaN. ``length`` is the bytes of the event's line, 0 for the mark of an attempt."""

    seq: int
    offset: int
    t: float
    step: int
    length: int
    epoch: int
    attempt: int
    loss: float
    lr: float
    grad_norm: float
    step_s: float
    data_s: float
    stall_s: float


def pack(record: Record, attempt: int) -> bytes | None:
    """The index record of an event, or None for events that have none."""
    event = record.event
    if isinstance(event, Step):
        lr = next((value for value in event.lr if value is not None), None)
        numbers = (event.loss, lr, event.grad_norm, event.step_s, event.data_s, event.stall_s)
        step, epoch, length = event.step, event.epoch, record.length
    elif isinstance(event, RunStart):
        numbers, step, epoch, length = (None,) * 6, event.from_step, 0, 0
    else:
        return None
    return RECORD.pack(
        record.seq, record.offset, record.t, _int32(step), length, _int32(epoch), attempt, *map(_float32, numbers)
    )


class StepsIndex:
    """A read-only view of steps.idx as it is (``sound_index`` says whether to trust it). ``refresh`` looks at what was appended since;
    a missing file is an empty index.

    The records are read through a memory map: opening costs nothing, whatever the length of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map: mmap.mmap | bytes | None = None
        self._count = 0
        self.inode = 0
        self.refresh()

    @classmethod
    def of(cls, records: bytes) -> StepsIndex:
        """An index that lies in memory alone."""
        index = cls.__new__(cls)
        index.path, index.inode, index._map, index._count = Path(), 0, records, len(records) // RECORD.size
        return index

    def __len__(self) -> int:
        """Records in the file, marks of attempts included."""
        return self._count

    def __getitem__(self, position: int) -> StepRecord:
        if not 0 <= position < self._count or self._map is None:
            raise IndexError(position)
        return StepRecord(*RECORD.unpack_from(self._map, position * RECORD.size))

    def refresh(self) -> bool:
        """Map what the file holds now. True when it changed. A torn last record is left out."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                count = stat.st_size // RECORD.size
                if count == self._count and stat.st_ino == self.inode:
                    return False
                self._map = mmap.mmap(file.fileno(), count * RECORD.size, access=mmap.ACCESS_READ) if count else None
                self._count, self.inode = count, stat.st_ino
                return True
        except OSError:
            changed = self._count != 0
            self._map, self._count, self.inode = None, 0, 0
            return changed

    def read(self, start: int, stop: int) -> bytes:
        """The records from ``start`` to ``stop`` as they are: of a file without mapping them into this process's memory."""
        stop = max(start, min(stop, self._count))
        if isinstance(self._map, bytes):
            return self._map[start * RECORD.size : stop * RECORD.size]
        with self.path.open("rb") as file:
            data = os.pread(file.fileno(), (stop - start) * RECORD.size, start * RECORD.size)
        return data[: len(data) // RECORD.size * RECORD.size]

    def column(self, name: str, start: int = 0, stop: int | None = None, every: int = 1) -> Sequence[float]:
        """One field of the records ``start`` to ``stop`` (every n-th), as an array of machine numbers."""
        code, place = _COLUMNS[name]
        stop = self._count if stop is None else min(stop, self._count)
        values: array.array[Any] = array.array(code)
        if self._map is None or stop <= start:
            return values
        with memoryview(self._map) as whole, whole[: self._count * RECORD.size].cast(code) as cells:
            per_record = RECORD.size // values.itemsize
            with cells[start * per_record + place : stop * per_record : per_record * every] as chosen:
                values.extend(chosen)
        return values

    def attempts(self) -> list[tuple[int, int]]:
        """(position of its first record, attempt) of each attempt, in order."""
        found: list[tuple[int, int]] = []
        position = 0
        while position < self._count:
            attempt = self[position].attempt
            found.append((position, attempt))
            position = bisect_right(range(self._count), attempt, lo=position + 1, key=self._attempt_at)
        return found

    def story(self) -> list[range]:
        """Positions of the steps that count: ranges of records, ascending in step over all of them.

        An attempt that resumes at step k voids the later steps of those before it.
        """
        ranges: list[range] = []
        starts = [position for position, _ in self.attempts()]
        for start, stop in zip(starts, [*starts[1:], self._count]):
            first = self[start]
            if first.length == 0:
                from_step, start = first.step, start + 1
            else:
                from_step = first.step - 1
            ranges = [kept for kept in (self._until(entry, from_step) for entry in ranges) if kept]
            if stop > start:
                ranges.append(range(start, stop))
        return ranges

    def find(self, step: int) -> int | None:
        """Position of the last step of the story that is at most ``step``; None when the story begins later."""
        for entry in reversed(self.story()):
            until = self._until(entry, step)
            if until:
                return until[-1]
        return None

    def tail(self, count: int) -> list[StepRecord]:
        """The last ``count`` steps of the story, oldest first."""
        positions: list[int] = []
        for entry in reversed(self.story()):
            missing = count - len(positions)
            if missing <= 0:
                break
            positions[:0] = entry[-missing:]
        return [self[position] for position in positions]

    def steps(self) -> Iterator[StepRecord]:
        """All steps of the story, in order."""
        for entry in self.story():
            for position in entry:
                yield self[position]

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """Byte ranges of events.jsonl (of ``size`` bytes) that hold other events than steps: [start, stop)."""
        ranges: list[tuple[int, int]] = []
        position = 0
        for offset, length in zip(self.column("offset"), self.column("length")):
            if offset > position:
                ranges.append((position, int(offset)))
                position = int(offset)
            if length and offset == position:
                position += int(length)
        if size > position:
            ranges.append((position, size))
        return ranges

    def _attempt_at(self, position: int) -> int:
        return self[position].attempt

    def _until(self, entry: range, step: int) -> range:
        return entry[: bisect_right(entry, step, key=lambda position: self[position].step)]


def _int32(value: int) -> int:
    return max(-(2**31), min(2**31 - 1, value))


def _float32(value: float | None) -> float:
    if value is None:
        return math.nan
    return value if abs(value) < 3.4e38 else math.copysign(math.inf, value)
