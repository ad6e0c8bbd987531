"""A preset becomes a typed configuration, or the list of everything that is wrong with it.

Our presets name their ``family`` and get its recommended defaults, with relative paths against the file. A file without it is
Musubi Tuner's: its defaults, and relative paths against the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.config import rules
from engine.config.bases import read_chain
from engine.config.dialect import Dialect, Identity, identify
from engine.config.entries import Entries, Entry, collect
from engine.config.language import counted, say
from engine.config.option import Option
from engine.config.problems import ConfigError, Problem
from engine.config.schema import OPTIONS, Config, validate
from engine.config.toml_source import TomlSource, read_toml
from engine.families import FamilySpec

# What Musubi Tuner does where its parser's default is "unset".
_MUSUBI_UNSET = {"network_dim": 4, "save_precision": "fp32", "optimizer_type": "adamw"}
_MOST_UNKNOWN = 100  # unknown keys that are listed one by one


@dataclass(frozen=True)
class LoadedConfig:
    """A valid preset. ``sources``: option -> "preset.toml:12", "--set", "family default", "musubi default" or "default"."""

    config: Config
    sources: Mapping[str, str]
    warnings: tuple[Problem, ...]
    path: Path
    dialect: Dialect
    dataset_base: Path  # what relative paths inside the dataset tables count from
    defaults: Mapping[str, Any]  # what every option would be if neither the file nor an override had set it
    bases: tuple[Path, ...] = ()  # the presets it builds on, nearest first
    inherited: Mapping[str, Any] = field(default_factory=dict)  # what every option would be if the bases stood alone
    dataset_file: Path = Path()  # where the dataset tables stand: the preset or one of its bases


@dataclass
class Reading:
    """Everything found out about one preset, errors included; ``config`` only without errors.

    ``values`` are those of all options, as given or by default, wrong ones too; ``given`` says what the file sets.
    """

    config: Config | None = None
    values: dict[str, Any] = field(default_factory=dict)
    given: Mapping[str, Entry] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    identity: Identity | None = None
    dataset_base: Path = Path()
    dataset_file: Path = Path()
    defaults: dict[str, Any] = field(default_factory=dict)
    bases: tuple[Path, ...] = ()
    inherited: dict[str, Any] = field(default_factory=dict)


def load_config(path: Path, overrides: Mapping[str, Any] | None = None, *, check_files: bool = False) -> LoadedConfig:
    """Read a preset. ``overrides`` are ``--set`` values: text is parsed by the option's type, and paths count from the
    working directory.

    Raises ``ConfigError`` with all errors of the file; with ``check_files`` also for files it names that do not exist.
    """
    return load_source(read_toml(Path(path)), overrides, check_files=check_files)


def load_source(
    source: TomlSource, overrides: Mapping[str, Any] | None = None, *, check_files: bool = False
) -> LoadedConfig:
    """The same of a text that is not (yet) in its file."""
    path = source.path
    reading = examine(source, overrides, check_files=check_files)
    errors = [problem for problem in reading.problems if problem.severity == "error"]
    if errors or reading.config is None or reading.identity is None:
        raise ConfigError(errors)
    return LoadedConfig(
        config=reading.config,
        sources=reading.sources,
        warnings=tuple(reading.problems),
        path=path,
        dialect=reading.identity.dialect,
        dataset_base=reading.dataset_base,
        defaults=reading.defaults,
        bases=reading.bases,
        inherited=reading.inherited,
        dataset_file=reading.dataset_file,
    )


def check_config(
    path: Path, overrides: Mapping[str, Any] | None = None, *, check_files: bool = True, memory: Path | None = None
) -> list[Problem]:
    """Errors and warnings of a preset and of its dataset, in the order of the file. Never raises on the user's mistakes.

    ``memory`` is the folder where scans remember what they read.
    """
    try:
        source = read_toml(Path(path))
    except ConfigError as error:
        return list(error.problems)
    return check_source(source, overrides, check_files=check_files, memory=memory)


def check_source(
    source: TomlSource,
    overrides: Mapping[str, Any] | None = None,
    *,
    check_files: bool = True,
    memory: Path | None = None,
) -> list[Problem]:
    """The same of a text that is not (yet) in its file. With ``check_files`` it takes as long as there are pictures."""
    reading, file = examine(source, overrides, check_files=check_files), str(source.path)
    found = [*reading.problems, *(_dataset_problems(reading, source.path, memory) if check_files else [])]
    return sorted(found, key=lambda problem: (problem.file != file, problem.file, problem.line, problem.column))


def examine(source: TomlSource, overrides: Mapping[str, Any] | None = None, *, check_files: bool = False) -> Reading:
    """What ``load_config`` finds out about a text, without raising for its errors: for whoever edits it."""
    path, overrides, chain = source.path, overrides or {}, read_chain(source)
    bases = chain.sources[1:]
    entries = collect(source, overrides, bases)
    ours = any(_stands_in_file(one, "family") for one in chain.sources)
    identity = identify(entries.values(), ours=ours)
    reading = Reading(identity=identity, given=entries.by_name, bases=chain.files)
    tables = entries.by_name.get("datasets")
    reading.dataset_file = path if tables is None or tables.origin is None else tables.origin.path
    reading.dataset_base = _base_of(reading.dataset_file, ours)
    reading.problems += [*chain.problems, *entries.problems]
    if chain.problems:  # without its base, whatever else could be said of the file would be wrong
        return reading
    if not identity.unbuilt_family:  # otherwise the file may hold options of a family that is not known yet
        reading.problems += _few(entries.unknown, source)
    reading.problems += [_placed(problem, entries, source) for problem in identity.problems]

    given = _given(entries, ours)
    values, reading.sources = _complete(given, entries, identity, path)
    reading.values, reading.defaults = values, _complete({}, entries, identity, path)[0]
    if bases:
        below = collect(bases[0], {}, bases[1:])
        reading.inherited = _complete(_given(below, ours), below, identity, path)[0]
    sections, wrong = validate(values)
    reading.problems += [_placed(problem, entries, source) for problem in wrong]
    if identity.spec is None:
        return reading
    bad = {problem.key for problem in wrong}
    if bad:  # the rules judge the rest, with defaults in these places
        sections = validate({**values, **{name: reading.defaults[name] for name in bad}})[0]
    config = Config.model_construct(**sections)
    sound = {name: entry for name, entry in entries.by_name.items() if name not in bad}
    case = rules.Case(config.values(), sound, identity.spec, identity.task, check_files)
    found = [problem for problem in rules.problems(case) if problem.key not in bad]
    reading.problems += [_placed(problem, entries, source) for problem in found]
    if not any(problem.severity == "error" for problem in reading.problems):
        reading.config = config
    elif not bad:
        reading.config = config if check_files else None  # the dataset can be judged although something else is wrong
    return reading


def _stands_in_file(source: TomlSource, name: str) -> bool:
    return name in source.data or any(isinstance(table, Mapping) and name in table for table in source.data.values())


def _few(unknown: list[Problem], source: TomlSource) -> list[Problem]:
    rest = len(unknown) - _MOST_UNKNOWN
    if rest <= 0:
        return unknown
    message = say(
        f"{counted(rest, 'more key is', 'more keys are')} unknown; this does not look like a preset.",
        f"他に {rest} 個の不明なキーがあります。",
    )
    return [*unknown[:_MOST_UNKNOWN], source.problem("unknown_key", message)]


def _placed(problem: Problem, entries: Entries, source: TomlSource) -> Problem:
    """The problem with file, line and column of the option it is about."""
    entry = entries.by_name.get(problem.key)
    if entry is None:
        return replace(problem, file=problem.file or str(source.path))
    if not entry.from_file:
        return replace(problem, file="--set")
    origin = entry.origin or source
    line, column = origin.positions.get(entry.address, (0, 0))
    return replace(problem, file=str(origin.path), line=line, column=column)


def _working_folder() -> Path:
    """The working directory; the root where that was deleted, so that a file can still be judged."""
    try:
        return Path.cwd()
    except OSError:
        return Path(os.sep)


def _base_of(file: Path, ours: bool) -> Path:
    """What relative paths in a file count from."""
    return file.absolute().parent if ours else _working_folder()


def _given(entries: Entries, ours: bool) -> dict[str, Any]:
    """The given values with absolute paths; each counts from the file it stands in."""
    return {name: _with_paths(OPTIONS[name], entry, ours) for name, entry in entries.by_name.items()}


def _with_paths(option: Option, entry: Entry, ours: bool) -> Any:
    """The entry's value with its paths absolute; text that is no path stays as it is."""
    base = _working_folder() if entry.origin is None else _base_of(entry.origin.path, ours)
    if option.kind == "path" and isinstance(entry.value, str):
        return _absolute(entry.value, base) if entry.value.strip() else None
    if option.kind == "list of paths" and isinstance(entry.value, list):
        return [_absolute(item, base) if isinstance(item, str) else item for item in entry.value]
    return entry.value


