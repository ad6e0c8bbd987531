"""What a run cost: the engine's time, each attempt at its own price. The one calculation behind Jobs, the run screen and the shell.

The engine keeps the sum in status.json; what is counted here from the events is the same along the way: money at each step.
Where no attempt knew a price, the one that is known today stands in, and the amount is marked as such a guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.events.process import host_name
from engine.events.status import Status
from musubi_tui.runs.money import money
from musubi_tui.runs.pricing import known_price

if TYPE_CHECKING:
    from musubi_tui.runs.pyramid import Column
    from musubi_tui.runs.snapshot import Snapshot

_FOREVER = 1e9  # seconds
GUESSED = "~"  # before an amount that the engine did not count


@dataclass(frozen=True)
class Bill:
    """Money over the seconds that were worked. ``attempts``: seconds worked when each began, ascending, and its price per hour."""

    attempts: tuple[tuple[float, float | None], ...] = ()
    guessed: bool = False

    @classmethod
    def of(cls, attempts: Iterable[tuple[float, float | None]], today: float | None = None) -> Bill:
        """Of these attempts; at ``today``'s price where none of them knew one."""
        known = tuple(sorted(attempts, key=lambda attempt: attempt[0]))
        if today is not None and known and all(price is None for _, price in known):
            return cls(tuple((began, today) for began, _ in known), guessed=True)
        return cls(known)

    @property
    def known(self) -> bool:
        """Whether any attempt has a price."""
        return any(price is not None for _, price in self.attempts)

    @property
    def rate(self) -> float | None:
        """The price of an hour, where all attempts have the same."""
        prices = {price for _, price in self.attempts}
        return prices.pop() if len(prices) == 1 else None

    def cost(self, worked: float) -> float | None:
        """Money spent after so many seconds of work; None where nobody knows a price."""
        if not self.known:
            return None
        ends = [began for began, _ in self.attempts[1:]] + [max(worked, self.attempts[-1][0])]
        spans = ((min(end, worked) - began, price) for (began, price), end in zip(self.attempts, ends))
        return sum(max(0.0, seconds) * (price or 0.0) / 3600 for seconds, price in spans)

    def corners(self) -> tuple[list[float], list[float]]:
        """Seconds and money between which money grows evenly, from the beginning to after any run's end."""
        seconds = [0.0, *(began for began, _ in self.attempts[1:])]
        seconds.append(seconds[-1] + _FOREVER)
        return seconds, [self.cost(second) or 0.0 for second in seconds]

    def column(self, worked: Column) -> Column:
        """Money at each of these moments."""
        import numpy as np

        return np.interp(worked, *self.corners())


def todays_price(status: Status | None) -> float | None:
    """The price of an hour that is known now, for a run of this machine of which no attempt knew one."""
    mine = (
        status is not None and status.cost is None and status.process is not None and status.process.host == host_name()
    )
    known = known_price() if mine else None
    return known.per_hour if known else None


def at_todays_price(now: Snapshot, price: float | None) -> Snapshot:
    """A run of this machine of which no attempt knew a price, at the one that is known now."""
    if price is None or now.cost is not None or not now.hours or now.host != host_name():
        return now
    cost = now.hours * price
    total = None if now.eta_seconds is None else cost + now.eta_seconds * price / 3600
    return replace(now, cost=cost, cost_total=total, cost_guessed=True)


def cost_text(amount: float, digits: int = 2, *, guessed: bool = False) -> str:
    """``$4.81``, or ``~$4.81`` at today's price."""
    return (GUESSED if guessed else "") + money(amount, digits)
