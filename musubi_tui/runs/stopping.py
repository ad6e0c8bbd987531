"""How long a safe stop takes: the step the run is in, its state, and its LoRA. Measured where that was saved before, else estimated.

Before the first save the sizes are known: the planner's, or those of a LoRA file. A disk is then taken for a slow one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from engine.config.language import say
from engine.events.types import Memory, Plan


class Saved(Protocol):
    """A file or a state that was saved, as events and views tell it."""

    @property
    def kind(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def step(self) -> int: ...


@dataclass(frozen=True)
class StopTime:
    """Seconds until the engine is gone. ``measured``: a state of this run was saved before."""

    seconds: float
    measured: bool


def stop_time(
    step_seconds: float | None, saved: Iterable[Saved], plan: Plan | None = None, memory: Memory | None = None
) -> StopTime | None:
    """The bound of a run whose steps take ``step_seconds``; None before the first step, and where no size is known."""
    if step_seconds is None:
        return None
    kept = list(saved)
    states = sorted(one.seconds for one in kept if one.kind == "state" and one.seconds is not None)
    loras = [one for one in kept if one.kind == "lora"]
    last = [one for one in loras if one.step == loras[-1].step]  # one in every dialect
    from engine.planner.disk import write_seconds  # knows the families: the first screen does not wait for them

    adapter, optimizer = _sizes(plan, memory)
    adapter = adapter or sum(one.bytes for one in last[:1])
    if not states and not adapter:
        return None
    state = states[len(states) // 2] if states else write_seconds(adapter + (optimizer or 2 * adapter))
    told = [one.seconds for one in last if one.seconds is not None]
    lora = sum(told) if told else write_seconds(adapter) if adapter else 0.0
    return StopTime(step_seconds + state + lora, bool(states))


def stop_words(bound: StopTime | None) -> str:
    """What a person is told before a stop."""
    if bound is None:
        return say("It takes a step and a save; how long that is, is not known yet.",
                   "1 ステップと保存の時間がかかります（所要時間はまだ分かりません）。")  # fmt: skip
    seconds = math.ceil(bound.seconds) or 1
    if bound.measured:
        return say(f"It takes about {seconds} s.", f"約 {seconds} 秒かかります。")
    return say(
        f"It takes about {seconds} s, by estimate: no state was saved yet.",
        f"約 {seconds} 秒かかります（まだ状態を保存していないため見積もりです）。",
    )


def _sizes(plan: Plan | None, memory: Memory | None) -> tuple[int, int]:
    """Bytes of the adapter and of what the optimizer keeps, 0 where nobody told."""
    adapter = (plan.adapter if plan else None) or (memory.adapter if memory else None) or 0
    optimizer = (plan.optimizer if plan else None) or (memory.optimizer if memory else None) or 0
    return adapter, optimizer
