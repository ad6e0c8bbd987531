"""Caching with two processes: under torchrun, and with a helper that the engine starts. One speaks, both encode, nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.events.rundir import RunDirectory
from engine.events.status import Status
from engine.events.types import Phase, Progress
from engine.ranks import ALONE, Share, share_of_environment
from engine.testing import make_tiny
from tests.e2e import engine_child

TIMEOUT = 290
# A sitecustomize that notes which rank puts which cache file in place. The first rank waits with its files until the second
# has one: both take part, however slow the machine is.
SPY = """
import os, time
replace, log = os.replace, os.environ["SPY_LOG"]
def spied(source, target, **how):
    if str(target).endswith(".safetensors"):
        rank, end = os.environ.get("RANK", "0"), time.time() + 200
        while rank == "0" and time.time() < end and not (os.path.exists(log) and any(line.startswith("1 ") for line in open(log))):
            time.sleep(0.2)
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{rank} {os.path.basename(target)}\\n".encode())
        os.close(handle)
    replace(source, target, **how)
os.replace = spied
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(tmp_path / "home"))
    tiny = make_tiny("wan", tmp_path / "tiny")
    for picture in sorted((tiny.data / "pictures").glob("*.png"))[8:]:
        picture.unlink()
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    return engine_child.new_run(tiny.preset, {"device": "cpu", "cache_processes": 2}, kind="cache")


def environment(folder: Path) -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {
        **os.environ, "PYTHONPATH": f"{folder / 'spy'}{os.pathsep}{root}", "SPY_LOG": str(folder / "log"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def written(folder: Path) -> list[tuple[str, str]]:
    return [tuple(line.split(" ", 1)) for line in (folder / "log").read_text().splitlines()]  # type: ignore[misc]


def check(run: RunDirectory, folder: Path) -> None:
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.exit_code) == ("done", 0)
    caches = sorted((folder / "tiny").rglob("*.safetensors"))
    caches = [path for path in caches if "models" not in path.parts]
    names = [name for _, name in written(folder)]
    assert sorted(names) == sorted(path.name for path in caches)  # each once
    for path in caches:
        load_file(path)
    assert {rank for rank, _ in written(folder)} == {"0", "1"}
    last = {event.phase: event for event in engine_child.of_type(run, Progress)}
    assert all(last[phase].done == last[phase].total > 0 for phase in ("latents", "text"))
    assert [event.name for event in engine_child.of_type(run, Phase) if event.state == "start"] == [
        "scan",
        "latents",
        "text",
    ]
    sequence = [json.loads(line)["seq"] for line in run.events.read_text().splitlines()]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))  # one writer
    assert not list((folder / "tiny").rglob(".mtui-*"))


@pytest.mark.slow
def test_torchrun_shares_the_files_between_two_ranks(run: RunDirectory, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "engine",
        str(run.path),
    ]
    done = subprocess.run(
        command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:] + run.engine_log.read_text()[-2000:]
    check(run, tmp_path)


@pytest.mark.slow
def test_cache_processes_starts_a_helper(run: RunDirectory, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "engine", str(run.path)]
    done = subprocess.run(
        command, env=environment(tmp_path), cwd=run.path, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, run.engine_log.read_text()[-2000:]
    check(run, tmp_path)


@pytest.mark.parametrize(
    ("variables", "share"),
    [
        ({}, ALONE),
        ({"RANK": "1", "WORLD_SIZE": "4"}, Share(1, 4)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, ALONE),
        ({"RANK": "x", "WORLD_SIZE": "2"}, ALONE),
        ({"RANK": "5", "WORLD_SIZE": "2"}, ALONE),
    ],
)
def test_the_rank_is_torchruns(variables: dict[str, str], share: Share) -> None:
    assert share_of_environment(variables) == share
