"""What a stage sees of the world: phases, progress, commands, pauses and stops, inside one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.attempt import Attempt, newest_state_step
from engine.config import Config
from engine.events import RunDirectory, Status, read_events, story, true_state
from engine.events.control import Ack, Command, send, wait_for_ack
from engine.events.types import Control, Event, Host, Phase, Progress, RunEnd, RunStart, Step
from engine.job import Interrupted, Job, StopRequest
from tests.waiting import wait_until

CONFIG = Config.of({"family": "wan", "task": "t2v-1.3B", "device": "cpu", "max_train_steps": 50, "price_per_hour": 2.5})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "job")


@pytest.fixture
def job(run: RunDirectory) -> Iterator[Job]:
    job = Job(Attempt(run), CONFIG)
    yield job
    job.finish("done")


def events(run: RunDirectory) -> list[Event]:
    return [record.event for record in read_events(run.events)]


def answer(run: RunDirectory, command: Command) -> Ack:
    ack = wait_for_ack(run, command, 5.0)
    assert ack is not None
    return ack


def test_a_job_knows_its_family_and_opens_the_log(run: RunDirectory, job: Job) -> None:
    assert (job.spec.name, job.task.name, job.attempt, job.kind) == ("wan", "t2v-1.3B", 1, "train")
    job.events.flush()
    start = events(run)[0]
    assert isinstance(start, RunStart)
    assert (start.attempt, start.from_step, start.price) == (1, 0, 2.5)
    assert start.config["task"] == "t2v-1.3B"
    assert start.config["max_train_steps"] == 50
    assert true_state(run) == "running"


def test_the_end_is_written_once_and_gives_the_lease_back(run: RunDirectory) -> None:
    job = Job(Attempt(run), CONFIG)
    job.set_step(7, 50)
    job.finish("stopped", "enough", 0)
    job.finish("failed", "again", 1)
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.reason, status.exit_code, status.step, status.max_steps) == ("stopped", "enough", 0, 7, 50)  # fmt: skip
    assert status.ended >= status.started != ""
    assert [event for event in events(run) if isinstance(event, RunEnd)] == [RunEnd("stopped", "enough")]
    assert not run.lease.exists()


def test_phases_nest_and_say_how_they_ended(run: RunDirectory, job: Job) -> None:
    def interrupt() -> None:
        with job.phase("train"), job.phase("sample"):
            raise Interrupted(StopRequest("stopped"))

    with job.phase("train"):
        assert job._attempt.status.phase == "train"
        with job.phase("sample"):
            assert job._attempt.status.phase == "sample"
        assert job._attempt.status.phase == "train"
    with pytest.raises(Interrupted):
        interrupt()
    with pytest.raises(ZeroDivisionError), job.phase("load"):
        _ = 1 / 0
    job.events.flush()
    phases = [(event.name, event.state) for event in events(run) if isinstance(event, Phase)]
    assert phases == [
        ("train", "start"), ("sample", "start"), ("sample", "done"), ("train", "done"),
        ("train", "start"), ("sample", "start"), ("sample", "interrupted"), ("train", "interrupted"),
        ("load", "start"), ("load", "failed"),
    ]  # fmt: skip


def test_progress_is_thinned_but_its_end_is_told(run: RunDirectory, job: Job) -> None:
    with job.phase("latents") as progress:
        for done in range(1, 1001):
            progress.update(done, 1000)
    job.events.flush()
    told = [event for event in events(run) if isinstance(event, Progress)]
    assert len(told) < 20
    assert told[-1] == Progress("latents", 1000, 1000)


def test_pausing_and_going_on(run: RunDirectory, job: Job) -> None:
    assert answer(run, send(run, "resume")).result == "refused"
    assert answer(run, send(run, "pause")).result == "accepted"
    assert job.paused
    wait_until(lambda: true_state(run) == "paused")
    assert answer(run, send(run, "pause")).result == "refused"
    assert answer(run, send(run, "resume")).result == "done"
    assert not job.paused
    wait_until(lambda: true_state(run) == "running")


def test_a_stop_ends_a_pause(run: RunDirectory, job: Job) -> None:
    answer(run, send(run, "pause"))
    stop = send(run, "stop", {"when": "epoch"})
    assert answer(run, stop).result == "accepted"
    assert job.stop_requested == StopRequest("stopped", "epoch", stop.id)
    assert not job.paused
    assert answer(run, send(run, "pause")).result == "refused"
    wait_until(lambda: true_state(run) == "stopping")
    status = Status.read(run)
    assert status is not None
    assert status.reason.startswith("The run ")  # words, not the id of a command
    job.request_stop(StopRequest("preempted", "now", "SIGTERM"))
    answer(run, send(run, "stop", {"when": "epoch"}))
    assert job.stop_requested == StopRequest("preempted", "now", "SIGTERM")


def test_commands_are_handed_to_the_stage_and_journalled(run: RunDirectory, job: Job) -> None:
    with job.phase("train"):
        job.commands()
        sent = [send(run, "set", {"key": "learning_rate_factor", "value": 0.5}), send(run, "save")]
        got: list[Command] = []
        wait_until(lambda: got.extend(job.commands()) or len(got) == 2)
        assert [command.command for command in got] == ["set", "save"]
        assert got[0].arguments == {"key": "learning_rate_factor", "value": 0.5}
        job.ack(got[0], "done", "halved")
        job.ack(got[1], "refused", "no")
    assert [answer(run, command).result for command in sent] == ["done", "refused"]
    job.events.flush()
    journal = [event for event in events(run) if isinstance(event, Control)]
    assert [(event.command, event.result, event.message) for event in journal] == [("set", "done", "halved"), ("save", "refused", "no")]  # fmt: skip
    assert journal[0].arguments["value"] == 0.5


def test_what_no_stage_takes_is_refused(run: RunDirectory, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.job.UNHEARD_SECONDS", 0.1)
    with job.phase("latents"):
        ack = answer(run, send(run, "sample"))
        assert ack.result == "refused"
        assert "latents" in ack.message
    with job.phase("train"):
        assert job.commands() == []
        with job.phase("sample"):
            sent = send(run, "save")
            time.sleep(0.5)
        assert wait_for_ack(run, sent, 0) is None  # the loop will come back to it
        (command,) = job.commands()
        job.ack(command, "done")
    assert answer(run, send(run, "save")).result == "refused"
    job.request_stop(StopRequest("stopped", "now"))
    assert answer(run, send(run, "save")).message == "The run is being stopped."  # and no word of a phase that is over


def test_damaged_and_late_commands_are_refused(run: RunDirectory) -> None:
    late = send(run, "stop")
    job = Job(Attempt(run), CONFIG)
    assert answer(run, late).result == "refused"
    (run.control / "bad.json").write_text("{")
    wait_until(lambda: (run.control / "bad.ack.json").exists())
    assert job.stop_requested is None
    job.finish("done")


def test_changes_of_an_attempt_reach_the_stage_as_commands(run: RunDirectory) -> None:
    Job(Attempt(run), CONFIG).finish("stopped")
    job = Job(Attempt(run), CONFIG, changes={2: {"learning_rate_factor": 0.1}})
    (command,) = job.commands()
    assert (command.command, command.arguments) == ("set", {"key": "learning_rate_factor", "value": 0.1})
    job.ack(command, "done")
    job.finish("done")


def test_changes_that_a_state_holds_already_do_not_undo_later_ones(run: RunDirectory) -> None:
    """Attempt 2 began with 100 steps, then someone made them 200 and the state was saved: attempt 3 must not say 100."""
    changes = {2: {"max_train_steps": 100}, 3: {"learning_rate_factor": 0.1}}
    job = Job(Attempt(run), CONFIG, changes=changes)
    job.goes_on_from(2)
    assert [command.id for command in job.commands()] == ["attempt-3-learning_rate_factor"]
    job.finish("done")


def test_changes_of_an_attempt_that_saved_nothing_still_count(run: RunDirectory) -> None:
    job = Job(Attempt(run), CONFIG, changes={2: {"max_train_steps": 100}})
    job.goes_on_from(1)
    assert [command.arguments["value"] for command in job.commands()] == [100]
    job.finish("done")


def test_an_attempt_resumes_where_the_newest_complete_state_is(run: RunDirectory) -> None:
    first = Job(Attempt(run), CONFIG)
    for step in range(1, 31):
        first.events.emit(Step(step=step))
    first.finish("preempted")
    for name, complete in (("00000010-1", True), ("00000020-1", True), ("00000030-1", False), (".building-x", True)):
        (run.state / name).mkdir()
        if complete:
            (run.state / name / "manifest.json").write_text("{}")
    assert newest_state_step(run) == 20
    second = Job(Attempt(run), CONFIG)
    assert second.attempt == 2
    second.resumed_at(20)
    second.events.emit(Step(step=21))
    second.resumed_at(10)  # the state of step 20 turned out to be damaged
    second.events.emit(Step(step=11))
    second.finish("done")
    starts = [event for event in events(run) if isinstance(event, RunStart)]
    assert [(start.attempt, start.from_step) for start in starts] == [(1, 0), (2, 20), (3, 10)]
    steps = [record.event.step for record in story(run.events) if isinstance(record.event, Step)]
    assert steps == [*range(1, 11), 11]


def test_the_machine_is_read(run: RunDirectory, job: Job) -> None:
    wait_until(lambda: any(isinstance(event, Host) for event in events(run)))
    host = next(event for event in events(run) if isinstance(event, Host))
    assert host.ram
    assert host.disk_free
    assert host.ram_total
    assert host.ram_total > host.ram


def test_trouble_beside_the_heartbeat_does_not_end_it(run: RunDirectory, capfd: pytest.CaptureFixture[str]) -> None:
    attempt = Attempt(run)
    ticks: list[int] = []

    def broken() -> None:
        ticks.append(1)
        raise ValueError("a network folder that answers nonsense")

    attempt.on_tick(broken)
    wait_until(lambda: len(ticks) >= 3)
    attempt.update(step=7)
    wait_until(lambda: Status.read(run).step == 7)
    attempt.finish("done", "", 0)
    assert capfd.readouterr().err.count("ValueError: a network folder") == 1


def test_a_signal_that_comes_after_the_end_changes_nothing(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(Attempt(run), CONFIG)
    write = Status.write

    def signalled(status: Status, *where: object, **how: object) -> None:
        if status.state == "done":
            job.request_stop(StopRequest("preempted", "now", "SIGTERM"))
            status = job._attempt.status
        write(status, *where, **how)

    monkeypatch.setattr(Status, "write", signalled)
    job.finish("done")
    assert Status.read(run).state == "done"


def test_the_reason_of_a_failed_run_names_the_file_and_how_many_there_are() -> None:
    from engine.__main__ import _in_short
    from engine.config.problems import Problem

    broken = Problem("unreadable_image", "it is not a picture.", file="/data/cats/broken.png")
    assert _in_short((broken,)) == "broken.png: it is not a picture."
    assert _in_short((broken, broken, broken)) == "broken.png: it is not a picture. (2 more)"
    assert (
        _in_short((Problem("missing_file", "cats.toml is missing.", file="/a/cats.toml"),)) == "cats.toml is missing."
    )
