"""The supervisor as a process: order, places, preemption, failures, and what happens when it is killed or doubled."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from engine.config import Config, write_run_toml
from engine.events import Lease, Status, true_state
from engine.events.lines import iso_time
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs.allowing import allow
from musubi_tui.runs.home import find_home
from musubi_tui.runs.queueing import move, release, remove
from musubi_tui.runs.supervisor import supervisor_of
from tests.unit.queue_process import (
    ENDS,
    end_all,
    finish,
    line_up,
    lives,
    make_run,
    queue,
    state_of,
    supervise,
)
from tests.unit.test_job_process import fails
from tests.waiting import wait_until


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **words: str) -> subprocess.Popen[bytes]:
        started.append(supervise(*arguments, **words))
        return started[-1]

    yield begin
    end_all(started)


Start = Callable[..., "subprocess.Popen[bytes]"]


def test_one_after_the_other_and_then_it_leaves(start: Start) -> None:
    first, second = line_up("first"), line_up("second")
    supervisor = start()
    wait_until(lambda: lives(first))
    assert state_of(second) == "waiting"
    third = line_up("third")  # edited while it runs
    move(queue(), str(third.id), 0)
    remove(queue(), str(second.id))
    assert not second.run.exists()
    finish(first)
    wait_until(lambda: lives(third))
    assert state_of(first) == "done"
    finish(third)
    assert supervisor.wait(20) == 0
    assert [(entry.id, entry.state) for entry in queue().read().entries] == [(first.id, "done"), (third.id, "done")]
    assert supervisor_of(queue()) is None


def test_one_run_for_each_gpu_and_the_chosen_ones(start: Start) -> None:
    entries = [line_up("a"), line_up("b", gpus=("0",)), line_up("c", gpus=("1",)), line_up("d"), line_up("e", device="cpu")]  # fmt: skip
    start("0,1")
    wait_until(lambda: lives(entries[0]) and lives(entries[2]) and lives(entries[4]))
    assert [entry.slot for entry in queue().read().entries] == ["0", "", "1", "", "cpu"]
    assert "('CUDA_VISIBLE_DEVICES', '1')" in (entries[2].run.path / "secrets").read_text()
    assert "PCI_BUS_ID" in (entries[2].run.path / "secrets").read_text()
    finish(entries[2])
    wait_until(lambda: lives(entries[3]))
    assert state_of(entries[1]) == "waiting"
    finish(entries[0])
    wait_until(lambda: lives(entries[1]))


def test_a_preempted_run_goes_on_and_not_for_ever(start: Start) -> None:
    entry, other = line_up("a", retries=1, retry_after=0.3), line_up("b")
    supervisor = start()
    for attempt in (1, 2):
        wait_until(lambda: lives(entry) and (Status.read(entry.run) or Status("queued")).attempt == attempt)  # noqa: B023
        assert not lives(other)
        status = Status.read(entry.run)
        assert status
        assert status.process
        wait_until(lambda: (Status.read(entry.run) or Status("queued")).step > 3)
        os.kill(status.process.pid, signal.SIGTERM)
        wait_until(lambda: true_state(entry.run) == "preempted" or lives(entry))
    assert supervisor.wait(20) == 0  # held: nothing to do
    assert state_of(entry) == "failed"
    assert "2 times" in queue().read().held
    assert state_of(other) == "waiting"


def test_a_failure_holds_the_others_until_they_are_released(start: Start) -> None:
    bad, next_one = line_up("bad"), line_up("next")
    assert start("cpu", stage=fails("raise RuntimeError('boom')")).wait(20) == 0
    assert (state_of(bad), state_of(next_one)) == ("failed", "waiting")
    assert "boom" in queue().read().held
    release(queue(), [bad.run.id])  # try it again first
    assert [entry.id for entry in queue().read().waiting()] == [bad.id, next_one.id]
    start()
    wait_until(lambda: lives(bad))
    finish(bad)
    finish(next_one)
    wait_until(lambda: state_of(next_one) == "done")
    assert queue().read().held == ""


def test_a_run_whose_budget_is_spent_is_not_loaded_again_and_holds_nobody(start: Start) -> None:
    spent, next_one = line_up("spent"), line_up("next")
    write_run_toml(Config.of({"family": "wan", "max_hours": 2.0}), spent.run.run_toml, kind="train", stages=["train"])
    Status("preempted", name="spent", seconds=7200.0).write(spent.run)
    start()
    wait_until(lambda: lives(next_one))
    assert state_of(spent) == "stopped"
    assert queue().read().held == ""
    finish(next_one)


def test_a_failure_that_does_not_matter_and_one_of_a_folder_that_is_gone(start: Start) -> None:
    bad, gone, last = line_up("bad", keep_going=True), line_up("gone"), line_up("last")
    shutil.rmtree(gone.run.path)
    assert start("cpu", stage=fails("raise RuntimeError('boom')")).wait(20) == 0
    assert [state_of(entry) for entry in (bad, gone, last)] == ["failed", "failed", "waiting"]
    assert "run.toml" in queue().read().held


def test_killed_its_runs_live_and_its_successor_goes_on(start: Start) -> None:
    first, second = line_up("first"), line_up("second")
    killed = start()
    wait_until(lambda: lives(first))
    killed.kill()
    killed.wait()
    assert lives(first)
    assert supervisor_of(queue()) is None
    start()
    wait_until(lambda: supervisor_of(queue()))
    assert (state_of(first), state_of(second)) == ("running", "waiting")
    finish(first)
    wait_until(lambda: lives(second))
    assert state_of(first) == "done"


@pytest.mark.parametrize("state", ["queued", "starting"])
def test_killed_while_it_started_a_run(start: Start, state: str) -> None:
    entry = line_up("a")
    dead = subprocess.Popen(["sleep", "60"])
    from engine.events.process import ProcessIdentity, boot_id, host_name, pid_namespace, process_start

    identity = ProcessIdentity(host_name(), boot_id(), dead.pid, process_start(dead.pid) or "", pid_namespace())
    dead.kill()
    dead.wait()
    Status(state, identity, name="a").write(entry.run)
    starter = f"{identity.pid}:{identity.started}"
    queue().edit(lambda now: now.with_entry(replace(entry, state="running", slot="cpu", starter=starter)))
    start()
    wait_until(lambda: lives(entry))


def test_an_engine_that_is_killed_is_a_failure(start: Start) -> None:
    entry = line_up("a")
    supervisor = start()
    wait_until(lambda: (Status.read(entry.run) or Status("queued")).step > 1)
    status = Status.read(entry.run)
    assert status
    assert status.process
    os.kill(status.process.pid, signal.SIGKILL)
    assert supervisor.wait(20) == 0
    assert "vanished" in queue().read().held


def test_the_hook_of_an_engine_that_is_killed_runs_before_the_queue_goes_on(start: Start) -> None:
    entry, second = line_up("a", keep_going=True), line_up("b")
    hook = [sys.executable, "-c", "import time; time.sleep(3); open('hooked', 'w')"]
    config = Config.of({"family": "wan", "on_error": hook, "hook_grace_seconds": 0.0})
    write_run_toml(config, entry.run.run_toml, kind="train", stages=["train"])
    allow(entry.run, {"on_error": hook})
    start()
    wait_until(lambda: (Status.read(entry.run) or Status("queued")).step > 1)
    status = Status.read(entry.run)
    assert status
    assert status.process
    os.kill(status.process.pid, signal.SIGKILL)
    wait_until(lambda: lives(second))
    assert (entry.run.path / "hooked").exists()
    assert state_of(entry) == "failed"
    assert true_state(entry.run) == "failed"


def test_engines_get_the_hooks_that_were_allowed(start: Start) -> None:
    told, silent = line_up("told", gpus=("0",)), line_up("silent", gpus=("1",))
    for entry in (told, silent):
        config = Config.of({"family": "wan", "on_finish": ["stop-pod"]})
        write_run_toml(config, entry.run.run_toml, kind="train", stages=["train"])
    allow(told.run, {"on_finish": ["stop-pod"]})
    start("0,1")
    wait_until(lambda: lives(told) and lives(silent))
    assert "stop-pod" in (told.run.path / "hooks").read_text()
    assert "stop-pod" not in (silent.run.path / "hooks").read_text()


def test_two_at_once_are_one(start: Start) -> None:
    entries = [line_up(f"r{number}") for number in range(3)]
    supervisors = [start() for _ in range(4)]
    wait_until(lambda: sum(process.poll() == 0 for process in supervisors) == 3)
    assert sum(lives(entry) for entry in entries) <= 1
    for entry in entries:
        finish(entry)
    wait_until(lambda: all(process.poll() == 0 for process in supervisors))
    assert [state_of(entry) for entry in entries] == ["done"] * 3
    starts = [(Status.read(entry.run) or Status("queued")).attempt for entry in entries]
    assert starts == [1, 1, 1]


def test_it_dies_with_its_lock_and_on_term(start: Start) -> None:
    entry = line_up("a")
    supervisor = start()
    wait_until(lambda: lives(entry))
    queue().lock.unlink()
    assert supervisor.wait(20) == 0
    assert lives(entry)
    supervisor = start()
    wait_until(lambda: supervisor_of(queue()))
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert lives(entry)
    assert state_of(entry) == "running"


def test_it_waits_for_a_run_that_was_started_by_hand(start: Start) -> None:
    other = make_run("by-hand")
    from engine.events.process import ProcessIdentity

    Status("running", ProcessIdentity.of_this_process(), name="by-hand").write(other)
    entry = line_up("a")
    start()
    wait_until(lambda: supervisor_of(queue()))
    with pytest.raises(AssertionError):
        wait_until(lambda: lives(entry), 1.0)
    Lease.acquire(other)
    Status("done", name="by-hand", ended=iso_time(time.time())).write(other)
    with pytest.raises(AssertionError):  # its process still holds the GPU, for a hook perhaps
        wait_until(lambda: lives(entry), 0.7)
    other.lease.unlink()
    wait_until(lambda: lives(entry))


def test_the_next_waits_until_the_process_is_gone(start: Start) -> None:
    lingers = ENDS.replace("return", "job.finish('done'); time.sleep(1.5); return")
    first, second = line_up("first"), line_up("second")
    start("cpu", stage=lingers)
    wait_until(lambda: lives(first))
    finish(first)
    finish(second)
    wait_until(lambda: true_state(first.run) == "done")
    time.sleep(0.5)
    assert (state_of(first), state_of(second)) == ("running", "waiting")
    wait_until(lambda: state_of(second) == "done")


def test_a_run_in_the_queue_is_not_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    entry = line_up("a")
    assert musubi(["runs", "rm", entry.run.id, "--yes"]) == 2
    assert "queue rm" in capsys.readouterr().err
    assert entry.run.exists()
    assert find_home().path in entry.run.path.parents


_AT_A_TERMINAL = """
import sys, time
from pathlib import Path
from musubi_tui.runs.queue import QueueFile
from musubi_tui.runs.supervisor import ensure_supervisor
print("pid", ensure_supervisor(QueueFile(Path(sys.argv[1]))).pid, flush=True)
time.sleep(60)
"""


def test_it_survives_the_terminal() -> None:
    line_up("a")
    queue().edit(lambda now: replace(now, quiet_until=time.time() + 60))  # something to wait for, nothing to start
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", _AT_A_TERMINAL, str(find_home().path)])
    told = b""
    while b"\n" not in told:
        told += os.read(terminal, 1024)
    os.close(terminal)  # the kernel sends HUP to everything that belongs to it
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGHUP
    living = supervisor_of(queue())
    assert living
    assert living.pid == int(told.split()[1])
    os.kill(living.pid, signal.SIGHUP)
    time.sleep(0.3)
    assert living.runs_here()
    os.kill(living.pid, signal.SIGTERM)
    wait_until(lambda: not living.runs_here())
    assert "ends" in queue().log.read_text()
