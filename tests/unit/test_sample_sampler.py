"""The sampler with a model small enough to reason about: seeds, guidance, and what it leaves behind."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.families import get_family
from engine.sample.sampler import (
    SamplingStopped,
    as_conditions,
    draw_noise,
    guided,
    sample_latents,
    token_norms,
    untouched,
)

SHAPE = (1, 4, 2, 4, 6)
TEXT, NEGATIVE = {"t": [torch.full((3, 1), 2.0)]}, {"t": [torch.full((5, 1), -1.0)]}


class Toy(nn.Module):
    """Predicts the mean of the text everywhere, plus a little of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.1), requires_grad=False)
        self.dropout = nn.Dropout(0.5)
        self.calls: list[float] = []

    def forward(self, x: torch.Tensor, level: torch.Tensor, *, return_dict: bool) -> tuple[torch.Tensor]:
        self.calls.append(float(level[0]))
        torch.rand(3)
        random.random()
        np.random.rand()
        return (self.weight * self.dropout(x) + level.view(-1, 1, 1, 1, 1),)


class ToyFamily:
    def __init__(self, *capabilities: str) -> None:
        spec = get_family("wan")
        self.spec = replace(spec, capabilities=frozenset(capabilities), patch=(1, 2, 2), solver="euler")

    def model_inputs(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Mapping[str, Any], *, guidance_scale: float
    ) -> dict[str, Any]:
        assert 0 < float(timesteps[0]) <= 1000
        return {"x": noisy, "level": torch.stack([text.mean() for text in conditions["t"]])}

    def velocity(self, output: Any, shape: torch.Size) -> torch.Tensor:
        return output[0].reshape(shape)

    def shift_mu(self, shape: Sequence[int]) -> float:
        return 0.7


def sample(model: nn.Module, family: Any = None, **changes: Any) -> torch.Tensor:
    settings: dict[str, Any] = {
        "steps": 4, "guidance_scale": 1.0, "flow_shift": 3.0, "seed": 5,
        "device": torch.device("cpu"), "dtype": torch.float32, "negative": None, "shape": SHAPE,
    } | changes  # fmt: skip
    return sample_latents(
        family or ToyFamily(), model, TEXT, settings.pop("negative"), settings.pop("shape"), **settings
    )


def test_a_seed_is_a_picture_and_a_batch_is_its_pictures() -> None:
    assert torch.equal(sample(Toy()), sample(Toy()))
    assert not torch.equal(sample(Toy()), sample(Toy(), seed=6))
    torch.manual_seed(99)  # the global generator has no say
    assert torch.equal(draw_noise((2, *SHAPE[1:]), 5)[1:], draw_noise(SHAPE, 6))


def test_without_guidance_the_negative_is_not_even_asked() -> None:
    for changes in ({"guidance_scale": 1.0, "negative": NEGATIVE}, {"guidance_scale": 5.0}):
        model = Toy()
        sample(model, **changes)
        assert model.calls == [2.0] * 4


def test_guidance_is_the_formula() -> None:
    model, steps = Toy(), 2
    result = sample(model, steps=steps, guidance_scale=3.0, negative=NEGATIVE)
    assert model.calls == [2.0, -1.0] * steps
    x, sigmas = draw_noise(SHAPE, 5), [1.0, 3 * 0.5 / 2.0, 0.0]
    for here, there in itertools.pairwise(sigmas):
        x = x + (there - here) * (0.1 * x + (-1.0 + 3.0 * (2.0 - -1.0)))
    torch.testing.assert_close(result, x)


def test_norm_rescaling_keeps_each_tokens_length() -> None:
    generator = torch.Generator().manual_seed(0)
    positive, negative = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    patch = (1, 2, 2)
    rescaled, plain = guided(positive, negative, 4.0, patch), guided(positive, negative, 4.0, None)
    torch.testing.assert_close(token_norms(rescaled, patch), token_norms(positive, patch))
    # By hand on the token of frame 1, rows 2-3, columns 4-5.
    token = (0, slice(None), 1, slice(2, 4), slice(4, 6))
    torch.testing.assert_close(rescaled[token], plain[token] * positive[token].norm() / plain[token].norm())


def test_norm_rescaling_belongs_to_families_that_have_it() -> None:
    settings: dict[str, Any] = {"guidance_scale": 3.0, "negative": NEGATIVE}
    with_it, without = sample(Toy(), ToyFamily("cfg_norm"), **settings), sample(Toy(), **settings)
    assert not torch.allclose(with_it, without)


def test_flow_shift_none_is_the_familys_own() -> None:
    torch.testing.assert_close(sample(Toy(), flow_shift=None), sample(Toy(), flow_shift=float(np.exp(0.7))))


def test_modes_and_random_states_are_as_before() -> None:
    model = nn.Sequential(Toy(), nn.Dropout(0.3)).train()
    model[1].eval()
    toy = model[0]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first = sample(toy)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])
    assert toy.dropout.training
    assert not model[1].training
    assert torch.equal(first, sample(toy.eval()))  # dropout was off


def test_training_is_bit_equal_with_and_without_previews() -> None:
    def train(previews: bool) -> torch.Tensor:
        torch.manual_seed(3)
        model = Toy().train()
        model.weight.requires_grad_(True)
        optimizer = torch.optim.AdamW([model.weight], lr=0.01)
        for _ in range(4):
            if previews:
                sample(model, guidance_scale=2.0, negative=NEGATIVE)
            loss = model(torch.randn(SHAPE), torch.ones(1), return_dict=False)[0].square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.weight.detach().clone()

    assert torch.equal(train(True), train(False))


def test_states_come_back_after_a_failure_too() -> None:
    model = Toy().train()
    state = torch.get_rng_state()

    def fail() -> None:
        with untouched(model):
            model.eval()
            torch.rand(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert model.dropout.training
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_is_told_and_a_stop_is_heard_between_steps() -> None:
    seen: list[tuple[int, int]] = []
    sample(Toy(), on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    model = Toy()
    with pytest.raises(SamplingStopped):
        sample(model, should_stop=lambda: len(model.calls) == 2)
    assert len(model.calls) == 2


def test_half_precision_is_the_models_business_only() -> None:
    family = SimpleNamespace(
        **vars(ToyFamily()), velocity=ToyFamily.velocity.__get__(ToyFamily()), shift_mu=lambda _: 0.7
    )
    seen: list[tuple[torch.dtype, bool]] = []

    def model_inputs(noisy: torch.Tensor, *rest: Any, **named: Any) -> dict[str, Any]:
        seen.append((rest[1]["t"][0].dtype, torch.is_autocast_enabled("cpu")))
        return ToyFamily().model_inputs(noisy, *rest, **named)

    family.model_inputs = model_inputs
    assert sample(Toy(), family, dtype=torch.bfloat16).dtype == torch.float32
    assert set(seen) == {(torch.bfloat16, True)}


def test_captions_become_one_list_per_name() -> None:
    a, b = torch.ones(2, 3), torch.ones(4, 3)
    assert as_conditions([{"t5": a}, {"t5": b}])["t5"] == [a, b]
