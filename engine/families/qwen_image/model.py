"""Qwen-Image's transformer: names, sizes from shapes, and what it is called with.

Source: the released checkpoints (https://github.com/QwenLM/Qwen-Image) and diffusers' ``QwenImageTransformer2DModel``,
whose tensor names are the original ones. Latents are packed 2x2 into tokens; the timestep is handed over as 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from engine.checkpoints.names import NameTable
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.families.family import FamilySpec, Frames, LoraTargets, TextEncoder
from engine.families.qwen_image.spec import SPEC, TRANSFORMER
from engine.families.recognise import describe
from engine.families.tokenizers import find_tokenizer


class QwenImageModel:
    """The torch half of Qwen-Image text to image."""

    spec: FamilySpec = SPEC
    names = NameTable(identity=True)
    lora = LoraTargets(blocks=("QwenImageTransformerBlock",), exclude=TRANSFORMER.lora_exclude)
    keep_fp32: tuple[str, ...] = ()

    def detect(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Constructor arguments from original names and shapes. Raises ``CheckpointError``."""
        shapes = {self.names.strip(name): shape for name, shape in shapes.items()}
        if "transformer_blocks.0.attn.add_q_proj.weight" not in shapes or "txt_norm.weight" not in shapes:
            raise _not_qwen(
                say(
                    f"this is {describe(shapes)}, not a Qwen-Image transformer",
                    f"内容は{describe(shapes)}で、Qwen-Image の transformer ではありません",
                )
            )
        if "time_text_embed.addition_t_embedding.weight" in shapes:
            raise _not_qwen(
                say(
                    "this is Qwen-Image-Layered, which cannot be trained yet",
                    "これは Qwen-Image-Layered で、学習は未対応です",
                )
            )
        head_size = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
        width, in_channels = shapes["img_in.weight"]
        return {
            "patch_size": 2,
            "in_channels": in_channels,
            "out_channels": shapes["proj_out.weight"][0] // 4,
            "num_layers": 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("transformer_blocks.")),
            "attention_head_dim": head_size,
            "num_attention_heads": width // head_size,
            "joint_attention_dim": shapes["txt_norm.weight"][0],
            # (16, 56, 56) of the released head size 128; the same split for others
            "axes_dims_rope": (head_size // 8, head_size // 16 * 7, head_size // 16 * 7),
        }

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """``QwenImageTransformer2DModel`` with its parameters on ``meta`` and its position tables real."""
        from diffusers import QwenImageTransformer2DModel
        from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope

        with torch.device("meta"):
            model = QwenImageTransformer2DModel(**arguments)
        model.pos_embed = QwenEmbedRope(theta=10000, axes_dim=list(model.config.axes_dims_rope), scale_rope=True)
        return model

    def blocks(self, transformer: nn.Module) -> list[nn.Module]:
        """The transformer blocks in execution order."""
        return list(transformer.transformer_blocks)

    def load_vae(self, path: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """``AutoencoderKLQwenImage`` from the ComfyUI or the diffusers file."""
        from engine.families.qwen_image import encoders

        return encoders.load_vae(path, device=device, dtype=dtype)

    def load_text_encoder(
        self, paths: Mapping[str, Path], *, tokenizer: Path | None, device: torch.device, dtype: torch.dtype
    ) -> TextEncoder:
        """Qwen2.5-VL (its language half) with tokenizer, from the file of option ``text_encoder``."""
        from engine.families.qwen_image import encoders

        return encoders.load_text_encoder(paths, tokenizer=tokenizer, device=device, dtype=dtype)

    def tokenizer_files(self, paths: Mapping[str, Path], *, tokenizer: Path | None) -> list[Path]:
        """The tokenizer of the option, beside the file of option ``text_encoder``, or in the hub's cache."""
        from engine.families.qwen_image import encoders

        return find_tokenizer(encoders.TOKENIZER, option=tokenizer, weights=paths["text_encoder"])

    def encode_latents(self, vae: nn.Module, pixels: Frames) -> torch.Tensor:
        """Pixels (B, 3, 1, H, W) in [-1, 1] -> per-channel normalised latents (B, 16, 1, h, w)."""
        from engine.families.qwen_image import encoders

        return encoders.encode_latents(vae, pixels)

    def decode_latents(self, vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, 16, 1, h, w) -> pixels (B, 3, 1, H, W) in [-1, 1]."""
        from engine.families.qwen_image import encoders

        return encoders.decode_latents(vae, latents)

    def model_inputs(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Mapping[str, Any], *, guidance_scale: float
    ) -> dict[str, Any]:
        """2x2-packed latents (B, h/2 * w/2, 64), text padded to the batch's longest with a mask where lengths differ."""
        batch, channels, _, height, width = noisy.shape
        packed = noisy.reshape(batch, channels, height // 2, 2, width // 2, 2)
        packed = packed.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // 2) * (width // 2), channels * 4)
        text: Sequence[torch.Tensor] = conditions["vl_embed"]
        lengths = [len(tokens) for tokens in text]
        longest = max(lengths)
        mask = None
        if min(lengths) != longest:
            # Made on the host and sent over without waiting: lengths are known there, so nothing is synchronised.
            mask = torch.tensor([[i < n for i in range(longest)] for n in lengths]).to(noisy.device, non_blocking=True)
        return {
            "hidden_states": packed,
            "timestep": timesteps / 1000,
            "encoder_hidden_states": torch.stack([pad(tokens, (0, 0, 0, longest - len(tokens))) for tokens in text]),
            "encoder_hidden_states_mask": mask,
            "img_shapes": [[(1, height // 2, width // 2)]] * batch,
        }

    def velocity(self, output: Any, shape: torch.Size) -> torch.Tensor:
        """Unpack (B, h/2 * w/2, 64) to (B, 16, 1, h, w)."""
        batch, channels, _, height, width = shape
        tokens: torch.Tensor = output[0]
        grid = tokens.reshape(batch, height // 2, width // 2, channels, 2, 2)
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(shape)

    def shift_mu(self, shape: Sequence[int]) -> float:
        """The line through (256 tokens, 0.5) and (8192 tokens, 0.9), not clamped, as the released schedule has it."""
        tokens = (shape[-2] // 2) * (shape[-1] // 2)
        return 0.5 + (0.9 - 0.5) * (tokens - 256) / (8192 - 256)


def _not_qwen(message: str, fix: str = "") -> CheckpointError:
    return CheckpointError.of("wrong_checkpoint", message + ".", fix, key="dit")
