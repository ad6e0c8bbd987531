"""LoRA files: three dialects out and in again, and complaints about everything else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.config.problems import CheckpointError
from engine.networks.build import build_network, merge_lora
from engine.networks.dialects import Dialect, read_lora
from engine.networks.files import save_tensors
from engine.networks.lora import LoraNetwork
from tests.unit.test_networks_lora import FUSED, Model, fused, randomised
from tests.unit.train_bench import FAMILY, adapter, tiny_wan

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
X = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("alpha", [3.0, 1.5])
def test_round_trip(dialect: Dialect, alpha: float, tmp_path: Path) -> None:
    model, network = fused(rank=3, alpha=alpha)
    randomised(network)
    saved = network.save(tmp_path / "x.safetensors", dialect, {"ss_seed": "1"})
    file = read_lora(saved.path)
    assert file.dialect == dialect
    assert file.metadata["ss_seed"] == "1"
    assert saved.modules == {"musubi": 4, "comfy": 4, "diffusers": 8}[dialect]

    again, other = fused(rank=3, alpha=alpha if dialect == "musubi" else 3.0)
    other.load_file(file)
    torch.testing.assert_close(again(X), model(X))
    assert other.delta_norm() == pytest.approx(network.delta_norm(), rel=1e-5)
    assert saved.delta_norm == pytest.approx(network.delta_norm(), rel=1e-4)


def test_names_of_each_dialect(tmp_path: Path) -> None:
    _, network = fused(rank=2)
    keys = {}
    for dialect in DIALECTS:
        network.save(tmp_path / f"{dialect}.safetensors", dialect)
        keys[dialect] = sorted(
            key for key in load_file(tmp_path / f"{dialect}.safetensors") if ".0." in key or "_0_" in key
        )
    assert keys["musubi"] == [
        "lora_unet_b_0_proj.alpha", "lora_unet_b_0_proj.lora_down.weight", "lora_unet_b_0_proj.lora_up.weight",
        "lora_unet_b_0_qkv.alpha", "lora_unet_b_0_qkv.lora_down.weight", "lora_unet_b_0_qkv.lora_up.weight",
    ]  # fmt: skip
    assert keys["comfy"] == [
        "diffusion_model.b.0.proj.lora_A.weight", "diffusion_model.b.0.proj.lora_B.weight",
        "diffusion_model.b.0.qkv.lora_A.weight", "diffusion_model.b.0.qkv.lora_B.weight",
    ]  # fmt: skip
    assert keys["diffusers"][2:] == [
        f"transformer.blocks.0.to_{part}.lora_{side}.weight" for part in "kqv" for side in "AB"
    ]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_save_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    _, network = fused()
    randomised(network)
    network.save(tmp_path / "x.safetensors", dtype=dtype)
    assert {tensor.dtype for tensor in load_file(tmp_path / "x.safetensors").values()} == {dtype}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_what_is_not_finite_is_not_saved(value: float, tmp_path: Path) -> None:
    _, network = fused()
    network.save(tmp_path / "x.safetensors")
    before = (tmp_path / "x.safetensors").read_bytes()
    with torch.no_grad():
        next(iter(network)).up[0, 0] = value
    with pytest.raises(CheckpointError, match="not numbers"):
        network.save(tmp_path / "x.safetensors", dtype=torch.float16)
    assert (tmp_path / "x.safetensors").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def config(**network: Any) -> Any:
    values = {"base_weights": None, "base_weights_multiplier": None, "network_weights": None, "network_dim": 3,
              "network_alpha": 3.0, "network_dropout": None, "network_args": None, "dim_from_weights": False}  # fmt: skip
    return SimpleNamespace(network=SimpleNamespace(**(values | network)))


def test_starting_from_a_file(tmp_path: Path) -> None:
    model, network = fused(rank=3)
    path = randomised(network).save(tmp_path / "x.safetensors").path
    other = Model().requires_grad_(False)
    other.load_state_dict(model.state_dict())
    build_network(config(network_weights=path), other, FUSED)
    torch.testing.assert_close(other(X), model(X))


def test_rank_from_the_file(tmp_path: Path) -> None:
    _, network = fused(rank=5, alpha=2.5)
    path = randomised(network).save(tmp_path / "x.safetensors").path
    shaped = build_network(config(network_weights=path, dim_from_weights=True), Model(), FUSED)
    assert {(a.rank, a.alpha) for a in shaped} == {(5, 2.5)}
    assert shaped.delta_norm() == pytest.approx(network.delta_norm(), rel=1e-5)


@pytest.mark.parametrize("options", [{"network_dim": 4, "network_alpha": 3.0}, {"network_alpha": 1.0}])
def test_another_rank_or_alpha_is_an_error(options: dict[str, Any], tmp_path: Path) -> None:
    path = randomised(fused(rank=3)[1]).save(tmp_path / "x.safetensors").path
    with pytest.raises(CheckpointError, match=r"lora_unet_b_0_qkv \(rank 3, alpha 3"):
        build_network(config(network_weights=path, **options), Model(), FUSED)


def test_a_lora_of_another_model_is_an_error(tmp_path: Path) -> None:
    path = randomised(adapter(tiny_wan(), rank=3)).save(tmp_path / "wan.safetensors").path
    with pytest.raises(CheckpointError, match="blocks_0_cross_attn_k"):
        build_network(config(network_weights=path), Model(), FUSED)
    with pytest.raises(CheckpointError, match="blocks_0_cross_attn_k"):
        merge_lora(Model(), FUSED, read_lora(path))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_merging_equals_the_adapter(dialect: Dialect, tmp_path: Path) -> None:
    model, network = fused(rank=3, alpha=1.5)
    path = randomised(network).save(tmp_path / "x.safetensors", dialect).path
    network.multiplier = 0.7
    merged = Model()
    merged.load_state_dict(model.state_dict())
    assert merge_lora(merged, FUSED, read_lora(path), 0.7) == 4
    torch.testing.assert_close(merged(X), model(X))


def test_slices_that_were_trained_apart_are_refused(tmp_path: Path) -> None:
    _, network = fused(rank=3)
    path = randomised(network).save(tmp_path / "x.safetensors", "diffusers").path
    tensors = load_file(path)
    tensors["transformer.blocks.0.to_k.lora_A.weight"] += 1
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="trained apart"):
        fused(rank=3)[1].load_file(read_lora(path))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"blocks.0.weight": torch.ones(1)}, "first tensor"),
        ({"lora_unet_a.hada_w1_a": torch.ones(1)}, "hada_w1_a"),
        ({"lora_unet_a.lora_down.weight": torch.ones(1, 1)}, "lacks its up matrix"),
    ],
)
def test_files_that_are_no_lora(tensors: dict[str, torch.Tensor], says: str, tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=says):
        read_lora(tmp_path / "x.safetensors")


class TestDiffusersReadsOurFiles:
    """``load_lora_weights`` on a tiny pipeline gives the output of our adapter in memory."""

    @pytest.fixture
    def wan(self) -> tuple[Any, LoraNetwork]:
        model = tiny_wan(3)
        return model, randomised(adapter(model, rank=4, alpha=2.0))

    @pytest.mark.parametrize("dialect", ["diffusers", "comfy", "musubi"])
    def test_wan(self, dialect: Dialect, wan: tuple[Any, LoraNetwork], tmp_path: Path) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

        model, network = wan
        inputs = {
            "hidden_states": torch.randn(1, 16, 1, 8, 8), "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": torch.randn(1, 7, 32),
        }  # fmt: skip
        ours = model(**inputs, return_dict=False)[0]
        network.save(tmp_path / "x.safetensors", dialect)
        network.detach()
        base = model(**inputs, return_dict=False)[0]

        pipeline = WanPipeline(
            tokenizer=None, text_encoder=None, vae=None, transformer=model, scheduler=FlowMatchEulerDiscreteScheduler()
        )
        pipeline.load_lora_weights(tmp_path / "x.safetensors")

        theirs = pipeline.transformer(**inputs, return_dict=False)[0]
        assert float((ours - base).detach().norm() / base.norm()) > 1e-2
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)

    def test_qwen_image(self, tmp_path: Path) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel

        from engine.families import get_family

        torch.manual_seed(3)
        model = QwenImageTransformer2DModel(
            num_layers=2, num_attention_heads=2, attention_head_dim=16, joint_attention_dim=32, axes_dims_rope=(4, 6, 6)
        )
        network = randomised(
            LoraNetwork.create(model.requires_grad_(False), get_family("qwen_image").load_model(), rank=4)
        )
        inputs = {
            "hidden_states": torch.randn(1, 16, 64), "timestep": torch.tensor([0.5]),
            "encoder_hidden_states": torch.randn(1, 7, 32), "img_shapes": [[(1, 4, 4)]],
        }  # fmt: skip
        ours = model(**inputs, return_dict=False)[0]
        network.save(tmp_path / "x.safetensors", "diffusers")
        network.detach()
        base = model(**inputs, return_dict=False)[0]

        pipeline = QwenImagePipeline(
            tokenizer=None, text_encoder=None, vae=None, transformer=model, scheduler=FlowMatchEulerDiscreteScheduler()
        )
        pipeline.load_lora_weights(tmp_path / "x.safetensors")

        theirs = pipeline.transformer(**inputs, return_dict=False)[0]
        assert float((ours - base).detach().norm() / base.norm()) > 1e-2
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def test_wan_files_name_the_original_model(tmp_path: Path) -> None:
    network = adapter(tiny_wan())
    network.save(tmp_path / "c.safetensors", "comfy")
    network.save(tmp_path / "d.safetensors", "diffusers")
    assert "diffusion_model.blocks.1.cross_attn.o.lora_A.weight" in load_file(tmp_path / "c.safetensors")
    assert "transformer.blocks.1.attn2.to_out.0.lora_A.weight" in load_file(tmp_path / "d.safetensors")
    assert FAMILY.names.to_diffusers("blocks.1.cross_attn.o") == ("blocks.1.attn2.to_out.0",)


def test_a_lora_file_has_the_permissions_of_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    pair = {"lora_unet_a.lora_down.weight": torch.ones(2, 4), "lora_unet_a.lora_up.weight": torch.ones(4, 2)}
    save_tensors({**pair, "lora_unet_a.alpha": torch.tensor(2.0)}, tmp_path / "a.safetensors", {})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "plain"]
