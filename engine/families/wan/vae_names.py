"""The VAE that Wan 2.1 and Qwen-Image share: names, sizes and loading.

Both families store the same 194 tensors under Wan's own names (``Wan2.1_VAE.pth``, ``wan_2.1_vae.safetensors``,
``qwen_image_vae.safetensors``); diffusers names them alike in ``AutoencoderKLWan`` and ``AutoencoderKLQwenImage``.
The released network has four stages of two residual blocks; widths are read from the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.checkpoints.names import NameTable, Rule, rules
from engine.checkpoints.place import load_into
from engine.checkpoints.reader import open_checkpoint
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.families.family import Frames
from engine.families.recognise import describe

STAGES, BLOCKS = 4, 2  # of the encoder; the decoder has one residual block more per stage

_RESIDUAL = (
    ("residual.0", "norm1"),
    ("residual.2", "conv1"),
    ("residual.3", "norm2"),
    ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
)


def _half(name: str) -> list[tuple[str, str]]:
    """What encoder and decoder have alike: first layer, middle, head."""
    middle = f"{name}.mid_block"
    pairs = [(f"{name}.conv1", f"{name}.conv_in"), (f"{name}.middle.1", f"{middle}.attentions.0")]
    for stored, ours in ((0, 0), (2, 1)):
        pairs += [(f"{name}.middle.{stored}.{a}", f"{middle}.resnets.{ours}.{b}") for a, b in _RESIDUAL]
    return [*pairs, (f"{name}.head.0", f"{name}.norm_out"), (f"{name}.head.2", f"{name}.conv_out")]


def _table() -> tuple[Rule, ...]:
    pairs = [("conv1", "quant_conv"), ("conv2", "post_quant_conv"), *_half("encoder"), *_half("decoder")]
    pairs += [(f"encoder.downsamples.{{i}}.{a}", f"encoder.down_blocks.{{i}}.{b}") for a, b in _RESIDUAL]
    pairs += [
        (f"encoder.downsamples.{{i}}.{part}", f"encoder.down_blocks.{{i}}.{part}") for part in ("resample", "time_conv")
    ]
    per_stage = BLOCKS + 2  # three residual blocks and, but for the last stage, an upsampler
    for number in range(STAGES * per_stage - 1):
        stage, place = divmod(number, per_stage)
        stored, ours = f"decoder.upsamples.{number}", f"decoder.up_blocks.{stage}"
        if place <= BLOCKS:
            pairs += [(f"{stored}.{a}", f"{ours}.resnets.{place}.{b}") for a, b in _RESIDUAL]
        else:
            pairs.append((stored, f"{ours}.upsamplers.0"))
    return rules(pairs)


VAE_NAMES = NameTable(_table(), prefixes=("module.", "vae.", "first_stage_model."))


def vae_arguments(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Constructor arguments from original names and shapes. Raises ``KeyError`` where the layout is another one."""
    width = shapes["encoder.conv1.weight"][0]
    starts = [stage * (BLOCKS + 1) for stage in range(STAGES)]
    return {
        "base_dim": width,
        "z_dim": shapes["conv2.weight"][0],
        "dim_mult": [shapes[f"encoder.downsamples.{start}.residual.2.weight"][0] // width for start in starts],
        "num_res_blocks": BLOCKS,
        "temperal_downsample": [f"encoder.downsamples.{start - 1}.time_conv.weight" in shapes for start in starts[1:]],
    }


def load_wan_layout_vae(
    path: Path, build: Callable[..., nn.Module], *, channels: int, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    """The VAE in ``path`` as the diffusers class ``build``: original or diffusers names, frozen.

    Raises ``CheckpointError`` that says what the file looks like when it is another model.
    """
    checkpoint = open_checkpoint(path)
    names = {VAE_NAMES.strip(name): shape for name, shape in checkpoint.shapes.items()}
    table = VAE_NAMES
    if "encoder.conv_in.weight" in names:
        places = {name: VAE_NAMES.to_original(name) for name in names}
        names = {place.name: names[name] for name, place in places.items() if place is not None}
        table = NameTable(identity=True, prefixes=VAE_NAMES.prefixes)
    try:
        arguments = vae_arguments(names)
    except KeyError as error:
        raise _not_this_vae(path, checkpoint.shapes) from error
    if arguments["z_dim"] != channels:
        raise _wrong_width(path, int(arguments["z_dim"]), channels)
    with torch.device("meta"):
        vae = build(**arguments)
    return load_into(vae, checkpoint, table, device=device, dtype=dtype)


def encode(vae: nn.Module, pixels: Frames) -> torch.Tensor:
    """Pixels (B, 3, F, H, W) in [-1, 1] -> the posterior's mean, normalised per channel, (B, C, f, h, w).

    diffusers' own loop takes the first frame and then four at a time, so ``pixels`` may be made as they are asked for.
    The mean, not a sample, as the models were trained and as the reference caches.
    """
    weight = next(vae.parameters())
    latents = vae.encode(pixels.to(weight.device, weight.dtype)).latent_dist.mode()
    mean, std = _statistics(vae, latents)
    return (latents - mean) / std


def decode(vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
    """Normalised latents (B, C, f, h, w) -> pixels (B, 3, F, H, W) in [-1, 1]."""
    weight = next(vae.parameters())
    latents = latents.to(weight.device, weight.dtype)
    mean, std = _statistics(vae, latents)
    pixels: torch.Tensor = vae.decode(latents * std + mean, return_dict=False)[0]
    return pixels.clamp(-1, 1)


def _statistics(vae: nn.Module, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-channel mean and deviation of the released model's latents, shaped for (B, C, f, h, w)."""
    config: Any = vae.config
    mean, std = (
        latents.new_tensor(values).view(1, -1, 1, 1, 1) for values in (config.latents_mean, config.latents_std)
    )
    return mean, std


def _not_this_vae(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> CheckpointError:
    return CheckpointError.of(
        "wrong_checkpoint",
        say(f"{path.name}: this is {describe(shapes)}, not a Wan 2.1 or Qwen-Image VAE.",
            f"{path.name}: 内容は{describe(shapes)}で、Wan 2.1 / Qwen-Image の VAE ではありません。"),
        say("Point vae to Wan2.1_VAE.pth, wan_2.1_vae.safetensors or qwen_image_vae.safetensors.",
            "vae には Wan2.1_VAE.pth、wan_2.1_vae.safetensors、qwen_image_vae.safetensors のいずれかを指定してください。"),
        file=path, key="vae",
    )  # fmt: skip


def _wrong_width(path: Path, found: int, wanted: int) -> CheckpointError:
    return CheckpointError.of(
        "wrong_checkpoint",
        say(f"{path.name}: this VAE makes {found} latent channels, the model takes {wanted}.",
            f"{path.name}: この VAE の潜在チャンネルは {found}、モデルは {wanted} です。"),
        say("Wan 2.2's 5B VAE (48 channels) belongs to another model.", "48 チャンネルの Wan 2.2 5B 用 VAE は別モデル用です。"),
        file=path, key="vae",
    )  # fmt: skip