def _absolute(text: str, base: Path) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # "~stranger": taken literally
        path = Path(text)
    return Path(os.path.abspath(base / path))


def _complete(
    given: Mapping[str, Any], entries: Entries, identity: Identity, path: Path
) -> tuple[dict[str, Any], dict[str, str]]:
    """Given values plus defaults, and where each comes from."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS.values():
        if option.name in given:
            values[option.name], sources[option.name] = given[option.name], entries.by_name[option.name].source
        else:
            values[option.name], sources[option.name] = _default(option, identity)
    spec = identity.spec
    if spec is not None:
        values["family"] = spec.name
        sources.update({} if "family" in given else {"family": "from the options"})
        if identity.task is not None:
            values["task"] = identity.task.name
            sources["task"] = sources[identity.task_source] if identity.task_source else "family default"
        if values["network_module"] is None:
            values["network_module"], sources["network_module"] = spec.network_module, "family default"
    if values["output_name"] is None:
        values["output_name"] = path.stem
    return values, sources


def _default(option: Option, identity: Identity) -> tuple[Any, str]:
    recommended = _recommended(option, identity.spec)
    if identity.dialect == "musubi-tui":
        return recommended or (option.default, "default")
    if not option.musubi:
        return option.default, "default"
    if option.musubi_default not in (None, ""):
        return option.musubi_default, "musubi default"
    if option.name in _MUSUBI_UNSET:
        return _MUSUBI_UNSET[option.name], "musubi default"
    if option.name in ("vae_dtype", "mixed_precision"):  # Musubi Tuner leaves these to the family or to accelerate
        return recommended or (option.default, "default")
    return option.musubi_default, "musubi default"


def _recommended(option: Option, spec: FamilySpec | None) -> tuple[Any, str] | None:
    if spec is None or option.name not in spec.defaults:
        return None
    return spec.defaults[option.name], "family default"


def _dataset_problems(reading: Reading, path: Path, memory: Path | None) -> list[Problem]:
    """What the data room has to say about the dataset file or tables, and about the pictures they name."""
    from engine.data import check_dataset_config
    from engine.data.index import ScanIndex
    from engine.data.inventory import content_problems

    if reading.config is None or reading.identity is None or reading.identity.spec is None:
        return []
    dataset, spec = reading.config.dataset, reading.identity.spec
    if dataset.datasets and dataset.dataset_config is None:
        tables = {"general": dataset.general, "datasets": dataset.datasets}
        config, found = check_dataset_config(
            tables, base_dir=reading.dataset_base, spec=spec, file=str(reading.dataset_file)
        )
    elif dataset.dataset_config is not None and dataset.dataset_config.is_file():
        file = dataset.dataset_config
        base = file.parent if reading.identity.dialect == "musubi-tui" else _working_folder()
        config, found = check_dataset_config(file, base_dir=base, spec=spec)
    else:
        return []
    if config is None:
        return found
    values, told = reading.config.values(), {problem.key for problem in reading.problems}
    models = [slot.option for slot in spec.slots if values[slot.option] is not None or slot.option in told]
    with ScanIndex(memory) as index:
        contents = content_problems(config, spec, reading.identity.task, models=models, index=index)
    return [*found, *(problem if problem.file else replace(problem, file=str(path)) for problem in contents)]
