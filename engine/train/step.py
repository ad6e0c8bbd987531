"""One training step: draw noise and its level, mix, predict, compare, go down the gradient.

Nothing here asks the device for a number: losses and norms are returned as device scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from engine.data.loader import LOSS_MASK, LOSS_WEIGHT, QUANTILES
from engine.networks.lora import LoraNetwork
from engine.train.meter import PartClock
from engine.train.objective import Objective, conditions_on, on_device
from engine.train.schedules import Schedule
from engine.train.timesteps import Timesteps


@dataclass
class TrainStep:
    """Everything a step touches. ``max_grad_norm`` 0 does not clip."""

    objective: Objective
    transformer: nn.Module
    network: LoraNetwork
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    device: torch.device
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        self.parameters = list(self.network.parameters())
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        # fp16 gradients underflow without a factor; a disabled scaler passes everything through.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.objective.mixed_precision == "fp16")
        self.clock = PartClock(self.device)

    def accumulate(self, batch: Mapping[str, Any], share: float) -> tuple[torch.Tensor, Timesteps]:
        """Forward and backward of one micro-batch whose loss counts ``share``: (its loss on the device, its noise levels)."""
        self.clock.mark("")
        latents = on_device(batch["latents"], self.device)
        conditions = conditions_on(batch, self.device)

        noise = self.objective.noise(latents)
        drawn = self.objective.draw(latents, batch.get(QUANTILES))
        noisy = self.objective.mix(latents, noise, drawn.t)
        prediction = self.objective.predict(self.transformer, noisy, drawn.model, conditions)
        weight = combined(drawn.weight, batch.get(LOSS_WEIGHT))
        loss = self.objective.loss(prediction, self.objective.target(latents, noise), weight, batch.get(LOSS_MASK))

        self.clock.mark("forward")
        self.scaler.scale(loss * share).backward()
        self.clock.mark("backward")
        return loss.detach(), drawn

    def update(self, step: int, factor: float = 1.0) -> torch.Tensor:
        """Clip, and move the adapter at the learning rate of ``step`` (from 0) times ``factor``: the gradient's norm."""
        self.scaler.unscale_(self.optimizer)
        norm = self._clip()
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * self.schedule.factor(step) * factor
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.clock.mark("optimizer")
        return norm

    def discard(self) -> None:
        """Forget what was accumulated since the last update."""
        self.optimizer.zero_grad(set_to_none=True)

    def learning_rates(self) -> tuple[float, ...]:
        """Learning rate of each group at the last update."""
        return tuple(float(group["lr"]) for group in self.optimizer.param_groups)

    def _clip(self) -> torch.Tensor:
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.max_grad_norm, norm)
        return norm


def combined(of_level: torch.Tensor | None, of_item: torch.Tensor | None) -> torch.Tensor | None:
    """The weight (B,) of each item from that of its noise level and that of its dataset; None where both are 1."""
    if of_level is None or of_item is None:
        return of_item if of_level is None else of_level
    return of_level * on_device(of_item, of_level.device)


def checkpoint_blocks(transformer: nn.Module, network: LoraNetwork) -> None:
    """Recompute each block in the backward pass instead of keeping its activations."""
    drops = any(adapter.dropouts.bottleneck or adapter.dropouts.rank or adapter.dropouts.module for adapter in network)
    # Without dropout nothing random happens inside a block, so the generators need not be kept for its second run.
    transformer.enable_gradient_checkpointing(partial(checkpoint, use_reentrant=False, preserve_rng_state=drops))
