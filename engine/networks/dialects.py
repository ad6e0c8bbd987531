"""The three ways a LoRA file names its tensors, written and read.

- ``musubi``: ``lora_unet_<original path, dots as underscores>.lora_down.weight`` / ``.lora_up.weight`` / ``.alpha``
- ``comfy``: ``diffusion_model.<original path>.lora_A.weight`` / ``.lora_B.weight``, alpha multiplied into B
- ``diffusers``: ``transformer.<diffusers path>.lora_A.weight`` / ``.lora_B.weight``, likewise; an original that diffusers
  splits by rows appears once per slice, each with the shared A and its own rows of B
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from engine.checkpoints.reader import open_checkpoint, read_header
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.networks.targets import Target

Dialect = Literal["musubi", "comfy", "diffusers"]

_PREFIXES: dict[Dialect, str] = {
    "musubi": "lora_unet_",
    "comfy": "diffusion_model.",
    "diffusers": "transformer.",
}
_ENDINGS = {
    ".lora_down.weight": "down",
    ".lora_A.weight": "down",
    ".lora_up.weight": "up",
    ".lora_B.weight": "up",
    ".alpha": "alpha",
}


@dataclass(frozen=True)
class LoraPair:
    """``down`` (rank, in), ``up`` (out, rank); the change of the weight is (alpha / rank) · up @ down."""

    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return len(self.down)

    def change(self) -> torch.Tensor:
        """The change of the weight (out, in) in fp32."""
        return (self.alpha / self.rank) * (self.up.float() @ self.down.float())


@dataclass(frozen=True)
class LoraFile:
    """A LoRA that was read: its dialect, its modules under the file's own names (prefix stripped), its metadata."""

    path: Path
    dialect: Dialect
    modules: Mapping[str, LoraPair]
    metadata: Mapping[str, str]

    def pair_of(self, target: Target) -> LoraPair | None:
        """The matrices of one target; None when the file has none. Raises ``CheckpointError`` for slices trained apart."""
        found = [self.modules.get(name) for name in self._names(target)]
        pairs = [pair for pair in found if pair is not None]
        if not pairs:
            return None
        if len(pairs) == 1 and len(found) == 1:
            return pairs[0]
        first = pairs[0]
        if len(pairs) != len(found) or any(not torch.equal(pair.down, first.down) for pair in pairs):
            raise CheckpointError.of(
                "untied_slices",
                say(f"{self.path.name}: the slices of {target.name} were trained apart, so they are not one LoRA of it.",
                    f"{self.path.name}: {target.name} の各部分が別々に学習されており、1 つの LoRA にまとめられません。"),
                file=self.path,
            )  # fmt: skip
        return LoraPair(first.down, torch.cat([pair.up for pair in pairs]), first.alpha)

    def unknown_to(self, targets: Iterable[Target]) -> list[str]:
        """Module names of the file that belong to none of ``targets``."""
        known = {name for target in targets for name in self._names(target)}
        return [name for name in self.modules if name not in known]

    def _names(self, target: Target) -> list[str]:
        if self.dialect == "diffusers":
            return [member.path for member in target.members]
        return [target.name.replace(".", "_") if self.dialect == "musubi" else target.name]


def export(pairs: Iterable[tuple[Target, LoraPair]], dialect: Dialect, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Tensors of a LoRA file, on the CPU, contiguous, in ``dtype``."""
    tensors: dict[str, torch.Tensor] = {}
    for target, pair in pairs:
        if dialect == "musubi":
            tensors[f"{target.key}.lora_down.weight"] = _stored(pair.down, dtype)
            tensors[f"{target.key}.lora_up.weight"] = _stored(pair.up, dtype)
            tensors[f"{target.key}.alpha"] = torch.tensor(pair.alpha, dtype=dtype)
            continue
        # Into B alone: exact for the usual powers of two, and A stays bit-equal.
        up = pair.up * (pair.alpha / pair.rank)
        pieces = (
            [(target.name, up)]
            if dialect == "comfy"
            else [(member.path, up[member.start : member.stop]) for member in target.members]
        )
        for name, piece in pieces:
            tensors[f"{_PREFIXES[dialect]}{name}.lora_A.weight"] = _stored(pair.down, dtype)
            tensors[f"{_PREFIXES[dialect]}{name}.lora_B.weight"] = _stored(piece, dtype)
    return tensors


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA of any of the three dialects (fp32, on the CPU). Raises ``CheckpointError`` for anything else."""
    checkpoint = open_checkpoint(path)
    dialect = _dialect(checkpoint, path)
    prefix = _PREFIXES[dialect]
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key in checkpoint:
        name, part = _split(key)
        if not key.startswith(prefix) or not part:
            raise _not_lora(
                path, say(f"tensor {key} is not part of a LoRA", f"テンソル {key} は LoRA のものではありません")
            )
        parts.setdefault(name.removeprefix(prefix), {})[part] = checkpoint.tensor(key).to(torch.float32)
    modules = {}
    for name, found in parts.items():
        if "down" not in found or "up" not in found:
            raise _not_lora(
                path,
                say(f"{name} lacks its {'up' if 'down' in found else 'down'} matrix", f"{name} の行列が不足しています"),
            )
        alpha = float(found["alpha"]) if "alpha" in found else float(len(found["down"]))
        modules[name] = LoraPair(found["down"], found["up"], alpha)
    metadata = read_header(path).get("__metadata__", {}) if path.suffix == ".safetensors" else {}
    return LoraFile(path, dialect, modules, metadata)


def _dialect(keys: Iterable[str], path: Path) -> Dialect:
    first = next(iter(keys), "")
    for dialect, prefix in _PREFIXES.items():
        if first.startswith(prefix):
            return dialect
    raise _not_lora(path, say(f"its first tensor is called {first!r}", f"最初のテンソル名は {first!r} です"))


def _split(key: str) -> tuple[str, str]:
    for ending, part in _ENDINGS.items():
        if key.endswith(ending):
            return key.removesuffix(ending), part
    return key, ""


def _stored(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # A copy of its own storage: safetensors refuses tensors that share memory, as tied slices do.
    return tensor.detach().to(device="cpu", dtype=dtype, copy=True).contiguous()


def _not_lora(path: Path, message: str) -> CheckpointError:
    return CheckpointError.of(
        "not_a_lora",
        say(f"{path.name} is not a LoRA this tool reads: {message}.", f"{path.name} は読み込める LoRA ではありません: {message}。"),
        say("Known are the names of Musubi Tuner (lora_unet_), ComfyUI (diffusion_model.) and diffusers (transformer.).",
            "対応: Musubi Tuner（lora_unet_）、ComfyUI（diffusion_model.）、diffusers（transformer.）。"),
        file=path,
        key="network_weights",
    )  # fmt: skip
