"""A whole tiny training set-up: model files, pictures, dataset file, preset.

What lies there are ordinary files: `musubi-tui train preset.toml` is all it takes. The layouts and file names are those of
the released models, the VAE passes colours through (see ``mosaic_vae``), everything else is random from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.families import get_family
from engine.testing import mosaic_vae, photographs, presets, tiny_tokenizers, tiny_weights

VOCABULARY = 400


@dataclass(frozen=True)
class TinySet:
    """Where everything was written."""

    preset: Path
    dataset: Path
    models: Path
    data: Path


def make_tiny(family: str, out: Path, *, seed: int = 0) -> TinySet:
    """Write models/, data/, dataset.toml, prompts.txt and preset.toml for ``family`` under ``out``.

    Raises ``KeyError`` for an unknown family and ``MissingRequirement`` without the packages that carry the photographs.
    """
    spec = get_family(family)
    out = Path(out)
    data, models = out / "data", out / "models"
    clips = "clips" in spec.capabilities
    photographs.write_photographs(data / "pictures")
    if clips:
        photographs.write_clips(data / "clips", fps=round(spec.fps))
    models.mkdir(parents=True, exist_ok=True)
    _WRITERS[family](models, seed)
    (out / "prompts.txt").write_text(presets.prompts(clips=clips), encoding="utf-8")
    (out / "dataset.toml").write_text(presets.dataset(clips=clips), encoding="utf-8")
    (out / "preset.toml").write_text(presets.preset(family), encoding="utf-8")
    return TinySet(out / "preset.toml", out / "dataset.toml", models, data)


def _write_wan(models: Path, seed: int) -> None:
    from diffusers import AutoencoderKLWan

    words = tiny_tokenizers.write_umt5_tokenizer(
        models / "google" / "umt5-xxl", photographs.captions(), size=VOCABULARY
    )
    save_file(tiny_weights.wan_transformer(_generator(seed, 1)), models / "wan2.1_t2v_tiny_bf16.safetensors")
    torch.save(tiny_weights.umt5(_generator(seed, 2), words), models / "models_t5_umt5-xxl-enc-bf16.pth")
    torch.save(_vae(AutoencoderKLWan), models / "Wan2.1_VAE.pth")


def _write_qwen_image(models: Path, seed: int) -> None:
    from diffusers import AutoencoderKLQwenImage

    words = tiny_tokenizers.write_qwen_tokenizer(models / "tokenizer", photographs.captions(), size=VOCABULARY)
    save_file(tiny_weights.qwen_transformer(_generator(seed, 1)), models / "qwen_image_tiny_bf16.safetensors")
    save_file(tiny_weights.qwen_vl(_generator(seed, 2), words), models / "qwen_2.5_vl_tiny.safetensors")
    save_file(_vae(AutoencoderKLQwenImage), models / "qwen_image_vae.safetensors")


_WRITERS: dict[str, Callable[[Path, int], None]] = {"wan": _write_wan, "qwen_image": _write_qwen_image}


def _vae(build: Callable[..., torch.nn.Module]) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        vae = build(base_dim=mosaic_vae.WIDTH, dim_mult=[1, 1, 1, 1])
    shapes = mosaic_vae.original_shapes(vae)
    return mosaic_vae.mosaic_vae(shapes, vae.config.latents_mean, vae.config.latents_std)


def _generator(seed: int, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1000 + stream)
