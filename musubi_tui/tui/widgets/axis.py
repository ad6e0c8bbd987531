"""What a chart of steps can be drawn over: steps, epochs, images seen, hours of work, money.

Every axis is one ascending column of the run times one factor, or along a line with a few bends where attempts had different
prices, so that nothing of the length of the run is ever computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.config.language import say
from musubi_tui.runs.money import money
from musubi_tui.runs.pyramid import Column, between, find
from musubi_tui.runs.series import Steps
from musubi_tui.runs.telling import clock
from musubi_tui.tui.run_view import RunView

AXES: Final = ("step", "epoch", "images", "time", "cost")


@dataclass(frozen=True)
class Axis:
    """``column`` times ``factor`` is what stands along the axis ``name``; ``missing`` says why another one was wanted in vain.

    ``bends``: instead of the factor, values of the column and what stands there, straight lines between them.
    """

    name: str
    column: Column
    factor: float = 1.0
    missing: str = ""
    bends: tuple[list[float], list[float]] | None = None

    @classmethod
    def of(cls, name: str, view: RunView) -> Axis:
        """The axis of that name over the steps of ``view``; hours where money was wanted and no price is known."""
        steps = view.steps
        match name:
            case "epoch":
                return cls(name, steps.step, 1 / _steps_per_epoch(steps))
            case "images":
                return cls(name, steps.images)
            case "cost" if view.bill.rate:
                return cls(name, steps.worked, view.bill.rate / 3600)
            case "cost" if view.bill.rate is None and view.bill.known:
                return cls(name, steps.worked, bends=view.bill.corners())
            case "cost":
                return cls("time", steps.worked, missing=say("no price known", "料金不明"))
            case "time":
                return cls(name, steps.worked)
        return cls("step", steps.step)

    def value(self, place: int) -> float:
        """The value at a place of the columns."""
        there = float(self.column[place])
        return float(np.interp(there, *self.bends)) if self.bends else there * self.factor

    def place(self, value: float) -> int:
        """The last place whose value is at most ``value``, the first one when there is none."""
        return max(0, int(find(self.column, float(self._inverse(value)), right=True)) - 1)

    def of_step(self, steps: Steps, step: float) -> float:
        """The value at a step; before the first one, that of the axis's zero."""
        if self.column is steps.step:
            return step * self.factor
        place = int(find(steps.step, step, right=True)) - 1
        return self.value(place) if place >= 0 else 0.0

    def buckets(self, low: float, high: float, columns: int) -> Column:
        """Places that cut the columns into screen columns."""
        return between(self.column, self._inverse(np.linspace(low, high, columns + 1)))

    def _inverse(self, values: float | Column) -> Any:
        """Where in the column these values are."""
        if self.bends is None:
            return values / self.factor
        seconds, amounts = self.bends
        return np.interp(values, amounts, seconds)

    def full(self) -> tuple[float, float]:
        """From where to where everything is seen. The end moves in strides: an axis that grew with every step would repaint
        the whole curve every second."""
        if not len(self.column):
            return 0.0, 1.0
        first, high = self.value(0), self.value(-1)
        low = 0.0 if self.name != "step" or first < high / 4 else first
        if not high > low:
            return low, low + 1.0
        stride = 2.0 ** math.floor(math.log2(high - low)) / 8
        return low, low + math.ceil((high - low) / stride) * stride

    def text(self, value: float) -> str:
        """A value as it stands under the axis."""
        match self.name:
            case "time":
                return clock(value)
            case "epoch":
                return f"{value:.1f}"
            case "cost":
                return money(value, 2 if value < 100 else 0)
        return f"{value:.0f}"

    def ticks(self, low: float, high: float, columns: int) -> list[tuple[int, float]]:
        """(cell, value) of about four round values between ``low`` and ``high``."""
        rough = (high - low) / 4
        if self.name == "time":
            step = next((step for step in _CLOCK_STEPS if step >= rough), 86400.0 * math.ceil(rough / 86400))
        else:
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        values = [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
        return [(min(columns - 1, int((value - low) / (high - low) * columns)), value) for value in values]


_CLOCK_STEPS: Final = (0.1, 1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def _steps_per_epoch(steps: Steps) -> float:
    """Measured where an epoch ended; before the first end the whole run counts as one."""
    if not len(steps):
        return 1.0
    whole = int(steps.epoch[-1]) - 1
    done = int(np.searchsorted(steps.epoch, np.int32(whole), side="right")) - 1
    return float(steps.step[done]) / whole if whole > 0 and done >= 0 else max(1.0, float(steps.step[-1]))
