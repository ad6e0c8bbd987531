"""What was begun and is no run yet: presets with changes that were kept and not saved, and walks through the wizard.

Read from their files alone, without the schema: Jobs lists them, and its first screen waits for nothing heavy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musubi_tui.runs.home import usual_home

_MOST = 20
_SETTING = re.compile(r"^\s*(family|output_name)\s*=\s*[\"']([^\"'\n]{1,80})[\"']", re.MULTILINE)


@dataclass(frozen=True)
class Unfinished:
    """``file`` keeps it. ``path``: the preset; empty for a walk through the wizard. ``seconds``: when it was kept, since the epoch."""

    file: Path
    name: str
    path: str
    family: str
    seconds: float


def unfinished() -> tuple[Unfinished, ...]:
    """The newest first; files that cannot be read are passed over."""
    found = [_preset(*one) for one in _records("drafts")] + [_walk(*one) for one in _records("wizard-drafts")]
    return tuple(sorted(filter(None, found), key=lambda one: -one.seconds)[:_MOST])


def give_up(draft: Unfinished) -> None:
    """Forget it for good. Raises ``OSError``."""
    draft.file.unlink(missing_ok=True)


def _records(folder: str) -> Iterator[tuple[Path, Any]]:
    for file in sorted((usual_home() / folder).glob("*.json")):
        try:
            yield file, json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):  # one that was cut off, or is being replaced
            continue


def _preset(file: Path, record: Any) -> Unfinished | None:
    try:
        path, settings = Path(record["path"]), dict(reversed(_SETTING.findall(record["text"])))
        return Unfinished(file, settings.get("output_name", path.stem), str(path), settings.get("family", ""), float(record["seconds"]))  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


def _walk(file: Path, record: Any) -> Unfinished | None:
    try:
        answers = record["answers"]
        name = str(answers.get("name") or "") or "wizard"
        return Unfinished(file, name, "", str(answers.get("family") or ""), float(record["seconds"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
