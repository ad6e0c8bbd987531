"""``musubi-tui doctor`` and ``models list``: what they find on machines other than this one."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from engine.families import family_names, get_family
from engine.planner import host_memory
from musubi_tui.cli.root import run
from musubi_tui.machine import checks, deep
from musubi_tui.machine.gpus import Gpu
from musubi_tui.runs.home import Home

CARD = Gpu(0, "NVIDIA H100", 80 << 30, 79 << 30, "570.00", "12.8")


def findings(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, dict]:  # type: ignore[type-arg]
    assert run(["doctor", "--json", *arguments]) == code
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is (code == 0)
    return {found["code"]: found for found in report["findings"]}


def test_a_machine_without_a_gpu_is_told_so_and_passes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "read_gpus", list)
    found = findings(capsys)
    assert found["gpu"]["verdict"] == "note"
    assert found["torch"]["version"] == metadata.version("torch")
    assert found["packages"]["verdict"] == "ok"
    assert found["memory"]["total"] >= found["memory"]["available"] > 0


def test_a_missing_or_old_package_is_named_with_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "diffusers":
            return "0.30.0"
        if name == "av":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert run(["doctor"]) == 3
    told = capsys.readouterr().out
    assert "diffusers: 0.30.0, " in told
    assert "av: not installed" in told
    assert "-m pip install 'av>=" in told
    assert "2 thing(s) are missing." in told


@pytest.mark.parametrize(("version", "verdict", "code"), [("2.8.0+cpu", "missing", 3), ("2.8.0+cu128", "ok", 0)])
def test_a_cpu_build_beside_a_card_is_a_gap(
    version: str,
    verdict: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version if name == "torch" else real(name))
    monkeypatch.setattr(checks, "read_gpus", lambda: [CARD])
    found = findings(capsys, code=code)
    assert found["torch"]["verdict"] == verdict
    assert found["gpu"]["total"] == CARD.total


def test_a_home_that_cannot_be_used_is_a_gap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(tmp_path / "file" / "home"))
    assert findings(capsys, code=3)["home"]["verdict"] == "missing"
    monkeypatch.delenv("MUSUBI_TUI_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "musubi-tui").mkdir()
    (tmp_path / "musubi-tui" / "config.toml").write_text("home = 3")
    told = findings(capsys, code=3)
    assert "config.toml" in told["home"]["text"]
    assert "cores" in told  # the report goes on


def test_runs_on_a_containers_own_disk_are_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checks, "find_home", lambda: Home(tmp_path, "the usual place", survives=False))
    found = findings(capsys)
    assert found["home"]["verdict"] == "note"
    assert "MUSUBI_TUI_HOME" in found["home"]["fix"]


def test_a_containers_memory_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit, used = tmp_path / "max", tmp_path / "current"
    limit.write_text(f"{1 << 30}\n")
    used.write_text(f"{1 << 29}\n")
    monkeypatch.setattr(host_memory, "_CGROUP_FILES", ((str(limit), str(used)),))
    assert host_memory.memory_bytes() == (1 << 30, 1 << 29, True)
    limit.write_text("max\n")
    assert host_memory.memory_bytes()[2] is False


def test_deep_reports_what_torch_cannot_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep, "_QUESTIONS", "raise ImportError('libcudart.so.12: cannot open shared object file')")
    found = findings(capsys, "--deep", code=3)
    assert "libcudart" in found["torch_import"]["text"]


def test_models_list_names_every_file_of_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == 0
    slots = json.loads(capsys.readouterr().out)
    for name in family_names():
        options = [slot["option"] for slot in slots if slot["family"] == name]
        assert options == [slot.option for slot in get_family(name).slots]
    assert all(slot["repository"] and slot["files"] and slot["size_gb"] > 0 for slot in slots)


def test_an_unknown_family_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--family", "qwen-imag"]) == 2
    assert "Did you mean 'qwen_image'?" in capsys.readouterr().err
