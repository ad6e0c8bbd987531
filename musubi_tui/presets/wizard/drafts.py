"""Walks through the wizard that were not finished: one file each under the XDG state home, written after every answer.

So neither a crash, nor a lost connection, nor ``q`` loses an answer. The next walk offers them; a finished one is forgotten.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.events.atomic import write_text_atomically
from engine.events.process import ProcessIdentity
from musubi_tui.runs.home import usual_home

_MOST = 8  # older ones are removed


@dataclass(frozen=True)
class WizardDraft:
    """One unfinished walk. ``cwd`` is where it began: relative words of the person meant that folder."""

    name: str
    seconds: float  # when it was kept, since the epoch
    cwd: Path
    answers: Mapping[str, Any]
    typed: tuple[str, ...]
    folders: tuple[Path, ...]  # named by the person to look for model files in


def new_draft(cwd: Path) -> WizardDraft:
    """An empty one, with a name of its own."""
    return WizardDraft(f"{time.time_ns()}-{os.getpid()}", time.time(), cwd, {}, (), ())


def keep(draft: WizardDraft) -> WizardDraft:
    """Write it down. Raises ``OSError`` where the state home cannot be written."""
    draft = replace(draft, seconds=time.time())
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {**asdict(draft), "process": asdict(ProcessIdentity.of_this_process())}
    write_text_atomically(folder / f"{draft.name}.json", json.dumps(record, default=str), durable=False)
    return draft


def kept() -> list[WizardDraft]:
    """The unfinished walks that nobody is in just now, newest first."""
    try:
        files = sorted(_folder().glob("*.json"))
    except OSError:
        return []
    found = sorted(filter(None, map(_read, files)), key=lambda one: -one.seconds)
    for old in found[_MOST:]:
        forget(old.name)
    return found[:_MOST]


def forget(name: str) -> None:
    """The walk is finished, or given up."""
    with contextlib.suppress(OSError):
        (_folder() / f"{name}.json").unlink()


def _read(file: Path) -> WizardDraft | None:
    try:
        record = json.loads(file.read_text("utf-8"))
        process = ProcessIdentity(**record["process"])
        if process != ProcessIdentity.of_this_process() and process.runs_here():
            return None
        answers = {str(name): value for name, value in record["answers"].items()}
        typed, folders = (tuple(map(str, record[key])) for key in ("typed", "folders"))
        return WizardDraft(
            file.stem, float(record["seconds"]), Path(record["cwd"]), answers, typed, tuple(map(Path, folders))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # one that was cut off
        return None


def _folder() -> Path:
    return usual_home() / "wizard-drafts"
