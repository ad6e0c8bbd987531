"""Which dataset was open last: a small file in the home, so that 3 shows it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.events.atomic import write_text_atomically


@dataclass(frozen=True)
class Wanted:
    """A dataset file or preset, the family of a bare dataset file, and the trigger word that captions should hold."""

    file: str
    family: str = ""
    trigger: str = ""


def remembered(home: Path) -> Wanted | None:
    """The last one, if its file is still there."""
    try:
        values = json.loads(_file(home).read_text("utf-8"))
        wanted = Wanted(str(values["file"]), str(values.get("family", "")), str(values.get("trigger", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return wanted if Path(wanted.file).is_file() else None


def remember(home: Path, wanted: Wanted) -> None:
    """Note it. A home that cannot be written forgets."""
    try:
        _file(home).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text_atomically(_file(home), json.dumps(asdict(wanted)), durable=False)
    except OSError:
        return


def _file(home: Path) -> Path:
    return home / "tui" / "dataset.json"
