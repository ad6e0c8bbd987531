"""Curves as braille, without Textual: numbers in, lines of spans out.

A cell holds 2 x 4 dots. Every layer has dots of its own; a cell is drawn as all dots together in the colour of its topmost
layer. Numbers that are not finite leave a gap and never reach the scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musubi_tui.runs.pyramid import Column
from musubi_tui.tui.widgets.lines import Span

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row, then column
_LOG_FLOOR = 1e-12
_LARGEST = 1e300
_ASCII_DOTS = {"raw": ":", "ema": "*", "val": "o", "clip": "-"}


@dataclass(frozen=True)
class Scale:
    """Which value stands at which height. ``log``: equal factors are equally high."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[float] | Column, *, log: bool = False) -> Scale:
        """The scale that shows all finite values (on a log scale: all above zero) with some air; (0, 1) without any."""
        array = np.asarray(values, np.float64)
        array = array[np.isfinite(array) & ((array > 0) if log else True)]
        if not len(array):
            return cls(0.1 if log else 0.0, 1.0, log)
        array = np.clip(array, -_LARGEST, _LARGEST)  # so that differences and air stay finite
        low, high = float(array.min()), float(array.max())
        if log:
            low = max(low, _LOG_FLOOR)
            return cls(low / 1.05, max(high, low) * 1.05, True)
        air = (high / 2 - low / 2) * 0.1 or abs(high) * 0.05 or 0.5
        return cls(low - air if low < 0 or low > air else 0.0, high + air)

    def rounded(self) -> Scale:
        """Ends that are round numbers: a scale that moves with every value would repaint every cell."""
        if self.log:
            low, high = (10.0 ** (round_(math.log10(end) * 10) / 10) for end, round_ in ((self.low, math.floor), (self.high, math.ceil)))  # fmt: skip
            return Scale(low, high, True) if 0 < low < high < math.inf else self
        size = self.high / 2 - self.low / 2
        if not 1e-300 < size < 1e300:
            return self
        step = 10.0 ** math.floor(math.log10(size)) / 2
        return Scale(math.floor(self.low / step) * step, math.ceil(self.high / step) * step)

    def height(self, value: float) -> float | None:
        """Between 0 (low) and 1 (high), clipped; None for what has no place."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        return min(1.0, max(0.0, part))

    def value(self, height: float) -> float:
        """The value at a height between 0 and 1."""
        if self.log:
            return float(self.low * (self.high / self.low) ** height)
        return self.low * (1 - height) + self.high * height


class Canvas:
    """Dots of several layers over ``columns`` x ``rows`` cells. Layers are painted in the order of their first use."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = max(1, columns), max(1, rows)
        self._layers: dict[str, list[list[int]]] = {}
        self._signs: dict[tuple[int, int], Span] = {}

    def band(self, layer: str, scale: Scale, low: Column, high: Column) -> None:
        """From ``low`` to ``high`` in every dot column."""
        for column, (bottom, top) in enumerate(zip(low, high)):
            a, b = scale.height(float(bottom)), scale.height(float(top))
            if a is not None and b is not None:
                self._column(layer, column, self._dot(a), self._dot(b))

    def curve(self, layer: str, scale: Scale, values: Column) -> None:
        """A line through the values of the dot columns; a column without value between two with is bridged."""
        before: tuple[int, int] | None = None
        for column, value in enumerate(values):
            height = scale.height(float(value))
            if height is None:
                continue
            dot = self._dot(height)
            if before is not None:
                self._connect(layer, before, (column, dot))
            else:
                self._column(layer, column, dot, dot)
            before = (column, dot)

    def level(self, layer: str, scale: Scale, value: float) -> None:
        """A dotted line across at a value."""
        height = scale.height(value)
        for column in range(0, self.columns * 2, 2):
            if height is not None:
                self._column(layer, column, self._dot(height), self._dot(height))

    def sign(self, column: int, height: float, text: str, role: str) -> None:
        """One character in the cell of a dot column and a height."""
        row = self.rows - 1 - self._dot(height) // 4
        if 0 <= column // 2 < self.columns:
            self._signs[row, column // 2] = (text, role)

    def upright(self, column: int, role: str, text: str) -> None:
        """A thin line over all rows through a cell column, where nothing else is."""
        for row in range(self.rows):
            if not any(layer[row][column] for layer in self._layers.values()):
                self._signs.setdefault((row, column), (text, role))

    def lines(self, *, ascii_only: bool = False) -> list[list[Span]]:
        """The cells as spans, neighbours of one role together."""
        return [self._line(row, ascii_only) for row in range(self.rows)]

    def _line(self, row: int, ascii_only: bool) -> list[Span]:
        spans: list[tuple[str, str]] = []
        for column in range(self.columns):
            sign = self._signs.get((row, column))
            if sign is not None:
                text, role = sign[0], str(sign[1])
            else:
                text, role = self._cell(row, column, ascii_only)
            if spans and spans[-1][1] == role:
                spans[-1] = (spans[-1][0] + text, role)
            else:
                spans.append((text, role))
        return list(spans)

    def _cell(self, row: int, column: int, ascii_only: bool) -> tuple[str, str]:
        bits, top = 0, ""
        for name, layer in self._layers.items():
            if layer[row][column]:
                bits |= layer[row][column]
                top = name
        if not bits:
            return " ", ""
        return (_ASCII_DOTS.get(top, ":") if ascii_only else chr(0x2800 + bits)), top

    def _dot(self, height: float) -> int:
        return min(self.rows * 4 - 1, int(height * self.rows * 4))

    def _column(self, layer: str, column: int, bottom: int, top: int) -> None:
        if column // 2 >= self.columns:
            return
        cells = self._layers.setdefault(layer, [[0] * self.columns for _ in range(self.rows)])
        for dot in range(min(bottom, top), max(bottom, top) + 1):
            from_top = self.rows * 4 - 1 - dot
            cells[from_top // 4][column // 2] |= _DOTS[from_top % 4][column % 2]

    def _connect(self, layer: str, start: tuple[int, int], stop: tuple[int, int]) -> None:
        (x0, y0), (x1, y1) = start, stop
        before = y0
        for column in range(x0 + 1, x1 + 1):
            height = round(y0 + (y1 - y0) * (column - x0) / (x1 - x0))
            # Half of a jump belongs to the column before: else steep parts look like steps.
            step = 1 if height > before else -1
            self._column(layer, column, before + step if abs(height - before) > 1 else height, height)
            before = height


def number(value: float, width: int = 5) -> str:
    """A value in at most ``width`` cells where that is possible: ``0.083``, ``12.4``, ``1e-05``, ``3e+38``."""
    if not math.isfinite(value):
        return "nan"
    if value == 0:
        return "0"
    size = abs(value)
    if 0.001 <= size < 10 ** (width - 1):
        digits = max(0, width - 2 - max(0, math.floor(math.log10(size))) - (value < 0))
        return f"{value:.{digits}f}"[: width if digits else None]
    text = f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return text if len(text) <= width else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
