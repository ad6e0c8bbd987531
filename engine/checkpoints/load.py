"""From a file to a frozen transformer that is ready for an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.checkpoints.place import load_into
from engine.checkpoints.reader import Checkpoint, open_checkpoint
from engine.config.problems import CheckpointError, Problem
from engine.families.family import FamilyModel


def load_transformer(
    family_model: FamilyModel,
    path: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """The family's transformer from ``path``: frozen, on ``device``, weights in ``dtype`` but for what must stay fp32.

    Raises ``CheckpointError`` that names the file when it is missing, damaged or another model.
    """
    checkpoint = open_checkpoint(path)
    module = family_model.build(_detect(family_model, checkpoint))
    load_into(
        module,
        checkpoint,
        family_model.names,
        device=device,
        dtype=dtype,
        keep_fp32=family_model.keep_fp32,
        progress=progress,
    )
    compute_in_fp32(module, family_model.keep_fp32)
    return module.to(device)


def check_transformer(family_model: FamilyModel, path: Path) -> None:
    """Look at names and shapes only. Raises ``CheckpointError`` as ``load_transformer`` would for another model's file."""
    _detect(family_model, open_checkpoint(path))


def _detect(family_model: FamilyModel, checkpoint: Checkpoint) -> dict[str, Any]:
    try:
        return family_model.detect(checkpoint.shapes)
    except CheckpointError as error:
        raise CheckpointError([_with_file(problem, checkpoint.path) for problem in error.problems]) from error


def compute_in_fp32(module: nn.Module, parts: Iterable[str]) -> None:
    """Let the submodules whose names end with one of ``parts`` run outside autocast, on fp32 inputs."""
    endings = tuple(parts)
    for name, child in module.named_modules():
        if name and name.endswith(endings):
            child.forward = _without_autocast(child.forward)  # type: ignore[method-assign]


def _without_autocast(forward: Callable[..., Any]) -> Callable[..., Any]:
    def in_fp32(tensor: torch.Tensor, *rest: Any, **named: Any) -> Any:
        with torch.autocast(tensor.device.type, enabled=False):
            return forward(tensor.float(), *rest, **named)

    return in_fp32


def _with_file(problem: Problem, path: Path) -> Problem:
    from dataclasses import replace

    return replace(problem, file=problem.file or str(path))
