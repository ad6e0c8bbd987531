"""Shapes of the released Wan transformers under their original names, for plans without the file at hand."""

from __future__ import annotations

from engine.families.transformer_facts import Shapes

_TEXT, _FREQUENCIES, _CHANNELS, _IMAGE = 4096, 256, 16, 1280
_SMALL = (1536, 8960, 30)  # width, inside the feed-forward layer, blocks
_LARGE = (5120, 13824, 40)


def released_shapes(task: str) -> Shapes:
    """Original names and shapes of the model that a task is trained on."""
    width, inside, blocks = _SMALL if "1.3B" in task else _LARGE
    channels = {"FC": 48}.get(task.rpartition("-")[2], 36 if task.startswith(("i2v", "flf2v")) else _CHANNELS)
    image = "A14B" not in task and channels != _CHANNELS
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embedding.weight": (width, channels, 1, 2, 2),
        "patch_embedding.bias": (width,),
        **_linear("text_embedding.0", width, _TEXT),
        **_linear("text_embedding.2", width, width),
        **_linear("time_embedding.0", width, _FREQUENCIES),
        **_linear("time_embedding.2", width, width),
        **_linear("time_projection.1", 6 * width, width),
        "head.modulation": (1, 2, width),
        **_linear("head.head", 4 * _CHANNELS, width),
    }
    if image:
        shapes |= {"img_emb.proj.0.weight": (_IMAGE,), "img_emb.proj.0.bias": (_IMAGE,)}
        shapes |= {"img_emb.proj.4.weight": (width,), "img_emb.proj.4.bias": (width,)}
        shapes |= _linear("img_emb.proj.1", _IMAGE, _IMAGE) | _linear("img_emb.proj.3", width, _IMAGE)
        if task.startswith("flf2v"):
            shapes["img_emb.emb_pos"] = (1, 514, _IMAGE)
    for index in range(blocks):
        shapes |= _block(f"blocks.{index}", width, inside, image=image)
    return shapes


def _block(name: str, width: int, inside: int, *, image: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.modulation": (1, 6, width),
        f"{name}.norm3.weight": (width,),
        f"{name}.norm3.bias": (width,),
        **_linear(f"{name}.ffn.0", inside, width),
        **_linear(f"{name}.ffn.2", width, inside),
    }
    for attention in ("self_attn", "cross_attn"):
        for part in ("q", "k", "v", "o"):
            shapes |= _linear(f"{name}.{attention}.{part}", width, width)
        shapes |= {f"{name}.{attention}.norm_{part}.weight": (width,) for part in ("q", "k")}
    if image:
        shapes |= _linear(f"{name}.cross_attn.k_img", width, width)
        shapes |= _linear(f"{name}.cross_attn.v_img", width, width)
        shapes[f"{name}.cross_attn.norm_k_img.weight"] = (width,)
    return shapes


def _linear(name: str, out_features: int, in_features: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out_features, in_features), f"{name}.bias": (out_features,)}
