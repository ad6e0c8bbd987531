"""Long columns at the width of a screen, without touching every number of them.

A column is cut into blocks of ``BLOCK`` values. Of each whole block the smallest and the largest value are kept, and for a
moving average its state; what a screen column shows is then put together from whole blocks and the two pieces at its ends. The
result is exactly that of looking at every number. Columns hold finite numbers and NaN for what is not a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
BLOCK: Final = 128
_FEW = 1 << 15  # values that are simply all looked at
_PIECE = 64  # blocks of which every average is computed at once


@dataclass(frozen=True)
class Blocks:
    """Smallest and largest value of each whole block of a column, NaN where a block holds no number."""

    low: Column
    high: Column

    @classmethod
    def none(cls) -> Blocks:
        """Of an empty column."""
        return cls(np.empty(0, np.float32), np.empty(0, np.float32))

    def grown(self, values: Column) -> Blocks:
        """With the blocks that were completed since; what was handed out before stays as it is."""
        known, whole = len(self.low), len(values) // BLOCK
        if whole == known:
            return self
        fresh = values[known * BLOCK : whole * BLOCK].reshape(-1, BLOCK)
        return Blocks(
            np.concatenate([self.low, np.fmin.reduce(fresh, axis=1)]),
            np.concatenate([self.high, np.fmax.reduce(fresh, axis=1)]),
        )


@dataclass(frozen=True)
class Shape:
    """A column at the width of a screen: smallest, largest and last value per screen column, NaN where there is none."""

    low: Column
    high: Column
    last: Column


def find(x: Column, value: float | Column, *, right: bool = False) -> Any:
    """``np.searchsorted`` that does not copy a column of whole numbers to compare it with fractions."""
    if x.dtype.kind == "i":
        limits = np.clip(np.asarray(value, np.float64), -(2.0**62), 2.0**62)
        value = (np.floor(limits) if right else np.ceil(limits)).astype(x.dtype)
    return np.searchsorted(x, value, side="right" if right else "left")


def buckets(x: Column, start: float, stop: float, columns: int) -> Column:
    """Places (columns + 1,) in the ascending ``x``: screen column i shows the values from place i to before place i + 1."""
    return between(x, np.linspace(start, stop, columns + 1))


def between(x: Column, edges: Column) -> Column:
    """The same for screen columns that begin at these values of ``x``, the last edge being the end of the last one."""
    places: Column = find(x, edges).astype(np.intp)
    places[-1] = find(x, float(edges[-1]), right=True)
    return places


def shape(values: Column, blocks: Blocks, places: Column) -> Shape:
    """``values`` in the buckets between ``places``."""
    columns = len(places) - 1
    low, high, last = (np.full(columns, np.nan) for _ in range(3))
    filled = places[1:] > places[:-1]
    if not filled.any():
        return Shape(low, high, last)
    begin, end = int(places[0]), int(places[-1])
    if end - begin <= _FEW or len(blocks.low) < end // BLOCK:
        window = np.asarray(values[begin:end], np.float64)
        starts = places[:-1][filled] - begin
        low[filled], high[filled] = np.fmin.reduceat(window, starts), np.fmax.reduceat(window, starts)
    else:
        low, high = _extremes(values, blocks, places)
    last[filled] = values[places[1:][filled] - 1]
    return Shape(low, high, last)


def reduce(x: Column, y: Column, start: float, stop: float, columns: int, blocks: Blocks | None = None) -> Shape:
    """``y`` over the ascending ``x`` from ``start`` to ``stop`` in ``columns`` buckets. Spikes survive."""
    if len(x) == 0 or columns < 1 or not stop > start:
        empty = np.full(max(0, columns), np.nan)
        return Shape(empty, empty, empty)
    if blocks is None:
        y = np.where(np.isfinite(y), y, np.nan)
    return shape(y, blocks or Blocks.none(), buckets(x, start, stop, columns))


def _extremes(values: Column, blocks: Blocks, places: Column) -> tuple[Column, Column]:
    """Extremes per bucket: of the whole blocks inside it, and of the blocks in which it begins and ends."""
    first, stop = places[:-1], places[1:]
    low, high = np.full(len(first), np.nan), np.full(len(first), np.nan)
    inner_first, inner_stop = first // BLOCK + 1, stop // BLOCK
    some = inner_stop > inner_first
    if some.any():
        pairs = np.stack([inner_first[some], inner_stop[some]], axis=1).reshape(-1)
        low[some] = np.fmin.reduceat(np.append(blocks.low, np.nan), pairs)[::2]
        high[some] = np.fmax.reduceat(np.append(blocks.high, np.nan), pairs)[::2]
    for block in (first // BLOCK, stop // BLOCK):
        place, piece = _gather(values, block)
        mine = np.where((place >= first[:, None]) & (place < stop[:, None]), piece, np.nan)
        low, high = np.fmin(low, np.fmin.reduce(mine, axis=1)), np.fmax(high, np.fmax.reduce(mine, axis=1))
    return low, high


def _gather(values: Column, block: Column) -> tuple[Column, Column]:
    """Places and values (n, BLOCK) of these blocks; behind the end of the column the last value is repeated."""
    place = block[:, None] * BLOCK + np.arange(BLOCK)
    return place, values[np.minimum(place, len(values) - 1)]


class Smoother:
    """The exponential moving average of a growing column without the bias of its start; what is not a number is passed over.

    Kept is the state before each block (sum and weight); an average anywhere costs one block.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._generation = -1
        self._totals, self._weights = np.zeros(1), np.zeros(1)
        self._powers = decay ** np.arange(BLOCK + 1)
        self._whole = float(self._powers[:BLOCK].sum())

    def at(self, values: Column, generation: int, places: Column) -> Column:
        """The average after each of these places (n,). ``generation`` counts how often the column's past was changed."""
        self._extend_from(values, generation)
        places = np.asarray(places, np.intp)
        if not len(values) or not len(places):
            return np.full(len(places), np.nan)
        block = places // BLOCK
        place, piece = _gather(values, block)
        counted = np.isfinite(piece) & (place <= places[:, None])
        totals, weights, faded = self._sums(piece, counted)
        totals, weights = totals + self._totals[block] * faded, weights + self._weights[block] * faded
        averages: Column = np.divide(totals, weights, out=np.full(len(places), np.nan), where=weights > 0)
        return averages

    def every(self, values: Column, generation: int) -> Column:
        """The average after every place: for what is drawn once, or exported."""
        self._extend_from(values, generation)
        averages = np.empty(len(values))
        gaps = np.arange(BLOCK)[:, None] - np.arange(BLOCK)
        lower = np.where(gaps >= 0, self._powers[np.maximum(gaps, 0)], 0.0)  # (place, value)
        for start in range(0, len(values), _PIECE * BLOCK):
            piece = values[start : start + _PIECE * BLOCK]
            first, whole = start // BLOCK, len(piece) // BLOCK
            rows = piece[: whole * BLOCK].reshape(-1, BLOCK)
            if len(rows) * BLOCK < len(piece) or not np.isfinite(rows).all():
                averages[start : start + len(piece)] = self.at(values, generation, np.arange(start, start + len(piece)))
                continue
            totals = rows @ lower.T + self._totals[first : first + whole, None] * self._powers[1:]
            weights = lower.sum(axis=1) + self._weights[first : first + whole, None] * self._powers[1:]
            averages[start : start + len(piece)] = (totals / weights).reshape(-1)
        return averages

    def _sums(self, piece: Column, counted: Column) -> tuple[Column, Column, Column]:
        """Of each row: sum and weight of the counted values, and what is left after them of all that was before."""
        so_far = np.cumsum(counted, axis=1)
        share = np.where(counted, self._powers[so_far[:, -1:] - so_far], 0.0)
        return (np.where(counted, piece, 0.0) * share).sum(axis=1), share.sum(axis=1), self._powers[so_far[:, -1]]

    def _extend_from(self, values: Column, generation: int) -> None:
        if generation != self._generation or len(values) // BLOCK < len(self._totals) - 1:
            self._generation = generation
            self._totals, self._weights = np.zeros(1), np.zeros(1)
        self._extend(values)

    def _extend(self, values: Column) -> None:
        known, whole = len(self._totals) - 1, len(values) // BLOCK
        if whole == known:
            return
        rows = values[known * BLOCK : whole * BLOCK].reshape(-1, BLOCK)
        sums = np.einsum(
            "ij,j->i", rows, self._powers[:BLOCK][::-1].astype(np.float32)
        )  # ten times as fast as BLAS here
        weights, faded = np.full(len(rows), self._whole), np.full(len(rows), self._powers[BLOCK])
        torn = np.flatnonzero(~np.isfinite(sums))
        for start in range(0, len(torn), 1024):  # in pieces: a run of nothing but gaps must not fill the memory
            chosen = torn[start : start + 1024]
            piece = rows[chosen]
            sums[chosen], weights[chosen], faded[chosen] = self._sums(piece, np.isfinite(piece))
        self._totals = _carried(self._totals, sums, faded)
        self._weights = _carried(self._weights, weights, faded)


def _carried(before: Column, fresh: Column, faded: Column) -> Column:
    """``before`` with one state more per block: what was there, faded, and what the block adds."""
    state, states = float(before[-1]), []
    for add, fade in zip(fresh.tolist(), faded.tolist()):
        state = state * fade + add
        states.append(state)
    return np.concatenate([before, states])


def median(values: Sequence[float] | Column) -> float | None:
    """The middle of the finite values."""
    return quantile(values, 0.5)


def quantile(values: Sequence[float] | Column, share: float) -> float | None:
    """A quantile of the finite values, None when there is none."""
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    return float(np.quantile(finite, share)) if len(finite) else None
