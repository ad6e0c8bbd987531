"""Which noise level a sample is trained at: t in [0, 1], 0 clean, 1 noise.

Source: Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis" (2024),
https://arxiv.org/abs/2403.03206 (logit-normal and mode densities, resolution-dependent shift, loss weights).

``numerics = "exact"``: what the options say. ``numerics = "musubi"`` reproduces, for comparison with Musubi Tuner:

- every mode but ``sigma`` tells the model 1000 t + 1 (1..1001) while mixing with t itself;
- ``sigma`` looks t up in an unshifted table 1000, 999, …, 1: ``discrete_flow_shift`` is ignored, and since the table
  descends, a range of 200..700 trains t in 0.3..0.8 (and the logit-normal mean acts the other way round);
- a loss weight is looked up at the nearest table entry;
- ``preserve_distribution_shape`` gives up after 1000 rounds and keeps draws outside the range;
- ``sigma`` takes no notice of ``num_timestep_buckets``.

Everything is drawn on the CPU from torch's default generator: a seed means the same noise levels on every device, and
the host knows them without asking the device. With ``num_timestep_buckets`` nothing is drawn: the batch says at which quantile
of the uniform or normal draw each of its levels stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from engine.config.language import say
from engine.config.problems import ConfigError

# exp(mu) is the shift; mu is a line through two (tokens, mu) points and is not clamped outside them.
_LINES = {
    "flux_shift": ((256, 0.5), (4096, 1.15)),
    "flux2_shift": ((256, 0.5), (4096, 1.15)),
    "krea2_shift": ((256, 0.5), (6400, 1.15)),
    "qwen_shift": ((256, 0.5), (8192, 0.9)),
}
SAMPLINGS = ("sigma", "uniform", "sigmoid", "shift", "logsnr", *_LINES)
_ROUNDS = 1000  # of rejection before a range counts as out of reach
_GRID = 16384  # points that stand for a whole distribution


@dataclass(frozen=True)
class TimestepSettings:
    """The options of section ``timesteps``. ``min_timestep`` and ``max_timestep`` are on the 0..1000 scale."""

    sampling: str = "sigma"
    shift: float = 1.0
    sigmoid_scale: float = 1.0
    weighting_scheme: str = "none"
    logit_mean: float = 0.0
    logit_std: float = 1.0
    mode_scale: float = 1.29
    min_timestep: float | None = None
    max_timestep: float | None = None
    preserve_distribution_shape: bool = False
    numerics: Literal["exact", "musubi"] = "exact"

    @classmethod
    def from_config(cls, config: Any) -> TimestepSettings:
        """The settings of a resolved config. Raises ``ConfigError`` for a sampling that is not built or an empty range."""
        options = config.timesteps
        settings = cls(
            sampling=options.timestep_sampling,
            shift=options.discrete_flow_shift,
            sigmoid_scale=options.sigmoid_scale,
            weighting_scheme=options.weighting_scheme or "none",
            logit_mean=options.logit_mean,
            logit_std=options.logit_std,
            mode_scale=options.mode_scale,
            min_timestep=options.min_timestep,
            max_timestep=options.max_timestep,
            preserve_distribution_shape=bool(options.preserve_distribution_shape),
            numerics=config.run.numerics,
        )
        if settings.sampling not in SAMPLINGS:
            raise ConfigError.of(
                "not_built_yet",
                say(f"timestep_sampling {settings.sampling!r} is not built yet.", f"timestep_sampling {settings.sampling!r} は未対応です。"),
                say(f"Built: {', '.join(SAMPLINGS)}.", f"対応: {', '.join(SAMPLINGS)}。"),
                key="timestep_sampling",
            )  # fmt: skip
        low, high = settings.range
        if low >= high:
            raise ConfigError.of(
                "empty_range",
                say(f"min_timestep {low * 1000:g} is not below max_timestep {high * 1000:g}.",
                    f"min_timestep {low * 1000:g} が max_timestep {high * 1000:g} 以上です。"),
                key="min_timestep",
            )  # fmt: skip
        return settings

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest t."""
        low = 0.0 if self.min_timestep is None else self.min_timestep / 1000
        high = 1.0 if self.max_timestep is None else self.max_timestep / 1000
        return low, high


