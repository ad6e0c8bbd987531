"""Claims on cache files: exclusive, kept alive by a pulse, taken over from the dead, and nothing of them left behind."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from engine.data import claims as module
from engine.data.claims import Claims, lock_name
from engine.events.process import ProcessIdentity
from tests.unit.another_machine import another_machine


def dead_process(folder: Path, name: str) -> str:
    """Claim a name, and begin to write a file, in a process that is then killed; its token."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        claims = Claims()
        claims.take(folder, name)
        claims.temporary(folder).write_bytes(b"half")
        os.write(writing, claims.token.encode())
        os._exit(0)
    token = os.read(reading, 16).decode()
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    return token


def elsewhere(folder: Path, name: str, **changes: str) -> Path:
    """A claim of a process on another machine."""
    values = {"token": "f" * 16, "host": "other", "boot_id": "b", "pid": 7, "started": "1", "namespace": "n", **changes}
    path = folder / lock_name(name)
    path.write_text(json.dumps(values))
    return path


def remains(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".mtui-*"))


def test_only_one_has_it_and_says_who(tmp_path: Path) -> None:
    with Claims() as first, Claims() as second:
        assert first.take(tmp_path, "a") is None
        holder = second.take(tmp_path, "a")
        assert holder is not None
        assert str(os.getpid()) in str(holder)
        assert second.take(tmp_path, "b") is None
        first.give_back(tmp_path, "a")
        assert second.take(tmp_path, "a") is None
        first.give_back(tmp_path, "a")  # not ours any more
        assert first.take(tmp_path, "a") is not None
    assert remains(tmp_path) == []


def test_of_many_at_once_exactly_one_gets_it(tmp_path: Path) -> None:
    names = [str(number) for number in range(40)]
    taken: list[str] = []
    with Claims() as a, Claims() as b, Claims() as c:
        threads = [
            threading.Thread(target=lambda one=one: taken.extend(n for n in names if one.take(tmp_path, n) is None))  # type: ignore[misc]
            for one in (a, b, c)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(taken) == sorted(names)


def test_a_killed_process_is_taken_over_at_once_and_swept(tmp_path: Path) -> None:
    token = dead_process(tmp_path, "a")
    assert len(remains(tmp_path)) == 3
    with Claims() as claims:
        assert claims.take(tmp_path, "a") is None
        claims.sweep([tmp_path])
        assert not [name for name in remains(tmp_path) if token in name]
    assert remains(tmp_path) == []


def test_sweeping_leaves_the_living_and_what_is_not_ours(tmp_path: Path) -> None:
    for name in ("cat_wan.safetensors", ".mtui-notes.txt", ".hidden", ".mtui-zz.tmp", "x.tmp"):
        (tmp_path / name).write_text("kept")
    before = sorted(path.name for path in tmp_path.iterdir())
    with Claims() as living, Claims() as sweeper:
        living.take(tmp_path, "a")
        half = living.temporary(tmp_path)
        half.write_bytes(b"being written")
        held = elsewhere(tmp_path, "b")
        sweeper.sweep([tmp_path, tmp_path / "not there"])
        assert half.exists()
        assert held.exists()
        assert sweeper.take(tmp_path, "a") is not None
        half.unlink()
    held.unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_another_machine_is_judged_by_its_pulse_and_our_clock(tmp_path: Path) -> None:
    now = [0.0]
    path = elsewhere(tmp_path, "a")
    os.utime(path, (1e9, 1e9))  # its clock may say anything
    with Claims(silent_seconds=60, clock=lambda: now[0]) as claims:
        assert claims.take(tmp_path, "a") is not None
        now[0] = 59
        os.utime(path, (1e9 + 5, 1e9 + 5))  # a pulse
        assert claims.take(tmp_path, "a") is not None
        now[0] = 118
        assert claims.take(tmp_path, "a") is not None
        now[0] = 120
        assert claims.take(tmp_path, "a") is None


def test_a_machine_that_was_restarted_is_waited_for_like_any_other(tmp_path: Path) -> None:
    """Its host name proves nothing: another machine may bear it, and be at work."""
    now = [0.0]
    me = ProcessIdentity.of_this_process()
    elsewhere(tmp_path, "a", host=me.host, boot_id="before", namespace=me.namespace)
    with Claims(silent_seconds=60, clock=lambda: now[0]) as claims:
        assert claims.take(tmp_path, "a") is not None
        now[0] = 60
        assert claims.take(tmp_path, "a") is None


WORKS = """
from engine.data import claims as module
module.PULSE_SECONDS = 0.02
claims = module.Claims()
folder = Path(sys.argv[4])
claims.take(folder, "a")
half = claims.temporary(folder)
half.write_bytes(b"half")
print("works", flush=True)
while not (folder / "finish").exists():
    time.sleep(0.01)
half.rename(folder / "a")
claims.give_back(folder, "a")
print("done", flush=True)
"""


@pytest.mark.parametrize("touched", [0.0, -3600.0])
def test_a_machine_of_our_name_keeps_its_claims_and_its_half_written_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, touched: float
) -> None:
    """Two machines of one host name fill one folder; what the clock of the second says of the first's files is no matter."""
    monkeypatch.setattr("engine.events.process.host_name", lambda: "localhost")
    monkeypatch.setattr("engine.events.process.boot_id", lambda: "ours")
    real = time.time
    monkeypatch.setattr(module.time, "time", lambda: real() - touched)
    with another_machine(WORKS, tmp_path, host="localhost", boot="theirs") as theirs:
        with Claims(silent_seconds=0.5) as claims:
            claims.sweep([tmp_path])
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                holder = claims.take(tmp_path, "a")
                assert holder is not None
                assert f"pid {theirs.pid} on localhost" in str(holder)
                claims.sweep([tmp_path])
                time.sleep(0.05)
        (tmp_path / "finish").touch()
        assert theirs.stdout is not None
        assert theirs.stdout.readline() == "done\n"
        assert (tmp_path / "a").read_bytes() == b"half"


