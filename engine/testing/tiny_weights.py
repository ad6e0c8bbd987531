"""Random weights for tiny transformers and text encoders, under the names of the released files.

Shapes come from diffusers' and transformers' own classes on ``meta``; names go back to the original through the families'
name tables, so that a file written here is read by exactly the code that reads the real one. Matrices are drawn with unit
gain (normal / sqrt of the row length), which keeps activations near one through all layers; a few are drawn larger or smaller
so that text and timestep show in the output, but do not drown it. The last layer is the first one's transpose: a network that
never learned anything then echoes its input, as a starting point that a small adapter can bend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

Weights = dict[str, torch.Tensor]

WAN_TRANSFORMER: Mapping[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 1,
    "attention_head_dim": 128,  # of every Wan: the file does not store it
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 64,
    "freq_dim": 256,
    "ffn_dim": 256,
    "num_layers": 4,
    "cross_attn_norm": True,
}
QWEN_TRANSFORMER: Mapping[str, Any] = {
    "patch_size": 2,
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 4,
    "attention_head_dim": 32,
    "num_attention_heads": 4,
    "joint_attention_dim": 64,
    "axes_dims_rope": (4, 14, 14),
}
TEXT_WIDTH = 64

# Parts of original names whose matrices are drawn larger or smaller than unit gain.
_WAN_GAINS = {
    "cross_attn.norm_": 1.5,
    "cross_attn.o.": 1.0,
    "self_attn.o.": 0.5,
    "ffn.2.": 0.5,
    "time_projection.": 0.5,
}
_QWEN_GAINS = {"to_out.0.": 1.0, "to_add_out.": 1.0, "net.2.": 0.5, "_mod.1.": 0.4, "norm_out.": 0.4}
_ECHO = 0.7  # how much of its input an untrained transformer gives back


def wan_transformer(generator: torch.Generator) -> Weights:
    """A Wan transformer with ComfyUI's prefix, in bf16."""
    from engine.families.wan.model import WanModel

    family = WanModel()
    shapes = _original_shapes(family.build(WAN_TRANSFORMER), lambda name: _original(family.names.to_original(name)))
    drawn = _draw(shapes, generator, _WAN_GAINS)
    first = drawn[
        "patch_embedding.weight"
    ]  # (width, channels, 1, 2, 2); the head's rows are ordered (1, 2, 2, channels)
    first.copy_(_orthogonal(first.flatten(1), generator).view_as(first))
    drawn["head.head.weight"] = _ECHO / 2 * first.permute(2, 3, 4, 1, 0).flatten(0, 3)
    return {f"model.diffusion_model.{name}": tensor.bfloat16() for name, tensor in drawn.items()}


def qwen_transformer(generator: torch.Generator) -> Weights:
    """A Qwen-Image transformer, names as ComfyUI has them, in bf16."""
    from engine.families.qwen_image.model import QwenImageModel

    shapes = _original_shapes(QwenImageModel().build(QWEN_TRANSFORMER), str)
    drawn = _draw(shapes, generator, _QWEN_GAINS)
    drawn["img_in.weight"] = _orthogonal(drawn["img_in.weight"], generator)
    drawn["proj_out.weight"] = _ECHO / 2 * drawn["img_in.weight"].T.contiguous()
    return {f"model.diffusion_model.{name}": tensor.bfloat16() for name, tensor in drawn.items()}


def umt5(generator: torch.Generator, vocabulary: int) -> Weights:
    """A UMT5 encoder under the names of Wan's ``models_t5_umt5-xxl-enc-bf16.pth``."""
    from transformers import UMT5Config, UMT5EncoderModel

    from engine.families.wan.encoders import UMT5_NAMES

    config = UMT5Config(
        vocab_size=vocabulary,
        d_model=TEXT_WIDTH,
        d_kv=32,
        num_heads=2,
        d_ff=128,
        num_layers=2,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        stack = UMT5EncoderModel(config).encoder
    shapes = _original_shapes(stack, lambda name: _original(UMT5_NAMES.to_original(name)))
    return {name: tensor.bfloat16() for name, tensor in _draw(shapes, generator, {}).items()}


def qwen_vl(generator: torch.Generator, vocabulary: int) -> Weights:
    """A Qwen2.5-VL with its vision half and output layer, under the names of ``qwen_2.5_vl_7b.safetensors``."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 128,
            "bos_token_id": None,
            "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": TEXT_WIDTH,
            "fullatt_block_indexes": [1],
        },
    )
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)

    def stored(name: str) -> str:
        return name.replace("model.language_model.", "model.", 1).replace("model.visual.", "visual.", 1)

    return {name: tensor.bfloat16() for name, tensor in _draw(_original_shapes(model, stored), generator, {}).items()}


def _orthogonal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A (rows, columns) matrix with orthogonal columns that keeps the mean square of what it is applied to."""
    rows, columns = like.shape
    basis = torch.linalg.qr(torch.randn(rows, columns, generator=generator))[0]
    return (basis * (rows / columns) ** 0.5).contiguous()


def _original(place: Any) -> str:
    name: str = place.name
    return name


def _original_shapes(module: nn.Module, rename: Callable[[str], str]) -> dict[str, tuple[int, ...]]:
    return {rename(name): tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _draw(shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator, gains: Mapping[str, float]) -> Weights:
    """Matrices normal / sqrt(row length), tables normal, biases small, norm gains one; in sorted order of names."""
    weights = {}
    for name in sorted(shapes):
        shape = shapes[name]
        gain = math.prod((value for part, value in gains.items() if part in name), start=1.0)
        noise = torch.randn(shape, generator=generator)
        if name.endswith("modulation"):
            weights[name] = noise * 0.3
        elif "embed_tokens" in name or "token_embedding" in name:
            weights[name] = noise
        elif len(shape) > 1:
            weights[name] = noise * gain / math.prod(shape[1:]) ** 0.5
        elif name.endswith("bias"):
            weights[name] = noise * 0.02
        else:
            weights[name] = (1 + 0.02 * noise) * gain
    return weights
