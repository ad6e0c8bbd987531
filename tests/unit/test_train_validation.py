"""The fixed validation set: the same entries always, spread over t, moved only by the model."""

from __future__ import annotations

import pytest
import torch

from engine.train.objective import Objective
from engine.train.timesteps import TimestepSettings
from engine.train.validation import ValidationSet
from tests.unit.train_bench import CPU, FAMILY, adapter, items, tensors, tiny_wan

OBJECTIVE = Objective(FAMILY, TimestepSettings("shift", 3.0))


def test_the_same_number_every_time_and_no_random_number_used() -> None:
    model = tiny_wan()
    network = adapter(model, dropout=0.5)
    before = torch.get_rng_state()

    first = ValidationSet(items(5), 8, seed=1, load=tensors).evaluate(OBJECTIVE, model, network, CPU)
    again = ValidationSet(items(5), 8, seed=1, load=tensors).evaluate(OBJECTIVE, model, network, CPU)
    other = ValidationSet(items(5), 8, seed=2, load=tensors).evaluate(OBJECTIVE, model, network, CPU)

    assert first == again
    assert first != other
    assert torch.equal(before, torch.get_rng_state())
    assert network.training


def test_base_is_the_loss_of_predicting_zero() -> None:
    model = tiny_wan()
    with torch.no_grad():
        model.proj_out.weight.zero_()
        model.proj_out.bias.zero_()
    result = ValidationSet(items(6), 12, seed=3, load=tensors).evaluate(OBJECTIVE, model, adapter(model), CPU)
    assert result.loss == pytest.approx(result.base, rel=1e-6)
    assert result.base == pytest.approx(2.0, rel=0.05)  # unit noise minus unit latents


def test_levels_are_spread_over_the_training_distribution() -> None:
    model = tiny_wan()
    network = adapter(model)
    uniform = Objective(FAMILY, TimestepSettings("uniform"))
    spread = ValidationSet(items(3), 8, seed=3, load=tensors).evaluate(uniform, model, network, CPU)
    assert list(spread.by_t) == ["0.00-0.25", "0.25-0.50", "0.50-0.75", "0.75-1.00"]


def test_it_notices_the_adapter() -> None:
    model = tiny_wan()
    network = adapter(model)
    check = ValidationSet(items(4), 4, seed=0, load=tensors)
    before = check.evaluate(OBJECTIVE, model, network, CPU).loss
    with torch.no_grad():
        for a in network:
            a.up.normal_(generator=torch.Generator().manual_seed(0))
    assert check.evaluate(OBJECTIVE, model, network, CPU).loss != before


def test_no_device_is_seeded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.manual_seed`` seeds every device: after each validation, training would meet the same noise again."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    model = tiny_wan()
    network, check = adapter(model), ValidationSet(items(3), 4, seed=1, load=tensors)
    seeded.clear()
    check.evaluate(OBJECTIVE, model, network, CPU)
    assert seeded == []
