"""What to change when a run does not fit: each change with its new figures, those that cost least first.

Only what this release really does is offered. The order is by what a person gives up: time first (checkpointing, batch
size), then a little exactness (8-bit optimizer), then what the LoRA can learn (resolution, length of clips, rank).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from engine.config.language import say
from engine.planner.lines import Plan, Suggestion
from engine.planner.memory import phases
from engine.planner.request import PlanRequest
from engine.planner.speed import rate, step_seconds

_SCALES = (0.875, 0.75, 0.625, 0.5)
_SMALLEST_SIDE = 256
_SMALLEST_RANK = 4


class _Change(NamedTuple):
    key: str
    value: Any
    where: Literal["preset", "dataset"]
    title: str
    cost: str
    apply: Callable[[PlanRequest], PlanRequest]


def suggest(ask: PlanRequest, plan: Plan) -> tuple[tuple[Suggestion, ...], tuple[Suggestion, ...]]:
    """(single changes that help, ranked; the changes that together make it fit where no single one does)."""
    if plan.available is not None and _fixed(plan) > plan.available:
        return (), ()  # the model alone is too large: nothing here would help
    judged = [_judged(change, ask, plan.available) for change in _changes(ask)]
    single = _one_of_each([found for found in judged if found.peak < plan.peak])
    fitting = [found for found in single if found.fits]
    if fitting:
        return (*fitting, *(found for found in single if not found.fits)), ()
    return tuple(single), _together(ask, plan.available)


def around(ask: PlanRequest, peak: int, room: int) -> tuple[tuple[Suggestion, ...], tuple[Suggestion, ...]]:
    """(what could be raised and still fits into ``room`` bytes, what could be lowered), from a peak that was measured.

    A change is expected to move the measured peak as it moves the planned one, in the proportion in which the plan was right.
    """
    planned = _peak(ask)
    right = min(2.0, max(0.5, peak / planned)) if planned else 1.0

    def judged(change: _Change) -> Suggestion:
        found = _judged(change, ask, None)
        expected = max(0, round(peak + (found.peak - planned) * right))
        return replace(found, peak=expected, fits=expected <= room)

    more: dict[str, Suggestion] = {}
    for found in map(judged, _raises(ask)):  # of each kind the strongest that fits
        if found.fits and found.peak > peak:
            more[found.key] = found
    less = _one_of_each([found for found in map(judged, _changes(ask)) if found.peak < peak])
    return tuple(more.values()), tuple(less)


def _raises(ask: PlanRequest) -> Iterator[_Change]:
    """Everything that memory could be spent on, what helps most first; mild before strong."""
    if ask.checkpointing:
        yield _option("gradient_checkpointing", False, say("each block is computed once: about 0.7 times as long", "各ブロックの計算が 1 回に: 時間は約 0.7 倍"))  # fmt: skip
    batch = max(group.batch_size for group in ask.data.groups)
    for size in (2 * batch, 4 * batch):
        cost = say("steadier gradients, slower steps", "勾配が安定し、ステップは長くなります")
        yield _Change("batch_size", size, "dataset", f"batch_size = {size}", cost, lambda ask, size=size: ask.on(ask.data.with_batches_of(size)))  # type: ignore[misc]  # fmt: skip
    largest = ask.largest
    for factor in (1.25, 1.5):
        side = int((largest.width * largest.height) ** 0.5 * factor) // ask.spec.pixel_step * ask.spec.pixel_step
        cost = say("more detail, slower; encodes again", "細部が増え、ステップは長くなります（再エンコード）")
        yield _Change("resolution", side, "dataset", f"resolution = [{side}, {side}]", cost, lambda ask, f=factor: ask.on(ask.data.scaled(f, ask.spec.pixel_step)))  # type: ignore[misc]  # fmt: skip
    if ask.start is None:
        yield _option("network_dim", 2 * ask.rank, say("learns more detail, a larger file", "より細部を学習でき、ファイルは大きくなります"))  # fmt: skip
    if str(ask.values["optimizer_type"]).lower() == "adamw8bit":
        yield _option("optimizer_type", "adamw", say("the optimizer remembers in 32 bits", "optimizer の状態が 32 ビットに"))  # fmt: skip


def _fixed(plan: Plan) -> float:
    """The largest model that must lie on the card at once."""
    models = ("weights", "text_encoder", "vae")
    return max(line.amount or 0 for phase in plan.phases for line in phase.lines if line.id in models)


def _one_of_each(found: list[Suggestion]) -> list[Suggestion]:
    """Of each kind of change the mildest that fits, else the strongest."""
    by_key: dict[str, Suggestion] = {}
    for one in found:
        if one.key not in by_key or not by_key[one.key].fits:
            by_key[one.key] = one
    return list(by_key.values())


def _together(ask: PlanRequest, available: int | None) -> tuple[Suggestion, ...]:
    """The steps of a descent: the least costly change that helps, again and again. Empty when even all do not fit."""
    taken: list[Suggestion] = []
    used: set[str] = set()
    peak = _peak(ask)
    for change in _all_the_way(ask):
        if change.key in used:
            continue
        found = _judged(change, ask, available)
        if found.peak >= peak:
            continue
        taken.append(found)
        used.add(change.key)
        ask, peak = change.apply(ask), found.peak
        if found.fits:
            return tuple(taken)
    return ()


def _judged(change: _Change, ask: PlanRequest, available: int | None) -> Suggestion:
    asked = change.apply(ask)
    peak, speed = _peak(asked), rate(asked)
    return Suggestion(
        change.key,
        change.value,
        change.where,
        change.title,
        change.cost,
        peak,
        step_seconds(asked, speed).middle if speed else None,
        None if available is None else peak <= available,
    )


def _peak(ask: PlanRequest) -> int:
    return max(phase.peak for phase in phases(ask))


def _changes(ask: PlanRequest) -> Iterator[_Change]:
    """Everything that might help, least costly first."""
    if not ask.checkpointing:
        yield _option("gradient_checkpointing", True, say("each block is computed twice: about 1.4 times as long", "各ブロックを 2 回計算: 時間は約 1.4 倍"))  # fmt: skip
    batch = max(group.batch_size for group in ask.data.groups)
    while batch > 1:
        batch //= 2
        yield _batch(batch)
    if str(ask.values["optimizer_type"]).lower() == "adamw":
        yield _option("optimizer_type", "adamw8bit", say("the optimizer remembers in 8 bits", "optimizer の状態が 8 ビットに"))  # fmt: skip
    yield from _lengths(ask)
    yield from _resolutions(ask)
    rank = ask.rank
    while rank // 2 >= _SMALLEST_RANK and ask.start is None:
        rank //= 2
        yield _option("network_dim", rank, say("learns less detail", "学習できる細部が減ります"))


def _all_the_way(ask: PlanRequest) -> Iterator[_Change]:
    """One change of each kind, at its full strength."""
    by_key: dict[str, _Change] = {}
    for change in _changes(ask):
        by_key[change.key] = change
    yield from by_key.values()


def _option(key: str, value: Any, cost: str) -> _Change:
    return _Change(key, value, "preset", f"{key} = {_shown(value)}", cost, lambda ask: ask.but(**{key: value}))


def _batch(size: int) -> _Change:
    cost = say(
        "more steps for the same pictures, each of them faster",
        "同じ枚数により多くのステップが必要（各ステップは速い）",
    )
    return _Change("batch_size", size, "dataset", f"batch_size = {size}", cost, lambda ask: ask.on(ask.data.with_batch_size(size)))  # fmt: skip


def _lengths(ask: PlanRequest) -> Iterator[_Change]:
    longest = max(group.frames for group in ask.data.groups)
    stride = ask.spec.frame_stride
    for frames in (longest // 2 // stride * stride + 1, longest // 4 // stride * stride + 1):
        if 1 < frames < longest:
            cost = say("shorter movements are learnt", "学習する動きが短くなります")
            yield _Change("target_frames", frames, "dataset", f"target_frames = [{frames}]", cost, lambda ask, most=frames: ask.on(ask.data.with_frames(most)))  # type: ignore[misc]  # fmt: skip


def _resolutions(ask: PlanRequest) -> Iterator[_Change]:
    largest = ask.largest
    for factor in _SCALES:
        data = ask.data.scaled(factor, ask.spec.pixel_step)
        sides = [(g.width, g.height) for g in data.groups]
        if min(min(pair) for pair in sides) < _SMALLEST_SIDE:
            return
        side = int((largest.width * largest.height) ** 0.5 * factor) // ask.spec.pixel_step * ask.spec.pixel_step
        title = f"resolution = [{side}, {side}]"
        cost = say("less detail in the pictures", "画像の細部が減ります")
        yield _Change("resolution", side, "dataset", title, cost, lambda ask, f=factor: ask.on(ask.data.scaled(f, ask.spec.pixel_step)))  # type: ignore[misc]  # fmt: skip


def _shown(value: Any) -> str:
    return "true" if value is True else f'"{value}"' if isinstance(value, str) else str(value)
