"""What is this model file? Answered from tensor names alone, for messages like "this is a LoRA, not a VAE".

Torch-free: the wizard and `models check` use it on headers.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.config.language import say
from engine.families.family import ModelSlot

# The first line whose names all occur (as parts of tensor names) is the answer.
_SIGNS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("lora_unet_",), "a LoRA in Musubi Tuner's layout", "Musubi Tuner 形式の LoRA"),
    ((".lora_A.",), "a LoRA", "LoRA"),
    ((".lora_down.",), "a LoRA", "LoRA"),
    (("blocks.0.self_attn.q.weight", "img_emb."), "a Wan 2.1 image-to-video transformer", "Wan 2.1 I2V の transformer"),
    (("blocks.0.self_attn.q.weight", "patch_embedding."), "a Wan transformer", "Wan の transformer"),
    (("blocks.0.attn1.to_q.weight", "condition_embedder."), "a Wan transformer in diffusers layout", "diffusers 形式の Wan transformer"),
    (("transformer_blocks.0.attn.add_q_proj", "txt_norm.weight"), "a Qwen-Image transformer", "Qwen-Image の transformer"),
    (("transformer_blocks.0.attn.add_q_proj", "clean_x_embedder"), "a FramePack transformer", "FramePack の transformer"),
    (("double_blocks.0.img_attn_qkv",), "a HunyuanVideo transformer", "HunyuanVideo の transformer"),
    (("double_blocks.0.img_attn.qkv",), "a FLUX transformer", "FLUX の transformer"),
    (("decoder.middle.0.residual", "encoder.downsamples."), "a Wan 2.1 or Qwen-Image VAE", "Wan 2.1 / Qwen-Image の VAE"),
    (("decoder.mid_block.", "encoder.down_blocks."), "a VAE in diffusers layout", "diffusers 形式の VAE"),
    (("decoder.up.0.block",), "a FLUX or Stable Diffusion VAE", "FLUX / Stable Diffusion の VAE"),
    (("blocks.0.ffn.gate.0.weight", "token_embedding.weight"), "a UMT5 text encoder in Wan's layout", "Wan 形式の UMT5 テキストエンコーダー"),
    (("encoder.block.0.layer.0.SelfAttention.q.weight",), "a T5 text encoder", "T5 テキストエンコーダー"),
    (("visual.blocks.0.", "layers.0.self_attn.q_proj"), "a Qwen-VL text encoder", "Qwen-VL テキストエンコーダー"),
    (("text_model.encoder.layers.0.",), "a CLIP text encoder", "CLIP テキストエンコーダー"),
    (("vision_model.encoder.layers.0.",), "a vision encoder", "画像エンコーダー"),
    (("layers.0.self_attn.q_proj",), "a language model", "言語モデル"),
)  # fmt: skip


_ADAPTERS = ("lora_", ".lora_A.", ".lora_down.")


def fits(slot: ModelSlot, names: Iterable[str]) -> bool:
    """Whether a file with these tensor names can stand in a slot, as far as names tell."""
    text = "\n".join(names)
    if any(mark in text for mark in _ADAPTERS):
        return False
    return any(all(sign in text for sign in signs) for signs in slot.signs)


def describe(names: Iterable[str]) -> str:
    """One phrase on what these tensor names are, in the user's language."""
    text = "\n".join(names)
    for signs, english, japanese in _SIGNS:
        if all(sign in text for sign in signs):
            return say(english, japanese)
    first = text.split("\n", 1)[0]
    return say(f"tensors of an unknown model (the first is {first!r})", f"不明なモデル（先頭のテンソルは {first!r}）")
