"""Put a checkpoint's tensors into a module that was built on ``meta``, one tensor at a time.

A 28 GB file never stands twice in memory: each tensor is read from the memory map, cut by the name table, cast and placed
before the next is touched. Scaled fp8 weights (ComfyUI's ``scale_weight``) are multiplied out while they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from engine.checkpoints.names import NameTable
from engine.checkpoints.reader import Checkpoint
from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.families.recognise import describe

_FP8 = {torch.float8_e4m3fn, torch.float8_e5m2}


def load_into(
    module: nn.Module,
    checkpoint: Checkpoint,
    table: NameTable,
    *,
    device: torch.device,
    dtype: torch.dtype,
    keep_fp32: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """Fill ``module`` from ``checkpoint`` through ``table`` and freeze it.

    Parameters whose dotted name contains one of ``keep_fp32`` are placed in fp32, the others in ``dtype``.
    ``progress(done, total)`` counts tensors. Raises ``CheckpointError`` when tensors are missing, unexpected or misshapen.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict(keep_vars=True).items()}
    keep_fp32 = tuple(keep_fp32)
    unexpected: list[str] = []
    misshapen: list[str] = []
    for done, stored in enumerate(checkpoint, start=1):
        name = table.strip(stored)
        if table.ignores(name) or _is_scale(name):
            continue
        targets = table.to_diffusers(name)
        if targets is None or any(target not in wanted for target in targets):
            unexpected.append(stored)
            continue
        rows = sum(wanted[target][0] for target in targets) if len(targets) > 1 else None
        if not _fits(checkpoint.shapes[stored], [wanted[target] for target in targets], rows):
            misshapen.append(f"{stored} {list(checkpoint.shapes[stored])} != {list(wanted[targets[0]])}")
            continue
        tensor = _read(checkpoint, stored)
        pieces = tensor.split([wanted[target][0] for target in targets]) if rows else (tensor,)
        for target, piece in zip(targets, pieces, strict=True):
            kept = torch.float32 if any(part in target for part in keep_fp32) else dtype
            _assign(module, target, piece.reshape(wanted.pop(target)).to(device=device, dtype=kept, copy=True))
        if progress is not None:
            progress(done, len(checkpoint))
    if wanted or unexpected or misshapen:
        raise _mismatch(checkpoint, sorted(wanted), unexpected, misshapen)
    return module.requires_grad_(False).eval()


def _fits(stored: tuple[int, ...], targets: list[tuple[int, ...]], rows: int | None) -> bool:
    if rows is not None:
        return stored[0] == rows and all(stored[1:] == target[1:] for target in targets)
    # Norm gains are stored as (C, 1, 1) in some layouts and as (C,) in others: same numbers, same order.
    squeezed = tuple(side for side in stored if side != 1)
    return stored == targets[0] or squeezed == tuple(side for side in targets[0] if side != 1)


def _is_scale(name: str) -> bool:
    return name == "scaled_fp8" or name.endswith((".scale_weight", ".scale_input", ".weight_scale", ".input_scale"))


def _read(checkpoint: Checkpoint, stored: str) -> torch.Tensor:
    tensor = checkpoint.tensor(stored)
    if tensor.dtype not in _FP8:
        return tensor
    tensor = tensor.to(torch.float32)
    for suffix in (".scale_weight", ".weight_scale"):
        scale_name = stored.removesuffix(".weight") + suffix
        if scale_name in checkpoint.shapes:
            scale = checkpoint.tensor(scale_name).to(torch.float32)
            return tensor * (scale if scale.numel() == 1 else scale.reshape(-1, *[1] * (tensor.dim() - 1)))
    return tensor


def _assign(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    owner_name, _, leaf = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def _mismatch(
    checkpoint: Checkpoint, missing: list[str], unexpected: list[str], misshapen: list[str]
) -> CheckpointError:
    def listed(names: list[str]) -> str:
        return ", ".join(names[:3]) + (f" … ({len(names)})" if len(names) > 3 else "")

    parts = []
    if missing:
        parts.append(say(f"missing: {listed(missing)}", f"不足: {listed(missing)}"))
    if unexpected:
        parts.append(say(f"not expected: {listed(unexpected)}", f"余分: {listed(unexpected)}"))
    if misshapen:
        parts.append(say(f"wrong shape: {listed(misshapen)}", f"形状違い: {listed(misshapen)}"))
    what = describe(checkpoint)
    return CheckpointError.of(
        "wrong_checkpoint",
        say(f"{checkpoint.path.name} does not fit the model that was built from it; it looks like {what}. ",
            f"{checkpoint.path.name} はモデルと一致しません。内容は{what}のようです。") + "; ".join(parts) + ".",
        say("Check that the option names the right file and that the download is complete.",
            "オプションのファイル指定と、ダウンロードが完了しているかを確認してください。"),
        file=checkpoint.path,
    )  # fmt: skip
