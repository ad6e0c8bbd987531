"""What one key of a dataset file is: the record that ``schema`` and ``own_keys`` fill, and ``values`` reads by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Scope = Literal["any", "image", "clip"]
ValueType = Literal[
    "int", "bool", "text", "texts", "path", "number", "share", "count or share", "size", "sizes", "ints", "choice"
]


@dataclass(frozen=True)
class DatasetKey:
    """One key of ``[general]`` or ``[[datasets]]``."""

    name: str
    scope: Scope
    type: ValueType
    default: Any
    help_en: str
    help_ja: str
    general: bool = False  # may also stand in [general]
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
