"""A LoRA file on disk: hashes in the header, written at once or not at all, read back before anyone trusts it."""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.events.atomic import sync


@dataclass(frozen=True)
class SavedLora:
    """What lies on disk now. ``delta_norm`` is the Frobenius norm of all weight changes; 0 means it changes nothing."""

    path: Path
    bytes: int
    modules: int
    delta_norm: float


def hashes(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """``sshs_model_hash`` and ``sshs_legacy_hash`` as the WebUIs compute them: over the tensor bytes, and over 64 KiB
    from the first MiB of the file; both of the file that carries only the ``ss_`` metadata."""
    training = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    content = save(dict(tensors), training)
    header = struct.unpack("<Q", content[:8])[0]
    return {
        "sshs_model_hash": hashlib.sha256(memoryview(content)[8 + header :]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(memoryview(content)[0x100000:0x110000]).hexdigest()[:8],
    }


def save_tensors(
    tensors: dict[str, torch.Tensor], path: Path, metadata: Mapping[str, str], *, owner: str = ""
) -> SavedLora:
    """Write, read back, check, and only then give the file its name. Raises ``CheckpointError`` and leaves nothing.

    What a kill leaves behind carries ``owner`` in its name, and ``remove_unfinished`` finds it.
    """
    header = {**metadata, **hashes(tensors, metadata)} if metadata else dict(metadata)
    content = save(tensors, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{owner or os.getpid()}.part")
    # Not mkstemp: a LoRA is for others to load, so it gets the permissions the user's umask gives new files.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        norm, modules = _check(temporary, path, set(tensors))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)
    return SavedLora(path, len(content), modules, norm)


def remove_unfinished(folder: Path, owner: str) -> list[Path]:
    """Remove what ``save_tensors`` of this ``owner`` left in ``folder`` when it was killed, and nothing else."""
    left = sorted(folder.glob(f".*.{owner}.part")) if owner else []
    for path in left:
        path.unlink(missing_ok=True)
    return left


def _check(stored: Path, path: Path, expected: set[str]) -> tuple[float, int]:
    """Norm of the weight changes and number of modules of a file just written."""
    total, modules = 0.0, 0
    with safe_open(stored, framework="pt") as file:
        present = set(file.keys())
        if present != expected:
            raise _damaged(path, say("tensors are missing", "テンソルが不足しています"))
        for key in sorted(present):
            tensor = file.get_tensor(key).float()
            if not bool(torch.isfinite(tensor).all()):
                raise _damaged(
                    path,
                    say(
                        f"{key} holds values that are not numbers (NaN or infinite)",
                        f"{key} に NaN または無限大があります",
                    ),
                )
            for down_end, up_end in ((".lora_down.weight", ".lora_up.weight"), (".lora_A.weight", ".lora_B.weight")):
                if key.endswith(down_end):
                    stem = key.removesuffix(down_end)
                    up = file.get_tensor(stem + up_end).float()
                    scale = float(file.get_tensor(f"{stem}.alpha")) / len(tensor) if f"{stem}.alpha" in present else 1.0
                    total += scale**2 * float(((up.T @ up) * (tensor @ tensor.T)).sum())
                    modules += 1
    return math.sqrt(max(total, 0.0)), modules


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError.of(
        "bad_lora",
        say(f"The LoRA was not saved to {path.name}: {reason}.", f"LoRA を {path.name} に保存しませんでした: {reason}。"),
        say("Values that overflow fp16 fit into save_precision bf16 or float; NaN means that training diverged.",
            "fp16 の範囲を超える場合は save_precision を bf16 か float に。NaN は学習の発散です。"),
        file=path,
    )  # fmt: skip
