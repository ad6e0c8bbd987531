"""What a run costs and when that is enough: the price of an hour, and limits in money or hours that stop it safely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.events.reader import other_events
from engine.events.sound_index import sound_index
from engine.events.types import Control, RunStart

if TYPE_CHECKING:
    from engine.config import Config
    from engine.events.rundir import RunDirectory

PRICE_VARIABLE = "MUSUBI_TUI_PRICE_PER_HOUR"
SMALLEST = {"max_cost": 0.01, "max_hours": 0.0001}  # the schema's: a smaller limit could not be resumed with
LIMITS = ("max_cost", "max_hours")  # options that `set` may change while a run goes on


def price_of(config: Config, environment: Mapping[str, str]) -> float | None:
    """Money per hour: the preset's, else what the environment says of this machine. None when nobody knows."""
    price = config.get("price_per_hour")
    return float(price) if price is not None else _number(environment.get(PRICE_VARIABLE, ""))


@dataclass(frozen=True)
class Budget:
    """The limits of one run over all its attempts; None is no limit."""

    max_cost: float | None = None
    max_hours: float | None = None

    @classmethod
    def of(cls, config: Config) -> Budget:
        """The limits in a configuration."""
        return cls(config.get("max_cost"), config.get("max_hours"))

    def changed(self, key: str, value: Any) -> Budget:
        """The budget with one limit changed; "off" removes it. Raises ``ValueError`` with the reason."""
        if value in (None, "", "none", "off"):
            return replace(self, **{key: None})
        number = _number(str(value))
        if number is None or number < SMALLEST[key]:
            raise ValueError(say(f"{value!r} is not a value of {key}", f"{value!r} は {key} の値ではありません"))
        return replace(self, **{key: number})

    def spent(self, seconds: float, cost: float | None) -> str:
        """Why the run has to stop after ``seconds`` of engine time and ``cost``, or nothing."""
        if self.max_cost is not None and cost is not None and cost >= self.max_cost:
            return say(
                f"the budget is spent: {cost:.2f} of {self.max_cost:.2f} (max_cost)",
                f"予算に達しました: {cost:.2f} / {self.max_cost:.2f}（max_cost）",
            )
        if self.max_hours is not None and seconds >= self.max_hours * 3600:
            return say(
                f"the budget is spent: {seconds / 3600:.3g} of {self.max_hours:g} hours (max_hours)",
                f"予算に達しました: {seconds / 3600:.3g} / {self.max_hours:g} 時間（max_hours）",
            )
        return ""


def with_limits_kept(run: RunDirectory, changes: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """``changes`` (by attempt: what it was started with) with the limits that were set while each attempt ran: they stay when the
    run is resumed, until a later attempt is started with others."""
    kept = {number: dict(values) for number, values in changes.items()}
    attempt = 1
    for record in other_events(run.events, sound_index(run)):
        event = record.event
        if isinstance(event, RunStart):
            attempt = event.attempt
        elif isinstance(event, Control) and (event.command, event.result) == ("set", "done"):
            key, value = str(event.arguments.get("key", "")), event.arguments.get("value")
            if key in LIMITS:
                limit = getattr(Budget().changed(key, value), key)
                kept.setdefault(attempt, {})[key] = limit
    return dict(sorted(kept.items()))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
