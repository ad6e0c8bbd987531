r"""Solvers of the flow ODE ``dx/dsigma = v(x, sigma)``: Euler, DPM-Solver++(2M) and UniPC, and their sigma schedules.

A picture lies at sigma 0, noise at sigma 1, and ``x = (1 - sigma) * picture + sigma * noise``; the model predicts the
velocity ``v = noise - picture``, so one call yields an estimate of the picture: ``x - sigma * v``.

The multistep solvers work in ``lambda = log((1 - sigma) / sigma)`` and interpolate that estimate through the last two
calls. DPM-Solver++(2M): Lu et al., arXiv 2211.01095, algorithm 2. UniPC: Zhao et al., arXiv 2302.04867, with B2(h) =
e^h - 1, order 2: each call also corrects the step that led to it, at no extra cost.

Which sigmas a solver visits is part of its recipe (the released Wan starts UniPC at 0.999), so it is defined here too.
The arithmetic of coefficients is Python's (double precision, on the host): no solver ever waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TRAIN_TIMESTEPS = 1000  # sigma 1 is timestep 1000 on the models' scale


def shifted(sigma: float, shift: float) -> float:
    """Move a sigma towards noise: ``k s / (1 + (k - 1) s)``. Shift 1 changes nothing."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def shift_of_mu(mu: float) -> float:
    """The shift that a resolution-dependent exponent means: ``exp(mu)``."""
    return math.exp(mu)


def stretched(sigmas: Sequence[float], terminal: float) -> list[float]:
    """Sigmas rescaled about 1 so that the last one is ``terminal`` (Qwen-Image: 0.02). One sigma alone stays as it is."""
    if len(sigmas) < 2:
        return list(sigmas)
    scale = (1 - sigmas[-1]) / (1 - terminal)
    return [1 - (1 - sigma) / scale for sigma in sigmas]


@dataclass(frozen=True)
class Schedule:
    """``steps + 1`` sigmas, falling to exactly 0, and the timestep (0..1000) the model is told at each of the first."""

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.timesteps)


def _evenly(first: float, steps: int) -> list[float]:
    """``steps`` sigmas from ``first`` in even strides towards 0, without the 0."""
    stride = (
        first / steps
    )  # multiplied, not divided late: 0.4 shall round as the recipes that truncate timesteps have it
    return [first - i * stride for i in range(steps)]


