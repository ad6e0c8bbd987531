"""`runs rm`: what goes, what stays, and what is refused."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from engine.config import Config, write_run_toml
from engine.events import RunDirectory, Status
from engine.events.process import ProcessIdentity
from engine.events.status import Lease
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs.home import find_home
from musubi_tui.runs.registry import Registry


@pytest.fixture
def over(tmp_path: Path) -> RunDirectory:
    """A finished run with a state, a LoRA of its own, and an output_dir elsewhere."""
    run = RunDirectory.create(find_home().path, "over")
    output = tmp_path / "loras"
    output.mkdir()
    (output / "over.safetensors").write_bytes(b"0" * 50)
    config = Config.of({"family": "wan", "task": "t2v-1.3B", "output_dir": str(output)})
    write_run_toml(config, run.run_toml, kind="train", stages=["train"])
    (run.state / "step-10").mkdir()
    (run.state / "step-10" / "optimizer.bin").write_bytes(b"0" * 5_000_000)
    (run.output / "first.safetensors").write_bytes(b"0" * 20_000)
    Status("done", ProcessIdentity.of_this_process(), name="over").write(run)
    os.utime(run.status, (time.time() - 60,) * 2)
    return run


def test_it_says_what_goes_and_keeps_what_lies_outside(
    over: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Registry().runs()
    assert musubi(["runs", "rm", "over"]) == 2  # nobody at the keyboard to say yes
    told = capsys.readouterr().err
    for word in (str(over.path), "5 MB", "output/first.safetensors", "20 kB", f"Kept: {tmp_path / 'loras'}", "--yes"):
        assert word in told
    assert over.exists()
    assert musubi(["runs", "rm", "over", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == [str(tmp_path / "loras")]
    assert list((find_home().path / "runs").iterdir()) == []
    assert (tmp_path / "loras" / "over.safetensors").exists()
    assert Registry().runs() == []


@pytest.mark.parametrize("state", ["running", "paused", "stopping"])
def test_a_living_run_is_refused(over: RunDirectory, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    Status(state, ProcessIdentity.of_this_process(), name="over").write(over)
    assert musubi(["runs", "rm", "over", "--yes"]) == 2
    assert "runs stop" in capsys.readouterr().err
    assert over.exists()


def test_a_run_whose_lease_is_held_is_refused(over: RunDirectory) -> None:
    Lease.acquire(over)
    assert musubi(["runs", "rm", "over", "--yes"]) == 2
    assert over.exists()


def test_only_runs_are_deleted(tmp_path: Path, over: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "run.toml").write_text("mine = true\n")
    assert musubi(["runs", "rm", str(project), "--yes"]) == 2
    link = tmp_path / "link"
    link.symlink_to(over.path)
    assert musubi(["runs", "rm", str(link), "--yes"]) == 2
    assert "not a run" in capsys.readouterr().err
    assert (project / "run.toml").exists()
    assert over.exists()


def test_a_run_that_is_gone_leaves_the_list(over: RunDirectory, tmp_path: Path) -> None:
    Registry().runs()
    over.path.rename(tmp_path / "elsewhere")
    assert [entry.gone for entry in Registry().runs()] == [True]
    assert musubi(["runs", "rm", "over"]) == 0
    assert Registry().runs() == []
    assert (tmp_path / "elsewhere" / "run.toml").exists()
