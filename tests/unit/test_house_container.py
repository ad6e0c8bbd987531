"""PID 1 of the container: whatever happens, every run is saved before it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """A PATH on which ``musubi-tui`` only writes down how it was called."""
    command = tmp_path / "musubi-tui"
    command.write_text(f'#!/bin/sh\nsleep 0.1\necho "$*" >> "{tmp_path}/calls"\n', encoding="utf-8")
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def test_a_stopping_pod_saves_its_runs_first(machine: dict[str, str], repository: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [repository / "docker" / "entrypoint", "sh", "-c", f'touch "{tmp_path}/up"; exec sleep 60'],
        env=machine,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert Path(machine["CALLS"]).read_text() == "runs preempt --all --wait\n"


def test_the_commands_own_exit_code_comes_back(machine: dict[str, str], repository: Path) -> None:
    done = subprocess.run([repository / "docker" / "entrypoint", "sh", "-c", "exit 7"], env=machine, timeout=20)
    assert done.returncode == 7
    assert Path(machine["CALLS"]).read_text() == "runs preempt --all --wait\n"
