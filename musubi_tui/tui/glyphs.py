"""The characters the app draws with: a Unicode set and an ASCII one. A state always has a word beside its glyph.

The state glyphs are of neutral width, so that terminals set to East Asian text do not draw them double; those that draw
blocks and lines double want the ASCII set.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Glyphs:
    """One set."""

    name: str
    full: str
    empty: str
    parts: str  # eighths of a cell, growing; empty where there are none
    spark: str  # heights, growing
    none: str  # stands for a value that is not there
    cursor: str
    ellipsis: str
    back: str  # points at what stands before it
    states: dict[str, str] = field(default_factory=dict)

    def state(self, state: str) -> str:
        """The sign of a state."""
        return self.states.get(state, "?")

    def bar(self, done: float, width: int) -> str:
        """A bar of ``width`` cells, filled to the part ``done`` of 1."""
        eighths = round(min(1.0, max(0.0, done)) * width * 8)
        whole, rest = divmod(eighths, 8)
        part = self.parts[rest - 1] if rest and self.parts else ""
        return (self.full * whole + part).ljust(width, self.empty)

    def sparkline(self, values: list[float]) -> str:
        """One cell per value, scaled to the range of the values."""
        if not values:
            return ""
        low, high = min(values), max(values)
        scale = (len(self.spark) - 1) / (high - low) if high > low else 0.0
        return "".join(self.spark[round((value - low) * scale)] for value in values)

    def chart(self, values: Sequence[float], rows: int) -> list[str]:
        """A column per value, scaled to the range of the values, over ``rows`` lines from the top down."""
        if not values:
            return []
        low, high = min(values), max(values)
        scale = (rows * len(self.spark) - 1) / (high - low) if high > low else 0.0
        heights = [1 + round((value - low) * scale) for value in values]
        floors = [(rows - 1 - row) * len(self.spark) for row in range(rows)]
        return ["".join(self._part(height - floor) for height in heights) for floor in floors]

    def _part(self, height: int) -> str:
        return " " if height <= 0 else self.spark[min(height, len(self.spark)) - 1]


UNICODE = Glyphs(
    "unicode", "█", "░", "▏▎▍▌▋▊▉", "▁▂▃▄▅▆▇█", "–", "▸", "…", "◂",
    {"queued": "▹", "starting": "▹", "running": "▸", "paused": "ǁ", "stopping": "▿", "done": "✓", "stopped": "▪",
     "preempted": "⇣", "failed": "✗", "orphaned": "?", "draft": "◦"},
)  # fmt: skip
ASCII = Glyphs(
    "ascii", "#", ".", "", "_.-=*#", "-", ">", "~", "<",
    {"queued": ".", "starting": ".", "running": ">", "paused": "|", "stopping": "v", "done": "+", "stopped": "=",
     "preempted": "^", "failed": "x", "orphaned": "?", "draft": "o"},
)  # fmt: skip
SETS = {"unicode": UNICODE, "ascii": ASCII}


def choose_glyphs(wanted: str = "") -> Glyphs:
    """The set of that name; without one, ASCII where the locale is not UTF-8."""
    if wanted in SETS:
        return SETS[wanted]
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "UTF-8")
    plain = "utf" not in locale.lower() and locale not in ("C", "POSIX")  # containers say C and draw UTF-8
    return ASCII if plain or os.environ.get("TERM") == "linux" else UNICODE
