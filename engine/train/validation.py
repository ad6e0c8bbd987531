"""A loss that can be compared: the same items, noise and noise levels every time, drawn once from the seed.

Training loss is mostly the luck of the noise level. Here each of ``count`` entries is one item with its own noise and one
of ``count`` evenly spaced quantiles of the training distribution of t, so that the number moves only when the model does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.data.items import Item
from engine.data.loader import LOSS_MASK
from engine.networks.lora import LoraNetwork
from engine.train.objective import Objective, conditions_on, on_device
from engine.train.timesteps import quantile_timesteps

_BINS = 4

LoadBatch = Callable[[Sequence[Item]], Mapping[str, Any]]


@dataclass(frozen=True)
class ValidationResult:
    """Mean squared errors: over all entries, by range of t ("0.00-0.25" …), and of predicting zero."""

    loss: float
    by_t: dict[str, float]
    base: float


@dataclass(frozen=True)
class _Entry:
    item: Item
    quantile: float
    seed: int


class ValidationSet:
    """``count`` fixed (item, noise, noise level) triples. Items repeat when there are fewer."""

    def __init__(self, items: Sequence[Item], count: int, *, seed: int, load: LoadBatch) -> None:
        generator = random.Random(f"validation {seed}")
        order = list({item.id: item for item in items}.values())
        generator.shuffle(order)
        quantiles = [(index + 0.5) / count for index in range(count)]
        generator.shuffle(quantiles)
        self._load = load
        self._entries = [
            _Entry(order[index % len(order)], quantile, generator.getrandbits(48))
            for index, quantile in enumerate(quantiles)
        ]

    def __len__(self) -> int:
        return len(self._entries)

    @torch.no_grad()
    def evaluate(
        self, objective: Objective, transformer: nn.Module, network: LoraNetwork, device: torch.device
    ) -> ValidationResult:
        """Losses of the present adapter. Draws nothing from the global generators; waits for the device once."""
        was_training = network.training
        network.eval()
        levels, losses, bases = [], [], []
        try:
            for entry in self._entries:
                tensors = self._load([entry.item])
                latents = on_device(tensors["latents"], device)
                drawn = quantile_timesteps(objective.timesteps, torch.tensor([entry.quantile]), latents.shape)
                source = torch.Generator().manual_seed(entry.seed)
                noise = on_device(torch.randn(latents.shape, generator=source), device)
                target = noise - latents.float()
                prediction = objective.predict(
                    transformer, objective.mix(latents, noise, drawn.t), drawn.model, conditions_on(tensors, device)
                )
                levels.append(float(drawn.t))
                mask = tensors.get(LOSS_MASK)
                losses.append(objective.loss(prediction, target, mask=mask))
                bases.append(objective.loss(torch.zeros_like(target), target, mask=mask))
        finally:
            network.train(was_training)
        measured, base = torch.stack([torch.stack(losses), torch.stack(bases)]).tolist()
        return ValidationResult(_mean(measured), _by_level(levels, measured), _mean(base))


def _by_level(levels: Sequence[float], losses: Sequence[float]) -> dict[str, float]:
    bins: dict[int, list[float]] = {}
    for level, loss in zip(levels, losses, strict=True):
        bins.setdefault(min(int(level * _BINS), _BINS - 1), []).append(loss)
    return {f"{number / _BINS:.2f}-{(number + 1) / _BINS:.2f}": _mean(bins[number]) for number in sorted(bins)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
