"""One sampler for previews and generation: noise from a seed, guided velocities, a solver, latents.

Noise comes from a generator on the CPU, one per picture, so a seed gives the same picture on every machine. Guidance is

    v = v_negative + g * (v_positive - v_negative)

and, in families with the capability ``cfg_norm``, every token of v is given the length it has in v_positive.

A preview must not be felt by the training around it: ``untouched`` puts back the modes of the modules and the state of
every random generator, so that a run with previews is bit-equal to one without.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.families.family import FamilyModel
from engine.sample.solvers import make_solver, shift_of_mu

Conditions = Mapping[str, Sequence[torch.Tensor]]  # batch name -> one (tokens, width) tensor per picture


class SamplingStopped(Exception):
    """``should_stop`` said so: the picture is abandoned, nothing is wrong."""


def sample_latents(
    family_model: FamilyModel,
    transformer: nn.Module,
    conditions: Conditions,
    negative: Conditions | None,
    shape: Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
    flow_shift: float | None,
    seed: int,
    solver: str | None = None,
    device: torch.device,
    dtype: torch.dtype,
    embedded_guidance: float = 1.0,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> torch.Tensor:
    """Latents (B, C, f, h, w), fp32 on ``device``, of ``B`` pictures; picture ``i`` has the noise of ``seed + i``.

    ``flow_shift=None`` takes the family's resolution-dependent shift, ``solver=None`` the family's solver. ``dtype`` is
    what the transformer computes in; the solver works in fp32. ``on_step(done, steps)`` is called after each step.
    Raises ``SamplingStopped`` between steps once ``should_stop()`` is true.
    """
    return denoise(
        family_model,
        transformer,
        draw_noise(shape, seed).to(device),
        conditions,
        negative,
        steps=steps,
        guidance_scale=guidance_scale,
        flow_shift=flow_shift,
        solver=solver,
        dtype=dtype,
        embedded_guidance=embedded_guidance,
        on_step=on_step,
        should_stop=should_stop,
    )


def draw_noise(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Standard normal (B, C, f, h, w) in fp32 on the CPU: row ``i`` depends only on ``seed + i`` and its own shape."""
    rows = []
    for i in range(shape[0]):
        generator = torch.Generator("cpu").manual_seed(seed + i)
        rows.append(torch.randn(tuple(shape[1:]), generator=generator, dtype=torch.float32))
    return torch.stack(rows)


def denoise(
    family_model: FamilyModel,
    transformer: nn.Module,
    noise: torch.Tensor,
    conditions: Conditions,
    negative: Conditions | None,
    *,
    steps: int,
    guidance_scale: float,
    flow_shift: float | None,
    solver: str | None = None,
    dtype: torch.dtype,
    embedded_guidance: float = 1.0,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> torch.Tensor:
    """``sample_latents`` from given ``noise`` (B, C, f, h, w), on the noise's device."""
    spec = family_model.spec
    shift = shift_of_mu(family_model.shift_mu(noise.shape)) if flow_shift is None else flow_shift
    solution = make_solver(solver or spec.solver, steps, shift, spec.shift_terminal)
    conditions = _moved(conditions, noise.device, dtype)
    negative = _moved(negative, noise.device, dtype) if negative is not None and guidance_scale > 1 else None
    patch = spec.patch if "cfg_norm" in spec.capabilities else None
    x = noise.float()

    def velocity(timestep: float, text: Conditions) -> torch.Tensor:
        timesteps = torch.full((len(x),), timestep, dtype=torch.float32, device=x.device)
        with torch.autocast(x.device.type, dtype=dtype, enabled=dtype != torch.float32):
            inputs = family_model.model_inputs(x, timesteps, text, guidance_scale=embedded_guidance)
            output = transformer(**inputs, return_dict=False)
        return family_model.velocity(output, x.shape).float()

    with torch.no_grad(), untouched(transformer):
        transformer.eval()
        for i, timestep in enumerate(solution.schedule.timesteps):
            if should_stop is not None and should_stop():
                raise SamplingStopped
            v = velocity(timestep, conditions)
            if negative is not None:
                v = guided(v, velocity(timestep, negative), guidance_scale, patch)
            x = solution.step(i, x, v)
            if on_step is not None:
                on_step(i + 1, steps)
    return x


def guided(
    positive: torch.Tensor, negative: torch.Tensor, scale: float, patch: tuple[int, int, int] | None
) -> torch.Tensor:
    """Classifier-free guidance of velocities (B, C, f, h, w); with ``patch``, tokens keep the length of ``positive``'s."""
    combined = negative + scale * (positive - negative)
    if patch is None:
        return combined
    return combined * (token_norms(positive, patch) / token_norms(combined, patch).clamp_min(1e-12))


def token_norms(x: torch.Tensor, patch: tuple[int, int, int]) -> torch.Tensor:
    """Length of each token of (B, C, f, h, w), written to all latent cells of the token: (B, 1, f, h, w)."""
    squares = x.square().sum(dim=1, keepdim=True)
    cells = patch[0] * patch[1] * patch[2]
    norms = (nn.functional.avg_pool3d(squares, patch) * cells).sqrt()
    for dim, size in zip((2, 3, 4), patch, strict=True):
        norms = norms.repeat_interleave(size, dim=dim)
    return norms


def as_conditions(encoded: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, list[torch.Tensor]]:
    """What a text encoder returns (one mapping per caption) as a batch: one list per name."""
    return {name: [one[name] for one in encoded] for name in encoded[0]}


@contextmanager
def untouched(*modules: nn.Module) -> Iterator[None]:
    """Put back, on leaving, the train/eval mode of every submodule and all random states (Python, NumPy, torch, devices)."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state(), _device_random_states()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        _restore_device_random_states(states[3])


def _device_random_states() -> dict[str, Any]:
    states: dict[str, Any] = {}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def _restore_device_random_states(states: Mapping[str, Any]) -> None:
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def _moved(conditions: Conditions, device: torch.device, dtype: torch.dtype) -> Conditions:
    return {name: [tensor.to(device=device, dtype=dtype) for tensor in tensors] for name, tensors in conditions.items()}
