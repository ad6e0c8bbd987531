"""Reading events: torn and damaged files, attempts that void each other, following while it is written."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.lines import encode_line
from engine.events.reader import Follower, follow, last_record, read_events, story
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink, repair_index
from engine.events.sound_index import sound_index
from engine.events.steps_index import RECORD, StepsIndex
from engine.events.types import Checkpoint, Event, Progress, RunEnd, RunStart, Sample, Step, Validation, Warned

Attempts = list[tuple[int, int]]  # (resumes from, number of steps)


def tell(attempts: Attempts) -> list[Event]:
    """The events of some attempts: each resumes from a step and does some more."""
    events: list[Event] = []
    for number, (start, count) in enumerate(attempts, 1):
        events += [RunStart(attempt=number, from_step=start), Progress("train", start, 100)]
        for step in range(start + 1, start + count + 1):
            events.append(Step(step=step, loss=1 / step + number))
            if step % 7 == 0:
                events += [Checkpoint(path=f"{step}", kind="state", step=step), Sample(path=f"{step}.png", step=step)]
            if step % 5 == 0:
                events.append(Validation(step=step, loss=0.1 * number))
    return events


def expected_steps(attempts: Attempts) -> list[tuple[int, int]]:
    """(step, attempt) as an uninterrupted run would have done them."""
    told: dict[int, int] = {}
    for number, (start, count) in enumerate(attempts, 1):
        told = {step: attempt for step, attempt in told.items() if step <= start}
        told |= dict.fromkeys(range(start + 1, start + count + 1), number)
    return sorted(told.items())


@st.composite
def some_attempts(draw: st.DrawFn) -> Attempts:
    """Attempts that resume at any step that was reached."""
    attempts: Attempts = []
    reached = 0
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, reached))
        count = draw(st.integers(0, 20))
        attempts.append((start, count))
        reached = start + count
    return attempts


def write(path: Path, events: list[Event]) -> bytes:
    data = b"".join(encode_line(seq, 1000.0 + seq, event) for seq, event in enumerate(events))
    path.write_bytes(data)
    return data


@settings(max_examples=60, deadline=None)
@given(some_attempts())
def test_the_story_is_that_of_an_uninterrupted_run(attempts: Attempts) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, index_path = Path(folder) / "events.jsonl", Path(folder) / "steps.idx"
        write(path, tell(attempts))
        repair_index(path, index_path)
        told = [record.event for record in story(path)]
        steps = [event for event in told if isinstance(event, Step)]
        wanted = expected_steps(attempts)
        assert [(step.step, round((step.loss or 0) - 1 / step.step)) for step in steps] == wanted
        index = StepsIndex(index_path)
        assert [(entry.step, entry.attempt) for entry in index.steps()] == wanted
        reached = wanted[-1][0] if wanted else 0
        for event in told:
            if isinstance(event, (Sample, Checkpoint, Validation)):
                assert event.step <= max(reached, attempts[-1][0])


@settings(max_examples=60, deadline=None)
@given(some_attempts(), st.data())
def test_a_file_torn_anywhere_loses_at_most_its_last_line(attempts: Attempts, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, index_path = Path(folder) / "events.jsonl", Path(folder) / "steps.idx"
        events = tell(attempts)
        whole = write(path, events)
        torn = whole[: data.draw(st.integers(0, len(whole)))]
        path.write_bytes(torn)
        kept = torn.count(b"\n")
        assert [record.event for record in read_events(path)] == events[:kept]
        last = last_record(path)
        assert (last.seq if last else -1) == kept - 1
        # The index is written after the events, and may be torn anywhere too.
        repair_index(path, index_path)
        right = index_path.read_bytes() if index_path.exists() else b""
        index_path.write_bytes(right[: data.draw(st.integers(0, len(right)))])
        repair_index(path, index_path)
        assert index_path.read_bytes() == right
        # Or it may be ahead of events that never reached the disk.
        path.write_bytes(torn[: data.draw(st.integers(0, len(torn)))])
        repair_index(path, index_path)
        ahead = index_path.read_bytes()
        index_path.unlink()
        repair_index(path, index_path)
        assert ahead == (index_path.read_bytes() if index_path.exists() else b"")


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "none": lambda right, place: right,
    "cut": lambda right, place: right[:place],
    "a sector of zeros": lambda right, place: (
        right[: place // 512 * 512] + b"\0" * 512 + right[place // 512 * 512 + 512 :]
    ),
    "a sector of noise": lambda right, place: (
        right[: place // 512 * 512] + b"\xa5" * 512 + right[place // 512 * 512 + 512 :]
    ),
    "text": lambda right, place: b"[]",
    "text as long": lambda right, place: (b"not an index" * len(right))[: len(right)],
    "another run's": lambda right, place: b"".join(
        RECORD.pack(seq, seq * 300, 0.0, seq, 300, 1, 1, *[0.5] * 6) for seq in range(1, 40)
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@settings(max_examples=25, deadline=None)
@given(some_attempts(), st.data())
def test_a_damaged_index_costs_neither_a_step_nor_an_attempt(
    damage: str, attempts: Attempts, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder))
        whole = write(run.events, tell(attempts))
        repair_index(run.events, run.steps_idx)
        right = run.steps_idx.read_bytes()
        run.steps_idx.write_bytes(DAMAGES[damage](right, data.draw(st.integers(0, len(right) - 1))))
        index = sound_index(run)
        assert [(entry.step, entry.attempt) for entry in index.steps()] == expected_steps(attempts)
        assert [number for _, number in index.attempts()] == list(range(1, len(attempts) + 1))
        # and while the run goes on
        lines = whole.count(b"\n")
        start, count = attempts[-1]
        with run.events.open("ab") as file:
            file.write(encode_line(lines, 2e9, Step(step=start + count + 1, loss=1.0)))
        assert [entry.step for entry in sound_index(run).steps()][-1] in (start + count, start + count + 1)
        repair_index(run.events, run.steps_idx)  # as the engine's next attempt does
        assert StepsIndex(run.steps_idx).read(0, 99) == sound_index(run).read(0, 99)
        assert run.steps_idx.read_bytes()[: len(right)] == right


@settings(max_examples=60, deadline=None)
@given(some_attempts(), st.binary(max_size=300), st.integers(0, 100))
def test_foreign_bytes_hurt_only_their_own_lines(attempts: Attempts, junk: bytes, where: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        events = tell(attempts)
        lines = write(path, events).splitlines(keepends=True)
        place = where % (len(lines) + 1)
        path.write_bytes(b"".join(lines[:place]) + junk + b"\n" + b"".join(lines[place:]))
        assert [record.event for record in read_events(path)] == events


@settings(max_examples=25, deadline=None)
@given(some_attempts(), st.binary(max_size=80))
def test_a_new_attempt_goes_on_behind_any_torn_end(attempts: Attempts, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, index_path = Path(folder) / "events.jsonl", Path(folder) / "steps.idx"
        events = tell(attempts)
        path.write_bytes(write(path, events) + tail.replace(b"\n", b""))
        sink = EventSink(path, index_path, attempt=len(attempts) + 1)
        more: list[Event] = [RunStart(len(attempts) + 1, 0), Step(step=1), RunEnd("done")]
        for event in more:
            sink.emit(event)
        assert sink.close()
        records = list(read_events(path))
        assert [record.event for record in records] == [*events, *more]
        assert [record.seq for record in records] == list(range(len(records)))
        assert [entry.step for entry in StepsIndex(index_path).steps()] == [1]


def test_offsets_point_at_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    data = write(path, tell([(0, 5)]))
    for record in read_events(path):
        assert data[record.offset : record.offset + record.length] == encode_line(record.seq, record.t, record.event)


def test_a_missing_file_has_no_events(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert list(read_events(path)) == []
    assert last_record(path) is None
    assert Follower(path).poll() == []


def test_following_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = encode_line(0, 1.0, Step(step=1))
    follower = Follower(path)
    with path.open("wb", buffering=0) as file:
        file.write(line[:10])
        assert follower.poll() == []
        file.write(line[10:] + line[:5])
        assert [record.event for record in follower.poll()] == [Step(step=1)]
        file.write(line[5:])
        assert len(follower.poll()) == 1
        assert follower.poll() == []


def test_following_survives_replacement_and_shrinking(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, [Step(step=n) for n in range(5)])
    follower = Follower(path)
    assert len(follower.poll()) == 5
    other = tmp_path / "other"
    write(other, [Warned("new", "file")] * 9)
    os.replace(other, path)
    assert [record.event for record in follower.poll()] == [Warned("new", "file")] * 9
    path.write_bytes(encode_line(0, 1.0, Warned("short", "")))
    assert [record.event for record in follower.poll()] == [Warned("short", "")]


def test_follow_yields_what_is_written_until_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    stop = threading.Event()
    sink = EventSink(path, tmp_path / "steps.idx", attempt=1)
    seen: list[int] = []
    for step in range(3):
        sink.emit(Step(step=step))
    for record in follow(path, stop, poll_seconds=0.01):
        assert isinstance(record.event, Step)
        seen.append(record.event.step)
        if len(seen) == 3:
            sink.emit(Step(step=3))
            sink.close()
            stop.set()
    assert seen == [0, 1, 2, 3]