def test_what_a_dead_machine_left_is_swept_at_the_end_once_it_was_watched(tmp_path: Path) -> None:
    with another_machine(WORKS, tmp_path, host="pod-7", boot="theirs"):
        pass
    left = remains(tmp_path)
    assert len(left) == 3
    now = [0.0]
    with Claims(silent_seconds=60, clock=lambda: now[0]) as claims:
        claims.sweep([tmp_path])
        now[0] = 59
    assert remains(tmp_path) == left
    with Claims(silent_seconds=60, clock=lambda: now[0]) as claims:
        claims.sweep([tmp_path])
        now[0] += 60
    assert remains(tmp_path) == []


def test_a_holder_says_how_long_ago_it_was_heard_of(tmp_path: Path) -> None:
    path = elsewhere(tmp_path, "a")
    os.utime(path, (time.time() - 42,) * 2)
    with Claims() as claims:
        assert str(claims.take(tmp_path, "a")) in ("pid 7 on other (last sign of life 42 s ago)", "pid 7 on other (last sign of life 43 s ago)")  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"token": 1}'])
def test_a_torn_claim_is_waited_for_and_then_taken(tmp_path: Path, content: bytes) -> None:
    now = [0.0]
    (tmp_path / lock_name("a")).write_bytes(content)
    with Claims(silent_seconds=60, clock=lambda: now[0]) as claims:
        assert claims.take(tmp_path, "a") is not None
        now[0] = 61
        assert claims.take(tmp_path, "a") is None


def test_where_links_are_impossible_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    with Claims() as first, Claims() as second:
        assert first.take(tmp_path, "a") is None
        holder = second.take(tmp_path, "a")
        assert holder is not None
        assert holder.process == ProcessIdentity.of_this_process()
    assert remains(tmp_path) == []


def test_the_pulse_keeps_claims_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PULSE_SECONDS", 0.02)
    with Claims() as claims:
        claims.take(tmp_path, "a")
        path = tmp_path / lock_name("a")
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 1e9 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1e9


