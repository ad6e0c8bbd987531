"""The demo's summary and its bar, on runs that are made up; the real run is in tests/e2e/test_house_demo.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from musubi_tui.cli import demo as demo_module
from musubi_tui.cli.demo import Verdict
from musubi_tui.cli.root import run
from musubi_tui.runs.snapshot import Snapshot


def snapshot_of(
    state: str = "done", step: int = 200, losses: tuple[float, ...] = (2.4, 1.2), **changes: Any
) -> Snapshot:
    fields: dict[str, Any] = {
        "id": "tiny-1", "name": "tiny", "family": "wan", "kind": "train", "state": state, "phase": "", "attempt": 1,
        "step": step, "max_steps": step, "epoch": 1, "loss": 1.2, "lr": 3e-3, "step_seconds": 0.05, "eta_seconds": None,
        "run_dir": "/runs/tiny-1", "started": None, "ended": None, "reason": "", "exit_code": 0, "host": "", "pid": None,
        "heartbeat": None,
        "outputs": ({"kind": "lora", "path": "/runs/tiny-1/a.safetensors", "step": step},
                    {"kind": "sample", "path": "/runs/tiny-1/a.png", "step": 0}),
        "validation": tuple({"step": n, "loss": loss, "base": 2.0} for n, loss in enumerate(losses)),
    }  # fmt: skip
    return Snapshot(**(fields | changes))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """The demo with a training that has ended as the test says: (snapshot, exit code, arguments) -> exit code."""

    def demo(now: Snapshot, code: int, *arguments: str) -> int:
        monkeypatch.setattr("musubi_tui.cli.models.write_tiny", lambda spec, out: out / "preset.toml")
        monkeypatch.setattr(demo_module, "_train", lambda preset, steps: (None, code))
        monkeypatch.setattr("musubi_tui.runs.snapshot.snapshot", lambda run: now)
        return run(["demo", "--dir", str(tmp_path), *arguments])

    return demo


def test_a_run_below_the_bar_passes_and_names_everything(ended, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert ended(snapshot_of(), 0) == 0
    told = capsys.readouterr().out
    for words in ("2.400", "1.200", "0.60 of it", "a.safetensors", "a.png", "runs show last", "preset.toml"):
        assert words in told


def test_a_run_above_the_bar_fails_and_says_why(ended, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert ended(snapshot_of(losses=(2.4, 1.5)), 0) == 1
    assert "0.75 of predicting zero, above the bar of 0.7" in capsys.readouterr().err


def test_a_short_run_is_not_judged(ended, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert ended(snapshot_of(step=10, losses=(2.4, 2.3)), 0) == 0
    assert "too few to judge" in capsys.readouterr().out


def test_json(ended, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert ended(snapshot_of(), 0, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is True
    assert report["ratio"] == 0.6
    assert report["validation"] == {"before": 2.4, "after": 1.2, "predicting_zero": 2.0}


def test_an_interrupted_demo_says_how_to_go_on(ended, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert ended(snapshot_of(state="preempted"), 75) == 75
    assert "train --resume tiny-1" in capsys.readouterr().err


def test_exactly_the_bar_is_enough() -> None:
    assert Verdict("", 200, 2.0, 1.4, 2.0, (), ()).passed is True
    assert Verdict("", 199, 2.0, 1.9, 2.0, (), ()).passed is None


def test_a_folder_of_another_family_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "preset.toml").write_text(
        'family = "wan"\ndit = "a"\nvae = "b"\nt5 = "c"\n[[datasets]]\nimage_directory = "d"\n', encoding="utf-8"
    )
    before = (tmp_path / "preset.toml").read_bytes()
    assert run(["models", "tiny", "--family", "qwen_image", "--out", str(tmp_path)]) == 2
    assert "holds a model of wan" in capsys.readouterr().err
    assert run(["models", "tiny", "--family", "wan", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "preset.toml")
    assert (tmp_path / "preset.toml").read_bytes() == before