@dataclass(frozen=True)
class Timesteps:
    """Drawn noise levels, all (B,), fp32, on the CPU: ``t``, what the model is told, the loss weight (None: all 1)."""

    t: torch.Tensor
    model: torch.Tensor
    weight: torch.Tensor | None


@dataclass(frozen=True)
class _Source:
    """Where the randomness comes from: torch's generator, or the ``quantiles`` (B,) that the batch is given."""

    quantiles: torch.Tensor | None = None

    def uniform(self, count: int) -> torch.Tensor:
        return torch.rand(count) if self.quantiles is None else self.quantiles

    def normal(self, mean: float, std: float, count: int) -> torch.Tensor:
        if self.quantiles is None:
            return torch.normal(mean, std, (count,))
        return mean + std * math.sqrt(2) * torch.erfinv(2 * self.quantiles.clamp(1e-7, 1 - 1e-7) - 1)


def draw_timesteps(
    settings: TimestepSettings, shape: Sequence[int], quantiles: torch.Tensor | None = None
) -> Timesteps:
    """Noise levels for latents of ``shape`` (B, …, h, w); those at ``quantiles`` (B,) in [0, 1), if they are given."""
    count = shape[0]
    if settings.sampling == "sigma":
        t = (
            _sigma_table(settings, count)
            if settings.numerics == "musubi"
            else _sigma_density(settings, count, quantiles)
        )
        return Timesteps(t, t * 1000, loss_weight(settings, t, t * 1000))
    t = _in_range(settings, lambda n, source: _sample(settings, n, shape, source), count, quantiles)
    model = t * 1000 + 1 if settings.numerics == "musubi" else t * 1000
    return Timesteps(t, model, loss_weight(settings, t, model))


def quantile_timesteps(settings: TimestepSettings, quantiles: torch.Tensor, shape: Sequence[int]) -> Timesteps:
    """The noise levels at these quantiles (n,) in (0, 1) of the distribution that training draws from.

    Estimated from 16,384 draws under a fixed seed; torch's generator is left as it was. For validation sets.
    """
    t = torch.quantile(_many(settings, shape), quantiles)
    model = t * 1000 + 1 if settings.numerics == "musubi" and settings.sampling != "sigma" else t * 1000
    return Timesteps(t, model, loss_weight(settings, t, model))


def level_shares(settings: TimestepSettings, shape: Sequence[int], ranges: int = 20) -> tuple[float, ...]:
    """The share of draws in each of ``ranges`` equally wide ranges of t, for latents of ``shape``; estimated as above."""
    counts = torch.histc(_many(settings, shape), ranges, 0.0, 1.0)
    return tuple((counts / counts.sum()).tolist())


def _many(settings: TimestepSettings, shape: Sequence[int]) -> torch.Tensor:
    with torch.random.fork_rng(devices=()):
        # Not torch.manual_seed, which seeds the devices too: the noise of every step after it would be the same.
        torch.default_generator.manual_seed(0)
        return draw_timesteps(settings, (_GRID, *shape[1:])).t


def shifted(t: torch.Tensor, shift: float) -> torch.Tensor:
    """Move t towards noise: s t / (1 + (s - 1) t)."""
    return (t * shift) / (1 + (shift - 1) * t)


def loss_weight(settings: TimestepSettings, t: torch.Tensor, model: torch.Tensor) -> torch.Tensor | None:
    """SD3's weights of the squared error: ``sigma_sqrt`` t^-2, ``cosmap`` 2 / (pi (1 - 2t + 2t^2)), None otherwise."""
    if settings.weighting_scheme not in {"sigma_sqrt", "cosmap"}:
        return None
    sigma = t.clamp(min=0.001)  # t^-2 has no bound; the finest level of a table of 1000 is one
    if settings.numerics == "musubi":
        table = _table()
        sigma = table[(table[None] * 1000 - model[:, None]).abs().argmin(dim=1)]
    if settings.weighting_scheme == "sigma_sqrt":
        return sigma**-2
    return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma**2))


