"""Whether a run lives: processes that died, pids that were given away, machines that restarted, hosts far away."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.config.problems import UserError
from engine.events import alive
from engine.events.alive import STALE_SECONDS, Pulses, is_alive
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity, process_start
from engine.events.rundir import RunDirectory, safe_name
from engine.events.status import ALIVE, STATES, Lease, Status, true_state
from tests.unit.another_machine import another_machine

ME = ProcessIdentity.of_this_process()


def ago(seconds: float) -> str:
    return iso_time(time.time() - seconds)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "a run")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Our own clock, and nothing seen yet."""
    now = [0.0]
    monkeypatch.setattr(alive, "_PULSES", Pulses(lambda: now[0]))
    return now


def identity(process: subprocess.Popen[bytes]) -> ProcessIdentity:
    return replace(ME, pid=process.pid, started=process_start(process.pid) or "")


def test_a_run_directory_is_private(run: RunDirectory) -> None:
    folders = [run.path, run.attempts, run.source, run.control, run.state, run.output]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    Status("queued").write(run)
    assert stat.S_IMODE(run.status.stat().st_mode) == 0o600


def test_runs_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    ids = [RunDirectory.create(tmp_path, "same").id for _ in range(4)]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a/b", "a-b"), ("../../etc", "etc"), ("", "run"), (".hidden", "hidden"), ("水墨 風", "水墨-風"), ("a\x1b[31m\n", "a-31m"), ("-rf", "rf")],
)  # fmt: skip
def test_names_become_folders_safely(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert len(safe_name(name * 200).encode()) <= 60


def test_a_status_survives_writing(run: RunDirectory) -> None:
    status = Status("running", ME, ago(0), "train", 2, 7, 100, None, "why", ago(9), "", "n", "wan", "train")
    status.write(run)
    assert Status.read(run) == status


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "dancing"}', '{"state": "done", "step": "x"}', "\xff"])
def test_a_damaged_status_is_none(run: RunDirectory, text: str) -> None:
    run.status.write_text(text, encoding="latin-1")
    assert Status.read(run) is None
    assert true_state(run) == "failed"


@pytest.mark.parametrize("state", STATES)
def test_a_state_needs_its_process(run: RunDirectory, state: str) -> None:
    Status(state, ME, ago(3600)).write(run)
    assert true_state(run) == state
    gone = replace(ME, pid=2**22 + 1)
    Status(state, gone, ago(0)).write(run)
    assert true_state(run) == ("orphaned" if state in ALIVE else state)


def test_a_killed_process_leaves_an_orphan(run: RunDirectory, sleeper: subprocess.Popen[bytes]) -> None:
    Status("running", identity(sleeper), ago(0)).write(run)
    assert true_state(run) == "running"
    sleeper.kill()
    sleeper.poll()
    deadline = time.monotonic() + 5
    while true_state(run) == "running" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true_state(run) == "orphaned"  # also while it is a zombie that nobody waited for


def test_a_stopped_process_still_lives(run: RunDirectory, sleeper: subprocess.Popen[bytes]) -> None:
    Status("running", identity(sleeper), ago(900)).write(run)
    sleeper.send_signal(signal.SIGSTOP)
    assert true_state(run) == "running"


