"""The sink: numbers that go on, a queue that never blocks, a disk that refuses."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.events.reader import read_events
from engine.events.sink import EventSink, merge_steps
from engine.events.steps_index import StepsIndex
from engine.events.types import Checkpoint, Control, Event, Failed, Host, Progress, RunEnd, RunStart, Step, Warned


class Disk:
    """Stands before ``os.write``: can refuse, write only a part, or make the writer wait."""

    def __init__(self) -> None:
        self.refuse = False
        self.at_most: int | None = None
        self.gate = threading.Event()
        self.gate.set()
        self._write = os.write

    def write(self, descriptor: int, data: bytes) -> int:
        if threading.current_thread().name != "event-sink":
            return self._write(descriptor, data)
        self.gate.wait(20)
        if self.refuse:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(descriptor, data if self.at_most is None else data[: self.at_most])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr("engine.events.sink.os.write", disk.write)
    monkeypatch.setattr("engine.events.sink.RETRY_SECONDS", 0.02)
    yield disk
    disk.gate.set()


def make(folder: Path, **options: int) -> EventSink:
    return EventSink(folder / "events.jsonl", folder / "steps.idx", attempt=1, **options)


def read(folder: Path) -> list[Event]:
    return [record.event for record in read_events(folder / "events.jsonl")]


def test_numbers_go_on_across_attempts(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        sink = make(tmp_path)
        sink.emit(RunStart(attempt, 0))
        sink.emit(Step(step=attempt))
        assert sink.close()
    records = list(read_events(tmp_path / "events.jsonl"))
    assert [record.seq for record in records] == list(range(6))
    assert [number for _, number in StepsIndex(tmp_path / "steps.idx").attempts()] == [1, 2, 3]


def test_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    make(tmp_path).close()
    for name in ("events.jsonl", "steps.idx"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_full_queue_merges_steps_and_keeps_what_matters(tmp_path: Path, disk: Disk) -> None:
    disk.gate.clear()
    sink = make(tmp_path, limit=64)
    sink.emit(RunStart(1, 0))
    kept: list[Event] = []
    for step in range(1, 2001):
        sink.emit(Step(step=step, loss=2.0, step_s=0.5))
        sink.emit(Host(ram=step))
        sink.emit(Progress("train", step, 2000))
        if step % 100 == 0:
            matter: list[Event] = [Control(f"{step}"), Checkpoint(path=f"{step}", step=step), Failed(f"{step}")]
            kept += matter
            for event in matter:
                sink.emit(event)
    sink.emit(RunEnd("done"))
    assert len(sink._queue) < 64 + len(kept) + 2
    disk.gate.set()
    assert sink.close()
    told = read(tmp_path)
    assert [event for event in told if isinstance(event, (Control, Checkpoint, Failed))] == kept
    assert told[0] == RunStart(1, 0)
    assert told[-1] == RunEnd("done")
    steps = [event for event in told if isinstance(event, Step)]
    numbers = [step.step for step in steps]
    assert numbers == sorted(set(numbers))
    assert sink.merged > 0
    assert sink.dropped > 0
    assert all(step.loss == 2.0 and step.step_s == 0.5 for step in steps)
    assert max(step.merged for step in steps) > 1


def test_emitting_never_waits_for_the_disk(tmp_path: Path, disk: Disk) -> None:
    disk.gate.clear()
    sink = make(tmp_path, limit=1000)
    began = time.perf_counter()
    for step in range(5000):
        sink.emit(Step(step=step))
    assert time.perf_counter() - began < 2.0  # the gate would hold it for 20
    assert not sink.flush(timeout=0.05)
    disk.gate.set()
    assert sink.close()


def test_a_full_disk_is_told_once_and_retried(tmp_path: Path, disk: Disk, capfd: pytest.CaptureFixture[str]) -> None:
    sink = make(tmp_path)
    sink.emit(Step(step=1))
    assert sink.flush()
    disk.refuse = True
    for step in range(2, 50):
        sink.emit(Step(step=step))
        time.sleep(0.001)
    assert not sink.flush(timeout=0.1)
    disk.refuse = False
    disk.at_most = 37  # short writes complete their lines all the same
    assert sink.close()
    told = read(tmp_path)
    assert [event.step for event in told if isinstance(event, Step)] == list(range(1, 50))
    assert [event.code for event in told if isinstance(event, Warned)] == ["events_delayed"]
    assert len(StepsIndex(tmp_path / "steps.idx")) == 49
    error = capfd.readouterr().err
    assert error.count("No space left on device") == 1


def test_closing_on_a_full_disk_comes_to_an_end(tmp_path: Path, disk: Disk) -> None:
    sink = make(tmp_path)
    disk.refuse = True
    sink.emit(Step(step=1))
    began = time.perf_counter()
    assert not sink.close(timeout=0.1)
    assert time.perf_counter() - began < 2.0


@pytest.mark.parametrize("event", [Checkpoint(path="x"), Failed("x"), RunEnd("done")])
def test_what_must_survive_a_power_cut_is_synced(event: Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("engine.events.sink.os.fsync", synced.append)
    sink = make(tmp_path)
    sink.emit(Step(step=1))
    assert sink.flush()
    assert synced == []
    sink.emit(event)
    assert sink.flush()
    assert len(synced) == 2
    sink.close()


def test_merged_steps_are_means_weighted_by_what_they_stand_for() -> None:
    one = Step(step=1, loss=1.0, step_s=1.0, stall_s=None, merged=3)
    two = Step(step=2, loss=5.0, step_s=None, stall_s=0.5, items=("b",))
    both = merge_steps(one, two)
    assert (both.step, both.merged, both.loss, both.step_s, both.stall_s, both.items) == (2, 4, 2.0, 1.0, 0.5, ("b",))


def test_many_threads_may_emit(tmp_path: Path) -> None:
    sink = make(tmp_path)
    threads = [threading.Thread(target=lambda: [sink.emit(Warned("x")) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.close()
    assert [record.seq for record in read_events(tmp_path / "events.jsonl")] == list(range(800))
