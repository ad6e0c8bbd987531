"""The list of runs: quick because of its index, true without it, and never at the mercy of SQLite."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events import RunDirectory, Status
from engine.events.process import ProcessIdentity
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs import registry, registry_index
from musubi_tui.runs.finding import find_run
from musubi_tui.runs.home import Home, find_home, remember
from musubi_tui.runs.registry import Registry

LONG_AGO = time.time() - 3600


def make_run(name: str, state: str = "done", home: Path | None = None, **values: object) -> RunDirectory:
    run = RunDirectory.create(home or find_home().path, name)
    run.run_toml.write_text("schema_version = 1\n")
    Status(state, ProcessIdentity.of_this_process(), name=name, family="wan", **values).write(run)  # type: ignore[arg-type]
    os.utime(run.status, (LONG_AGO, LONG_AGO))
    return run


def index_path() -> Path:
    return find_home().path / "index.sqlite"


def states() -> dict[str, str]:
    return {entry.summary.name: "gone" if entry.gone else entry.summary.state for entry in Registry().runs()}


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of runs whose files are read although the index knows them."""
    read: list[str] = []
    brief = registry.brief
    monkeypatch.setattr(registry, "brief", lambda run: read.append(run.id) or brief(run))
    return read


def test_runs_that_are_over_are_not_read_again(no_reading: list[str]) -> None:
    for number in range(5):
        make_run(f"r{number}", step=number)
    first = Registry().runs()
    assert len(no_reading) == 5
    assert Registry().runs() == first
    assert len(no_reading) == 5
    assert index_path().stat().st_mode & 0o777 == 0o600


def test_a_living_run_is_always_looked_at() -> None:
    run = make_run("alive", "running", step=1)
    assert Registry().runs()[0].summary.step == 1
    Status("running", ProcessIdentity.of_this_process(), name="alive", step=7).write(run)
    assert Registry().runs()[0].summary.step == 7
    Status("running", ProcessIdentity("", "", 1, ""), name="alive", step=7).write(run)
    assert states() == {"alive": "orphaned"}
    Status("done", ProcessIdentity.of_this_process(), name="alive", step=9).write(run)
    assert Registry().runs()[0].summary.step == 9


def test_a_run_that_is_resumed_after_it_was_indexed_is_seen_to_live() -> None:
    run = make_run("again", "preempted")
    assert states() == {"again": "preempted"}
    Status("running", ProcessIdentity.of_this_process(), name="again").write(run)
    assert states() == {"again": "running"}


def test_a_status_of_this_moment_is_not_trusted_yet(no_reading: list[str]) -> None:
    run = make_run("fresh")
    os.utime(run.status)
    Registry().runs()
    Registry().runs()
    assert len(no_reading) == 2


def _text(path: Path) -> None:
    path.write_text("this is not a database, " * 400)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _torn_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200:] = os.urandom(len(data) - 200)
    path.write_bytes(bytes(data))


def _another_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE runs")
        connection.execute("CREATE TABLE runs (nonsense INTEGER)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _no_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE runs")
    connection.close()


@pytest.mark.parametrize("harm", [Path.unlink, _text, _half, _torn_pages, _another_version, _no_table])
def test_a_missing_old_or_damaged_index_is_made_again(harm: Callable[[Path], None], no_reading: list[str]) -> None:
    for name in ("a", "b", "c"):
        make_run(name)
    before = Registry().runs()
    for suffix in ("-wal", "-shm"):
        Path(f"{index_path()}{suffix}").unlink(missing_ok=True)
    harm(index_path())
    assert Registry().runs() == before
    Registry().runs()
    no_reading.clear()
    assert Registry().runs() == before
    assert no_reading == []


def test_a_locked_index_only_costs_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(registry_index, "BUSY_SECONDS", 0.05)
    make_run("a")
    Registry().runs()
    with sqlite3.connect(index_path(), isolation_level=None) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        make_run("b")
        assert states() == {"a": "done", "b": "done"}
        assert musubi(["runs", "list"]) == 0
        assert capsys.readouterr().err == ""
        holder.execute("COMMIT")
    holder.close()


