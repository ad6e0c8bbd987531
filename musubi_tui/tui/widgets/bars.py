"""Bars of several parts and little courses, as spans. Parts differ by character, not by colour alone."""

from __future__ import annotations

from collections.abc import Sequence

from musubi_tui.runs.pyramid import Blocks, Column, reduce
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.widgets.lines import Span, fit

FILLS = {"unicode": "█▓▒░▞", "ascii": "#+=-~"}
_EDGES = {"unicode": ("▕", "▏"), "ascii": ("[", "]")}
GIB = 1 << 30


def stacked(parts: Sequence[tuple[float, str]], whole: float, width: int, glyphs: Glyphs) -> list[Span]:
    """``▕███▓▓▒▒░   ▏`` of ``width`` cells: (size, role) parts of a whole, each drawn with a character of its own."""
    left, right = _EDGES[glyphs.name]
    inner, fills = width - 2, FILLS[glyphs.name]
    spans: list[Span] = [(left, "muted")]
    filled = sum_so_far = 0.0
    for place, (size, role) in enumerate(parts):
        sum_so_far += max(0.0, size)
        until = min(inner, round(sum_so_far / whole * inner)) if whole > 0 else 0
        if until > filled:
            spans.append((fills[place % len(fills)] * int(until - filled), role))
            filled = until
    return [*fit(spans, width - 1), (right, "muted")]


def labelled(parts: Sequence[tuple[str, float]], whole: float, width: int, glyphs: Glyphs) -> list[Span]:
    """Parts of a whole with their names inside, as far as they fit: ``▕data▏fwd 0.41▏bwd 0.62 ▏``."""
    left, right = _EDGES[glyphs.name]
    inner = width - 1
    text, filled, total = left, 0, 0.0
    for name, size in parts:
        total += max(0.0, size)
        until = min(inner, round(total / whole * inner)) if whole > 0 else 0
        cells = until - filled
        if cells > 0:
            words = f"{name} {size:.2f}"
            label = words if len(words) < cells else name if len(name) < cells else ""
            text += label.ljust(cells - 1)[: cells - 1] + right
            filled = until
    return fit([(text, "")], width)


def course(x: Column, y: Column, width: int, glyphs: Glyphs, blocks: Blocks | None = None) -> str:
    """``▕▂▃▂▂▅▏``: the course of a column, highest value of each cell."""
    left, right = _EDGES[glyphs.name]
    if not len(x):
        return left + " " * (width - 2) + right
    shape = reduce(x, y, float(x[0]), float(max(x[-1], x[0] + 1)), width - 2, blocks)
    finite = [float(value) for value in shape.high if value == value]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    top = len(glyphs.spark) - 1
    cells = [
        " " if value != value else glyphs.spark[round((float(value) - low) / (high - low) * top) if high > low else 0]
        for value in shape.high
    ]
    return left + "".join(cells) + right


def gauge(done: float, width: int, glyphs: Glyphs, role: str) -> list[Span]:
    """A bar filled to the part ``done`` of 1; what is empty is faint."""
    text = glyphs.bar(done, width)
    full = text.rstrip(glyphs.empty)
    return [(full, role), (text[len(full) :], "muted")]


def gib(size: float | None) -> str:
    """Bytes as ``18.9``, in GiB."""
    return "-" if size is None else f"{size / GIB:.1f}" if size >= GIB / 10 else f"{size / GIB:.3f}"
