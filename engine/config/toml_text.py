"""Values as TOML writes them: for run.toml, for the line a form shows, for sentences about a value."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def toml_value(value: Any) -> str:
    """One value on one line; mappings become inline tables. Raises ``TypeError`` for what TOML cannot say (None too)."""
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, bool | str | int | float | datetime.datetime | datetime.date | datetime.time):
        import tomlkit  # 25 ms that commands which only list things do not spend

        text: str = tomlkit.item(value).as_string()
        return text
    if isinstance(value, Mapping):
        inside = ", ".join(f"{toml_key(str(key))} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def toml_key(key: str) -> str:
    """A key, quoted where it must be."""
    import tomlkit

    bare = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if bare else tomlkit.string(key).as_string()
