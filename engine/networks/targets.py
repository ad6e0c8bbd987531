"""Which Linears get an adapter, and what they are called in the original checkpoint.

Candidates are the Linears below the family's block classes, in module order. Patterns are matched against the whole
dotted original name. Linears that are row slices of one original (a fused qkv) form one target: they train as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from engine.checkpoints.names import NameTable
from engine.families.family import LoraTargets


@dataclass(frozen=True)
class Member:
    """One Linear of the built model: its path there, and the rows of the original that it holds."""

    path: str
    linear: nn.Linear
    start: int
    stop: int


@dataclass(frozen=True)
class Target:
    """One Linear of the original model, in one member or, when the built model splits it by rows, in several."""

    name: str  # dotted, original
    members: tuple[Member, ...]

    @property
    def in_features(self) -> int:
        """Width of the input."""
        width: int = self.members[0].linear.in_features
        return width

    @property
    def out_features(self) -> int:
        """Rows of the original weight."""
        return self.members[-1].stop

    @property
    def key(self) -> str:
        """The name in a LoRA file of Musubi Tuner: dots become underscores."""
        return "lora_unet_" + self.name.replace(".", "_")


def find_targets(
    transformer: nn.Module,
    names: NameTable,
    lora: LoraTargets,
    *,
    exclude: Sequence[str] = (),
    include: Sequence[str] = (),
) -> list[Target]:
    """Targets in module order. A name that an ``exclude`` pattern (the user's or the family's) matches is left out
    unless an ``include`` pattern matches it too."""
    excluded = [re.compile(pattern) for pattern in (*exclude, *lora.exclude)]
    included = [re.compile(pattern) for pattern in include]
    parts: dict[str, dict[int, tuple[str, nn.Linear]]] = {}
    expected: dict[str, int] = {}
    for path, linear in _candidates(transformer, lora.blocks):
        place = names.to_original(path)
        if place is None:
            raise KeyError(f"no rule of the name table knows {path}")
        if any(pattern.fullmatch(place.name) for pattern in excluded) and not any(
            pattern.fullmatch(place.name) for pattern in included
        ):
            continue
        parts.setdefault(place.name, {})[place.part] = (path, linear)
        expected[place.name] = place.parts
    return [_target(name, found, expected[name]) for name, found in parts.items()]


def _candidates(transformer: nn.Module, blocks: Sequence[str]) -> Iterator[tuple[str, nn.Linear]]:
    prefixes = tuple(f"{name}." for name, module in transformer.named_modules() if type(module).__name__ in blocks)
    for path, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and path.startswith(prefixes):
            yield path, module


def _target(name: str, found: dict[int, tuple[str, nn.Linear]], parts: int) -> Target:
    if len(found) != parts:
        raise KeyError(f"{name} is split into {parts} Linears, but only {sorted(found)} of them lie inside the blocks")
    members, start = [], 0
    for part in range(parts):
        path, linear = found[part]
        members.append(Member(path, linear, start, start + linear.out_features))
        start += linear.out_features
    return Target(name, tuple(members))