def test_a_claim_made_while_a_dead_one_was_judged_survives(tmp_path: Path) -> None:
    with Claims() as living, Claims() as late:
        dead = module.Holder("e" * 16, None, 0)
        assert living.take(tmp_path, "a") is None
        late._clear(tmp_path / lock_name("a"), dead)  # it was judged dead before the living one came
        assert late.take(tmp_path, "a") is not None


def test_a_torn_owner_is_swept_once_it_was_watched(tmp_path: Path) -> None:
    torn = tmp_path / ".mtui-0123456789abcdef.owner"
    torn.touch()
    os.utime(torn, (1e9, 1e9))  # its clock may say anything
    now = [0.0]
    with Claims(silent_seconds=60, clock=lambda: now[0]) as claims:
        claims.sweep([tmp_path])
        assert torn.exists()  # perhaps just being made
        now[0] = 60
        claims.sweep([tmp_path])
        assert not torn.exists()


def test_an_owner_that_never_became_one_goes_at_once(tmp_path: Path) -> None:
    (tmp_path / ".mtui-0123456789abcdef.new").touch()  # killed between making a file and filling it
    with Claims() as claims:
        claims.sweep([tmp_path])
    assert remains(tmp_path) == []


def test_an_owner_swept_while_it_is_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, made = module._create, list[Path]()

    def swept_once(path: Path, data: bytes) -> None:
        create(path, data)
        made.append(path)
        if len(made) == 1:
            with Claims() as other:
                other.sweep([tmp_path])

    monkeypatch.setattr(module, "_create", swept_once)
    with Claims() as claims, Claims() as second:
        assert claims.take(tmp_path, "a") is None
        holder = second.take(tmp_path, "a")
        assert holder is not None
        assert holder.process == ProcessIdentity.of_this_process()
    assert remains(tmp_path) == []


def test_a_full_disk_leaves_no_empty_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with Claims() as claims:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdopen", Full)
            with pytest.raises(OSError, match="No space"):
                claims.take(tmp_path, "a")
        assert remains(tmp_path) == []
        assert claims.take(tmp_path, "a") is None


def test_whenever_processes_are_killed_the_next_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        while True:
            with Claims() as claims:
                claims.sweep([tmp_path])
                for name in "abc":
                    if claims.take(tmp_path, name) is None:
                        temporary = claims.temporary(tmp_path)
                        temporary.write_bytes(b"whole")
                        temporary.rename(tmp_path / name)
                        claims.give_back(tmp_path, name)

    dice = random.Random(0)
    for _ in range(20):
        children = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                try:
                    work()
                finally:
                    os._exit(1)
            children.append(pid)
        time.sleep(dice.uniform(0.001, 0.03))
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
    with Claims() as claims:
        claims.sweep([tmp_path])
        assert remains(tmp_path) == []


def test_a_claim_that_was_being_cleared_by_a_killed_process_is_swept(tmp_path: Path) -> None:
    dead_process(tmp_path, "a")
    (tmp_path / lock_name("a")).rename(tmp_path / ".mtui-0123456789abcdef-7.dead")
    with Claims() as claims:
        claims.sweep([tmp_path])
    assert remains(tmp_path) == []


def test_a_person_may_tidy_up(tmp_path: Path) -> None:
    with Claims() as claims:
        assert claims.take(tmp_path, "a") is None
        for path in tmp_path.glob(".mtui-*"):
            path.unlink()
        assert claims.take(tmp_path, "b") is None
        claims.give_back(tmp_path, "a")


def test_names_may_be_anything(tmp_path: Path) -> None:
    with Claims() as claims:
        for name in ("x" * 250, "-rf", "two\nlines", os.fsdecode(b"caf\xe9"), "../up"):
            assert claims.take(tmp_path, name) is None
        assert all(path.parent == tmp_path for path in tmp_path.rglob(".mtui-*"))
