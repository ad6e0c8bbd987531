"""The winner of a comparison: an empty file in ``<home>/runs/.winners`` marks it, and its own notes say over which runs it won.

Like the mark of the archive it lies beside the run directories: it survives a rebuilt index and moves with the home.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from engine.config.language import say
from engine.events.rundir import RunDirectory
from musubi_tui.runs.notes import add_note

_FOLDER = ".winners"
_NAMED = 5  # runs that a note names


def winner_ids(runs: Path) -> frozenset[str]:
    """The ids that are marked in a folder of run directories."""
    try:
        return frozenset(os.listdir(runs / _FOLDER))
    except OSError:  # nothing was ever picked here, or the volume is gone
        return frozenset()


def pick_winner(run: RunDirectory, over: Sequence[RunDirectory], step: int) -> None:
    """Mark ``run`` and take the mark from those it won over. Raises ``UserError`` (no_such_run) and ``OSError``."""
    names = ", ".join(other.id for other in over[:_NAMED]) + (" …" if len(over) > _NAMED else "")
    add_note(run, say(f"winner over {names}", f"{names} より良い") if names else say("winner", "最良の run"), step)
    mark = _mark(run)
    mark.parent.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT, 0o600))
    for other in over:
        if _mark(other).exists():
            add_note(
                other, say(f"not the winner any more: {run.id} is", f"最良の run から外した: {run.id} の方が良い"), step
            )
        forget_winner(other)


def unpick_winner(run: RunDirectory, step: int) -> bool:
    """Take the mark away and note it, since the last note said the opposite; whether there was one. Raises ``OSError``."""
    try:
        _mark(run).unlink()
    except FileNotFoundError:
        return False
    add_note(run, say("not the winner any more", "最良の run から外した"), step)
    return True


def forget_winner(run: RunDirectory) -> None:
    """The run was deleted, or another one won: no mark."""
    with contextlib.suppress(OSError):
        _mark(run).unlink()


def _mark(run: RunDirectory) -> Path:
    return run.path.parent / _FOLDER / run.id
