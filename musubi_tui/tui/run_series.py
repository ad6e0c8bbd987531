"""The numbers of a run's steps as growing columns, their moving average, and their shape at any width.

Columns only ever grow behind what was handed out: a slice taken for a screen stays what it was, so a reader thread may go on
filling while the screen draws. When a new attempt voids steps, the columns are copied and ``generation`` counts up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.events.steps_index import RECORD, StepsIndex
from engine.events.types import Step

Column = NDArray[Any]
_INDEX_RECORD: Final = np.dtype(
    [("seq", "<i8"), ("offset", "<i8"), ("t", "<f8"), ("step", "<i4"), ("length", "<i4"), ("epoch", "<i4"),
     ("attempt", "<i4"), ("loss", "<f4"), ("lr", "<f4"), ("grad_norm", "<f4"), ("step_s", "<f4"), ("data_s", "<f4"),
     ("stall_s", "<f4")]
)  # fmt: skip
_KEPT: Final = {
    "step": np.int64, "epoch": np.int32, "t": np.float64, "loss": np.float32, "lr": np.float32, "grad_norm": np.float32,
    "step_s": np.float32,
}  # fmt: skip
_BLOCK = 256


@dataclass(frozen=True)
class Steps:
    """Equally long columns, one entry per step, ascending in step. What is not a number is NaN; ``t`` is seconds since 1970."""

    generation: int
    step: Column
    epoch: Column
    t: Column
    loss: Column
    lr: Column
    grad_norm: Column
    step_s: Column

    def __len__(self) -> int:
        return len(self.step)


class GrowingSteps:
    """The columns while they are filled."""

    def __init__(self) -> None:
        self._generation = 0
        self._count = 0
        self._columns: dict[str, Column] = {name: np.empty(1024, kind) for name, kind in _KEPT.items()}

    def append(self, event: Step, t: float) -> None:
        """One more step; a step that is already there again, or an earlier one, voids what came after."""
        if self._count and event.step <= self._columns["step"][self._count - 1]:
            self.cut_after(event.step - 1)
        if self._count == len(self._columns["step"]):
            self._columns = {
                name: np.concatenate([column, np.empty_like(column)]) for name, column in self._columns.items()
            }
        lr = next((value for value in event.lr if value is not None), None)
        values = {
            "step": event.step, "epoch": event.epoch, "t": t, "loss": event.loss, "lr": lr, "grad_norm": event.grad_norm,
            "step_s": event.step_s,
        }  # fmt: skip
        for name, value in values.items():
            self._columns[name][self._count] = np.nan if value is None else value
        self._count += 1

    def cut_after(self, step: int) -> None:
        """Forget the steps after ``step``: a new attempt does them again."""
        kept = int(np.searchsorted(self._columns["step"][: self._count], step, side="right"))
        if kept < self._count:
            self._columns = {name: column.copy() for name, column in self._columns.items()}
            self._count = kept
            self._generation += 1

    def load(self, path: Path, index: StepsIndex) -> None:
        """Fill from steps.idx, whatever the length of the run in one go."""
        assert _INDEX_RECORD.itemsize == RECORD.size
        records = np.memmap(path, _INDEX_RECORD, "r", shape=(len(index),))
        parts = [records[entry.start : entry.stop] for entry in index.story()]
        self._columns = {
            name: np.concatenate([part[name] for part in parts] + [np.empty(1024, kind)]).astype(kind, copy=False)
            for name, kind in _KEPT.items()
        }
        loss = self._columns["loss"]
        loss[~np.isfinite(loss)] = np.nan
        self._count = sum(len(part) for part in parts)
        self._generation += 1

    def view(self) -> Steps:
        """The columns as they are now."""
        return Steps(self._generation, **{name: column[: self._count] for name, column in self._columns.items()})


class Smoother:
    """The exponential moving average of a growing column, without the bias of its start; NaN are passed over."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._generation = -1
        self._values: Column = np.empty(0, np.float32)
        self._total = self._weight = 0.0
        power = np.arange(_BLOCK)
        lower = np.tril(decay ** np.maximum(power[:, None] - power[None, :], 0))
        self._kernel = lower.astype(np.float32)  # (step in block, step in block)
        self._carry = (decay ** (power + 1)).astype(np.float32)

    def of(self, steps: Steps) -> Column:
        """The average after each step."""
        if steps.generation != self._generation or len(steps) < len(self._values):
            self._generation, self._total, self._weight = steps.generation, 0.0, 0.0
            self._values = np.empty(0, np.float32)
        fresh = steps.loss[len(self._values) :]
        if len(fresh):
            self._values = np.concatenate([self._values, self._extend(fresh)])
        return self._values

    def _extend(self, fresh: Column) -> Column:
        """The averages after these: of the finite ones by whole blocks, and what is not a number repeats the one before."""
        finite = np.isfinite(fresh)
        before = self._values[-1] if len(self._values) else np.nan
        smooth = np.concatenate([[before], self._average(fresh[finite])]).astype(np.float32)
        extended: Column = smooth[np.cumsum(finite)]
        return extended

    def _average(self, values: Column) -> Column:
        count = len(values)
        if not count:
            return values
        blocks = np.pad(values.astype(np.float32), (0, -count % _BLOCK)).reshape(-1, _BLOCK)
        totals = blocks @ self._kernel.T
        weights = np.empty_like(totals)
        fading = self._kernel.sum(axis=1)
        for row in range(len(totals)):
            totals[row] += self._total * self._carry
            weights[row] = fading + self._weight * self._carry
            last = (count - 1) % _BLOCK if row == len(totals) - 1 else _BLOCK - 1
            self._total, self._weight = float(totals[row, last]), float(weights[row, last])
        averages: Column = (totals / weights).reshape(-1)[:count]
        return averages


@dataclass(frozen=True)
class Shape:
    """A column at the width of a screen: smallest, largest and last value per screen column, NaN where there is none."""

    low: Column
    high: Column
    last: Column


def reduce(x: Column, y: Column, start: float, stop: float, columns: int) -> Shape:
    """``y`` over the ascending ``x`` from ``start`` to ``stop`` in ``columns`` buckets. Spikes survive; costs O(points in view)."""
    low, high, last = (np.full(columns, np.nan) for _ in range(3))
    if len(x) == 0 or columns < 1 or not stop > start:
        return Shape(low, high, last)
    edges = np.linspace(start, stop, columns + 1)
    places = np.searchsorted(x, edges, side="left")
    places[-1] = np.searchsorted(x, stop, side="right")
    filled = places[1:] > places[:-1]
    if not filled.any():
        return Shape(low, high, last)
    begin, end = int(places[0]), int(places[-1])
    window = np.asarray(y[begin:end], np.float64)
    window = np.where(np.isfinite(window), window, np.nan)
    starts = (places[:-1][filled] - begin).astype(np.intp)
    low[filled] = np.fmin.reduceat(window, starts)
    high[filled] = np.fmax.reduceat(window, starts)
    last[filled] = window[places[1:][filled] - begin - 1]
    return Shape(low, high, last)


def median(values: Sequence[float] | Column) -> float | None:
    """The middle of the finite values."""
    return quantile(values, 0.5)


def quantile(values: Sequence[float] | Column, share: float) -> float | None:
    """A quantile of the finite values, None when there is none."""
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    return float(np.quantile(finite, share)) if len(finite) else None
