"""The square-root rule: with k times as many pictures per step, Adam-like optimizers keep their pace at sqrt(k) times the
learning rate. It is a suggestion and never applied by itself; optimizers that find their own rate get none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from musubi_tui.presets.facts import Facts
from musubi_tui.presets.stepping import spelled

_FIND_THEIR_OWN = ("prodigy", "dadapt", "adafactor")


@dataclass(frozen=True)
class RateHint:
    """``before`` and ``after`` are pictures per optimizer step; ``rate`` is the learning rate as text."""

    before: int
    after: int
    now: float
    rate: str


def pictures_per_step(facts: Facts) -> int | None:
    """Batch size times accumulated steps; None when the dataset's tables disagree, lie elsewhere or are wrong."""
    general, tables = facts.value("general"), facts.value("datasets")
    if not isinstance(tables, list) or not tables:
        return None
    common = general.get("batch_size", 1) if isinstance(general, Mapping) else 1
    if isinstance(common, list | dict):
        return None
    sizes = {table.get("batch_size", common) for table in tables if isinstance(table, Mapping) and _hashable(table)}
    accumulated = facts.value("gradient_accumulation_steps")
    size = next(iter(sizes)) if len(sizes) == 1 else None
    if not _positive(size) or not _positive(accumulated):
        return None
    return int(size * accumulated)


def rate_hint(before: Facts, now: Facts) -> RateHint | None:
    """What the rule says about the change from ``before`` to ``now``: nothing unless only the batch changed."""
    old, new = _load(before), _load(now)
    rate, optimizer = now.value("learning_rate"), str(now.value("optimizer_type")).lower()
    if old is None or new is None or old == new or any(word in optimizer for word in _FIND_THEIR_OWN):
        return None
    if (
        not isinstance(rate, int | float)
        or isinstance(rate, bool)
        or not 0 < rate < math.inf
        or rate != before.value("learning_rate")
    ):
        return None
    return RateHint(old, new, rate, spelled(float(f"{rate * math.sqrt(new / old):.2e}")))


def _load(facts: Facts) -> int | None:
    """Pictures per step; where the dataset lies elsewhere, the accumulated steps alone say what changed."""
    known = pictures_per_step(facts)
    if known is None and facts.value("dataset_config") is not None and not facts.value("datasets"):
        accumulated = facts.value("gradient_accumulation_steps")
        return int(accumulated) if _positive(accumulated) else None
    return known


def _hashable(table: Mapping[str, Any]) -> bool:
    return not isinstance(table.get("batch_size"), list | dict)


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
