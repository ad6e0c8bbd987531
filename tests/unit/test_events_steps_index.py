"""steps.idx: a run of a million steps is opened, searched and cut without reading it."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from engine.events.lines import Record
from engine.events.reader import other_events
from engine.events.sink import EventSink
from engine.events.steps_index import RECORD, StepsIndex, pack
from engine.events.types import Phase, RunStart, Sample, Step, Warned

MILLION = 1_000_000


def records(attempt: int, from_step: int, steps: int, seq: int) -> bytes:
    """The index of one attempt, made in bulk: its mark and ``steps`` records of 200-byte lines."""
    mark = pack(Record(seq, 0.0, RunStart(attempt, from_step), seq * 200, 200), attempt)
    assert mark is not None
    kind = np.dtype([("seq", "<i8"), ("offset", "<i8"), ("t", "<f8"), ("step", "<i4"), ("length", "<i4"), ("epoch", "<i4"), ("attempt", "<i4"), ("numbers", "<f4", 6)])  # fmt: skip
    assert kind.itemsize == RECORD.size
    rows = np.zeros(steps, kind)
    rows["seq"] = np.arange(seq + 1, seq + 1 + steps)
    rows["offset"] = rows["seq"] * 200
    rows["step"] = np.arange(from_step + 1, from_step + 1 + steps)
    rows["length"], rows["attempt"] = 200, attempt
    rows["numbers"][:, 0] = 1 / rows["step"]
    return mark + rows.tobytes()


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million steps, a kill at 600,000, a resume from 500,000."""
    path = tmp_path_factory.mktemp("long") / "steps.idx"
    path.write_bytes(records(1, 0, 600_000, 0) + records(2, 500_000, 500_000, 600_001))
    return path


def test_a_million_steps_open_and_are_searched_in_milliseconds(long_run: Path) -> None:
    began = time.perf_counter()
    index = StepsIndex(long_run)
    ranges = index.story()
    tail = index.tail(100)
    place = index.find(750_123)
    took = time.perf_counter() - began
    assert sum(map(len, ranges)) == MILLION
    assert [entry.step for entry in tail] == list(range(999_901, 1_000_001))
    assert place is not None
    assert (index[place].step, index[place].attempt) == (750_123, 2)
    assert took < 0.1  # measured: 2 ms


def test_search_by_step(long_run: Path) -> None:
    index = StepsIndex(long_run)
    for step, attempt in ((1, 1), (500_000, 1), (500_001, 2), (1_000_000, 2)):
        place = index.find(step)
        assert place is not None
        assert (index[place].step, index[place].attempt) == (step, attempt)
    assert index.find(0) is None
    beyond = index.find(5_000_000)
    assert beyond is not None
    assert index[beyond].step == MILLION


def test_columns_are_cut_and_thinned(long_run: Path) -> None:
    index = StepsIndex(long_run)
    (first, second) = index.story()
    assert list(index.column("step", first.start, first.stop, every=100_000)) == [1, 100_001, 200_001, 300_001, 400_001]
    losses = index.column("loss", second.start, second.start + 3)
    assert list(losses) == pytest.approx([1 / step for step in (500_001, 500_002, 500_003)])
    assert len(index.column("loss")) == len(index) == 1_100_002
    assert list(index.column("seq", 5, 5)) == []


def test_the_index_shows_where_other_events_stand(tmp_path: Path) -> None:
    sink = EventSink(tmp_path / "events.jsonl", tmp_path / "steps.idx", attempt=1)
    sink.emit(RunStart(1, 0))
    for step in range(1, 2001):
        sink.emit(Step(step=step, loss=1.0))
        if step in (700, 1500):
            sink.emit(Sample(path=f"{step}.png", step=step))
    sink.emit(Warned("end", "of it"))
    sink.close()
    index = StepsIndex(tmp_path / "steps.idx")
    size = (tmp_path / "events.jsonl").stat().st_size
    assert len(index.gaps(size)) == 4
    assert sum(stop - start for start, stop in index.gaps(size)) < 1000
    types = [record.event.type for record in other_events(tmp_path / "events.jsonl", index)]
    assert types == ["run_start", "sample", "sample", "warning"]


def test_it_grows_under_a_reader_and_a_torn_record_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "steps.idx"
    index = StepsIndex(path)
    assert len(index) == 0
    assert index.tail(5) == []
    one = pack(Record(0, 1.0, Step(step=1, loss=None), 0, 10), 1)
    two = pack(Record(1, 2.0, Step(step=2, loss=1e300), 10, 10), 1)
    assert one is not None
    assert two is not None
    path.write_bytes(one + two[:30])
    assert index.refresh()
    assert len(index) == 1
    assert not index.refresh()
    path.write_bytes(one + two)
    assert index.refresh()
    assert index[1].loss == float("inf")
    assert index[0].loss != index[0].loss  # null is NaN
    with pytest.raises(IndexError):
        index[2]
    path.unlink()
    assert index.refresh()
    assert len(index) == 0


def test_only_steps_and_starts_are_indexed() -> None:
    assert pack(Record(0, 0.0, Phase("x"), 0, 5), 1) is None
    mark = pack(Record(0, 0.0, RunStart(3, 77), 0, 5), 3)
    assert mark is not None
    assert struct.unpack_from("<i", mark, 24)[0] == 77
