"""What a person writes about a run while watching it: ``notes.jsonl`` in its directory, one note a line, with its time and step.

The engine never reads it. A note stays with the run: ``runs show``, the card on Jobs and the log of the run screen have it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import datetime

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.lines import iso_time
from engine.events.redaction import redact
from engine.events.rundir import RunDirectory
from musubi_tui.runs.plain_text import clean

LONGEST = 500  # characters
_MOST = 200  # notes that are shown, the newest


@dataclass(frozen=True)
class Note:
    """``t``: seconds since 1970; ``step``: where the run was."""

    t: float
    step: int
    text: str


def add_note(run: RunDirectory, text: str, step: int) -> Note:
    """Keep a note, without secrets. Raises ``UserError`` (usage, no_such_run) and ``OSError``."""
    words = redact(clean(text).strip())
    if not words or len(words) > LONGEST:
        raise UserError.of(
            "usage",
            say(f"A note has 1 to {LONGEST} characters.", f"メモは 1〜{LONGEST} 文字です。"),
            key="text",
        )
    if not run.path.is_dir():
        raise UserError.of(
            "no_such_run", say("The run's folder is gone.", "run のフォルダーがありません。"), file=run.path
        )
    note = Note(round(time.time(), 3), step, words)
    line = json.dumps({"t": iso_time(note.t), "step": step, "text": words}, ensure_ascii=False) + "\n"
    descriptor = os.open(run.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, line.encode("utf-8", "replace"))  # at once: several viewers may write
    finally:
        os.close(descriptor)
    return note


def read_notes(run: RunDirectory) -> tuple[Note, ...]:
    """The notes, oldest first; damaged lines are passed over."""
    try:
        lines = run.notes.read_text("utf-8", "replace").splitlines()[-_MOST:]
    except OSError:
        return ()
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
            t = datetime.fromisoformat(entry["t"]).timestamp()
            found.append(Note(t, int(entry["step"]), clean(str(entry["text"]))[:LONGEST]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return tuple(found)
