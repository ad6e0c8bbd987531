"""The numbers of a run's steps as growing columns.

Columns only ever grow behind what was handed out: a slice taken for a screen stays what it was, so a reader thread may go on
filling while the screen draws. When a new attempt voids steps, the columns are copied and ``generation`` counts up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engine.events.steps_index import RECORD, StepsIndex
from engine.events.types import Step
from musubi_tui.runs.pyramid import Blocks, Column

_FIELDS: Final = (
    ("seq", "<i8"), ("offset", "<i8"), ("t", "<f8"), ("step", "<i4"), ("length", "<i4"), ("epoch", "<i4"),
     ("attempt", "<i4"), ("loss", "<f4"), ("lr", "<f4"), ("grad_norm", "<f4"), ("step_s", "<f4"), ("data_s", "<f4"),
     ("stall_s", "<f4"),
)  # fmt: skip
_INDEX_RECORD: Final = np.dtype(list(_FIELDS))
_INDEXED: Final = frozenset(name for name, _ in _FIELDS)
_KEPT: Final = {
    "step": np.int64, "epoch": np.int32, "worked": np.float64, "images": np.int64, "loss": np.float32, "lr": np.float32,
    "grad_norm": np.float32, "step_s": np.float32,
}  # fmt: skip
_CURVES: Final = ("loss", "lr", "grad_norm")
_CHUNK = 1 << 15  # index records read at once: 2 MB
_LARGEST = 3.4e38


@dataclass(frozen=True)
class Steps:
    """Equally long columns, one entry per step, ascending in step. What is not a number is NaN.

    ``worked``: seconds the engine had worked until then, over all attempts; ``images``: items seen until then. Both never fall.
    ``blocks``: extremes of the curves. ``groups``: learning rates of further parameter groups, NaN where they are not known.
    """

    generation: int
    step: Column
    epoch: Column
    worked: Column
    images: Column
    loss: Column
    lr: Column
    grad_norm: Column
    step_s: Column
    blocks: Mapping[str, Blocks] = field(default_factory=dict)
    groups: tuple[Column, ...] = ()

    def __len__(self) -> int:
        return len(self.step)


class GrowingSteps:
    """The columns while they are filled."""

    def __init__(self) -> None:
        self._generation = 0
        self._count = 0
        self.last_t = 0.0  # when the last step was told, seconds since 1970
        self._columns: dict[str, Column] = {name: np.empty(1024, kind) for name, kind in _KEPT.items()}
        self._blocks = {name: Blocks.none() for name in _CURVES}
        self._groups: list[str] = []

    def append(self, event: Step, t: float, worked: float = 0.0) -> None:
        """One more step, told at ``t`` after ``worked`` seconds; one that is there already, or an earlier one, voids what
        came after."""
        if self._count and event.step <= self._columns["step"][self._count - 1]:
            self.cut_after(event.step - 1)
        if self._count == len(self._columns["step"]):
            self._columns = {
                name: np.concatenate([column, np.empty_like(column)]) for name, column in self._columns.items()
            }
        last = self._count - 1
        worked = max(worked, float(self._columns["worked"][last])) if self._count else worked
        images = max(1, len(event.items)) * max(1, min(event.merged, 10**6)) + (
            int(self._columns["images"][last]) if self._count else 0
        )
        self._add_groups(len(event.lr) - 1)
        rates = dict(zip(["lr", *self._groups], event.lr))
        values = {
            "step": _int32(event.step), "epoch": _int32(event.epoch), "worked": worked, "images": images, "loss": event.loss,
            "grad_norm": event.grad_norm, "step_s": event.step_s, **dict.fromkeys(self._groups), "lr": None, **rates,
        }  # fmt: skip
        for name, value in values.items():
            self._columns[name][self._count] = np.nan if value is None or abs(value) > _LARGEST else value
        self._count += 1
        self.last_t = t

    def _add_groups(self, count: int) -> None:
        for number in range(len(self._groups), min(count, 7)):
            self._groups.append(f"lr{number + 1}")
            self._columns[self._groups[-1]] = np.full(len(self._columns["step"]), np.nan, np.float32)

    def cut_after(self, step: int) -> None:
        """Forget the steps after ``step``: a new attempt does them again."""
        kept = int(np.searchsorted(self._columns["step"][: self._count], step, side="right"))
        if kept < self._count:
            self._columns = {name: column.copy() for name, column in self._columns.items()}
            self._blocks = {name: Blocks.none() for name in _CURVES}
            self._count = kept
            self._generation += 1

    def load(self, index: StepsIndex) -> None:
        """Fill from an index, in pieces, so that a long run does not lie in memory twice."""
        assert _INDEX_RECORD.itemsize == RECORD.size
        began = zeros(index)
        ranges = index.story()
        total = sum(len(entry) for entry in ranges)
        self._columns = {name: np.empty(total + 1024, kind) for name, kind in _KEPT.items()}
        self._count, self._groups = 0, []
        for entry in ranges:
            zero = began[index[entry.start].attempt]
            for records in read_records(index, entry.start, entry.stop):
                stop = self._count + len(records)
                for name, column in self._columns.items():
                    if name in _INDEXED:
                        column[self._count : stop] = records[name]
                self._columns["worked"][self._count : stop] = records["t"] - zero
                self._count = stop
                self.last_t = float(records["t"][-1])
        for column in self._columns.values():
            if column.dtype == np.float32:
                column[: self._count][~np.isfinite(column[: self._count])] = np.nan
        worked = self._columns["worked"][: self._count]
        np.maximum.accumulate(worked, out=worked)
        self.count_images(1.0)
        self._blocks = {name: Blocks.none() for name in _CURVES}
        self._generation += 1

    def count_images(self, per_step: float) -> None:
        """Fill ``images`` from a mean: the index does not know how many items a step had."""
        self._columns["images"][: self._count] = np.rint(self._columns["step"][: self._count] * per_step)

    def view(self) -> Steps:
        """The columns as they are now."""
        columns = {name: column[: self._count] for name, column in self._columns.items()}
        self._blocks = {name: blocks.grown(columns[name]) for name, blocks in self._blocks.items()}
        groups = tuple(columns.pop(name) for name in self._groups)
        return Steps(self._generation, **columns, blocks=self._blocks, groups=groups)


def _int32(value: int) -> int:
    return max(-(2**31), min(2**31 - 1, value))


def read_records(index: StepsIndex, start: int, stop: int) -> Iterator[Column]:
    """The records from ``start`` to ``stop`` of an index, some at a time."""
    for position in range(start, stop, _CHUNK):
        records = np.frombuffer(index.read(position, min(position + _CHUNK, stop)), _INDEX_RECORD)
        if len(records):
            yield records


def zeros(index: StepsIndex) -> dict[int, float]:
    """attempt -> the time that counts as its zero, moved back by what the attempts before it had worked."""
    attempts = index.attempts()
    found: dict[int, float] = {}
    worked = 0.0
    for (position, attempt), (stop, _) in zip(attempts, [*attempts[1:], (len(index), 0)]):
        found[attempt] = index[position].t - worked
        worked += max(0.0, index[stop - 1].t - index[position].t)
    return found
