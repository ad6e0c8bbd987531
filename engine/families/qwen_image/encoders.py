"""Qwen-Image's VAE and text encoder: loading from the files people have, and what is cached.

The text encoder is the language half of Qwen2.5-VL; the vision half and the output layer of the file are not read. Each
caption goes through the chat template the model was trained with; the template's own tokens in front of it are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from engine.checkpoints.names import NameTable
from engine.checkpoints.place import load_into
from engine.checkpoints.reader import Checkpoint, open_checkpoint
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.families.family import Frames
from engine.families.qwen_image.spec import SPEC
from engine.families.recognise import describe
from engine.families.tokenizers import Tokenizer, TokenizerSource, load_tokenizer
from engine.families.wan import vae_names

TOKENIZER = TokenizerSource(
    hub="Qwen/Qwen-Image",
    subfolder="tokenizer",
    files=("vocab.json", "merges.txt", "tokenizer_config.json"),
    beside=("tokenizer", "Qwen-Image/tokenizer", "Qwen2.5-VL-7B-Instruct", "tokenizer.json", "vocab.json"),
)

BEFORE_CAPTION, AFTER_CAPTION = SPEC.caption_template.split("{}")

_NAMES = NameTable(identity=True, prefixes=("model.", "language_model."))
HEAD_SIZES = (128, 64, 32, 16)  # the released one first; the file does not store it


def load_vae(path: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """``AutoencoderKLQwenImage`` from ComfyUI's or diffusers' file. Raises ``CheckpointError``."""
    from diffusers import AutoencoderKLQwenImage

    return vae_names.load_wan_layout_vae(
        path, AutoencoderKLQwenImage, channels=SPEC.latent_channels, device=device, dtype=dtype
    )


def encode_latents(vae: nn.Module, pixels: Frames) -> torch.Tensor:
    """Pixels (B, 3, 1, H, W) in [-1, 1] -> normalised latents (B, 16, 1, h, w)."""
    return vae_names.encode(vae, pixels)


def decode_latents(vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents (B, 16, 1, h, w) -> pixels (B, 3, 1, H, W) in [-1, 1]."""
    return vae_names.decode(vae, latents)


class QwenText:
    """The language half of Qwen2.5-VL with its tokenizer."""

    ragged = frozenset({"vl_embed"})

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.dropped = len(tokenizer.ids(BEFORE_CAPTION))  # 34 with the released tokenizer

    def encode(self, captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """``vl_embed`` (tokens, width): the last hidden state behind the template's front, at most 1024, on the CPU."""
        device = next(self.model.parameters()).device
        encoded = []
        for caption in captions:
            ids = self.tokenizer.ids(BEFORE_CAPTION + caption + AFTER_CAPTION, self.dropped + SPEC.token_limit)
            with torch.no_grad():
                states = self.model(input_ids=torch.tensor([ids], device=device), use_cache=False).last_hidden_state[0]
            encoded.append({"vl_embed": states[self.dropped :].cpu()})
        return encoded

    def token_count(self, caption: str) -> int:
        """Tokens of the caption alone, before it is cut."""
        return len(self.tokenizer.ids(caption))


def load_text_encoder(
    paths: Mapping[str, Path], *, tokenizer: Path | None, device: torch.device, dtype: torch.dtype
) -> QwenText:
    """Qwen2.5-VL from the file of option ``text_encoder``, in old or new transformers names. Raises ``CheckpointError``."""
    path = paths["text_encoder"]
    checkpoint = open_checkpoint(path)
    stripped = {_NAMES.strip(name) for name in checkpoint.shapes}
    if "layers.0.self_attn.q_proj.bias" not in stripped or "embed_tokens.weight" not in stripped:
        raise _not_qwen_vl(checkpoint)
    if any(name.endswith(".comfy_quant") for name in checkpoint.shapes):
        raise _quantised(checkpoint)
    words = load_tokenizer(TOKENIZER, option=tokenizer, weights=path)
    for name in list(checkpoint.shapes):
        if _NAMES.strip(name).startswith(("visual.", "lm_head.")):
            del checkpoint.shapes[name]
    return QwenText(_load_language_half(checkpoint, device, dtype), words)


def _load_language_half(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> nn.Module:
    from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLRotaryEmbedding,
        Qwen2_5_VLTextModel,
    )

    shapes = {_NAMES.strip(name): shape for name, shape in checkpoint.shapes.items()}
    queries, width = shapes["layers.0.self_attn.q_proj.weight"]
    keys = shapes["layers.0.self_attn.k_proj.weight"][0]
    head = next(size for size in HEAD_SIZES if keys % size == 0 and queries % size == 0)
    section = head // 16
    config = Qwen2_5_VLTextConfig(
        vocab_size=shapes["embed_tokens.weight"][0],
        hidden_size=width,
        intermediate_size=shapes["layers.0.mlp.gate_proj.weight"][0],
        num_hidden_layers=1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("layers.")),
        num_attention_heads=queries // head,
        num_key_value_heads=keys // head,
        rms_norm_eps=1e-6,
        max_position_embeddings=128_000,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1_000_000.0,
            "mrope_section": [2 * section, 3 * section, 3 * section],  # (16, 24, 24) of 128; alike for text
        },
        use_sliding_window=False,
    )
    with torch.device("meta"):
        model: nn.Module = Qwen2_5_VLTextModel(config)
    model.rotary_emb = Qwen2_5_VLRotaryEmbedding(config=config)
    return load_into(model, checkpoint, _NAMES, device=device, dtype=dtype).to(device)


def _not_qwen_vl(checkpoint: Checkpoint) -> CheckpointError:
    what = describe(checkpoint)
    return CheckpointError.of(
        "wrong_checkpoint",
        say(f"{checkpoint.path.name}: this is {what}, not Qwen-Image's Qwen2.5-VL text encoder.",
            f"{checkpoint.path.name}: 内容は{what}で、Qwen-Image の Qwen2.5-VL テキストエンコーダーではありません。"),
        say("Point text_encoder to qwen_2.5_vl_7b.safetensors.", "text_encoder には qwen_2.5_vl_7b.safetensors を指定してください。"),
        file=checkpoint.path, key="text_encoder",
    )  # fmt: skip


def _quantised(checkpoint: Checkpoint) -> CheckpointError:
    return CheckpointError.of(
        "not_built_yet",
        say(f"{checkpoint.path.name}: quantised text encoders of this kind cannot be read yet.",
            f"{checkpoint.path.name}: この形式の量子化テキストエンコーダーはまだ読めません。"),
        say("Use qwen_2.5_vl_7b.safetensors (bf16).", "qwen_2.5_vl_7b.safetensors（bf16）を使ってください。"),
        file=checkpoint.path, key="text_encoder",
    )  # fmt: skip
