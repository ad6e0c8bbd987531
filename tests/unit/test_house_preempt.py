"""``runs preempt``: every run of this machine is asked once, and waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.events.process import ProcessIdentity, boot_id, host_name, pid_namespace, process_start
from engine.events.rundir import RunDirectory
from engine.events.status import Status
from musubi_tui.cli.root import run
from musubi_tui.runs.home import find_home
from musubi_tui.runs.queue import QueueFile

# An engine that takes half a second to save and writes down each TERM it got.
_ENGINE = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
(folder / "up").touch()
while not asked:
    time.sleep(0.02)
time.sleep(0.5)
(folder / "terms").write_text(str(len(asked)))
status = (folder / "status.json").read_text()
(folder / "status.json").write_text(status.replace('"running"', '"preempted"').replace('"stopping"', '"preempted"'))
"""


def start(name: str, state: str = "running") -> tuple[RunDirectory, subprocess.Popen[bytes]]:
    folder = RunDirectory.create(Path(os.environ["MUSUBI_TUI_HOME"]), name)
    process = subprocess.Popen([sys.executable, "-c", _ENGINE, folder.path])
    identity = ProcessIdentity(host_name(), boot_id(), process.pid, process_start(process.pid) or "", pid_namespace())
    Status(state=state, process=identity, heartbeat="", name=name).write(folder)
    deadline = time.monotonic() + 20
    while not (folder.path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return folder, process


def test_all_runs_save_before_it_returns(capsys: pytest.CaptureFixture[str]) -> None:
    started = [start("one"), start("two")]
    assert run(["runs", "preempt", "--all", "--wait", "--json"]) == 0
    report = {entry["id"]: entry for entry in json.loads(capsys.readouterr().out)}
    for folder, process in started:
        assert report[folder.id] == {"id": folder.id, "state": "preempted", "saved": True}
        assert (folder.path / "terms").read_text() == "1"
        process.wait(timeout=10)


def test_a_run_that_is_stopping_is_not_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    folder, process = start("stopping", state="stopping")
    assert run(["runs", "preempt", folder.id, "--wait", "--timeout", "0.3"]) == 1
    assert "still saving" in capsys.readouterr().err
    process.terminate()
    process.wait(timeout=10)
    assert (folder.path / "terms").read_text() == "1"


def test_without_active_runs_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "preempt", "--all", "--wait"]) == 0
    assert "No run is active" in capsys.readouterr().err


def test_the_queue_starts_nothing_on_a_machine_that_is_about_to_stop() -> None:
    file = QueueFile(find_home().path)
    assert run(["runs", "preempt", "--all"]) == 0
    assert not file.path.exists()  # where nothing ever waited, nothing is made
    file.edit(lambda queue: replace(queue, held="for now"))
    assert run(["runs", "preempt", "--all"]) == 0
    assert file.read().quiet_until > time.time() + 60
    file.path.write_text("damaged")
    assert run(["runs", "preempt", "--all"]) == 0  # what runs is saved all the same


def test_a_run_or_all() -> None:
    assert run(["runs", "preempt"]) == 2
    assert run(["runs", "preempt", "last", "--all"]) == 2
