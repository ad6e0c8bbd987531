"""The text of a preset, parsed once however many ask: an edit reads the text before and after it, and so does whoever shows it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from engine.config.toml_source import TomlSource, parse_toml


@lru_cache(maxsize=2)  # before and after
def parsed(text: str, path: Path) -> TomlSource:
    """As ``parse_toml``, whose values nobody may change here. Raises ``ConfigError``."""
    return parse_toml(text, path)
