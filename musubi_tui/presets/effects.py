"""What other values would change of the plan: memory, pace, time, money and disk of a value's neighbours, and of a value against
its default. The planner is asked once more for each; options that it does not read come out without a figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from engine.config.language import say
from engine.config.option import Option
from engine.config.values import parse_override
from engine.planner.facts import DataSummary
from engine.planner.lines import GIB, Phase, Plan, duration, gib
from engine.planner.plan import make_plan
from engine.planner.request import PlanRequest
from musubi_tui.presets.dataset_cells import DatasetCell
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.form import shown
from musubi_tui.presets.stepping import stepped

# Their contents were counted when the request was gathered.
_DATASET = frozenset({"dataset_config", "general", "datasets"})
_MOST_CHOICES = 12
_LEAST_BYTES = 1 << 20  # what differs by less is no difference
_LEAST_SHARE = 0.003  # of a step's seconds
_LEAST_SECONDS = 60.0  # of the whole run
_LEAST_MONEY = 0.005
_SMALLER = 3 / 4  # the resolution that is offered below


@dataclass(frozen=True)
class Effect:
    """How the plan with another value differs from the plan of now. ``words``: that value as the form writes it.

    ``memory`` is bytes of the phase that changes most, ``phase`` its title where that is not training. Seconds, money and bytes
    are 0 where nothing changes or nothing is known. ``fits`` is of the other value.
    """

    words: str
    memory: int = 0
    phase: str = ""
    step: float = 0.0
    whole: float = 0.0
    cost: float = 0.0
    disk: int = 0
    fits: bool | None = None

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return any((self.memory, self.step, self.whole, self.cost, self.disk))

    def figures(self, *, brief: bool = False) -> str:
        """``+0.2 GB  +0.03 s/it  +12 min  disk +40 MB``; ``brief`` has memory and pace, else the first of the others."""
        found = [f"{self.phase} {_memory(self.memory)}".strip()] if self.memory else []
        found += [f"{self.step:+.2g} s/it"] if self.step else []
        more = [f"{_sign(self.whole)}{duration(max(100.0, abs(self.whole)))}"] if self.whole else []
        more += [say(f"cost {self.cost:+.2f}", f"費用 {self.cost:+.2f}")] if self.cost else []
        more += [say("disk ", "ディスク ") + _disk(self.disk)] if self.disk else []
        return "  ".join((found or more[:1]) if brief else [*found, *more])

    def tight(self) -> str:
        """``+0.2G +0.03s/it``: for a column of the form; of training, else disk."""
        found = [f"{self.memory / GIB:+.1f}G"] if abs(self.memory) >= 0.05 * GIB and not self.phase else []
        found += [f"{self.step:+.2f}s/it" if abs(self.step) >= 0.005 else f"{self.step:+.1g}s/it"] if self.step else []
        return " ".join(found) or ("" if self.memory and self.phase else self.figures(brief=True))


def question(request: PlanRequest, facts: Facts) -> PlanRequest | None:
    """The gathered question with the values of now; what is not built yet saves nothing. None where they make no valid preset
    of the same kind."""
    if facts.spec is not request.spec or facts.task is not request.task:
        return None
    if facts.reading is None or facts.reading.config is None:
        return None
    values = {name: value for name, value in facts.reading.config.values().items() if name not in _DATASET}
    unbuilt = frozenset(problem.key for problem in facts.problems if problem.code == "not_built_yet")
    return replace(request.but(**values), unbuilt=unbuilt)


def of_neighbours(ask: PlanRequest, option: Option, value: Any) -> tuple[Effect, ...]:
    """The effects of the values beside ``value``: a number one step down and up, every other choice that is built, the other of
    yes and no. Only those that change something."""
    now = make_plan(ask, advise=False)
    found = (_effect(now, _with(ask, option, other), shown(option, other)) for other in _others(option, value))
    return tuple(effect for effect in found if effect)


def against_default(ask: PlanRequest, option: Option, value: Any, default: Any) -> Effect | None:
    """What ``value`` costs more than the default; None where that changes nothing."""
    if option.kind == "path" or value == default or (default is None and option.kind in ("whole number", "number")):
        return None
    without = make_plan(_with(ask, option, default), advise=False)
    effect = _effect(without, ask, shown(option, value))
    return effect or None


def of_cell(ask: PlanRequest, cell: DatasetCell) -> tuple[Effect, ...]:
    """The effects of another batch size or resolution, where all items have the one of this table."""
    now = make_plan(ask, advise=False)
    found = (_effect(now, ask.on(data), words) for words, data in _other_data(ask, cell))
    return tuple(effect for effect in found if effect)


def _other_data(ask: PlanRequest, cell: DatasetCell) -> Iterator[tuple[str, DataSummary]]:
    groups = ask.data.groups
    if cell.name == "batch_size" and isinstance(cell.value, int) and {group.batch_size for group in groups} == {cell.value}:  # fmt: skip
        for size in (cell.value // 2, cell.value * 2):
            if size >= 1:  # an assumed batch is as full as the batch size allows
                others = (
                    replace(group, batch_size=size, items=size if ask.data.assumed else group.items) for group in groups
                )
                yield str(size), replace(ask.data, groups=tuple(others))
    elif (
        cell.name == "resolution"
        and isinstance(cell.value, int | list)
        and cell.table in ("[general]", "[[datasets]] 1")
    ):
        sides = [cell.value, cell.value] if isinstance(cell.value, int) else cell.value
        if len(sides) == 2 and all(isinstance(side, int) and side >= 256 for side in sides):
            step = ask.spec.pixel_step
            words = "x".join(str(int(side * _SMALLER) // step * step) for side in sides)
            yield words, ask.data.scaled(_SMALLER, step)


def _others(option: Option, value: Any) -> Iterator[Any]:
    if option.kind == "yes/no":
        yield value is not True
    elif option.kind in ("whole number", "number", "steps or share"):
        for direction in (-1, 1):
            after = stepped(option, value, direction)
            if after is not None:
                yield parse_override(option, after)
    elif option.kind == "choice" or (option.kind == "text" and option.suggestions):
        named = option.choices if option.kind == "choice" else option.suggestions
        others = [other for other in named if other != value and option.status_of(other) == "built"]
        yield from others[:_MOST_CHOICES]


def _with(ask: PlanRequest, option: Option, value: Any) -> PlanRequest:
    saves_nothing = {option.name} if option.status_of(value) != "built" else set()
    return replace(ask.but(**{option.name: value}), unbuilt=(ask.unbuilt - {option.name}) | saves_nothing)


def _effect(now: Plan, other: PlanRequest, words: str) -> Effect:
    """``other`` less ``now``."""
    try:
        then = make_plan(other, advise=False)
    except (ValueError, TypeError, ArithmeticError):  # a value that only a person would write
        return Effect(words)
    phase, memory = _memory_change(now, then)
    seconds = _difference(now, then, "step")
    step = now.line("step")
    worth = step is not None and bool(step.amount) and abs(seconds) >= _LEAST_SHARE * (step.amount or 1)
    whole, cost = _difference(now, then, "whole"), _difference(now, then, "cost")
    disk = int(sum(line.amount or 0 for line in then.disk) - sum(line.amount or 0 for line in now.disk))
    return Effect(
        words,
        memory=memory,
        phase=phase.title if phase is not None and phase.id != "train" else "",
        step=seconds if worth else 0.0,
        whole=whole if abs(whole) >= _LEAST_SECONDS else 0.0,
        cost=cost if abs(cost) >= _LEAST_MONEY else 0.0,
        disk=disk if abs(disk) >= _LEAST_BYTES else 0,
        fits=then.fits,
    )


def _memory_change(now: Plan, then: Plan) -> tuple[Phase | None, int]:
    """The phase whose peak changes most, training before the others."""
    found: tuple[Phase | None, int] = (None, 0)
    for phase in sorted(then.phases, key=lambda phase: phase.id != "train"):
        before = now.phase(phase.id)
        change = phase.peak - before.peak if before is not None else 0
        if abs(change) >= _LEAST_BYTES and (
            found[0] is None or (found[0].id != "train" and abs(change) > abs(found[1]))
        ):
            found = (phase, change)
    return found


def _difference(now: Plan, then: Plan, name: str) -> float:
    before, after = now.line(name), then.line(name)
    if before is None or after is None or before.amount is None or after.amount is None:
        return 0.0
    return after.amount - before.amount


def _sign(amount: float) -> str:
    return "-" if amount < 0 else "+"


def _memory(size: int) -> str:
    if abs(size) >= 0.05 * GIB:
        return f"{size / GIB:+.1f} GB"
    return f"{_sign(size)}{gib(abs(size))}"


def _disk(size: int) -> str:
    return f"{size / 1e9:+.1f} GB" if abs(size) >= 5e7 else f"{size / 1e6:+.0f} MB"
