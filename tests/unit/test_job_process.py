"""The engine process from outside: how each way to end shows in state, events, exit code and log.

The frame is run with a stage of the test's own in place of the real ones, so that no model is loaded.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.config import Config, write_run_toml
from engine.events import Failed, Lease, RunDirectory, RunEnd, Status, read_events, true_state
from engine.events.control import send, wait_for_ack
from engine.events.reader import story
from tests.waiting import wait_until

_FRAME = """
import sys, time, types
from pathlib import Path
stages = types.ModuleType("engine.stages")
sys.modules["engine.stages"] = stages
from engine.config.problems import MissingRequirement, UserError
from engine.events.types import Checkpoint, Step
from engine.job import Interrupted, Job
{stage}
stages.run_stages = run_stages
from engine.__main__ import main
sys.exit(main(sys.argv[1:]))
"""

TRAINS = """
def run_stages(job, names):
    with job.phase("train"):
        for step in range(1, 100000):
            stop = job.stop_requested
            if stop is not None:
                job.events.emit(Checkpoint(path="x", kind="state", step=step))
                raise Interrupted(stop)
            job.events.emit(Step(step=step, loss=1.0))
            job.set_step(step, 100000)
            time.sleep(0.005)
"""
HANGS = """
def run_stages(job, names):
    time.sleep(60)
