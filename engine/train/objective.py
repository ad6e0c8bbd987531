"""Flow matching: mix data with noise along a straight line, ask the model for the direction from data to noise.

x_t = (1 - t) x + t ε,   target v = ε - x,   loss = mean of w(t) (v̂ - v)².

Source: Lipman et al., "Flow Matching for Generative Modeling" (2022), https://arxiv.org/abs/2210.02747; Esser et al. (2024).
``numerics = "exact"`` does all of it in fp32. ``"musubi"`` draws the noise and takes the target in the cache's dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from engine.data.loader import LOSS_MASK, LOSS_WEIGHT, QUANTILES
from engine.families.family import FamilyModel
from engine.train.timesteps import Timesteps, TimestepSettings, draw_timesteps

_LEAST_SHOWN = 1e-3  # share of a picture: a mask that shows less does not weigh more than one that shows this
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Objective:
    """What is minimised. ``mixed_precision``: "no" | "bf16" | "fp16", the dtype of the model's arithmetic."""

    family: FamilyModel
    timesteps: TimestepSettings
    mixed_precision: str = "no"
    guidance_scale: float = 1.0

    @property
    def numerics(self) -> Literal["exact", "musubi"]:
        """Whose arithmetic."""
        return self.timesteps.numerics

    def noise(self, latents: torch.Tensor) -> torch.Tensor:
        """ε of the latents' shape, on their device."""
        return torch.randn_like(latents, dtype=None if self.numerics == "musubi" else torch.float32)

    def draw(self, latents: torch.Tensor, quantiles: torch.Tensor | None = None) -> Timesteps:
        """A noise level for each item of the batch: at its quantile (B,), where there are any."""
        return draw_timesteps(self.timesteps, latents.shape, quantiles)

    def mix(self, latents: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """x_t in fp32. ``t`` (B,) stands on the CPU or on the device."""
        t = on_device(t, latents.device).view(-1, *[1] * (latents.dim() - 1))
        return (1 - t) * latents + t * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """v = ε - x."""
        return noise - latents if self.numerics == "musubi" else noise - latents.float()

    def predict(
        self, transformer: nn.Module, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Mapping[str, Any]
    ) -> torch.Tensor:
        """v̂ (B, C, f, h, w) for ``noisy`` at ``timesteps`` (B,) on the 0..1000 scale, in fp32."""
        with self.autocast(noisy.device):
            inputs = self.family.model_inputs(
                noisy, on_device(timesteps, noisy.device), conditions, guidance_scale=self.guidance_scale
            )
            output = transformer(**inputs, return_dict=False)
        return self.family.velocity(output, noisy.shape).float()

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """The context of the model's arithmetic."""
        dtype = _AUTOCAST.get(self.mixed_precision)
        return torch.autocast(device.type, dtype) if dtype else nullcontext()

    def loss(
        self,
        prediction: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean of w (v̂ - v)²: a scalar on the device. With a ``mask`` (B, 1, 1, h, w) the mean of each item is over what it shows."""
        if weight is None and mask is None:
            return nn.functional.mse_loss(prediction, target.float())
        error = (prediction - target.float()).square()
        if mask is not None:
            shown = on_device(mask, error.device).expand_as(error)
            error = error * shown / shown.flatten(1).mean(dim=1).clamp_min(_LEAST_SHOWN).view(-1, 1, 1, 1, 1)
        of_item = error.flatten(1).mean(dim=1)
        return of_item.mean() if weight is None else (on_device(weight, error.device) * of_item).mean()


def on_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor there, without waiting (small host tensors are pinned on the way to a CUDA device)."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device.type == "cpu" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def conditions_on(tensors: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Everything of a batch that the model is given beside the latents, on the device, without waiting. Lists hold one tensor per item."""
    return {
        name: [on_device(entry, device) for entry in value] if isinstance(value, list) else on_device(value, device)
        for name, value in tensors.items()
        if name not in ("latents", LOSS_WEIGHT, LOSS_MASK, QUANTILES)
    }
