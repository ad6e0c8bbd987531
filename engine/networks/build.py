"""From the options of section ``network`` to an adapter on a model: merge base LoRAs, create, load what to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.config.language import say
from engine.config.network_args import parse_network_args
from engine.config.problems import CheckpointError
from engine.families.family import FamilyModel
from engine.networks.dialects import LoraFile, read_lora
from engine.networks.lora import LoraNetwork
from engine.networks.targets import find_targets


def build_network(
    config: Any, transformer: nn.Module, family_model: FamilyModel, *, device: torch.device | None = None
) -> LoraNetwork:
    """The adapter a resolved config asks for, attached to ``transformer``.

    Raises ``ConfigError`` for arguments that cannot be met, ``CheckpointError`` for LoRA files that do not fit.
    """
    options = config.network
    multipliers: Sequence[float] = options.base_weights_multiplier or ()
    for index, path in enumerate(options.base_weights or ()):
        merge_lora(
            transformer, family_model, read_lora(Path(path)), multipliers[index] if index < len(multipliers) else 1.0
        )
    start = read_lora(Path(options.network_weights)) if options.network_weights else None
    network = LoraNetwork.create(
        transformer,
        family_model,
        rank=options.network_dim,
        alpha=options.network_alpha,
        dropout=options.network_dropout,
        arguments=parse_network_args(options.network_args),
        shaped_by=start if options.dim_from_weights else None,
        device=device,
    )
    if start is not None:
        network.load_file(start)
    return network


@torch.no_grad()
def merge_lora(transformer: nn.Module, family_model: FamilyModel, file: LoraFile, multiplier: float = 1.0) -> int:
    """Add a LoRA to the base weights, in fp32 and rounded once: the number of changed originals.

    Every Linear inside the blocks may be named. Raises ``CheckpointError`` when a module of the file is not in the model.
    """
    targets = find_targets(transformer, family_model.names, family_model.lora, include=(".*",))
    strangers = file.unknown_to(targets)
    if strangers:
        listed = ", ".join(strangers[:3]) + (f" … ({len(strangers)})" if len(strangers) > 3 else "")
        raise CheckpointError.of(
            "lora_of_another_model",
            say(f"{file.path.name} has modules that this model does not: {listed}.",
                f"{file.path.name} にはこのモデルにない層があります: {listed}。"),
            say("Use a LoRA of the same model family.", "同じモデルの LoRA を指定してください。"),
            file=file.path,
        )  # fmt: skip
    merged = 0
    for target in targets:
        pair = file.pair_of(target)
        if pair is None:
            continue
        change = pair.change() * multiplier
        for member in target.members:
            weight = member.linear.weight
            weight.copy_(weight.float() + change[member.start : member.stop].to(weight.device))
        merged += 1
    return merged
