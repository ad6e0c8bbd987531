"""``musubi-tui demo`` as a person runs it: real processes, real photographs, a few steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.families import family_names


def demo(folder: Path, family: str, repository: Path) -> tuple[dict, str]:  # type: ignore[type-arg]
    done = subprocess.run(
        [sys.executable, "-m", "musubi_tui", "demo", "--family", family, "--dir", folder, "--steps", "3", "--json"],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("family", family_names())
def test_from_nothing_to_lora_and_samples(family: str, tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "demo folder"
    report, told = demo(folder, family, repository)
    assert report["steps"] == 3
    assert report["passed"] is None
    assert report["validation"]["after"] < report["validation"]["before"]
    assert all(Path(path).stat().st_size > 0 for path in report["lora"])
    assert {sample["step"] for sample in report["samples"]} == {0, 3}
    assert all(Path(sample["path"]).stat().st_size > 0 for sample in report["samples"])
    assert "train" in told
    assert not list((Path(os.environ["MUSUBI_TUI_HOME"]) / "tmp" / "runs").iterdir()), "short jobs vanish on success"

    if family == family_names()[0]:  # a second time nothing is encoded again
        caches = {path: path.stat().st_mtime_ns for path in folder.rglob("cache/**/*.safetensors")}
        _, told = demo(folder, family, repository)
        assert caches
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("cache/**/*.safetensors")} == caches
        assert "has a tiny model already" in told
        assert "up to date" in told
