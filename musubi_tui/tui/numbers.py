"""Numbers as the app writes them: short, without seconds of a clock, so that a second that passes draws nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from musubi_tui.terminal_width import cells

_NEVER_FIRST = frozenset("、。，．・：；！？）」』】〉》ー…")  # of a line


def duration(seconds: float | None) -> str:
    """``<1m``, ``12m``, ``1h56``, ``3d04h``; empty for nothing."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "<1m"
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def small(value: float | None) -> str:
    """A loss in six cells: ``.0831``, ``1.204``, ``12.31``; empty for nothing."""
    if value is None:
        return ""
    if abs(value) < 1:
        text = f"{value:.4f}"
        return text.replace("0.", ".", 1)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def per_step(seconds: float | None) -> str:
    """Seconds per step in five cells: ``1.23``, ``0.88``, ``.042``, ``12.3``."""
    if seconds is None:
        return ""
    if seconds < 0.1:
        return f"{seconds:.3f}".removeprefix("0")
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"


def percent(step: int, of: int) -> str:
    """How far, rounded down: 100% means done."""
    return f"{step * 100 // of}%" if of else ""


def count(number: int) -> str:
    """A count in at most five cells: ``500``, ``9876``, ``98.8k``, ``1M``, ``2.5M``."""
    if number < 10_000:
        return str(number)
    thousands = number < 999_500
    return f"{number / (1e3 if thousands else 1e6):.3g}{'k' if thousands else 'M'}"


def means(values: Sequence[float], cells: int) -> tuple[float, ...]:
    """At most ``cells`` means of consecutive values."""
    count = min(len(values), cells)
    edges = [len(values) * cell // count for cell in range(count + 1)] if count else []
    return tuple(sum(values[a:b]) / (b - a) for a, b in pairwise(edges))


def fit(text: str, width: int, *, right: bool = False, ellipsis: str = "…") -> str:
    """``text`` in exactly ``width`` cells: padded, or cut with an ellipsis; a wide character is never halved."""
    if cells(text) > width:
        kept = ""
        for char in text:
            if cells(kept + char) > width - 1:
                break
            kept += char
        text = kept + ellipsis if width else ""
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken at blanks, inside a word only where one is longer than a line.

    Text without blanks, as Japanese is, fills its lines; none begins with a closing mark, and no Latin word in it is torn apart.
    """
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cells(longer) <= width:
            lines[-1] = longer
            continue
        wide = cells(word) > len(word)
        if lines[-1] and wide and cells(lines[-1]) + 1 < width:
            lines[-1] += " "
        elif lines[-1]:
            lines.append("")
        for char in word:
            if cells(lines[-1] + char) > width:
                carried = _carried(lines[-1], char) if wide else 0
                kept = len(lines[-1]) - carried
                lines[-1:] = [lines[-1][:kept].rstrip(), lines[-1][kept:]]
            lines[-1] += char
    return lines


def _carried(line: str, char: str) -> int:
    """How many characters at the end of a full line go to the next one with ``char``."""
    if char in _NEVER_FIRST:
        return 1 if len(line) > 1 else 0
    latin = 0
    if char.isascii() and char.isalnum():
        while latin < len(line) and line[-1 - latin].isascii() and line[-1 - latin].isalnum():
            latin += 1
    return latin if latin < len(line) else 0
