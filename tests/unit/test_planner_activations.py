"""The plan's activations against the tensors that autograd really keeps of the real blocks, counted on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoints.load import compute_in_fp32
from engine.config.schema import Config
from engine.families import get_family
from engine.networks.lora import LoraNetwork
from engine.planner.facts import DataSummary, SizeGroup
from engine.planner.memory import activations
from engine.planner.request import PlanRequest
from engine.planner.transformer import measure
from engine.train.objective import Objective
from engine.train.step import checkpoint_blocks
from engine.train.timesteps import TimestepSettings

TEXT_WIDTH, TEXT_TOKENS = 64, 24
ARGUMENTS: dict[str, dict[str, Any]] = {
    "wan": {
        "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 128, "in_channels": 16, "out_channels": 16,
        "text_dim": TEXT_WIDTH, "freq_dim": 64, "ffn_dim": 768, "num_layers": 3, "cross_attn_norm": True,
    },
    "qwen_image": {
        "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 3, "attention_head_dim": 128,
        "num_attention_heads": 2, "joint_attention_dim": TEXT_WIDTH, "axes_dims_rope": (16, 56, 56),
    },
}  # fmt: skip
CAPTION = {"wan": "t5", "qwen_image": "vl_embed"}


def model_of(family: str, *, half: bool) -> tuple[Any, nn.Module]:
    """A small model of the family with weights, held in the dtypes that training holds them in."""
    ours = get_family(family).load_model()
    meta = ours.build(ARGUMENTS[family])
    model = meta.to_empty(device="cpu")
    fresh = ours.build(ARGUMENTS[family])
    for name in ("rope", "pos_embed"):  # position tables are computed at construction
        if hasattr(model, name):
            setattr(model, name, getattr(fresh, name))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            nn.init.normal_(parameter, std=0.02)
            kept = not half or any(part in name for part in ours.keep_fp32)
            parameter.data = parameter.data.to(torch.float32 if kept else torch.bfloat16)
    compute_in_fp32(model.requires_grad_(False).eval(), ours.keep_fp32)
    return ours, model


def kept_bytes(family: str, precision: str, *, checkpointing: bool, side: int, batch: int, rank: int) -> int:
    """Bytes of everything saved for the backward pass of one forward pass, parameters not counted."""
    ours, model = model_of(family, half=precision == "bf16")
    network = LoraNetwork.create(model, ours, rank=rank)
    if checkpointing:
        checkpoint_blocks(model, network)
    network.train()
    settings = TimestepSettings.from_config(Config.of({"family": family}))
    objective = Objective(ours, settings, precision)
    lasting = (*model.parameters(), *model.buffers(), *network.parameters())
    owned = {tensor.untyped_storage().data_ptr() for tensor in lasting}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned and not tensor.is_complex():  # complex: tables of positions
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    text = [torch.randn(TEXT_TOKENS, TEXT_WIDTH).bfloat16() for _ in range(batch)]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        latents = torch.randn(batch, 16, 1, side // 8, side // 8)
        objective.predict(model, latents, torch.full((batch,), 500.0), {CAPTION[family]: text})
    return sum(kept.values())


def planned_bytes(family: str, precision: str, *, checkpointing: bool, side: int, batch: int, rank: int) -> int:
    spec = get_family(family)
    ours = spec.load_model()
    meta = ours.build(ARGUMENTS[family])
    assert spec.transformer is not None
    shapes = {}
    for name, tensor in meta.state_dict(keep_vars=True).items():
        place = ours.names.to_original(name)
        shapes[place.name if place else name] = tuple(tensor.shape)
    values = Config.of(
        {"family": family, "mixed_precision": precision, "gradient_checkpointing": checkpointing, "network_dim": rank}
    ).values()
    data = DataSummary((SizeGroup(side, side, 1, batch, batch),), caption_bytes=3 * (TEXT_TOKENS - 8))
    request = PlanRequest(
        values, replace(spec), spec.task(None), measure(spec.transformer, shapes, "small.safetensors"), data
    )
    return activations(request)[0]


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("precision", ["bf16", "no"])
@pytest.mark.parametrize("family", ["wan", "qwen_image"])
def test_what_is_kept_without_checkpointing(family: str, precision: str, batch: int) -> None:
    size = {"checkpointing": False, "side": 384, "batch": batch, "rank": 8}
    counted, planned = kept_bytes(family, precision, **size), planned_bytes(family, precision, **size)
    assert planned == pytest.approx(counted, rel=0.04), (planned, counted)


@pytest.mark.parametrize("family", ["wan", "qwen_image"])
def test_checkpointing_keeps_the_inputs_of_the_blocks(family: str) -> None:
    """Of the forward pass only the boundaries remain; the plan adds the one block that is being computed again."""
    size = {"checkpointing": True, "side": 384, "batch": 1, "rank": 8}
    counted, planned = kept_bytes(family, "bf16", **size), planned_bytes(family, "bf16", **size)
    one_block = planned_bytes(family, "bf16", **{**size, "checkpointing": False}) / ARGUMENTS[family]["num_layers"]
    assert counted < planned < counted + 1.1 * one_block
