"""Time and money: the arithmetic of a step, over what a card really does of it.

Arithmetic is counted from the model's sizes: 2 operations per weight and token, 4 x width per pair of tokens that attend to
each other. Frozen weights need no gradient of their own, so a step is two forward passes' worth of the Linears (three with
gradient checkpointing) and three and a half of attention (four and a half).

What share of a data sheet's figure is reached was read off published measurements of LoRA training (Qwen-Image 1024² on
H100 and L40S: 20 %; Wan 1.3B and 14B at 480p, 81 frames: 55 % and more): little for short sequences, much for long ones. That
is rough, and said so. A run of the same model on the same card replaces it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from engine.config.language import say
from engine.planner.facts import PastRun, SizeGroup
from engine.planner.request import PlanRequest

_SHORT, _SHORT_SHARE = 4096, 0.20  # tokens, share of the data sheet's arithmetic
_LONG, _LONG_SHARE = 32768, 0.55
_BLOCK_SECONDS = 1e-3  # a block cannot pass faster however small the picture: its kernels have to be started
_ROUGH = 1.8  # an estimate from the data sheet is between 1/1.8 and 1.8 times what happens
_SAME_SPREAD = 0.08  # a run of the same model on this card: other sizes and batches cost this much more or less


@dataclass(frozen=True)
class Seconds:
    """How long something takes. ``low`` and ``high`` enclose ``middle``."""

    middle: float
    low: float
    high: float

    def times(self, factor: float) -> Seconds:
        """As many times that."""
        return Seconds(self.middle * factor, self.low * factor, self.high * factor)

    def plus(self, other: Seconds) -> Seconds:
        """Both, one after the other."""
        return Seconds(self.middle + other.middle, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Rate:
    """Operations a second, the factor of doubt, and where the number comes from."""

    flops: float
    doubt: float
    how: str
    measured: bool


def step_flops(ask: PlanRequest) -> float:
    """Operations of one optimizer step, on average over the dataset."""
    total = sum(group.items * train_flops(ask, group) for group in ask.data.groups)
    return total / max(1, ask.data.batches) * ask.accumulation


def train_flops(ask: PlanRequest, group: SizeGroup) -> float:
    """Operations of one item: forward, and backward through frozen weights and the adapter."""
    linears, attention, adapter = _forward(ask, ask.spec.tokens(group.width, group.height, group.frames))
    again = 1 if ask.checkpointing else 0
    return (2 + again) * linears + (3.5 + again) * attention + (3 + again) * adapter


def forward_flops(ask: PlanRequest, width: int, height: int, frames: int) -> float:
    """Operations of one prediction, as previews make them."""
    return sum(_forward(ask, ask.spec.tokens(width, height, frames)))


def _forward(ask: PlanRequest, picture: int) -> tuple[float, float, float]:
    """Operations of one item's forward pass: frozen Linears, attention, adapter."""
    text = ask.text_tokens
    passes = {"tokens": picture, "text": text, "item": 1}
    linears = sum(2.0 * weights * passes[what] for what, weights in ask.transformer.weights_seen.items())
    adapter = sum(2.0 * ask.rank * sides * passes[what] for what, sides in ask.adapted.sides_seen.items())
    pairs = (picture + text) ** 2 if ask.facts.text_joins else picture * (picture + text)
    return linears, 4.0 * ask.transformer.width * pairs * ask.transformer.blocks, adapter


def rate(ask: PlanRequest) -> Rate | None:
    """What this machine does in a second; None without a known card and without an earlier run."""
    card = ask.machine.card
    if card is None and ask.machine.total is not None:  # so much memory on whatever card: nothing says how fast it is
        return None
    name = card.name if card else ""
    same = [run for run in ask.past if run.card == name and run.family == ask.spec.name]
    alike = [run for run in same if run.parameters == ask.transformer.parameters]
    if alike:  # another size reaches another share of the card: a tiny model's run says nothing of a large one
        return _measured(alike, _SAME_SPREAD)
    if card is None or not card.tflops:
        return None
    share = share_of_card(ask.tokens(ask.largest) * ask.largest.largest_batch)
    how = say(
        f"{share:.0%} of the {card.tflops:g} TFLOP/s of a {card.name}",
        f"{card.name} の {card.tflops:g} TFLOP/s の {share:.0%}",
    )
    return Rate(share * card.tflops * 1e12 * (1 if ask.half else 0.25), _ROUGH, how, measured=False)


def share_of_card(tokens: int) -> float:
    """Share of a card's arithmetic that training reaches with so many tokens in a batch."""
    place = (math.log(max(1, tokens)) - math.log(_SHORT)) / (math.log(_LONG) - math.log(_SHORT))
    return _SHORT_SHARE + (_LONG_SHARE - _SHORT_SHARE) * min(1.0, max(0.0, place))


def _measured(runs: list[PastRun], spread: float) -> Rate:
    newest = runs[:5]
    rates = [run.flops / run.seconds for run in newest]
    middle = median(rates)
    doubt = 1 + max(spread, max(rates) / middle - 1, 1 - min(rates) / middle)
    names = newest[0].name + (
        say(f" and {len(newest) - 1} more", f" 他 {len(newest) - 1} 件") if len(newest) > 1 else ""
    )
    return Rate(middle, doubt, say(f"measured here: {names}", f"このマシンでの実測: {names}"), measured=True)


def step_seconds(ask: PlanRequest, speed: Rate) -> Seconds:
    """Seconds of one optimizer step: its arithmetic, but never faster than weights can be read and kernels be started."""
    middle = step_flops(ask) / speed.flops
    card = ask.machine.card
    if card is not None and not speed.measured:
        passes = (3 if ask.checkpointing else 2) * ask.accumulation
        middle = max(middle, passes * ask.transformer.blocks * _BLOCK_SECONDS)
        middle = max(middle, passes * ask.transformer.weight_bytes(ask.weight_dtype_bytes) / (card.bandwidth * 1e9))
    return Seconds(middle, middle / speed.doubt, middle * speed.doubt)


def preview_seconds(ask: PlanRequest, speed: Rate) -> Seconds:
    """Seconds of one round of previews, at the task's own number of steps."""
    shown = ask.task.sample
    predictions = shown.steps * (2 if shown.guidance_scale > 1 and "cfg" in ask.spec.capabilities else 1)
    middle = ask.prompts * predictions * forward_flops(ask, *ask.shown) / speed.flops
    return Seconds(middle, middle / speed.doubt, middle * speed.doubt)


def preview_rounds(ask: PlanRequest) -> int:
    """How often previews are made."""
    if not ask.prompts:
        return 0
    rounds = 1 if ask.values.get("sample_at_first") else 0
    rounds += bool(ask.values.get("sample_after_steps"))
    every = int(ask.values.get("sample_every_n_steps") or 0)
    if every:
        rounds += ask.steps // every
    epochs = int(ask.values.get("sample_every_n_epochs") or 0)
    if epochs and not every:
        rounds += ask.steps // ask.steps_per_epoch // epochs
    return rounds
