"""Wan's transformer: names, sizes from shapes, and what it is called with.

Source: Wan-AI's released checkpoints (https://github.com/Wan-Video/Wan2.1) and diffusers' ``WanTransformer3DModel``.
Text is padded with zeros to 512 tokens and attended without a mask, as the model was trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.checkpoints.names import NameTable, rules
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.families.family import FamilySpec, Frames, LoraTargets, TextEncoder
from engine.families.recognise import describe
from engine.families.tokenizers import find_tokenizer
from engine.families.wan.spec import SPEC, TRANSFORMER

HEAD_SIZE = 128  # of every released Wan; the checkpoint does not store it

_NAMES = rules(
    [
        ("patch_embedding", "patch_embedding"),
        ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
        ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
        ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
        ("time_projection.1", "condition_embedder.time_proj"),
        ("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
        ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
        ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
        ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
        ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
        ("head.head", "proj_out"),
        ("head.modulation", "scale_shift_table"),
        *(
            (f"blocks.{{i}}.{original}.{a}", f"blocks.{{i}}.{diffusers}.{b}")
            for original, diffusers in (("self_attn", "attn1"), ("cross_attn", "attn2"))
            for a, b in (
                ("q", "to_q"),
                ("k", "to_k"),
                ("v", "to_v"),
                ("o", "to_out.0"),
                ("norm_q", "norm_q"),
                ("norm_k", "norm_k"),
            )
        ),
        ("blocks.{i}.cross_attn.k_img", "blocks.{i}.attn2.add_k_proj"),
        ("blocks.{i}.cross_attn.v_img", "blocks.{i}.attn2.add_v_proj"),
        ("blocks.{i}.cross_attn.norm_k_img", "blocks.{i}.attn2.norm_added_k"),
        ("blocks.{i}.norm3", "blocks.{i}.norm2"),
        ("blocks.{i}.ffn.0", "blocks.{i}.ffn.net.0.proj"),
        ("blocks.{i}.ffn.2", "blocks.{i}.ffn.net.2"),
        ("blocks.{i}.modulation", "blocks.{i}.scale_shift_table"),
    ]
)


class WanModel:
    """The torch half of Wan 2.1 text to video and text to image."""

    spec: FamilySpec = SPEC
    names = NameTable(_NAMES)
    lora = LoraTargets(blocks=("WanTransformerBlock",), exclude=TRANSFORMER.lora_exclude)
    # The time signal modulates every block; in bf16 it has 8 bits, and neighbouring timesteps become one. Of the norms,
    # which diffusers computes in fp32, only the second has weights.
    keep_fp32: tuple[str, ...] = (
        "condition_embedder.time_embedder",
        "condition_embedder.time_proj",
        "scale_shift_table",
        "norm2",
    )

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Constructor arguments from original names and shapes. Raises ``CheckpointError``."""
        shapes = {self.names.strip(name): shape for name, shape in shapes.items()}
        if "blocks.0.self_attn.q.weight" not in shapes or "patch_embedding.weight" not in shapes:
            raise _not_wan(
                say(
                    f"this is {describe(shapes)}, not a Wan transformer",
                    f"内容は{describe(shapes)}で、Wan の transformer ではありません",
                )
            )
        width, channels = shapes["patch_embedding.weight"][:2]
        if channels != SPEC.latent_channels or "img_emb.proj.1.weight" in shapes:
            raise _not_wan(
                say(f"this Wan transformer takes {channels} input channels: image-to-video and control models cannot be trained yet",
                    f"この Wan transformer の入力は {channels} チャンネルです。I2V・コントロールモデルの学習は未対応です"),
                say("Use a text-to-video model (16 input channels).", "T2V モデル（入力 16 チャンネル）を使ってください。"),
            )  # fmt: skip
        if width % HEAD_SIZE:
            raise _not_wan(
                say(
                    f"width {width} is not a multiple of {HEAD_SIZE}, as every Wan's is",
                    f"幅 {width} が {HEAD_SIZE} の倍数ではありません",
                )
            )
        return {
            "patch_size": SPEC.patch,
            "num_attention_heads": width // HEAD_SIZE,
            "attention_head_dim": HEAD_SIZE,
            "in_channels": channels,
            "out_channels": shapes["head.head.weight"][0] // math.prod(SPEC.patch),
            "text_dim": shapes["text_embedding.0.weight"][1],
            "freq_dim": shapes["time_embedding.0.weight"][1],
            "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
            "num_layers": 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")),
            "cross_attn_norm": "blocks.0.norm3.weight" in shapes,
        }

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """``WanTransformer3DModel`` with its parameters on ``meta`` and its position tables real."""
        from diffusers import WanTransformer3DModel
        from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

        with torch.device("meta"):
            model = WanTransformer3DModel(**arguments)
        model.rope = WanRotaryPosEmbed(
            model.config.attention_head_dim, model.config.patch_size, model.config.rope_max_seq_len
        )
        return model

    def blocks(self, transformer: nn.Module) -> list[nn.Module]:
        """The transformer blocks in execution order."""
        return list(transformer.blocks)

    def load_vae(self, path: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """``AutoencoderKLWan`` from Wan's own or ComfyUI's file."""
        from engine.families.wan import encoders

        return encoders.load_vae(path, device=device, dtype=dtype)

    def load_text_encoder(
        self, paths: Mapping[str, Path], *, tokenizer: Path | None, device: torch.device, dtype: torch.dtype
    ) -> TextEncoder:
        """UMT5 with its tokenizer, from the file of option ``t5``."""
        from engine.families.wan import encoders

        return encoders.load_text_encoder(paths, tokenizer=tokenizer, device=device, dtype=dtype)

    def tokenizer_files(self, paths: Mapping[str, Path], *, tokenizer: Path | None) -> list[Path]:
        """The tokenizer of the option, beside the file of option ``t5``, or in the hub's cache."""
        from engine.families.wan import encoders

        return find_tokenizer(encoders.TOKENIZER, option=tokenizer, weights=paths["t5"])

    def encode_latents(self, vae: nn.Module, pixels: Frames) -> torch.Tensor:
        """Pixels (B, 3, F, H, W) in [-1, 1] -> per-channel normalised latents (B, 16, f, h, w)."""
        from engine.families.wan import encoders

        return encoders.encode_latents(vae, pixels)

    def decode_latents(self, vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, 16, f, h, w) -> pixels (B, 3, F, H, W) in [-1, 1]."""
        from engine.families.wan import encoders

        return encoders.decode_latents(vae, latents)

    def model_inputs(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Mapping[str, Any], *, guidance_scale: float
    ) -> dict[str, Any]:
        """Text as (B, 512, width) with zeros behind the caption; timesteps as they are (0..1000)."""
        text: Sequence[torch.Tensor] = conditions["t5"]
        # fp32, so that the time embedding, which takes its dtype from the text, keeps its precision under autocast.
        padded = noisy.new_zeros(len(text), SPEC.token_limit, text[0].shape[-1], dtype=torch.float32)
        for row, tokens in zip(padded, text, strict=True):
            row[: len(tokens)] = tokens
        return {"hidden_states": noisy, "timestep": timesteps, "encoder_hidden_states": padded}

    def velocity(self, output: Any, shape: torch.Size) -> torch.Tensor:
        """The prediction as it comes: (B, 16, f, h, w)."""
        prediction: torch.Tensor = output[0]
        return prediction.reshape(shape)

    def shift_mu(self, shape: Sequence[int]) -> float:
        """FLUX's line through (256 tokens, 0.5) and (4096 tokens, 1.15), for whoever asks for a resolution-dependent shift."""
        tokens = (shape[-2] // 2) * (shape[-1] // 2)
        return 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)


def _not_wan(message: str, fix: str = "") -> CheckpointError:
    return CheckpointError.of("wrong_checkpoint", message + ".", fix, key="dit")
