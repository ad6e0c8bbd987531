"""Shapes of the released Qwen-Image transformer under its original names, for plans without the file at hand."""

from __future__ import annotations

from engine.families.transformer_facts import Shapes

_WIDTH, _HEAD, _BLOCKS, _TEXT, _FREQUENCIES, _PACKED = 3072, 128, 60, 3584, 256, 64


def released_shapes(task: str) -> Shapes:
    """Original names and shapes of the model that a task is trained on: one size; Layered has one table more."""
    shapes: dict[str, tuple[int, ...]] = {
        **_linear("time_text_embed.timestep_embedder.linear_1", _WIDTH, _FREQUENCIES),
        **_linear("time_text_embed.timestep_embedder.linear_2", _WIDTH, _WIDTH),
        "txt_norm.weight": (_TEXT,),
        **_linear("img_in", _WIDTH, _PACKED),
        **_linear("txt_in", _WIDTH, _TEXT),
        **_linear("norm_out.linear", 2 * _WIDTH, _WIDTH),
        **_linear("proj_out", _PACKED, _WIDTH),
    }
    if task == "layered":
        shapes["time_text_embed.addition_t_embedding.weight"] = (2, _WIDTH)
    for index in range(_BLOCKS):
        shapes |= _block(f"transformer_blocks.{index}")
    return shapes


def _block(name: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for stream in ("img", "txt"):
        shapes |= _linear(f"{name}.{stream}_mod.1", 6 * _WIDTH, _WIDTH)
        shapes |= _linear(f"{name}.{stream}_mlp.net.0.proj", 4 * _WIDTH, _WIDTH)
        shapes |= _linear(f"{name}.{stream}_mlp.net.2", _WIDTH, 4 * _WIDTH)
    for part in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
        shapes |= _linear(f"{name}.attn.{part}", _WIDTH, _WIDTH)
    for part in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        shapes[f"{name}.attn.{part}.weight"] = (_HEAD,)
    return shapes


def _linear(name: str, out_features: int, in_features: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out_features, in_features), f"{name}.bias": (out_features,)}
