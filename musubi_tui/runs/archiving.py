"""Archiving: a run leaves the list and nothing else happens to it. The mark is an empty file in ``<home>/runs/.archived``.

It lies beside the run directories, so it survives a rebuilt index and moves with the home; making and removing a file needs no
lock, whoever else does the same.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, true_state
from musubi_tui.runs.state_words import state_word

_FOLDER = ".archived"


def archived_ids(runs: Path) -> frozenset[str]:
    """The ids that are archived in a folder of run directories."""
    try:
        return frozenset(os.listdir(runs / _FOLDER))
    except OSError:  # nothing was ever archived here, or the volume is gone
        return frozenset()


def archive(run: RunDirectory) -> None:
    """Leave the run out of lists. Raises ``UserError`` (run_alive) for one that works now, and ``OSError``."""
    state = true_state(run)
    if run.exists() and state in ALIVE:
        raise UserError.of(
            "run_alive",
            say(f"The run {run.id} is {state_word(state)}: it stays on the list.", f"run {run.id} は {state_word(state)} のため、一覧に残ります。"),
            say(f"Stop it first: `musubi-tui runs stop {run.id}`.", f"先に停止してください: `musubi-tui runs stop {run.id}`。"),
            file=run.path,
        )  # fmt: skip
    mark = _mark(run)
    mark.parent.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT, 0o600))


def unarchive(run: RunDirectory) -> bool:
    """Show the run again; whether it was archived."""
    try:
        _mark(run).unlink()
    except FileNotFoundError:
        return False
    return True


def forget(run: RunDirectory) -> None:
    """The run was deleted: so is its mark."""
    with contextlib.suppress(OSError):
        _mark(run).unlink()


def _mark(run: RunDirectory) -> Path:
    return run.path.parent / _FOLDER / run.id
