"""steps.idx where it can be trusted, else the same records made from the events.

The index is a copy of what events.jsonl says. A torn write, sectors of zeros after a power cut, another run's file or none at all
may cost time, never a curve or the number of an attempt. Readers call ``sound_index``, which writes nothing: what it has to
make stays in memory and grows with the events. The engine's sink calls ``repair_index``, which puts the file right.
"""

from __future__ import annotations

import array
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import add, le, lt
from pathlib import Path

from engine.events.atomic import write_bytes_atomically
from engine.events.lines import decode_line
from engine.events.reader import read_events
from engine.events.rundir import RunDirectory
from engine.events.steps_index import RECORD, StepRecord, StepsIndex, pack
from engine.events.types import RunStart, Step

_EVERY = 8  # records: a disk's sector of 512 bytes holds as many, and sectors are what breaks
_CHUNK = 1 << 15  # records read at once: 2 MB
_LAG = 256  # one step in so many may be in the events and not yet in the index: the sink writes one after the other
_STEP, _START = b'"type":"step"', b'"type":"run_start"'


@dataclass
class _Made:
    """Records made from the events up to byte ``end``."""

    inode: int
    end: int = 0
    attempt: int = 1
    seq: int = -1
    records: bytearray = field(default_factory=bytearray)


_checked: dict[Path, tuple[int, int, int]] = {}  # index -> its inode, the events' inode, records found sound
_made: dict[Path, _Made] = {}
_making = threading.Lock()


def sound_index(run: RunDirectory) -> StepsIndex:
    """The index of a run: the file's where it agrees with the events, else one made from them. Never raises for a damaged one."""
    index = StepsIndex(run.steps_idx)
    if agrees(index, run.events):
        return index
    with _making:
        return StepsIndex.of(bytes(_grown(run.events).records))


def agrees(index: StepsIndex, events: Path) -> bool:
    """Whether records ascend, those looked at stand in the events, and the events hold hardly any that it lacks.

    What was found sound once is not looked at again while both files stay the same and grow.
    """
    try:
        facts = os.stat(events)
    except OSError:
        return True  # nothing to hold against it
    known = _checked.get(index.path, (0, 0, 0))
    start = known[2] if known[:2] == (index.inode, facts.st_ino) and known[2] <= len(index) else 0
    count = len(index)
    if count > start:
        if not _ascends(index, max(0, start - _EVERY)):
            return False
        places = {start, start + (count - start) // 3, start + 2 * (count - start) // 3, count - 2, count - 1}
        if not all(_founded(events, index[place]) for place in places if start <= place):
            return False
    end, seq = (index[count - 1].offset + index[count - 1].length, index[count - 1].seq) if count else (0, -1)
    if end > facts.st_size or _lacks(events, end, seq, count // _LAG):
        return False
    if len(_checked) > 256:
        _checked.clear()
    _checked[index.path] = (index.inode, facts.st_ino, count)
    return True


def repair_index(events: Path, index_path: Path) -> None:
    """Make steps.idx agree with events.jsonl after a kill: drop torn or unfounded records, add the missing ones.

    The file is replaced, never shortened in place: a viewer may have it mapped.
    """
    index = StepsIndex(index_path)
    size = events.stat().st_size
    keep = len(index) if _ascends(index, 0) else 0
    while keep and (index[keep - 1].offset + index[keep - 1].length > size or not _founded(events, index[keep - 1])):
        keep -= 1
    last = index[keep - 1] if keep else None
    made = _Made(0, last.offset + last.length, last.attempt, last.seq) if last else _Made(0)
    missing = b"".join(_records(events, made))
    recorded = index_path.stat().st_size if index_path.exists() else 0
    if missing or recorded != keep * RECORD.size:
        write_bytes_atomically(index_path, (index.read(0, keep) if keep else b"") + missing)


def _records(events: Path, made: _Made) -> Iterator[bytes]:
    """The records of the events from ``made.end`` on; ``made`` is moved along."""
    for record in read_events(events, made.end):
        made.end = record.offset + record.length
        if record.seq <= made.seq:
            continue
        made.seq = record.seq
        if isinstance(record.event, RunStart):
            made.attempt = record.event.attempt
        packed = pack(record, made.attempt)
        if packed is not None:
            yield packed


def _grown(events: Path) -> _Made:
    try:
        facts = os.stat(events)
    except OSError:
        return _Made(0)
    made = _made.get(events)
    if made is None or made.inode != facts.st_ino or made.end > facts.st_size:
        if len(_made) > 4:
            _made.clear()
        made = _made[events] = _Made(facts.st_ino)
    for packed in _records(events, made):
        made.records += packed
    return made


def _ascends(index: StepsIndex, start: int) -> bool:
    """Whether every eighth record and the last come after the one before, in the file and in the run."""
    seq, offset, step, length, attempt = (array.array(code) for code in "qqiii")
    for position in range(start, len(index), _CHUNK):
        data = memoryview(index.read(position, position + _CHUNK))
        longs, ints = data.cast("q"), data.cast("i")
        for column, cells, place in (
            (seq, longs, 0), (offset, longs, 1), (step, ints, 6), (length, ints, 7), (attempt, ints, 9),
        ):  # fmt: skip
            per_record = RECORD.size // column.itemsize
            column.extend(cells[place :: per_record * _EVERY])
    if not seq:
        return True
    last = index[len(index) - 1]
    if (len(index) - 1 - start) % _EVERY:
        for column, value in ((seq, last.seq), (offset, last.offset), (step, last.step), (length, last.length), (attempt, last.attempt)):  # fmt: skip
            column.append(value)
    same = map(le, islice(attempt, 1, None), attempt)
    further = map(lt, step, islice(step, 1, None))
    return (
        offset[0] >= 0
        and min(length) >= 0
        and attempt[0] >= 1  # zeros look like the start of a run otherwise
        and all(map(lt, seq, islice(seq, 1, None)))
        and all(map(le, map(add, offset, length), islice(offset, 1, None)))
        and all(map(le, attempt, islice(attempt, 1, None)))
        and all(more or not one_attempt for one_attempt, more in zip(same, further))
    )


def _founded(events: Path, entry: StepRecord) -> bool:
    """Whether the event of an index record really stands in the file."""
    if not 0 <= entry.offset < os.stat(events).st_size:
        return False
    record = next(read_events(events, entry.offset, entry.offset + 1), None)
    if record is None or record.offset != entry.offset or record.seq != entry.seq:
        return False
    event = record.event
    return (isinstance(event, Step) and entry.length == record.length) or (
        isinstance(event, RunStart) and not entry.length
    )


def _lacks(events: Path, end: int, seq: int, most: int) -> bool:
    """Whether more than ``most`` steps, or any start of an attempt, stand behind byte ``end`` and event ``seq``."""
    count = 0
    with events.open("rb") as file:
        file.seek(end)
        for line in file:
            head = line[:120]
            if _START in head:
                start = decode_line(line)
                if start is not None and start.seq > seq:
                    return True
            count += _STEP in head and line.endswith(b"\n")
            if count > most:
                return True
    return False
