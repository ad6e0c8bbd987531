"""A container that is stopped: TERM reaches PID 1 only, and ten seconds later everything is killed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.attempt import newest_state_step
from engine.events import RunDirectory, Status, Step, read_events

_ENTRYPOINT = Path(__file__).parents[2] / "docker" / "entrypoint"
_CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def can_unshare() -> bool:
    try:
        return subprocess.run([*_CONTAINER, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_unshare(), reason="a process namespace of one's own needs Linux and root")
def test_a_stopped_container_leaves_a_complete_state(tiny, tmp_path: Path) -> None:
    preset = tiny("wan") / "preset.toml"
    program = tmp_path / "bin" / "musubi-tui"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m musubi_tui "$@"\n')
    program.chmod(0o755)
    home = tmp_path / "volume"
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(_ENTRYPOINT.parents[1]),
        "MUSUBI_TUI_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }
    training = f"musubi-tui train {shlex.quote(str(preset))} --set max_train_steps=100000 --set sample_prompts= --set validation_items=0"
    container = subprocess.Popen(
        [*_CONTAINER, "bash", str(_ENTRYPOINT), "sh", "-c", f"{training} --detach; exec sleep 600"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        run = wait_for_steps(home, 5)
        first = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()[0]
        os.kill(int(first), signal.SIGTERM)
        assert container.wait(10) == 0  # before the runtime would kill
    finally:
        container.kill()
        container.wait()
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.exit_code) == ("preempted", 75)
    told = max(record.event.step for record in read_events(run.events) if isinstance(record.event, Step))
    assert newest_state_step(run) == told
    assert not list(run.state.glob("*tmp*"))


def wait_for_steps(home: Path, count: int, seconds: float = 90.0) -> RunDirectory:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for path in (home / "runs").glob("*/events.jsonl"):
            if sum(isinstance(record.event, Step) for record in read_events(path)) >= count:
                return RunDirectory(path.parent)
        time.sleep(0.1)
    raise TimeoutError([path.read_text() for path in home.glob("runs/*/engine.log")])
