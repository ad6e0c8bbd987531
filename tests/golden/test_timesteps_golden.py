"""Noise levels: the reference's draws under its numerics, the same distributions under ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.config.problems import ConfigError
from engine.train.timesteps import TimestepSettings, draw_timesteps, loss_weight, quantile_timesteps, shifted

DATA = Path(__file__).parent / "data"
CASES: dict[str, dict[str, Any]] = json.loads((DATA / "timestep_sampling.json").read_text())
# Where ours means something else on purpose: the table's direction and the shift that the table ignores.
OURS_DIFFERS = {"sigma_none_shift3", "sigma_none_min200_max700"}


def settings_of(case: str, numerics: str) -> tuple[TimestepSettings, list[int]]:
    options = dict(CASES[case]["args"])
    height, width = options.pop("latent_hw")
    options.pop("num_timestep_buckets")
    options.pop("scheduler_shift")
    options["sampling"] = options.pop("timestep_sampling")
    options["shift"] = options.pop("discrete_flow_shift", 1.0)
    return TimestepSettings(numerics=numerics, **options), [1, 1, height, width]  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_musubi_draws_are_the_reference_draws(case: str) -> None:
    settings, shape = settings_of(case, "musubi")
    torch.manual_seed(1234)

    drawn = draw_timesteps(settings, [16, *shape])

    torch.testing.assert_close(drawn.model, torch.tensor(CASES[case]["timesteps16"]), rtol=0, atol=2e-3)
    torch.testing.assert_close(drawn.t, torch.tensor(CASES[case]["noise_coef16"]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", sorted(set(CASES) - OURS_DIFFERS))
def test_exact_distributions(case: str) -> None:
    settings, shape = settings_of(case, "exact")
    torch.manual_seed(99)

    drawn = draw_timesteps(settings, [100_000, *shape])

    torch.testing.assert_close(drawn.model, drawn.t * 1000)
    reference = CASES[case]
    bias = 0.5 if settings.sampling == "sigma" else 1.0  # a table of whole numbers; the model told 1000 t + 1
    assert float(drawn.model.mean()) + bias == pytest.approx(reference["mean"], abs=5)
    histogram = torch.histc(drawn.model + bias, bins=50, min=0, max=1001)
    distance = (histogram - torch.tensor(reference["hist50_0_1001"], dtype=torch.float)).abs().sum() / 200_000
    assert float(distance) < 0.02


def test_exact_sigma_takes_range_shift_and_mean_as_written() -> None:
    torch.manual_seed(5)
    ranged = draw_timesteps(TimestepSettings("sigma", min_timestep=200, max_timestep=700), [20_000, 1, 8, 8]).t
    assert 0.2 <= float(ranged.min()) < 0.21
    assert 0.69 < float(ranged.max()) <= 0.7
    noisier = draw_timesteps(TimestepSettings("sigma", shift=3.0), [20_000, 1, 8, 8]).t
    assert float(noisier.median()) == pytest.approx(0.75, abs=0.02)
    leaning = TimestepSettings("sigma", weighting_scheme="logit_normal", logit_mean=1.0)
    assert float(draw_timesteps(leaning, [20_000, 1, 8, 8]).t.median()) == pytest.approx(0.731, abs=0.02)


@pytest.mark.parametrize("scheme", ["sigma_sqrt", "cosmap", "none", "logit_normal", "mode"])
@pytest.mark.parametrize("numerics", ["musubi", "exact"])
def test_loss_weights(scheme: str, numerics: str) -> None:
    golden = json.loads((DATA / "loss_weighting.json").read_text())["shift=3.0"]
    timesteps = torch.tensor(golden["at_timesteps"], dtype=torch.float)
    settings = TimestepSettings(weighting_scheme=scheme, numerics=numerics)  # type: ignore[arg-type]

    weight = loss_weight(settings, timesteps / 1000, timesteps)

    if golden[f"{scheme}/float32"] is None:
        assert weight is None
    else:
        assert weight is not None
        torch.testing.assert_close(weight, torch.tensor(golden[f"{scheme}/float32"]), rtol=1e-4, atol=0)


def test_quantiles_follow_the_distribution_and_leave_the_generator_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()

    t = quantile_timesteps(TimestepSettings("shift", shift=3.0), torch.tensor([0.25, 0.5, 0.75]), [1, 1, 8, 8]).t

    assert torch.equal(before, torch.get_rng_state())
    expected = shifted(torch.sigmoid(torch.tensor([-0.6745, 0.0, 0.6745])), 3.0)
    torch.testing.assert_close(t, expected, rtol=0, atol=0.01)


def test_a_range_that_is_never_drawn_is_named() -> None:
    settings = TimestepSettings("logsnr", logit_mean=-40.0, max_timestep=10, preserve_distribution_shape=True)
    with pytest.raises(ConfigError, match="practically never"):
        draw_timesteps(settings, [1, 1, 8, 8])
