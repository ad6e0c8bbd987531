"""What two presets would train differently, and where each value of one preset comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import LoadedConfig, load_config
from engine.config.language import say
from engine.config.problems import ConfigError, UserError
from engine.config.schema import OPTIONS, Config, validate
from engine.events.rundir import RunDirectory

_DATASET = ("general", "datasets")


@dataclass(frozen=True)
class ResolvedValue:
    """One option as a run would use it. ``source``: "preset.toml:12", "family default", "musubi default", "default" …"""

    section: str
    key: str
    value: Any
    source: str


@dataclass(frozen=True)
class Difference:
    """One option or key of the dataset that differs, with both resolved values."""

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
    """Options whose resolved values differ, and the dataset key by key; without ``right`` those of ``left`` that are not the
    defaults of its kind of file.

    Raises ``ConfigError`` when a preset has errors.
    """
    first = load_config(left)
    if right is None:
        return [*_options(_of(first), _defaults(first)), *dataset_differences(_own_tables(first), {})]
    second = load_config(right)
    return [*_options(_of(first), _of(second)), *dataset_differences(dataset_values(first), dataset_values(second))]


def base_differences(path: Path) -> list[Difference]:
    """Options whose resolved values differ from those of the preset that ``path`` builds on.

    Raises ``ConfigError`` when the preset has errors or builds on none.
    """
    loaded = load_config(path)
    if not loaded.bases:
        message = say("it builds on no other preset.", "元にするプリセットがありません。")
        fix = say('Name one: base = "…".', 'base = "…" で指定してください。')
        raise ConfigError.of("no_base", message, fix, file=path)
    below = {name: _shown(name, value) for name, value in _validated(loaded.inherited).items()}
    left_out = ("base", "base_unset", "output_name")
    found = [one for one in _options(_of(loaded), below) if one.key not in left_out]
    return [*found, *dataset_differences(_own_tables(loaded), flat_tables(below))]


def run_differences(path: Path, run: RunDirectory) -> list[Difference]:
    """Options whose resolved values differ from those a run was started with, and the dataset key by key.

    Raises ``UserError`` when the preset has errors, or the run cannot be read.
    """
    from engine.config.run_file import read_run_toml

    loaded = load_config(path)
    values = read_run_toml(run.run_toml).config.values()
    left_out = ("base", "base_unset", "dataset_config")  # a run has its dataset in it, and what its bases said
    found = [one for one in _options(_of(loaded), {name: _shown(name, value) for name, value in values.items()}) if one.key not in left_out]  # fmt: skip
    return [*found, *dataset_differences(dataset_values(loaded), flat_tables(values))]


def dataset_values(loaded: LoadedConfig) -> dict[str, Any] | None:
    """The dataset of a preset key by key, wherever it stands: ``datasets[0].num_repeats`` -> value, paths absolute. None where
    there is none that can be read."""
    from engine.data.preset_dataset import read_preset_dataset
    from engine.families import get_family

    try:
        return flat_tables(read_preset_dataset(loaded, get_family(str(loaded.config.run.family))).document())
    except (UserError, OSError):
        return None


def flat_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"general": …, "datasets": […]}`` key by key."""
    return {name: value for table in _DATASET for name, value in _flat(table, values.get(table))}


def dataset_differences(left: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> Iterator[Difference]:
    """The keys that differ. Nothing where one of the two is not known."""
    if left is not None and right is not None:
        for key in dict.fromkeys((*left, *right)):
            if left.get(key) != right.get(key):
                yield Difference("dataset", key, left.get(key), right.get(key))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for place, item in enumerate(value):
            yield from _flat(f"{name}[{place}]", item)
    elif value is not None and value != {} and value != []:
        is_path = isinstance(value, Path) or (isinstance(value, str) and name.endswith(("_directory", "_jsonl_file")))
        yield name, os.path.normpath(value) if is_path else value


def _of(loaded: LoadedConfig) -> dict[str, Any]:
    return {name: _shown(name, loaded.config.get(name)) for name in OPTIONS}


def _own_tables(loaded: LoadedConfig) -> dict[str, Any]:
    return flat_tables({table: loaded.config.get(table) for table in _DATASET})


def _options(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[Difference]:
    for name, option in OPTIONS.items():
        if left[name] != right[name] and name not in _DATASET:
            yield Difference(option.section, name, left[name], right[name])


def _defaults(loaded: LoadedConfig) -> dict[str, Any]:
    """What the options of a preset would be if it did not set them."""
    return {name: _shown(name, value) for name, value in _validated(loaded.defaults).items()}


def _validated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a run would use them, so that "5%" and 0.05 are one; those that the schema refuses stay as they are written."""
    bad = {problem.key for problem in validate(values)[1]}
    sections = validate({name: value for name, value in values.items() if name not in bad})[0]
    return {**Config.model_construct(**sections).values(), **{name: values[name] for name in bad if name in values}}


def _shown(name: str, value: Any) -> Any:
    return "<redacted>" if OPTIONS[name].secret and value else value
