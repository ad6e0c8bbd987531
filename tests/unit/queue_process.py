"""Supervisors as processes of their own, with engines that train nothing: they count until they are told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from engine.config import Config, write_run_toml
from engine.events import RunDirectory, Status, true_state
from engine.events.status import ALIVE
from musubi_tui.runs.home import find_home
from musubi_tui.runs.queue import Entry, QueueFile
from musubi_tui.runs.queueing import add
from tests.unit.test_job_process import _FRAME, TRAINS

# until a file "finish" stands in the run directory
ENDS = TRAINS.replace(
    "stop = job", "if (job.run.path / 'finish').exists():\n                return\n            stop = job"
)
_PROGRAM = """
import os, subprocess, sys, time
from musubi_tui.runs import slots, supervisor
from engine.events import Status
def launch(run, *, device, secrets, hooks):
    (run.path / "secrets").write_text(repr(sorted(secrets.items())))
    (run.path / "hooks").write_text(hooks.get("MUSUBI_TUI_HOOKS", ""))
    engine = subprocess.Popen([sys.executable, "-c", sys.argv[2], run.path], start_new_session=True, env=os.environ | dict(hooks))
    while engine.poll() is None and (Status.read(run) is None or Status.read(run).state not in ("running", "done")):
        time.sleep(0.02)
    return engine
supervisor.launch = launch
supervisor.POLL_SECONDS = 0.05
supervisor.OTHERS_SECONDS = 0.1
places = sys.argv[3].split(",")
supervisor.machine_slots = lambda: places
sys.exit(supervisor.main([sys.argv[1]]))
"""


def queue() -> QueueFile:
    return QueueFile(find_home().path)


def make_run(name: str, device: str = "auto") -> RunDirectory:
    run = RunDirectory.create(find_home().path, name)
    write_run_toml(Config.of({"family": "wan", "device": device}), run.run_toml, kind="train", stages=["train"])
    Status("queued", name=name, family="wan").write(run)
    return run


def line_up(name: str, **values: object) -> Entry:
    run = make_run(name, str(values.get("device", "auto")))
    return add(queue(), Entry(id=0, host="", run_dir=str(run.path), **values))  # type: ignore[arg-type]


def state_of(entry: Entry) -> str:
    return next((one.state for one in queue().read().entries if one.id == entry.id), "removed")


def lives(entry: Entry) -> bool:
    return true_state(entry.run) in ALIVE


def finish(entry: Entry) -> None:
    (entry.run.path / "finish").touch()


def supervise(places: str = "cpu", stage: str = ENDS) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _PROGRAM, str(find_home().path), _FRAME.format(stage=stage), places]
    return subprocess.Popen(command, start_new_session=True)


def end_all(supervisors: list[subprocess.Popen[bytes]]) -> None:
    """Kill what a test left running."""
    for process in supervisors:
        process.kill()
        process.wait()
    for path in Path(find_home().path, "runs").glob("*"):
        status = Status.read(RunDirectory(path))
        if status and status.process and status.process.runs_here() and status.process.pid != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(status.process.pid, signal.SIGKILL)
