"""The adapter on a model: what it adds, what it leaves alone, what its options mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoints.names import NameTable, rules
from engine.config.network_args import NetworkArguments, parse_network_args
from engine.config.problems import ConfigError
from engine.families.family import LoraTargets
from engine.networks.lora import LoraNetwork
from tests.unit.train_bench import adapter, tiny_wan


class Block(nn.Module):
    """Attention whose original has one fused qkv of unequal rows."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(6, 8)
        self.to_k = nn.Linear(6, 8)
        self.to_v = nn.Linear(6, 4)
        self.out = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.to_q(x), self.to_k(x), self.to_v(x)], dim=-1)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 6)
        self.blocks = nn.ModuleList([Block(), Block()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0](self.embed(x))


FUSED: Any = SimpleNamespace(
    names=NameTable(
        rules(
            [
                ("b.{i}.qkv", ("blocks.{i}.to_q", "blocks.{i}.to_k", "blocks.{i}.to_v")),
                ("b.{i}.proj", "blocks.{i}.out"),
            ]
        )
    ),
    lora=LoraTargets(blocks=("Block",)),
)


def fused(rank: int = 3, alpha: float | None = None, **options: Any) -> tuple[Model, LoraNetwork]:
    torch.manual_seed(0)
    model = Model().requires_grad_(False)
    return model, LoraNetwork.create(model, FUSED, rank=rank, alpha=alpha, **options)


def randomised(network: LoraNetwork, seed: int = 5) -> LoraNetwork:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return network


def test_a_new_adapter_changes_nothing_and_adds_no_names() -> None:
    x = torch.randn(2, 5, 6)
    plain = Model()
    names = set(plain.state_dict())
    before = plain(x)
    network = LoraNetwork.create(plain.requires_grad_(False), FUSED, rank=3)

    assert torch.equal(plain(x), before)
    assert set(plain.state_dict()) == names
    assert network.delta_norm() == 0
    assert [a.target.name for a in network] == ["b.0.qkv", "b.0.proj", "b.1.qkv", "b.1.proj"]
    assert all(p.dtype == torch.float32 and p.requires_grad for p in network.parameters())


def test_tied_slices_equal_an_adapter_on_the_fused_linear() -> None:
    model, network = fused(rank=3, alpha=6)
    randomised(network)
    x = torch.randn(2, 5, 6)
    y = model(x)
    y.square().sum().backward()

    block, ours = model.blocks[0], next(iter(network))
    whole = nn.Linear(6, 20)
    with torch.no_grad():
        whole.weight.copy_(torch.cat([block.to_q.weight, block.to_k.weight, block.to_v.weight]))
        whole.bias.copy_(torch.cat([block.to_q.bias, block.to_k.bias, block.to_v.bias]))
    down = ours.down.detach().clone().requires_grad_()
    up = ours.up.detach().clone().requires_grad_()
    expected = whole(model.embed(x)) + 2.0 * (model.embed(x) @ down.T @ up.T)
    expected.square().sum().backward()

    assert ours.down.shape == (3, 6)
    assert ours.up.shape == (20, 3)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(ours.down.grad, down.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.up.grad, up.grad, rtol=1e-4, atol=1e-5)


def test_base_weights_may_be_swapped_underneath() -> None:
    model, network = fused()
    randomised(network)
    x = torch.randn(1, 6)
    before = model(x)
    with torch.no_grad():
        for linear in (model.blocks[0].to_q, model.blocks[0].to_k, model.blocks[0].to_v):
            linear._parameters["weight"] = nn.Parameter(linear.weight * 2, requires_grad=False)
    doubled = model(x) - before
    network.detach()
    assert not any("forward" in module.__dict__ for module in model.modules())
    torch.testing.assert_close(doubled, (model(x) - torch.cat([m.bias for m in (model.blocks[0].to_q, model.blocks[0].to_k, model.blocks[0].to_v)])) / 2)  # fmt: skip
    network.attach()
    network.attach()
    torch.testing.assert_close(model(x), before + doubled)


@pytest.mark.parametrize(("alpha", "scale"), [(None, 1.0), (0, 1.0), (4.0, 1.0), (1.0, 0.25), (8.0, 2.0)])
def test_scale_is_alpha_over_rank(alpha: float | None, scale: float) -> None:
    _, network = fused(rank=4, alpha=alpha)
    assert {a.scale for a in network} == {scale}


def test_multiplier() -> None:
    model, network = fused()
    x = torch.randn(3, 6)
    base = model(x)
    randomised(network)
    full = model(x) - base
    network.multiplier = 0.5
    torch.testing.assert_close(model(x) - base, full / 2)
    network.multiplier = 0
    assert torch.equal(model(x), base)


def test_half_precision_base_without_autocast_rounds_once() -> None:
    model, network = fused()
    randomised(network)
    model.bfloat16()
    q, ours = model.blocks[0].to_q, next(iter(network))
    x = torch.randn(4, 6).bfloat16()
    base = nn.functional.linear(x, q.weight, q.bias)
    expected = (base.float() + x.float() @ ours.down.T @ ours.up[:8].T).bfloat16()
    got = q(x)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, expected)


