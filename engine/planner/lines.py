"""The nouns of a plan: a line (one figure, how it was computed, how sure it is), a phase of memory, and the whole.

Bytes are bytes; gigabytes on screens are 10^9 of them for disks and 2^30 for memory, as each is sold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.config.language import say

GIB = 1 << 30

Sure = Literal["exact", "close", "rough", "unknown"]
Group = Literal["memory", "disk", "time", "money"]


@dataclass(frozen=True)
class Line:
    """One figure. ``amount`` is in ``unit``; ``low`` and ``high`` enclose it where it is not exact."""

    id: str
    group: Group
    title: str
    amount: float | None
    unit: Literal["bytes", "seconds", "money", "steps"]
    how: str  # how it was computed, for a person
    sure: Sure
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Phase:
    """What lies on the card at once during one part of the run."""

    id: Literal["latents", "text", "train", "sample"]
    title: str
    lines: tuple[Line, ...]

    @property
    def peak(self) -> int:
        """The sum of its lines in bytes."""
        return int(sum(line.amount or 0 for line in self.lines))


@dataclass(frozen=True)
class Suggestion:
    """A change that makes the run smaller. ``where``: "preset" (an option) or "dataset" (a key of the dataset tables)."""

    key: str
    value: Any
    where: Literal["preset", "dataset"]
    title: str
    cost: str  # what is lost
    peak: int
    step_seconds: float | None
    fits: bool | None


@dataclass(frozen=True)
class Plan:
    """What a run will need. ``fits`` is None when no card is known; ``available`` is what other processes leave of it."""

    family: str
    task: str
    card: str
    steps: int
    phases: tuple[Phase, ...]
    total: int | None
    others: int
    available: int | None
    fits: bool | None
    disk: tuple[Line, ...]
    time: tuple[Line, ...]
    money: tuple[Line, ...]
    notes: tuple[str, ...]
    suggestions: tuple[Suggestion, ...] = ()
    together: tuple[Suggestion, ...] = ()  # where no single change is enough: these, one after the other

    @property
    def peak(self) -> int:
        """The most memory any phase takes."""
        return self.widest.peak

    @property
    def widest(self) -> Phase:
        """The phase that takes most."""
        return max(self.phases, key=lambda phase: phase.peak)

    def phase(self, name: str) -> Phase | None:
        """One phase by id."""
        return next((phase for phase in self.phases if phase.id == name), None)

    def line(self, name: str) -> Line | None:
        """One line by id, of the training phase first."""
        train = self.phase("train")
        lines = [*(train.lines if train else ()), *self.disk, *self.time, *self.money]
        return next((line for line in lines if line.id == name), None)

    def as_json(self) -> dict[str, Any]:
        """Everything, with the derived peaks."""
        phases = [{**asdict(phase), "peak": phase.peak} for phase in self.phases]
        return {**asdict(self), "phases": phases, "peak": self.peak, "peak_phase": self.widest.id}


SURE_WORDS = {
    "exact": say("exact", "正確"),
    "close": say("close", "ほぼ正確"),
    "rough": say("rough", "概算"),
    "unknown": say("unknown", "不明"),
}


def gib(size: float) -> str:
    """``12.3 GB``: memory, counted as cards are sold (2^30 bytes); MB below a tenth of it."""
    return f"{size / GIB:.1f} GB" if size >= 0.1 * GIB else f"{size / (1 << 20):.0f} MB"


def duration(seconds: float) -> str:
    """``1.23 s``, ``41 min``, ``6h10``."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60}h{minutes % 60:02d}"
