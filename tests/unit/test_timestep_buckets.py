"""num_timestep_buckets: the noise levels of an epoch are spread evenly, item by item, and come again after a resume."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.config.problems import ConfigError
from engine.data.batches import BatchPlan
from engine.data.items import Bucket, Item
from engine.data.loader import QUANTILES, Loader
from engine.train.objective import conditions_on
from engine.train.timesteps import TimestepSettings, draw_timesteps

NAMES = ("latents", "t5")


def item(folder: Path, number: int, **fields: Any) -> Item:
    latents, text = folder / f"{number}.safetensors", folder / f"{number}_te.safetensors"
    return Item(
        f"0:{number}", 0, f"{number}", folder, "", 64, 64, "image", 0, Bucket(64, 64), latents, text,
        **{"repeats": 1, "batch_size": 2, **fields},
    )  # fmt: skip


@pytest.mark.parametrize("numerics", ["exact", "musubi"])
def test_each_range_is_trained_as_often_as_any_other(tmp_path: Path, numerics: Any) -> None:
    items = [item(tmp_path, number) for number in range(20)]
    plan = BatchPlan(items, seed=5, numerics=numerics, timestep_buckets=5)
    epochs = []
    for epoch in range(3):
        steps = range(epoch * plan.batches_per_epoch, (epoch + 1) * plan.batches_per_epoch)
        levels = [level for step in steps for level in plan.quantiles(step)]
        assert Counter(int(level * 5) for level in levels) == dict.fromkeys(range(5), 4)
        epochs.append(levels)
    assert len({tuple(levels) for levels in epochs}) == 3
    free = BatchPlan(items, seed=5, numerics=numerics)
    assert free.quantiles(0) == ()
    if numerics == "exact":  # musubi's generator is the one that shuffles
        assert free.epoch(2) == plan.epoch(2)


def test_one_item_an_epoch_meets_every_range_over_time(tmp_path: Path) -> None:
    plan = BatchPlan([item(tmp_path, 0, repeats=8)], seed=1, timestep_buckets=4)
    assert Counter(int(level * 4) for step in range(4) for level in plan.quantiles(step)) == dict.fromkeys(range(4), 2)


def test_batches_carry_their_levels_past_a_resume_and_models_never_see_them(tmp_path: Path) -> None:
    items = [item(tmp_path, number) for number in range(5)]
    for one in items:
        save_file({"latents_1x8x8_float32": torch.zeros(16, 1, 8, 8)}, one.latent_cache)
        save_file({"varlen_t5_float32": torch.zeros(3, 4)}, one.text_cache)
    plan = BatchPlan(items, seed=7, timestep_buckets=3)
    with Loader(plan, NAMES) as loader:
        first = [next(loader) for _ in range(5)]
    with Loader(BatchPlan(items, seed=7, timestep_buckets=3), NAMES, start_step=3) as loader:
        again = [next(loader) for _ in range(2)]
    for batch, repeated in zip(first[3:], again, strict=True):
        assert len(batch.tensors[QUANTILES]) == len(batch.items)
        torch.testing.assert_close(batch.tensors[QUANTILES], repeated.tensors[QUANTILES], rtol=0, atol=0)
    assert set(conditions_on(first[0].tensors, torch.device("cpu"))) == {"t5"}


SAMPLINGS = [
    TimestepSettings("uniform"),
    TimestepSettings("sigmoid", sigmoid_scale=1.5),
    TimestepSettings("shift", shift=3.0),
    TimestepSettings("qwen_shift"),
    TimestepSettings("logsnr", logit_mean=1.0, logit_std=2.0),
    TimestepSettings("sigma", shift=3.0),
    TimestepSettings("sigma", weighting_scheme="logit_normal", logit_mean=-0.5),
    TimestepSettings("sigma", weighting_scheme="mode"),
    TimestepSettings("shift", shift=3.0, min_timestep=200, max_timestep=700),
    TimestepSettings("shift", shift=3.0, min_timestep=200, max_timestep=700, preserve_distribution_shape=True),
    TimestepSettings("logsnr", min_timestep=300, max_timestep=900, preserve_distribution_shape=True),
]


@pytest.mark.parametrize("settings", SAMPLINGS, ids=str)
def test_spread_levels_have_the_distribution_of_free_ones(settings: TimestepSettings) -> None:
    torch.manual_seed(0)
    shape = [20_000, 16, 1, 32, 32]
    free = draw_timesteps(settings, shape).t.sort().values
    before = torch.get_rng_state()
    spread = draw_timesteps(settings, shape, (torch.arange(20_000) + 0.5) / 20_000).t.sort().values
    assert torch.equal(before, torch.get_rng_state())  # noise does not depend on how levels are drawn
    assert float((free - spread).abs().max()) < 0.03


def test_a_range_that_is_never_drawn_is_named() -> None:
    settings = TimestepSettings("logsnr", logit_mean=-40.0, max_timestep=10, preserve_distribution_shape=True)
    with pytest.raises(ConfigError, match="practically never"):
        draw_timesteps(settings, [1, 1, 8, 8], torch.tensor([0.5]))