"""


def fails(statement: str) -> str:
    return f"def run_stages(job, names):\n    with job.phase('load'):\n        {statement}\n"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path, "process")
    write_run_toml(Config.of({"family": "wan", "device": "cpu"}), run.run_toml, kind="train", stages=["train"])
    return run


def start(run: RunDirectory, stage: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _FRAME.format(stage=stage), run.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def steps(run: RunDirectory) -> int:
    status = Status.read(run)
    return status.step if status else 0


def end(run: RunDirectory) -> Status:
    status = Status.read(run)
    assert status is not None
    return status


def test_done(run: RunDirectory) -> None:
    assert start(run, fails("print('hello from the engine')")).wait(20) == 0
    assert (end(run).state, end(run).exit_code) == ("done", 0)
    assert "hello from the engine" in run.engine_log.read_text()
    assert not run.lease.exists()
    assert [record.event for record in read_events(run.events)][-1] == RunEnd("done", "")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_saves_and_preempts(run: RunDirectory, name: str) -> None:
    process = start(run, TRAINS)
    wait_until(lambda: steps(run) > 3)
    process.send_signal(getattr(signal, name))
    assert process.wait(20) == 75
    assert (end(run).state, end(run).exit_code) == ("preempted", 75)
    assert name in end(run).reason
    assert not run.lease.exists()
    types = [record.event.type for record in read_events(run.events)]
    assert types[-3:] == ["checkpoint", "phase", "run_end"]


def test_signals_of_one_breath_are_one_request(run: RunDirectory) -> None:
    process = start(run, TRAINS)
    wait_until(lambda: steps(run) > 3)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 75


def test_a_second_signal_leaves_at_once(run: RunDirectory) -> None:
    process = start(run, HANGS)
    wait_until(lambda: true_state(run) == "running")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: true_state(run) == "stopping")
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    assert (end(run).state, end(run).exit_code) == ("failed", 130)
    assert "SIGINT" in end(run).reason
    assert not run.lease.exists()


def test_kill_leaves_an_orphan_that_can_be_taken_over(run: RunDirectory) -> None:
    process = start(run, TRAINS)
    wait_until(lambda: steps(run) > 3)
    assert true_state(run) == "running"
    second = start(run, TRAINS)
    assert second.wait(20) == 2  # the lease is alive: refused, and nothing of the run is touched
    assert true_state(run) == "running"
    process.kill()
    process.wait()
    assert true_state(run) == "orphaned"
    lease = Lease.read(run)
    assert lease is not None
    assert not lease.alive(run)
    third = start(run, fails("pass"))
    assert third.wait(20) == 0
    assert (end(run).state, end(run).attempt) == ("done", 2)
    records = list(read_events(run.events))
    assert [record.seq for record in records] == list(range(len(records)))


@pytest.mark.parametrize(
    ("statement", "code", "problem"),
    [
        ("raise UserError.of('missing_file', 'no vae', 'give one', file='a.toml', key='vae')", 2, "missing_file"),
        ("raise MissingRequirement.of('no_gpu', 'no GPU', 'buy one')", 3, "no_gpu"),
        ("raise OSError(28, 'No space left on device')", 3, "disk_full"),
        ("raise MemoryError", 1, "out_of_memory"),
        ("raise RuntimeError('shapes\\\\ndiffer')", 1, "internal_error"),
        ("sys.exit(5)", 1, "internal_error"),
    ],
)
def test_what_goes_wrong_becomes_a_state_and_an_event(
    run: RunDirectory, statement: str, code: int, problem: str
) -> None:
    assert start(run, fails(statement)).wait(20) == code
    assert (end(run).state, end(run).exit_code) == ("failed", code)
    errors = [record.event for record in read_events(run.events) if isinstance(record.event, Failed)]
    assert [error.code for error in errors] == [problem]
    assert "\n" not in errors[0].message
    assert errors[0].fix
    assert ("Traceback" in run.engine_log.read_text()) == (problem not in ("missing_file", "no_gpu"))


def test_a_damaged_run_toml_fails_with_its_place(run: RunDirectory) -> None:
    run.run_toml.write_text("schema_version = [")
    assert start(run, HANGS).wait(20) == 2
    assert end(run).state == "failed"
    (error,) = [record.event for record in read_events(run.events) if isinstance(record.event, Failed)]
    assert "run.toml" in error.message


def test_no_run_directory_is_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "engine", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "run.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_frame_imports_no_torch(run: RunDirectory) -> None:
    stage = "import sys\ndef run_stages(job, names):\n    assert 'torch' not in sys.modules\n    assert 'musubi_tui' not in sys.modules\n"
    assert start(run, stage).wait(20) == 0


def test_a_log_that_cannot_be_opened_frees_the_run(run: RunDirectory) -> None:
    run.events.mkdir()
    assert start(run, TRAINS).wait(20) == 1
    assert "events.jsonl" in run.engine_log.read_text()
    assert not run.lease.exists()


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_an_engine_whose_folder_is_gone_ends_and_says_so_where_it_can(run: RunDirectory, how: str) -> None:
    quick = "import engine.attempt\nengine.attempt.GONE_SECONDS = 0.5\n"
    process = start(run, quick + TRAINS)
    wait_until(lambda: steps(run) > 0)
    elsewhere = run.path.with_name("elsewhere")
    if how == "moved":
        run.path.rename(elsewhere)
    else:
        shutil.rmtree(run.path)
    assert process.wait(20) == 1
    if how == "moved":
        moved = RunDirectory(elsewhere)
        told = [record.event for record in story(moved.events)]
        (failure,) = [event for event in told if isinstance(event, Failed)]
        assert failure.code == "run_folder_gone"
        assert str(run.path) in failure.message
        assert [event.state for event in told if isinstance(event, RunEnd)] == ["failed"]
        assert "deleted or moved" in moved.engine_log.read_text()
        assert "Traceback" not in moved.engine_log.read_text()
    else:
        assert not run.path.exists()


def test_a_folder_that_comes_back_in_time_is_no_reason_to_end(run: RunDirectory) -> None:
    quick = "import engine.attempt\nengine.attempt.GONE_SECONDS = 5.0\n"
    process = start(run, quick + TRAINS)
    wait_until(lambda: steps(run) > 0)
    elsewhere = run.path.with_name("elsewhere")
    run.path.rename(elsewhere)
    time.sleep(0.6)
    elsewhere.rename(run.path)
    before = steps(run)
    wait_until(lambda: steps(run) > before)
    process.terminate()
    assert process.wait(20) == 75


def test_a_raised_budget_holds_in_the_next_attempt(run: RunDirectory) -> None:
    process = start(run, TRAINS)
    wait_until(lambda: steps(run) > 0)
    assert wait_for_ack(run, send(run, "set", {"key": "max_hours", "value": 1e-4})).result == "done"  # type: ignore[union-attr]
    assert process.wait(20) == 0
    assert end(run).state == "stopped"
    again = start(run, TRAINS)
    assert again.wait(20) == 0  # spent at once: the limit is known without being given again
    assert (end(run).state, end(run).attempt) == ("stopped", 2)
    assert "max_hours" in end(run).reason
