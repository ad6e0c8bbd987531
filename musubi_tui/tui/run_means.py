"""Running means of a run that is heard step by step: by noise level, over time, and what stands out of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from engine.events.types import Step

BINS = 6  # of the noise level, equally wide
FINE = 20  # ranges of the noise level whose draws are counted
_COURSE = 128  # points of a course at most; then every second one goes
_SURE = 8  # draws of a range before anything is compared with its mean
_DECAY = 0.99
SPIKE = 5.0  # times the running average


@dataclass(frozen=True)
class Bin:
    """The loss of one range of the noise level: running mean, how often it was drawn, the course of the mean over the steps
    that were heard (oldest first, None before the range was drawn)."""

    low: float
    high: float
    mean: float | None = None
    count: int = 0
    course: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Split:
    """Where the time of a recent step goes, in seconds (means)."""

    data: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    optimizer: float = 0.0
    stall: float = 0.0
    total: float = 0.0


class Levels:
    """Loss and draws by noise level."""

    def __init__(self) -> None:
        self._count, self._mean = [0] * BINS, [0.0] * BINS
        self._courses: list[list[float | None]] = [[] for _ in range(BINS)]
        self._every, self._since = 1, 0
        self._drawn = [0] * FINE
        self._residual, self._weight = 0.0, 0.0
        self._frozen: tuple[Bin, ...] | None = None

    def take(self, event: Step) -> None:
        """One step: all its noise levels share its loss."""
        levels = [level / 1000 for level in event.timesteps if level is not None and 0 <= level <= 1001]
        if not levels:
            return
        self._frozen = None
        finite = event.loss is not None and math.isfinite(event.loss)
        for level in levels:
            self._drawn[min(FINE - 1, int(level * FINE))] += 1
            if finite and event.loss is not None:
                self._take_loss(min(BINS - 1, int(level * BINS)), event.loss)
        self._since += 1
        if self._since >= self._every:
            self._note()

    def _take_loss(self, place: int, loss: float) -> None:
        mean = self._mean[place]
        if self._count[place] >= _SURE:
            loss = (
                min(loss, SPIKE * mean) if mean > 0 else loss
            )  # one broken item does not make its level look bad for long
            self._residual = _DECAY * self._residual + loss - mean
            self._weight = _DECAY * self._weight + 1
        self._count[place] += 1
        self._mean[place] += max(0.05, 1 / self._count[place]) * (loss - mean)

    @property
    def residual(self) -> float | None:
        """The loss beside what was usual at its noise level, a moving average: below zero it gets better, whatever was drawn."""
        return self._residual / self._weight if self._weight else None

    def _note(self) -> None:
        self._since = 0
        for course, count, mean in zip(self._courses, self._count, self._mean):
            course.append(mean if count else None)
        if len(self._courses[0]) > _COURSE:
            self._courses = [course[1::2] for course in self._courses]
            self._every *= 2

    def bins(self) -> tuple[Bin, ...]:
        """By noise level, low first."""
        if self._frozen is None:
            self._frozen = tuple(
                Bin(place / BINS, (place + 1) / BINS, self._mean[place] if self._count[place] else None, self._count[place], tuple(self._courses[place]))
                for place in range(BINS)
            )  # fmt: skip
        return self._frozen

    def drawn(self) -> tuple[int, ...]:
        """How often each of ``FINE`` ranges was drawn."""
        return tuple(self._drawn)


class Running:
    """A running mean that is not carried away by what it is asked about."""

    def __init__(self) -> None:
        self.count, self.mean = 0, 0.0

    def times(self, value: float | None) -> float | None:
        """How many times the mean ``value`` is; None while too little is known."""
        if value is None or not math.isfinite(value) or self.count < 20 or self.mean <= 0:
            return None
        return value / self.mean

    def take(self, value: float | None) -> None:
        """One value more."""
        if value is not None and math.isfinite(value):
            self.count += 1
            share = max(0.02, 1 / self.count)
            limit = value if self.count <= 20 else min(value, SPIKE * self.mean)
            self.mean += share * (limit - self.mean)


def split(steps: Iterable[Step]) -> Split:
    """The means of these steps."""
    chosen = list(steps)

    def mean(name: str) -> float:
        values = [value for step in chosen if (value := getattr(step, name)) is not None]
        return sum(values) / len(values) if values else 0.0

    names = ("data_s", "forward_s", "backward_s", "optimizer_s", "stall_s", "step_s")
    return Split(*(mean(name) for name in names))


def divergence(drawn: Iterable[float], target: Iterable[float]) -> float | None:
    """Kullback-Leibler divergence of what was drawn from what should be, in nats; None without draws or a target.

    Ranges that should never be drawn count with a share of one in a million, so that the number stays finite.
    """
    counts, shares = list(drawn), list(target)
    total, whole = sum(counts), sum(shares)
    if not total or not whole or len(counts) != len(shares):
        return None
    return sum(
        count / total * math.log(count / total / max(share / whole, 1e-6))
        for count, share in zip(counts, shares)
        if count
    )
