"""Wan's VAE and text encoder: loading from the files people have, and what is cached.

UMT5's text is cleaned (broken Unicode repaired, white space collapsed), cut at 512 tokens, encoded one caption at a time
without padding, and kept at its own length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from engine.checkpoints.names import NameTable, rules
from engine.checkpoints.place import load_into
from engine.checkpoints.reader import Checkpoint, open_checkpoint
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.families.family import Frames
from engine.families.recognise import describe
from engine.families.tokenizers import Tokenizer, TokenizerSource, load_tokenizer
from engine.families.wan import vae_names
from engine.families.wan.cleaning import clean
from engine.families.wan.spec import SPEC

TOKENIZER = TokenizerSource(
    hub="google/umt5-xxl",
    subfolder="",
    files=("tokenizer.json",),
    beside=("google/umt5-xxl", "umt5-xxl", "tokenizer", "tokenizer.json", "spiece.model"),
    end_mark="</s>",
)

# Names inside transformers' UMT5 stack (UMT5EncoderModel.encoder). Wan's own file and the Hugging Face names.
UMT5_NAMES = NameTable(
    rules(
        [
            ("token_embedding", "embed_tokens"),
            ("norm", "final_layer_norm"),
            ("blocks.{i}.norm1", "block.{i}.layer.0.layer_norm"),
            *((f"blocks.{{i}}.attn.{part}", f"block.{{i}}.layer.0.SelfAttention.{part}") for part in "qkvo"),
            ("blocks.{i}.pos_embedding.embedding", "block.{i}.layer.0.SelfAttention.relative_attention_bias"),
            ("blocks.{i}.norm2", "block.{i}.layer.1.layer_norm"),
            ("blocks.{i}.ffn.gate.0", "block.{i}.layer.1.DenseReluDense.wi_0"),
            ("blocks.{i}.ffn.fc1", "block.{i}.layer.1.DenseReluDense.wi_1"),
            ("blocks.{i}.ffn.fc2", "block.{i}.layer.1.DenseReluDense.wo"),
        ]
    )
)
_HUGGING_FACE_NAMES = NameTable(
    rules([("shared", "embed_tokens")]), identity=True, prefixes=("text_encoder.", "encoder.")
)


def load_vae(path: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """``AutoencoderKLWan`` from Wan's own, ComfyUI's or diffusers' file. Raises ``CheckpointError``."""
    from diffusers import AutoencoderKLWan

    return vae_names.load_wan_layout_vae(
        path, AutoencoderKLWan, channels=SPEC.latent_channels, device=device, dtype=dtype
    )


def encode_latents(vae: nn.Module, pixels: Frames) -> torch.Tensor:
    """Pixels (B, 3, F, H, W) in [-1, 1] -> normalised latents (B, 16, f, h, w); F = 4n + 1."""
    return vae_names.encode(vae, pixels)


def decode_latents(vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents (B, 16, f, h, w) -> pixels (B, 3, F, H, W) in [-1, 1]."""
    return vae_names.decode(vae, latents)


class Umt5:
    """UMT5's encoder stack with its tokenizer."""

    ragged = frozenset({"t5"})

    def __init__(self, stack: nn.Module, tokenizer: Tokenizer) -> None:
        self.stack = stack
        self.tokenizer = tokenizer

    def encode(self, captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """``t5`` (tokens, width) of each caption, at most 512 tokens, on the CPU in the encoder's dtype."""
        device = next(self.stack.parameters()).device
        encoded = []
        for caption in captions:
            ids = self.tokenizer.ids(clean(caption), SPEC.token_limit)
            with torch.no_grad():
                states = self.stack(input_ids=torch.tensor([ids], device=device)).last_hidden_state[0]
            encoded.append({"t5": states.cpu()})
        return encoded

    def token_count(self, caption: str) -> int:
        """Tokens of the cleaned caption with its end mark, before it is cut."""
        return len(self.tokenizer.ids(clean(caption)))


def load_text_encoder(
    paths: Mapping[str, Path], *, tokenizer: Path | None, device: torch.device, dtype: torch.dtype
) -> Umt5:
    """UMT5 from the file of option ``t5``, in Wan's or Hugging Face's names. Raises ``CheckpointError``."""
    path = paths["t5"]
    checkpoint = open_checkpoint(path)
    words = load_tokenizer(TOKENIZER, option=tokenizer, weights=path)
    if "blocks.0.ffn.gate.0.weight" in checkpoint.shapes:
        return Umt5(_load_stack(checkpoint, UMT5_NAMES, device, dtype), words)
    names = {_HUGGING_FACE_NAMES.strip(name): name for name in checkpoint.shapes}
    if "block.0.layer.1.DenseReluDense.wi_0.weight" not in names or (
        "block.1.layer.0.SelfAttention.relative_attention_bias.weight" not in names
        and "block.1.layer.0.layer_norm.weight" in names
    ):
        raise _not_umt5(checkpoint)
    if "shared.weight" in names and "embed_tokens.weight" in names:
        del checkpoint.shapes[names["embed_tokens.weight"]]  # the same table twice
    checkpoint.shapes.pop("spiece_model", None)  # ComfyUI carries the tokenizer's file along as a tensor
    return Umt5(_load_stack(checkpoint, _HUGGING_FACE_NAMES, device, dtype), words)


def _load_stack(checkpoint: Checkpoint, table: NameTable, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The encoder stack with sizes from the file: every size but the bucket distance (128) shows in a shape."""
    from transformers import UMT5Config, UMT5EncoderModel

    shapes = {
        translated[0]: shape
        for name, shape in checkpoint.shapes.items()
        if (translated := table.to_diffusers(table.strip(name))) is not None
    }
    attention = "block.0.layer.0.SelfAttention"
    buckets, heads = shapes[f"{attention}.relative_attention_bias.weight"]
    inner, width = shapes[f"{attention}.q.weight"]
    config = UMT5Config(
        vocab_size=shapes["embed_tokens.weight"][0],
        d_model=width,
        d_kv=inner // heads,
        num_heads=heads,
        d_ff=shapes["block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        num_layers=1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("block.")),
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu",
    )
    with torch.device("meta"):
        stack: nn.Module = UMT5EncoderModel(config).encoder
    return load_into(stack, checkpoint, table, device=device, dtype=dtype)


def _not_umt5(checkpoint: Checkpoint) -> CheckpointError:
    what = describe(checkpoint)
    return CheckpointError.of(
        "wrong_checkpoint",
        say(f"{checkpoint.path.name}: this is {what}, not Wan's UMT5 text encoder.",
            f"{checkpoint.path.name}: 内容は{what}で、Wan の UMT5 テキストエンコーダーではありません。"),
        say("Point t5 to models_t5_umt5-xxl-enc-bf16.pth or ComfyUI's umt5_xxl_fp16.safetensors.",
            "t5 には models_t5_umt5-xxl-enc-bf16.pth か umt5_xxl_fp16.safetensors を指定してください。"),
        file=checkpoint.path, key="t5",
    )  # fmt: skip
