"""Rebuild, bit for bit, the tiny random transformers that the golden steps were recorded with.

One generator per file; tensors are drawn in sorted order of their names, in fp32, then cast: matrices are scaled by the
root of their row length, biases by 0.01, modulation tables by the root of their width, norm gains are 1 + 0.02 * noise.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.golden.collapsed import expand

DATA = Path(__file__).parent / "data"
SEEDS = {"wan_t2v_dit_fp32": 1, "wan_t2v_dit_bf16": 1, "qwen_image_dit_bf16": 11}
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def build(file: str) -> dict[str, torch.Tensor]:
    """All tensors of one tiny transformer under its original names."""
    layout = dict(expand(json.loads((DATA / "tiny_transformers.json").read_text())[f"{file}.safetensors"]["tensors"]))
    generator = torch.Generator().manual_seed(SEEDS[file])
    return {name: draw(name, layout[name][1], generator).to(DTYPES[layout[name][0]]) for name in sorted(layout)}


def write(file: str, folder: Path) -> Path:
    """The same as a safetensors file in ``folder``."""
    path = folder / f"{file}.safetensors"
    save_file(build(file), path)
    return path


def draw(name: str, shape: list[int], generator: torch.Generator) -> torch.Tensor:
    """One tensor in fp32, by the rule above."""
    last = name.rsplit(".", 1)[-1]
    values = torch.randn(shape, generator=generator)
    if len(shape) >= 2 and "modulation" not in last and not name.endswith("gamma"):
        row = math.prod(shape[1:])
        if "embed" in name and len(shape) == 2 and shape[0] > 4 * shape[1]:
            row = 1 / 0.02**2
        return values * (0.8 / max(row, 1) ** 0.5)
    if name.endswith("bias"):
        return values * 0.01
    if name.endswith("modulation"):
        return values / shape[-1] ** 0.5
    return 1 + 0.02 * values
