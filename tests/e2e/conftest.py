"""Tiny model sets, written and cached once for all end-to-end tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.preloaded import Preloaded


@pytest.fixture(scope="session")
def tiny_masters(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny set with its caches, made when first asked for. Never train in it: copy it."""
    made: dict[str, Path] = {}

    def master(family: str) -> Path:
        if family not in made:
            from engine.testing import make_tiny
            from tests.e2e.engine_child import train

            folder = tmp_path_factory.mktemp("tiny") / family
            make_tiny(family, folder)
            run, code = train(folder / "preset.toml", kind="cache")
            assert code == 0, run.engine_log.read_text()
            made[family] = folder
        return made[family]

    return master


@pytest.fixture(autouse=True)
def _no_engine_left_behind() -> Iterator[None]:
    yield
    from tests.e2e.engine_child import end_children

    end_children()


@pytest.fixture
def tiny(tiny_masters: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a family's tiny set, caches included (their sources keep size and time, so they stay current)."""

    def copy(family: str) -> Path:
        target = tmp_path / "set"
        shutil.copytree(tiny_masters(family), target)
        return target

    return copy


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    """``musubi-tui`` on the PATH of scripts, warm."""
    warm = Preloaded(tmp_path_factory.mktemp("bin"))
    yield warm
    warm.end()