def test_a_home_that_cannot_be_written_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("a")

    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(registry_index.sqlite3, "connect", refuse)
    assert states() == {"a": "done"}


@pytest.mark.parametrize(
    ("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete"), ("fuse.mfs", "delete"), ("", "delete")]
)
def test_a_network_volume_gets_no_write_ahead_log(kind: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_index, "file_system", lambda _: kind)
    make_run("a")
    Registry().runs()
    connection = sqlite3.connect(index_path())
    assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
    connection.close()


def test_directories_moved_or_deleted_by_hand_are_shown_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deleted, moved, kept = make_run("deleted"), make_run("moved"), make_run("kept")
    Registry().runs()
    shutil.rmtree(deleted.path)
    other = Home(tmp_path / "other", "", True)
    (other.path / "runs").mkdir(parents=True)
    moved.path.rename(other.path / "runs" / moved.id)
    assert states() == {"deleted": "gone", "moved": "gone", "kept": "done"}
    remember(other)  # a home that is known: there it is
    assert states() == {"deleted": "gone", "moved": "done", "kept": "done"}
    assert {entry.path.parent.parent for entry in Registry().runs() if entry.summary.name == "moved"} == {other.path}
    assert musubi(["runs", "list", "--state", "gone", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(entry["id"], entry["gone"]) for entry in listed] == [(deleted.id, True)]
    assert musubi(["runs", "show", "deleted"]) == 2
    assert "moved or deleted" in capsys.readouterr().err
    assert musubi(["runs", "show", kept.id]) == 0
    Registry().forget(deleted.path)
    assert states() == {"moved": "done", "kept": "done"}


def test_a_renamed_directory_is_one_run() -> None:
    run = make_run("a")
    Registry().runs()
    run.path.rename(run.path.with_name("my-best"))
    assert [(entry.path.name, entry.gone) for entry in Registry().runs()] == [("my-best", False)]
    assert find_run("my-best").path == run.path.with_name("my-best")


def test_a_volume_that_went_away_says_nothing_of_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("a")
    Registry().runs()
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if str(path).endswith("runs"):
            raise OSError(5, "Input/output error")
        return listdir(path)

    monkeypatch.setattr(registry.os, "listdir", refuse)
    assert Registry().runs() == []


def test_filters_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    for name, state in (("one", "done"), ("two", "failed"), ("two", "stopped"), ("three", "done")):
        make_run(name, state)

    def ids(*arguments: str) -> list[str]:
        assert musubi(["runs", "list", "--json", *arguments]) == 0
        return [entry["name"] for entry in json.loads(capsys.readouterr().out)]

    assert sorted(ids("--state", "done")) == ["one", "three"]
    assert len(ids("--limit", "3")) == 3
    assert ids("--family", "qwen_image") == []
    assert musubi(["runs", "list", "--state", "nonsense"]) == 2
    assert musubi(["runs", "show", "two", "--json"]) == 0


_READER = """
import sys
from musubi_tui.runs.registry import Registry
for _ in range(15):
    entries = Registry().runs()
    assert len({entry.path for entry in entries if not entry.gone}) >= int(sys.argv[1]), entries
"""


def test_many_processes_while_the_index_is_damaged_again_and_again() -> None:
    for number in range(20):
        make_run(f"r{number}")
    readers = [
        subprocess.Popen([sys.executable, "-c", _READER, "20"], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    while any(reader.poll() is None for reader in readers):
        make_run("more")
        if index_path().exists():
            _text(index_path())
        time.sleep(0.03)
    for reader in readers:
        assert reader.returncode == 0, reader.stderr.read() if reader.stderr else ""
    assert set(states().values()) == {"done"}


def test_nobody_waits_for_a_repair_that_hangs() -> None:
    make_run("a")
    Registry().runs()
    _text(index_path())
    with index_path().with_suffix(".repair").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert states() == {"a": "done"}
