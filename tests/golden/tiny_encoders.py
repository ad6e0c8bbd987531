"""Rebuild, bit for bit, the tiny VAEs and text encoders that the golden caches were made with (rule in ``tiny_weights``)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.golden.collapsed import expand
from tests.golden.tiny_weights import draw

DATA = Path(__file__).parent / "data" / "encoders"
SEEDS = {"wan_vae_fp32": 2, "wan_umt5_bf16": 3, "qwen_image_vae_fp32": 12, "qwen_vl_bf16": 13}
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def layout(file: str) -> dict[str, tuple[str, list[int]]]:
    """Stored name -> (dtype, shape)."""
    entries = json.loads((DATA / "layouts.json").read_text())[f"{file}.safetensors"]["tensors"]
    return {name: (dtype, shape) for name, (dtype, shape) in expand(entries)}


def build(file: str, folder: Path) -> Path:
    """The checkpoint as a safetensors file in ``folder``."""
    shapes = layout(file)
    generator = torch.Generator().manual_seed(SEEDS[file])
    tensors = {}
    for drawn, stored in sorted((_drawn_as(file, name), name) for name in shapes):
        dtype, shape = shapes[stored]
        tensors[stored] = draw(drawn, shape, generator).to(DTYPES[dtype])
    path = folder / f"{file}.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def _drawn_as(file: str, name: str) -> str:
    """Qwen2.5-VL was drawn under its names in memory, every other file under its stored names."""
    if file.startswith("qwen_vl"):
        if name.startswith("model."):
            return name.replace("model.", "model.language_model.", 1)
        if name.startswith("visual."):
            return name.replace("visual.", "model.visual.", 1)
    return name
