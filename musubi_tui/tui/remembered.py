"""What the app shows again when it is opened again: the mode, the order, filter and marks of Jobs, the runs of Compare, how each run
was looked at, and the theme and characters that were picked.

A small JSON file in XDG state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.events.atomic import write_text_atomically
from musubi_tui.runs.home import usual_home

_LONGEST = 200
_MOST, _LONGEST_PATH = 1000, 4096
MOST_WORDS, MOST_LOOKS = _LONGEST, 50


@dataclass(frozen=True)
class RunLook:
    """How the screen of one run stood. ``window``: the ends of the zoomed axis. ``decay``: which of the averages."""

    axis: str = "step"
    logarithmic: bool = False
    raw: bool = True
    only_validation: bool = False
    clip: bool = True
    decay: int = 3
    window: tuple[float, float] | None = None
    tab: str = "log"
    panel: str = ""
    words: str = ""
    level: str = ""


@dataclass(frozen=True)
class Remembered:
    """``archived``: whether archived runs are shown. ``marked``, ``compared``: run directories, in the order of the person.

    ``looks``: run directory -> how it was looked at, the newest last. ``theme``, ``glyphs``: picked in the palette; empty: never.
    """

    mode: str = "jobs"
    sort: str = "recent"
    reverse: bool = False
    words: str = ""
    archived: bool = False
    marked: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    theme: str = ""
    glyphs: str = ""
    looks: Mapping[str, RunLook] = field(default_factory=dict)

    def with_look(self, run_dir: str, look: RunLook) -> Remembered:
        """With this look of a run; of many runs those of the newest are kept."""
        looks = {path: kept for path, kept in self.looks.items() if path != run_dir} | {run_dir: look}
        return replace(self, looks=dict(list(looks.items())[-MOST_LOOKS:]))


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
        kept |= {"looks": _looks(kept["looks"])} if "looks" in kept else {}
        if any(type(value) is not type(getattr(Remembered(), name)) for name, value in kept.items()):
            raise TypeError("a value of another kind")
        if any(len(kept.get(name, "")) > _LONGEST for name in ("words", "theme", "glyphs")):
            raise ValueError("too long")
        return Remembered(**kept), ""
    except FileNotFoundError:
        return Remembered(), ""
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return Remembered(), say(
            f"What the app had kept could not be read, so it starts afresh: {state_file()}",
            f"前回の画面状態を読めなかったため、初期状態で開きます: {state_file()}",
        )


def _looks(value: Any) -> dict[str, RunLook]:
    """Looks as they are kept. Raises ``TypeError`` and ``ValueError`` for anything else."""
    if not isinstance(value, dict):
        raise TypeError("not a table of looks")
    _paths(list(value))
    return {path: _look(entry) for path, entry in list(value.items())[-MOST_LOOKS:]}


def _look(value: Any) -> RunLook:
    if not isinstance(value, dict):
        raise TypeError("not a look")
    found = {item.name: value[item.name] for item in fields(RunLook) if item.name in value}
    window = found.pop("window", None)
    if any(type(one) is not type(getattr(RunLook(), name)) for name, one in found.items()):
        raise TypeError("a value of another kind")
    if any(isinstance(one, str) and len(one) > _LONGEST for one in found.values()):
        raise ValueError("too long")
    if window is not None:
        low, high = (float(end) for end in window)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("not a window")
        window = (low, high)
    return RunLook(**found, window=window)


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
