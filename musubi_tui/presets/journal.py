"""Unsaved drafts that outlive a crash, a lost connection or ``q``: one file each under the XDG state home, and the recent presets.

A draft is kept with the digest of the file it was made from, so that one can tell whether the file has changed since. Drafts may
hold secrets of their file: the folder is the owner's alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.events.atomic import write_text_atomically
from engine.events.process import ProcessIdentity
from musubi_tui.presets.draft import Draft
from musubi_tui.runs.home import usual_home

_MOST_RECENT = 20


@dataclass(frozen=True)
class KeptDraft:
    """A draft that was not saved. ``digest`` is that of the file it was made from, "" for a file that was not there yet."""

    path: Path
    text: str
    digest: str
    seconds: float  # when it was kept, since the epoch
    elsewhere: bool  # the process that keeps it is still alive, and is not this one


def keep(draft: Draft) -> None:
    """Keep a draft with unsaved changes; forget one without. Raises ``OSError`` when the state home cannot be written."""
    if not draft.dirty:
        forget(draft.path)
        return
    place = _place(draft.path)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {
        "path": str(draft.path),
        "text": draft.text,
        "digest": draft.saved.digest if draft.saved else "",
        "seconds": time.time(),
        "process": asdict(ProcessIdentity.of_this_process()),
    }
    write_text_atomically(place, json.dumps(record), durable=False)


def kept(path: Path) -> KeptDraft | None:
    """The draft that was kept for a file, if there is one."""
    try:
        record = json.loads(_place(path).read_text("utf-8"))
        process = ProcessIdentity(**record["process"])
        mine = process == ProcessIdentity.of_this_process()
        return KeptDraft(
            path, record["text"], record["digest"], record["seconds"], elsewhere=not mine and process.runs_here()
        )
    except (OSError, ValueError, KeyError, TypeError):  # none, or one that was cut off
        return None


def forget(path: Path) -> None:
    """The draft of a file is saved or given up."""
    with contextlib.suppress(OSError):
        _place(path).unlink()


def recent_presets() -> list[Path]:
    """The files that were opened last, newest first, as far as they are still there."""
    try:
        lines = _recent().read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [Path(line) for line in lines if line and Path(line).is_file()]


def note_recent(path: Path) -> None:
    """Put a file at the head of the recent ones. A list that cannot be written is no reason to stop."""
    lines = [str(path), *(str(one) for one in recent_presets() if one != path)][:_MOST_RECENT]
    with contextlib.suppress(OSError):
        _recent().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text_atomically(_recent(), "\n".join(lines) + "\n", durable=False)


def _place(path: Path) -> Path:
    name = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return usual_home() / "drafts" / f"{name}.json"


def _recent() -> Path:
    return usual_home() / "recent-presets"