def _sample(settings: TimestepSettings, count: int, shape: Sequence[int], source: _Source) -> torch.Tensor:
    if settings.sampling == "uniform":
        return source.uniform(count)
    if settings.sampling == "logsnr":
        return torch.sigmoid(-source.normal(settings.logit_mean, settings.logit_std, count) / 2)
    t = torch.sigmoid(source.normal(0.0, 1.0, count) * settings.sigmoid_scale)
    if settings.sampling == "sigmoid":
        return t
    if settings.sampling == "shift":
        return shifted(t, settings.shift)
    (x0, y0), (x1, y1) = _LINES[settings.sampling]
    height, width = shape[-2:]
    tokens = height * width if settings.sampling == "flux2_shift" else (height // 2) * (width // 2)
    return shifted(t, math.exp(y0 + (y1 - y0) * (tokens - x0) / (x1 - x0)))


def _density(settings: TimestepSettings, count: int, source: _Source) -> torch.Tensor:
    """u in [0, 1] with SD3's density of the weighting scheme."""
    if settings.weighting_scheme == "logit_normal":
        return torch.sigmoid(source.normal(settings.logit_mean, settings.logit_std, count))
    u = source.uniform(count)
    if settings.weighting_scheme == "mode":
        return 1 - u - settings.mode_scale * (torch.cos(math.pi * u / 2) ** 2 - 1 + u)
    return u


def _sigma_density(settings: TimestepSettings, count: int, quantiles: torch.Tensor | None) -> torch.Tensor:
    def sample(n: int, source: _Source) -> torch.Tensor:
        return shifted(_density(settings, n, source), settings.shift)

    return _in_range(settings, sample, count, quantiles)


def _table() -> torch.Tensor:
    return torch.linspace(1, 0, 1001)[:-1]


def _sigma_table(settings: TimestepSettings, count: int) -> torch.Tensor:
    low, high = (limit * 1000 for limit in settings.range)
    indices = (
        (_density(settings, count, _Source()) * (high - low) + low).long().clamp(max=999)
    )  # a density may reach 1 itself
    return _table()[indices]


def _in_range(
    settings: TimestepSettings,
    sample: Callable[[int, _Source], torch.Tensor],
    count: int,
    quantiles: torch.Tensor | None,
) -> torch.Tensor:
    low, high = settings.range
    if not settings.preserve_distribution_shape:
        return sample(count, _Source(quantiles)) * (high - low) + low
    if quantiles is not None:
        return _cut_off(settings, sample, quantiles)
    kept = torch.empty(0)
    drawn = kept
    for _ in range(_ROUNDS):
        drawn = sample(count, _Source())
        kept = torch.cat([kept, drawn[(drawn >= low) & (drawn <= high)]])[:count]
        if len(kept) == count:
            return kept
    if settings.numerics == "musubi":
        return drawn
    raise _never_drawn(settings)


def _cut_off(
    settings: TimestepSettings, sample: Callable[[int, _Source], torch.Tensor], quantiles: torch.Tensor
) -> torch.Tensor:
    """The levels at ``quantiles`` of what lies in the range, from a fine grid of the whole distribution."""
    low, high = settings.range
    grid = (torch.arange(_GRID) + 0.5) / _GRID
    levels = sample(_GRID, _Source(grid))
    kept = levels[(levels >= low) & (levels <= high)]
    if not len(kept):
        raise _never_drawn(settings)
    return torch.quantile(kept, quantiles)


def _never_drawn(settings: TimestepSettings) -> ConfigError:
    low, high = (limit * 1000 for limit in settings.range)
    return ConfigError.of(
        "empty_range",
        say(f"timestep_sampling {settings.sampling!r} practically never draws from {low:g}..{high:g}.",
            f"timestep_sampling {settings.sampling!r} では {low:g}〜{high:g} がほとんど選ばれません。"),
        say("Widen the range, or leave preserve_distribution_shape off.", "範囲を広げるか、preserve_distribution_shape を外してください。"),
        key="min_timestep",
    )  # fmt: skip
