"""The name table: original checkpoint names <-> diffusers names, as data.

One rule says that an original module (or tensor) path is one or several diffusers paths. With several, the original rows
are the diffusers rows stacked in that order (a fused qkv projection). The same table reads checkpoints, names adapters in
the original's words, slices scales and tells which block owns a tensor. ``{i}`` stands for an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """``original`` path -> ``diffusers`` paths; the rest of the name (``.weight``, ``.bias``) is carried over."""

    original: str
    diffusers: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a diffusers name lies in the original: its name there, and which of ``parts`` row slices it is."""

    name: str
    part: int = 0
    parts: int = 1


def rules(pairs: Iterable[tuple[str, str | Sequence[str]]]) -> tuple[Rule, ...]:
    """Rules from (original, diffusers) pairs; a sequence on the right is a row split."""
    return tuple(Rule(left, (right,) if isinstance(right, str) else tuple(right)) for left, right in pairs)


class NameTable:
    """Translate names both ways. Names that no rule matches are the same on both sides when ``identity`` is true."""

    def __init__(
        self,
        table: Sequence[Rule] = (),
        *,
        identity: bool = False,
        prefixes: Sequence[str] = ("model.diffusion_model.", "diffusion_model.", "module."),
        ignored: Sequence[str] = (),
    ) -> None:
        """``prefixes`` are stripped from original names; ``ignored`` are patterns of tensors without a counterpart."""
        self.table = tuple(table)
        self.identity = identity
        self.prefixes = tuple(prefixes)
        self._ignored = [_pattern(pattern) for pattern in ignored]
        self._forward = [(_pattern(rule.original), rule) for rule in self.table]
        self._backward = [
            (_pattern(name), rule, part) for rule in self.table for part, name in enumerate(rule.diffusers)
        ]

    def strip(self, name: str) -> str:
        """The original name without the wrapper prefixes that ComfyUI and training frameworks add."""
        for prefix in self.prefixes:
            if name.startswith(prefix):
                return self.strip(name[len(prefix) :])
        return name

    def ignores(self, original: str) -> bool:
        """Whether this original tensor has no counterpart and needs none."""
        return any(pattern.fullmatch(original) for pattern in self._ignored)

    def to_diffusers(self, original: str) -> tuple[str, ...] | None:
        """Diffusers names of an original name (already stripped), in row order; None when no rule knows it."""
        for pattern, rule in self._forward:
            match = pattern.match(original)
            if match:
                return tuple(_fill(name, match) for name in rule.diffusers)
        return (original,) if self.identity else None

    def to_original(self, diffusers: str) -> Place | None:
        """Where a diffusers tensor or module lies in the original checkpoint; None when no rule knows it."""
        for pattern, rule, part in self._backward:
            match = pattern.match(diffusers)
            if match:
                return Place(_fill(rule.original, match), part, len(rule.diffusers))
        return Place(diffusers) if self.identity else None


def _pattern(path: str) -> re.Pattern[str]:
    """A path with ``{i}`` as a regular expression that matches it as a whole dotted prefix."""
    return re.compile(re.escape(path).replace(r"\{i\}", r"(\d+)") + r"(?=\.|$)")


def _fill(path: str, match: re.Match[str]) -> str:
    for index in match.groups():
        path = path.replace("{i}", index, 1)
    return path + match.string[match.end() :]
