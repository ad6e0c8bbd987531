"""What the app shows again when it is opened again: the mode, the order, filter and marks of Jobs, the runs of Compare.

A small JSON file in XDG state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.events.atomic import write_text_atomically
from musubi_tui.runs.home import usual_home

_LONGEST = 200
_MOST, _LONGEST_PATH = 1000, 4096


@dataclass(frozen=True)
class Remembered:
    """``archived``: whether archived runs are shown. ``marked``, ``compared``: run directories, in the order of the person."""

    mode: str = "jobs"
    sort: str = "recent"
    reverse: bool = False
    words: str = ""
    archived: bool = False
    marked: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()


def state_file() -> Path:
    """``$XDG_STATE_HOME/musubi-tui/app.json``."""
    return usual_home() / "app.json"


def recall() -> tuple[Remembered, str]:
    """What was kept, and a sentence when that could not be read (then the defaults)."""
    try:
        values: Any = json.loads(state_file().read_text("utf-8"))
        if not isinstance(values, dict):
            raise TypeError("not an object")
        kept = {item.name: values[item.name] for item in fields(Remembered) if item.name in values}
        kept |= {name: _paths(kept[name]) for name in ("marked", "compared") if name in kept}
        if any(type(value) is not type(getattr(Remembered(), name)) for name, value in kept.items()):
            raise TypeError("a value of another kind")
        if len(kept.get("words", "")) > _LONGEST:
            raise ValueError("too long")
        return Remembered(**kept), ""
    except FileNotFoundError:
        return Remembered(), ""
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Remembered(), say(
            f"What the app had kept could not be read, so it starts afresh: {state_file()}",
            f"前回の画面状態を読めなかったため、初期状態で開きます: {state_file()}",
        )


def _paths(value: Any) -> tuple[str, ...]:
    """A list of paths as it is kept. Raises ``TypeError`` and ``ValueError`` for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError("not a list of paths")
    if len(value) > _MOST or any(len(one) > _LONGEST_PATH for one in value):
        raise ValueError("too long")
    return tuple(value)


def keep(state: Remembered) -> None:
    """Write it down. Where nothing can be written, nothing is kept: the app works without."""
    try:
        state_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text_atomically(state_file(), json.dumps(asdict(state), ensure_ascii=False) + "\n", durable=False)
    except OSError:
        return
