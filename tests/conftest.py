"""What every test may rely on: English messages, one torch thread, no network, and a home of its own for runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Before anything imports torch or asks for the language: both are read once per process.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MUSUBI_TUI_LANG"] = "en"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Each of the many processes that tests start would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, indexes and settings of a test never meet those of the person who runs it, nor those of another test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(home / "musubi-tui"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return Path(__file__).resolve().parent.parent