def test_same_seed_same_adapter_and_kaiming_bounds() -> None:
    first, second = adapter(tiny_wan(), seed=4), adapter(tiny_wan(), seed=4)
    other = adapter(tiny_wan(), seed=5)
    assert all(torch.equal(a.down, b.down) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a.down, b.down) for a, b in zip(first, other, strict=True))
    for a in first:
        bound = a.target.in_features**-0.5  # Kaiming-uniform with a = sqrt(5)
        assert float(a.down.detach().abs().max()) <= bound
        assert float(a.down.detach().abs().max()) > 0.8 * bound


def test_bottleneck_dropout() -> None:
    _model, network = fused(rank=64, dropout=0.25)
    randomised(network)
    ours = next(iter(network))
    x = torch.ones(2000, 6)
    torch.manual_seed(0)
    kept, scale = ours.delta(x, 0, 20)
    clean = (x @ ours.down.T) @ ours.up.T
    assert scale == 1.0
    assert not torch.allclose(kept, clean)
    torch.testing.assert_close(kept.mean(0), clean.mean(0), rtol=0.1, atol=0.3)
    network.eval()
    torch.testing.assert_close(ours.delta(x, 0, 20)[0], clean)


def test_rank_dropout_drops_whole_ranks_per_sample_and_rescales() -> None:
    _, network = fused(rank=8, arguments=NetworkArguments(rank_dropout=0.5))
    ours = next(iter(network))
    with torch.no_grad():
        ours.down.fill_(1.0)
        ours.up.copy_(torch.eye(20, 8))
    torch.manual_seed(1)
    delta, scale = ours.delta(torch.ones(4, 7, 6), 0, 20)
    assert scale == 2.0
    for sample in delta:
        assert torch.equal(sample, sample[:1].expand_as(sample))  # the same ranks at every token
        assert set(sample[0, :8].tolist()) <= {0.0, 6.0}
    assert len({tuple(sample[0].tolist()) for sample in delta}) > 1
    network.eval()
    assert ours.delta(torch.ones(1, 1, 6), 0, 20)[1] == 1.0


def test_module_dropout_skips_the_whole_adapter() -> None:
    model, network = fused(arguments=NetworkArguments(module_dropout=0.5))
    base = model.blocks[0].to_q.weight @ torch.ones(6) + model.blocks[0].to_q.bias
    randomised(network)
    torch.manual_seed(2)
    skipped = [torch.allclose(model.blocks[0].to_q(torch.ones(6)), base) for _ in range(200)]
    assert 60 < sum(skipped) < 140
    network.eval()
    assert not any(torch.allclose(model.blocks[0].to_q(torch.ones(6)), base) for _ in range(20))


@pytest.mark.parametrize(
    ("exclude", "include", "expected"),
    [
        ([".*ffn.*"], [], 16),
        ([".*"], [".*self_attn.*"], 8),
        (["blocks.0"], [], 20),  # the whole name must match
        ([r".*blocks\.0\..*"], [r".*blocks\.0\.ffn\.0"], 11),
        ([], [".*self_attn.*"], 20),  # include only rescues
    ],
)
def test_patterns_see_original_names(exclude: list[str], include: list[str], expected: int) -> None:
    network = adapter(tiny_wan(), exclude_patterns=tuple(exclude), include_patterns=tuple(include))
    assert len(network) == expected


def test_nothing_left_to_train_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no layer"):
        adapter(tiny_wan(), exclude_patterns=(".*",))


def test_network_args() -> None:
    given = ["exclude_patterns=['.*ffn.*', 'a=b']", "include_patterns=.*ffn.0", "rank_dropout=0.1",
             "module_dropout=None", "loraplus_lr_ratio=4", "verbose=True"]  # fmt: skip
    assert parse_network_args(given) == NetworkArguments((".*ffn.*", "a=b"), (".*ffn.0",), 0.1, None, 4.0)
    assert parse_network_args(None) == NetworkArguments()
    assert parse_network_args(["loraplus_lr_ratio=0"]).loraplus_lr_ratio is None


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("exclude_pattern=['a']", "exclude_patterns"),
        ("rank_dropout", "key=value"),
        ("rank_dropout=much", "number"),
        ("module_dropout=1", "below 1"),
        ("exclude_patterns=['(']", "regular expression"),
        ("exclude_patterns=['.*ffn.*'", "regular expression"),
        ("include_patterns=[1]", "list of patterns"),
    ],
)
def test_wrong_network_args(word: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_network_args([word])


def test_loraplus_groups() -> None:
    network = adapter(tiny_wan(), loraplus_lr_ratio=16.0)
    downs, ups = network.parameter_groups(1e-3)
    assert (downs["lr"], ups["lr"]) == (1e-3, 1.6e-2)
    assert [id(p) for p in downs["params"]] == [id(a.down) for a in network]
    assert [id(p) for p in ups["params"]] == [id(a.up) for a in network]
    (only,) = adapter(tiny_wan()).parameter_groups(1e-3)
    assert len(only["params"]) == 40
