"""The pictures of ``make shot``: every mode is there, and a screen is written as SVG and as text."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from musubi_tui.tui.modes import MODES


@pytest.fixture
def shots(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("app_shots", "docs/app_shots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "app_shots", module)
    spec.loader.exec_module(module)
    return module


def test_every_mode_is_shot_full_and_empty(shots: ModuleType) -> None:
    names = [shot.name for shot in shots.SHOTS]
    assert len(names) == len(set(names))
    assert {mode.id for mode in MODES} <= set(names)
    assert {"jobs-empty", "data-empty", "compare-empty", "run-none"} <= set(names)


async def test_a_screen_becomes_a_picture_a_text_and_a_page(shots: ModuleType, tmp_path: Path) -> None:
    (compare,) = [shot for shot in shots.SHOTS if shot.name == "compare"]
    await shots.shoot(compare, "mono", tmp_path)
    assert "network_dim" in (tmp_path / "compare-mono.txt").read_text()
    assert "ink-prodigy" in (tmp_path / "compare-mono.svg").read_text().replace("&#160;", " ")
    shots.write_index(tmp_path)
    assert 'src="compare-mono.svg"' in (tmp_path / "index.html").read_text()
