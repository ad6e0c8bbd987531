"""Which commands of a preset a person allowed for a run that starts later, from the queue.

Noted among the user's own files, never in the run or the queue: those may lie on a volume that others write to, and a file of
theirs can bring no command along. What was allowed is known by its fingerprint: other commands are other ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.atomic import write_text_atomically
from engine.events.rundir import RunDirectory
from musubi_tui.runs.home import usual_home
from musubi_tui.runs.hooking import hooks_of_run


def allow(run: RunDirectory, hooks: Mapping[str, list[str]]) -> None:
    """Note that the commands of the run's preset may run: ``hooks``, as a person saw them.

    Raises ``UserError`` when the run has others, or one holds a secret, which was not kept with the run; ``OSError`` where
    nothing can be noted.
    """
    kept = hooks_of_run(run, allowed=True)
    if kept != {name: list(words) for name, words in hooks.items()}:
        raise UserError.of(
            "hooks_changed",
            say("The preset's commands changed meanwhile.", "プリセットのコマンドがその間に変更されました。"),
            say("Look at them again.", "もう一度確認してください。"),
            file=run.run_toml,
        )
    note = _note(run)
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_text_atomically(note, _fingerprint(kept) + "\n")


def allowed(run: RunDirectory) -> dict[str, list[str]]:
    """The commands of the run's preset, if these were allowed; else none."""
    try:
        noted = _note(run).read_text("ascii").strip()
    except (OSError, ValueError):
        return {}
    hooks = hooks_of_run(run, allowed=False)
    return hooks if noted == _fingerprint(hooks) else {}


def forget(run: RunDirectory) -> None:
    """The run is gone for good, and the permission with it."""
    _note(run).unlink(missing_ok=True)


def _note(run: RunDirectory) -> Path:
    return usual_home() / "allowed-hooks" / hashlib.sha256(str(run.path).encode("utf-8", "surrogateescape")).hexdigest()


def _fingerprint(hooks: Mapping[str, list[str]]) -> str:
    return hashlib.sha256(json.dumps(hooks, sort_keys=True).encode()).hexdigest()
