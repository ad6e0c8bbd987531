"""What two presets would train differently, and where each value of one preset comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import load_config
from engine.config.language import say
from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS, Config, validate


@dataclass(frozen=True)
class ResolvedValue:
    """One option as a run would use it. ``source``: "preset.toml:12", "family default", "musubi default", "default" …"""

    section: str
    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class Difference:
    """One option that differs, with both resolved values."""

    section: str
    key: str
    left: Any
    right: Any


def resolve(path: Path) -> list[ResolvedValue]:
    """All options of a valid preset in the schema's order, secrets redacted. Raises ``ConfigError``."""
    loaded = load_config(path)
    return [
        ResolvedValue(option.section, option.name, _shown(option.name, loaded.config.get(option.name)), source)
        for option, source in ((option, loaded.sources[option.name]) for option in OPTIONS.values())
    ]


def differences(left: Path, right: Path | None) -> list[Difference]:
    """Options whose resolved values differ; without ``right`` those of ``left`` that are not the defaults of its kind of file.

    Raises ``ConfigError`` when a preset has errors.
    """
    return list(_differences(left, right))


def base_differences(path: Path) -> list[Difference]:
    """Options whose resolved values differ from those of the preset that ``path`` builds on.

    Raises ``ConfigError`` when the preset has errors or builds on none.
    """
    loaded = load_config(path)
    if not loaded.bases:
        message = say("it builds on no other preset.", "元にするプリセットがありません。")
        fix = say('Name one: base = "…".', 'base = "…" で指定してください。')
        raise ConfigError.of("no_base", message, fix, file=path)
    own = {name: _shown(name, loaded.config.get(name)) for name in OPTIONS}
    below = {name: _shown(name, value) for name, value in _validated(loaded.inherited).items()}
    left_out = ("base", "base_unset", "output_name")
    return [
        Difference(option.section, name, own[name], below[name])
        for name, option in OPTIONS.items()
        if own[name] != below[name] and name not in left_out
    ]


def _differences(left: Path, right: Path | None) -> Iterator[Difference]:
    first = {entry.key: entry for entry in resolve(left)}
    second = {entry.key: entry.value for entry in resolve(right)} if right else _defaults(left)
    for key, entry in first.items():
        if entry.value != second[key]:
            yield Difference(entry.section, key, entry.value, second[key])


def _defaults(path: Path) -> dict[str, Any]:
    """What the options of a preset would be if it did not set them."""
    loaded = load_config(path)
    return {name: _shown(name, value) for name, value in _validated(loaded.defaults).items()}


def _validated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a run would use them, so that "5%" and 0.05 are one; those that the schema refuses stay as they are written."""
    bad = {problem.key for problem in validate(values)[1]}
    sections = validate({name: value for name, value in values.items() if name not in bad})[0]
    return {**Config.model_construct(**sections).values(), **{name: values[name] for name in bad if name in values}}


def _shown(name: str, value: Any) -> Any:
    return "<redacted>" if OPTIONS[name].secret and value else value