@dataclass
class Solver:
    """One integration from noise to a picture: call ``step`` for i = 0, 1, … with the velocity at ``schedule.timesteps[i]``."""

    schedule: Schedule
    _estimates: list[torch.Tensor] = field(default_factory=list)  # of the picture, at the last two sigmas

    first_sigma = 1.0  # where the schedule starts before the shift
    whole_timesteps = False  # the recipe tells the model whole numbers

    @classmethod
    def plan(cls, steps: int, shift: float, terminal: float | None = None) -> Schedule:
        """The sigmas and timesteps of ``steps`` model calls under a timestep shift."""
        sigmas = [shifted(sigma, shift) for sigma in _evenly(cls.first_sigma, steps)]
        if terminal is not None:
            sigmas = stretched(sigmas, terminal)
        timesteps = [sigma * TRAIN_TIMESTEPS for sigma in sigmas]
        if cls.whole_timesteps:
            timesteps = [float(int(timestep)) for timestep in timesteps]
        return Schedule((*sigmas, 0.0), tuple(timesteps))

    def step(self, i: int, x: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        """``x`` at sigma i+1 from ``x`` and the velocity at sigma i (all fp32). Call in order, once per i."""
        here, there = self.schedule.sigmas[i], self.schedule.sigmas[i + 1]
        return x + (there - here) * velocity

    def _order(self, i: int) -> int:
        """2, but 1 where there is no past yet and on the step to sigma 0, where lambda is infinite."""
        return min(2, i + 1, self.schedule.steps - i)


class Euler(Solver):
    """First order: straight along the velocity."""


class DpmPlusPlus(Solver):
    """DPM-Solver++(2M): extrapolates the picture's estimate linearly in lambda."""

    whole_timesteps = True

    def step(self, i: int, x: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        sigmas = self.schedule.sigmas
        self._estimates = [*self._estimates[-1:], x - sigmas[i] * velocity]
        estimate = self._estimates[-1]
        if self._order(i) == 2:
            h, h_past = _lambda(sigmas[i + 1]) - _lambda(sigmas[i]), _lambda(sigmas[i]) - _lambda(sigmas[i - 1])
            estimate = estimate + (h / h_past / 2) * (estimate - self._estimates[0])
        return _exponential_step(x, estimate, sigmas[i], sigmas[i + 1])


class UniPC(Solver):
    """Predictor and corrector of order 2: the corrector redoes the last step with the estimate found at its end."""

    first_sigma = 1 - 1 / TRAIN_TIMESTEPS
    whole_timesteps = True
    _origin: torch.Tensor | None = None  # x at the start of the last step, after its own correction

    def step(self, i: int, x: torch.Tensor, velocity: torch.Tensor) -> torch.Tensor:
        sigmas = self.schedule.sigmas
        estimate = x - sigmas[i] * velocity
        if i > 0 and self._origin is not None:
            x = self._corrected(i, estimate)
        self._estimates = [*self._estimates[-1:], estimate]
        self._origin = x
        moved = _exponential_step(x, estimate, sigmas[i], sigmas[i + 1])
        if self._order(i) == 2:
            h, ratio = self._stride(i)
            slope = (self._estimates[0] - estimate) / ratio
            moved = moved - (1 - sigmas[i + 1]) * math.expm1(-h) * 0.5 * slope
        return moved

    def _stride(self, i: int) -> tuple[float, float]:
        """Of the step that leaves sigma i: its length h in lambda, and where the sigma before lies in units of h."""
        sigmas = self.schedule.sigmas
        h = _lambda(sigmas[i + 1]) - _lambda(sigmas[i])
        return h, (_lambda(sigmas[i - 1]) - _lambda(sigmas[i])) / h

    def _corrected(self, i: int, estimate: torch.Tensor) -> torch.Tensor:
        """``x`` at sigma i again, now that the picture's ``estimate`` there is known."""
        assert self._origin is not None
        sigmas = self.schedule.sigmas
        before = self._estimates[-1]
        plain = _exponential_step(self._origin, before, sigmas[i - 1], sigmas[i])
        h = _lambda(sigmas[i]) - _lambda(sigmas[i - 1])
        b = math.expm1(-h)
        if self._order(i - 1) == 1:
            return plain - (1 - sigmas[i]) * b * 0.5 * (estimate - before)
        # The coefficients make the corrector exact for estimates that are linear and quadratic in lambda: 2 x 2, solved here.
        _, ratio = self._stride(i - 1)
        phi_1 = b / -h - 1
        phi_2 = phi_1 / -h - 0.5
        linear, quadratic = phi_1 / b, 2 * phi_2 / b
        past = (linear - quadratic) / (1 - ratio)
        slope = past * (self._estimates[0] - before) / ratio + (linear - past) * (estimate - before)
        return plain - (1 - sigmas[i]) * b * slope


def _lambda(sigma: float) -> float:
    """Half the log signal-to-noise ratio; infinite at both ends."""
    if sigma <= 0:
        return math.inf
    return math.log((1 - sigma) / sigma) if sigma < 1 else -math.inf


def _exponential_step(x: torch.Tensor, estimate: torch.Tensor, here: float, there: float) -> torch.Tensor:
    """Exact solution of the ODE from sigma ``here`` to ``there`` if the picture's estimate stayed the same."""
    if here >= 1:
        return there * x + (1 - there) * estimate  # lambda(1) is minus infinity: nothing of the picture was in x
    decay = math.expm1(_lambda(here) - _lambda(there))
    return (there / here) * x - (1 - there) * decay * estimate


SOLVERS: dict[str, type[Solver]] = {"euler": Euler, "unipc": UniPC, "dpm++": DpmPlusPlus}


def make_solver(name: str, steps: int, shift: float, terminal: float | None = None) -> Solver:
    """A fresh solver for one picture. Raises ``KeyError`` for a name that is not in ``SOLVERS``."""
    kind = SOLVERS[name]
    return kind(kind.plan(steps, shift, terminal))
