"""The queue for real: two trainings of five steps; the first cannot load its model, so the second is held until it is released."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events import RunDirectory, true_state
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs.home import find_home
from musubi_tui.runs.queue import QueueFile
from musubi_tui.runs.supervisor import supervisor_of

QUICK = (
    "--set",
    "max_train_steps=5",
    "--set",
    "validation_items=0",
    "--set",
    "sample_at_first=false",
    "--set",
    "sample_prompts=",
)


def wait_until(true: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert true(), QueueFile(find_home().path).log.read_text()


def add(preset: Path, *changes: str) -> RunDirectory:
    """As a person does: in a process that ends, like a terminal that is closed."""
    command = [sys.executable, "-m", "musubi_tui", "queue", "add", str(preset), *QUICK, *changes, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return RunDirectory(Path(json.loads(done.stdout)["run_dir"]))


@pytest.mark.slow
def test_two_trainings_of_which_the_first_fails(tiny: Callable[[str], Path]) -> None:
    folder = tiny("wan")
    (folder / "broken.safetensors").write_bytes(os.urandom(1000))
    file = QueueFile(find_home().path)
    bad = add(folder / "preset.toml", "--set", f"dit={folder / 'broken.safetensors'}")
    good = add(folder / "preset.toml")
    wait_until(lambda: file.read().held and supervisor_of(file) is None, 60)
    assert true_state(bad) == "failed"
    assert true_state(good) == "queued"
    assert musubi(["queue", "run"]) == 0
    wait_until(lambda: true_state(good) == "done" and supervisor_of(file) is None, 90)
    assert [entry.state for entry in file.read().entries] == ["failed", "done"]
    assert list(good.output.glob("*.safetensors"))