def test_a_reused_pid_is_not_mistaken(run: RunDirectory, sleeper: subprocess.Popen[bytes]) -> None:
    Status("running", replace(identity(sleeper), started="12345"), ago(0)).write(run)
    assert true_state(run) == "orphaned"


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="there is no ps here")
def test_without_proc_a_process_is_known_by_what_ps_says(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    started = process_start(sleeper.pid)
    assert re.fullmatch(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", started or "")
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(sleeper.pid) is None  # a zombie
    sleeper.wait()
    assert process_start(sleeper.pid) is None


def test_a_restarted_machine_has_no_old_processes(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last word is from before the restart: one look is enough, minutes before the heartbeat is stale."""
    monkeypatch.setattr(alive, "uptime_seconds", lambda: 20.0)
    Status("running", replace(ME, boot_id="an earlier boot"), ago(25)).write(run)
    assert true_state(run) == "orphaned"


def test_a_heartbeat_of_another_boot_that_is_younger_than_ours_is_of_a_machine_of_the_same_name(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "uptime_seconds", lambda: 20.0)
    Status("running", replace(ME, boot_id="of a clone"), ago(3)).write(run)
    assert true_state(run) == "running"


@pytest.mark.parametrize(("age", "state"), [(1, "running"), (STALE_SECONDS - 5, "running"), (STALE_SECONDS + 5, "orphaned"), (-30, "running")])  # fmt: skip
def test_another_host_is_judged_by_its_heartbeat(run: RunDirectory, age: float, state: str) -> None:
    other = replace(ME, host="pod-7", boot_id="of pod 7")
    Status("running", other, ago(age)).write(run)
    assert true_state(run) == state
    Status("running", replace(other, pid=1), "").write(run)
    assert true_state(run) == "orphaned"


@pytest.mark.parametrize("behind", [3600.0, -3600.0])
def test_a_clock_that_is_an_hour_off_is_seen_through_by_watching(
    run: RunDirectory, clock: list[float], behind: float
) -> None:
    other = Status("running", replace(ME, host="pod-7", boot_id="of pod 7"))
    for beat in range(40):
        replace(other, heartbeat=ago(behind - 5 * beat)).write(run)
        state = true_state(run)
        clock[0] += 5
        assert beat == 0 or state == "running"
    states = []
    for _ in range(20):  # it died, and its clock would have us wait for an hour
        states.append(true_state(run))
        clock[0] += 5
    assert states == ["running"] * 11 + ["orphaned"] * 9


def test_a_heartbeat_from_the_future_that_never_moves_ends_with_our_minute(
    run: RunDirectory, clock: list[float]
) -> None:
    Status("running", replace(ME, host="pod-7", boot_id="of pod 7"), ago(-3600)).write(run)
    assert true_state(run) == "running"  # perhaps
    clock[0] += STALE_SECONDS
    assert true_state(run) == "orphaned"


def test_another_container_of_this_machine_is_judged_by_its_heartbeat(run: RunDirectory) -> None:
    other = replace(ME, namespace="pid:[1]")
    assert is_alive(other, ago(1), run.status)
    assert not is_alive(other, ago(STALE_SECONDS + 1), run.lease)


def test_a_lease_keeps_others_out(run: RunDirectory) -> None:
    lease = Lease.acquire(run)
    assert stat.S_IMODE(run.lease.stat().st_mode) == 0o600
    with pytest.raises(UserError) as caught:
        Lease.acquire(run)
    problem = caught.value.problems[0]
    assert problem.code == "lease_alive"
    assert str(os.getpid()) in problem.message
    lease.release(run)
    assert not run.lease.exists()
    Lease.acquire(run)


def test_a_dead_holder_of_this_host_is_replaced_at_once(
    run: RunDirectory, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Lease(identity(sleeper), ago(0))
    theirs._create(run)
    with pytest.raises(UserError):
        Lease.acquire(run)
    sleeper.kill()
    sleeper.wait()
    lease = Lease.acquire(run, sleep=lambda seconds: pytest.fail("waited for a process of this host"))
    assert Lease.read(run) == lease
    assert lease.process.pid == os.getpid()
    assert sorted(path.name for path in run.path.iterdir() if "lease" in path.name) == ["lease.json"]


def test_a_lease_of_another_host_is_watched_before_it_is_taken(run: RunDirectory) -> None:
    far = Lease(replace(ME, host="pod-7", boot_id="x"), ago(10))
    far._create(run)
    with pytest.raises(UserError):
        Lease.acquire(run, sleep=lambda _: None)
    run.lease.unlink()
    Lease(replace(far.process, pid=1), ago(3600))._create(run)
    watched: list[float] = []
    told: list[str] = []
    assert Lease.acquire(run, tell=told.append, sleep=watched.append).process.pid == os.getpid()
    assert 10 < sum(watched) < 20
    assert len(told) == 1
    assert "pod-7" in told[0]
    assert "13 s" in told[0] or "12 s" in told[0]


@pytest.mark.parametrize("links", [True, False])
def test_a_holder_that_beats_at_the_last_moment_keeps_its_lease(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    before = Lease(replace(ME, host="pod-7", boot_id="x"), ago(3600))
    beats = replace(before, heartbeat=ago(3595))
    before._create(run)
    rename = os.rename

    def late(*names: Any) -> None:  # watched for long enough, and about to be moved out of the way
        monkeypatch.setattr(os, "rename", rename)
        run.lease.unlink()
        beats._create(run)
        rename(*names)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(UserError, match="pod-7"):
        Lease.acquire(run, sleep=lambda _: None)
    assert Lease.read(run) == beats
    assert [path.name for path in run.path.iterdir() if "lease" in path.name] == ["lease.json"]


def test_a_lease_that_is_given_back_while_it_is_watched_is_free(run: RunDirectory) -> None:
    Lease(replace(ME, host="pod-7", boot_id="x"), ago(3600))._create(run)
    lease = Lease.acquire(run, sleep=lambda _: run.lease.unlink())
    assert Lease.read(run) == lease


WORKS = """
from engine.events import Lease, RunDirectory, Status
run = RunDirectory(Path(sys.argv[4]))
lease = Lease.acquire(run)
while True:
    lease = lease.renew(run)
    Status("running", lease.process, lease.heartbeat).write(run, durable=False)
    print("works", flush=True)
    time.sleep(0.01)
"""


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine of our name: compose files, stateful sets and clones make such. Only the boots differ."""
    monkeypatch.setattr("engine.events.process.host_name", lambda: "localhost")
    monkeypatch.setattr("engine.events.process.boot_id", lambda: "ours")
    return {"host": "localhost", "boot": "theirs"}


@pytest.mark.parametrize("ahead", [0.0, -30.0, -3600.0, 3600.0])
def test_a_machine_of_our_name_keeps_its_run_whatever_its_clock_says(
    run: RunDirectory, twin: dict[str, str], clock: list[float], ahead: float
) -> None:
    with another_machine(WORKS, run.path, ahead=ahead, **twin) as theirs:
        true_state(run)
        with pytest.raises(UserError, match=str(theirs.pid)):
            Lease.acquire(run, sleep=lambda seconds: time.sleep(0.1))
        assert true_state(run) == "running"
        held = Lease.read(run)
        assert held is not None
        assert held.process.pid == theirs.pid


@pytest.mark.parametrize(("ahead", "seconds"), [(-3600.0, 12.5), (3600.0, STALE_SECONDS)])
def test_the_run_of_a_dead_machine_of_our_name_is_taken_after_a_wait_that_is_said(
    run: RunDirectory, twin: dict[str, str], clock: list[float], ahead: float, seconds: float
) -> None:
    with another_machine(WORKS, run.path, ahead=ahead, **twin):
        pass
    told: list[str] = []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    assert Lease.acquire(run, tell=told.append, sleep=sleep).process.pid == os.getpid()
    assert clock[0] == seconds
    assert len(told) == 1
    assert "localhost" in told[0]
    assert true_state(run) == "orphaned"  # its status.json was watched as well


def test_a_lease_that_was_taken_away_is_noticed(run: RunDirectory) -> None:
    lease = Lease.acquire(run)
    time.sleep(0.002)
    fresh = lease.renew(run)
    assert fresh.heartbeat > lease.heartbeat
    run.lease.unlink()
    Lease(replace(ME, host="pod-7"), ago(0))._create(run)
    with pytest.raises(UserError):
        fresh.renew(run)
    fresh.release(run)
    assert run.lease.exists()


@pytest.mark.parametrize("text", ["", "{", '{"pid": "x"}'])
def test_a_damaged_lease_holds_nobody_out(run: RunDirectory, text: str) -> None:
    run.lease.write_text(text)
    Lease.acquire(run)


def test_only_one_of_many_gets_the_lease(run: RunDirectory) -> None:
    run.lease.write_text("{}")  # a dead one that all of them must move aside first
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom engine.config.problems import UserError\n"
        "from engine.events import Lease, RunDirectory\nrun = RunDirectory(Path(sys.argv[1]))\n"
        "try:\n    Lease.acquire(run)\n    print('mine', flush=True)\n    sys.stdin.read()\n"
        "except UserError as error:\n    print(error.problems[0].code, flush=True)\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", script, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    answers = sorted(racer.stdout.readline().decode().strip() for racer in racers if racer.stdout)
    for racer in racers:
        racer.communicate()
    assert answers == ["lease_alive"] * 3 + ["mine"]


@pytest.mark.parametrize("state", ["done", "stopped"])
def test_a_damaged_status_loses_nothing_that_the_events_say(run: RunDirectory, state: str) -> None:
    start = '{"v":1,"seq":0,"t":"2026-01-01T00:00:00.000Z","type":"run_start","config":{"kind":"train","family":"wan","output_name":"ink"}}'
    end = f'{{"v":1,"seq":9,"t":"2026-01-01T01:00:00.000Z","type":"run_end","state":"{state}","reason":"as asked"}}'
    run.events.write_text("\n".join([start, *['{"type":"progress"}'] * 20_000, end]) + "\n")
    run.status.write_text("{garbage")
    status = Status.read(run)
    assert status is not None
    assert true_state(run) == state
    assert (status.family, status.name, status.reason) == ("wan", "ink", "as asked")


def test_a_damaged_status_of_a_run_without_an_end_is_orphaned(run: RunDirectory) -> None:
    end = '{"type":"run_end","state":"stopped"}'
    run.events.write_text("\n".join(['{"type":"run_start"}', end, '{"type":"run_start"}', '{"type":"step"', ""]))
    run.status.write_text("{garbage")
    assert true_state(run) == "orphaned"
    run.events.write_bytes(b"")
    assert true_state(run) == "failed"
