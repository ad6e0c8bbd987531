"""Learning-rate schedules as plain functions of the step: no state to save, nothing to fall out of step after a resume.

Names and formulas are those of Hugging Face's schedules, which Musubi Tuner uses. All rise linearly from 0 over the
warm-up; then ``constant`` and ``constant_with_warmup`` stay, ``linear`` falls to 0, ``cosine`` falls as half a cosine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.config.language import say
from engine.config.problems import ConfigError

SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """``name`` over ``total`` optimizer steps, the first ``warmup`` of them rising."""

    name: str
    total: int
    warmup: int = 0

    @classmethod
    def create(cls, name: str, total: int, warmup: int | float = 0) -> Schedule:
        """A float ``warmup`` is a share of ``total``. Raises ``ConfigError``: unknown name, warm-up of ``constant``."""
        if name not in SCHEDULES:
            raise ConfigError.of(
                "not_built_yet",
                say(f"lr_scheduler {name!r} is not built yet.", f"lr_scheduler {name!r} は未対応です。"),
                say(f"Built: {', '.join(SCHEDULES)}.", f"対応: {', '.join(SCHEDULES)}。"),
                key="lr_scheduler",
            )
        steps = int(warmup * total) if isinstance(warmup, float) else warmup
        if name == "constant" and steps:
            raise ConfigError.of(
                "warmup_without_schedule",
                say("lr_scheduler \"constant\" has no warm-up, but lr_warmup_steps is set.",
                    "lr_scheduler \"constant\" ではウォームアップできませんが、lr_warmup_steps が指定されています。"),
                say("Use lr_scheduler = \"constant_with_warmup\".", "lr_scheduler = \"constant_with_warmup\" にしてください。"),
                key="lr_warmup_steps",
            )  # fmt: skip
        return cls(name, total, steps)

    def factor(self, step: int) -> float:
        """What the learning rate of optimizer step ``step`` (from 0) is multiplied with."""
        if step < self.warmup:
            return step / max(1, self.warmup)
        if self.name.startswith("constant"):
            return 1.0
        progress = min(1.0, (step - self.warmup) / max(1, self.total - self.warmup))
        if self.name == "linear":
            return 1.0 - progress
        return 0.5 * (1.0 + math.cos(math.pi * progress))
