"""Versions of a preset: v2 beside v1, with its dataset file and prompts, a note, and a memory of where it came from.

A preset in a folder ``v1/`` gets a folder ``v2/``; any other ``ink.toml`` gets ``ink-v2.toml``. What the preset points at is copied
where it belongs to the version (the dataset file and the prompts that lie with it); pictures and models stay where they are, and the
paths to them are rewritten so that they still lead there. Every version has a small JSON record beside it, which names its parent.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.preset_folders import presets_root
from engine.config.problems import ConfigError
from engine.events.atomic import write_text_atomically
from engine.events.lines import iso_time
from musubi_tui.runs.plain_text import clean

_FOLDER = re.compile(r"v(\d{1,6})$")
_STEM = re.compile(r"(.+)-v(\d{1,6})$")
_COMPANIONS = ("dataset_config", "sample_prompts")  # options whose files are part of a version
_NOTE_LIMIT = 300


@dataclass(frozen=True)
class Version:
    """One version. ``parent`` is None for the first one; ``created`` is ISO-8601 UTC, empty where no record tells it."""

    preset: Path
    number: int
    parent: Path | None = None
    note: str = ""
    created: str = ""

    @property
    def label(self) -> str:
        """``v2``."""
        return f"v{self.number}"


@dataclass(frozen=True)
class NextVersion:
    """What ``make`` would write. ``copies``: old file -> new file, the preset first. ``folder``: a folder of its own is made."""

    source: Version
    preset: Path
    number: int
    copies: tuple[tuple[Path, Path], ...]
    folder: bool


def version_of(preset: Path) -> Version:
    """What is known about a preset as a version, from its name and its record. Raises nothing for damaged records."""
    preset = preset.absolute()
    number = _place(preset)[2]
    try:
        values: Any = json.loads(_record(preset).read_text("utf-8"))
        parent = Path(os.path.abspath(preset.parent / str(values["parent"]))) if values.get("parent") else None
        return Version(preset, number, parent, _one_line(str(values.get("note", ""))), str(values.get("created", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Version(preset, number)


def versions_of(preset: Path) -> list[Version]:
    """All versions of the same preset, oldest first; at least this one."""
    preset = preset.absolute()
    root, name, _ = _place(preset)
    if _in_folder(preset):
        found = [root / folder / name for folder in _names(root) if _FOLDER.match(folder)]
    else:
        found = [root / file for file in _names(root) if file.endswith(".toml") and _base(file[:-5]) == name]
    here = [path for path in found if path.is_file()]
    return sorted((version_of(path) for path in {*here, preset}), key=lambda version: version.number)


def plan_next(preset: Path) -> NextVersion:
    """The next version of a preset. Raises ``ConfigError``: it ships with the program, or is not TOML."""
    from engine.config.toml_source import read_text

    preset = preset.absolute()
    if preset.is_relative_to(presets_root()):
        message = say("this preset ships with the program.", "これは同梱のプリセットです。")
        fix = say("Copy it first: musubi-tui presets copy", "先に複製してください: musubi-tui presets copy")
        raise ConfigError.of("shipped_preset", message, fix, file=preset)
    document = _parsed(read_text(preset), preset)
    root, name, _ = _place(preset)
    number = 1 + max(_numbers(preset))
    folder = _in_folder(preset)
    target = root / f"v{number}" / name if folder else root / f"{name}-v{number}.toml"
    copies = [(preset, target)]
    base = preset.parent if _is_ours(preset) else Path.cwd()
    for key in _COMPANIONS:
        for value in _values_of(document, key):
            path = Path(os.path.abspath(base / Path(value).expanduser()))
            if path.is_file() and path.is_relative_to(preset.parent) and path not in dict(copies):
                copies.append((path, _companion_target(path, preset, target, number, folder=folder)))
    return NextVersion(version_of(preset), target, number, tuple(copies), folder)


def make(plan: NextVersion, note: str = "") -> Version:
    """Write the next version; it. Raises ``ConfigError``: somebody made it meanwhile, or it cannot be written."""
    from engine.config.toml_source import read_text

    moved = dict(plan.copies)
    try:
        if plan.folder:
            plan.preset.parent.mkdir()
        for _, target in plan.copies:
            if target.exists():
                raise FileExistsError(17, "exists", str(target))
        plan.preset.open("x").close()  # of several at once, one has the number
        for source, target in plan.copies:
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".toml":
                text = _rebased(read_text(source), source, target, moved, plan)
                write_text_atomically(target, text)
                target.chmod(source.stat().st_mode & 0o777)
            else:
                shutil.copy(source, target)
        record = {
            "version": plan.number,
            "parent": os.path.relpath(plan.source.preset, plan.preset.parent),
            "note": _one_line(note),
            "created": iso_time(time.time()),
        }
        write_text_atomically(_record(plan.preset), json.dumps(record, ensure_ascii=False, indent=1) + "\n")
    except FileExistsError as error:
        where = Path(str(error.filename or plan.preset))
        message = say("the next version exists already; nothing was overwritten.", "次のバージョンが既にあります。上書きしていません。")  # fmt: skip
        raise ConfigError.of("file_exists", message, file=where) from None
    except OSError as error:
        message = say(f"cannot be written: {error.strerror}.", f"書き込めません: {error.strerror}")
        raise ConfigError.of("unwritable_file", message, file=Path(str(error.filename or plan.preset))) from None
    return version_of(plan.preset)


# Names


def _in_folder(preset: Path) -> bool:
    return _FOLDER.match(preset.parent.name) is not None


def _place(preset: Path) -> tuple[Path, str, int]:
    """(where the versions lie, their common name, the number of this one)."""
    folder = _FOLDER.match(preset.parent.name)
    if folder:
        return preset.parent.parent, preset.name, int(folder[1])
    stem = _STEM.match(preset.stem)
    return preset.parent, _base(preset.stem), int(stem[2]) if stem else 1


def _base(stem: str) -> str:
    """``ink-v3`` -> ``ink``."""
    found = _STEM.match(stem)
    return found[1] if found else stem


def _numbers(preset: Path) -> list[int]:
    """The numbers that are taken, also by folders without a preset."""
    root, name, number = _place(preset)
    if _in_folder(preset):
        return [number, *(int(found[1]) for found in map(_FOLDER.match, _names(root)) if found)]
    stems = [_STEM.match(Path(file).stem) for file in _names(root) if file.endswith(".toml")]
    return [number, *(int(found[2]) for found in stems if found and found[1] == name)]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _one_line(note: str) -> str:
    """A note as it is shown: one line, nothing that a terminal would obey."""
    return clean(" ".join(note.split()))[:_NOTE_LIMIT]


def _record(preset: Path) -> Path:
    return preset.parent / ("version.json" if _in_folder(preset) else f"{preset.stem}.version.json")


def _companion_target(path: Path, preset: Path, target: Path, number: int, *, folder: bool) -> Path:
    inside = path.relative_to(preset.parent)
    if folder:
        return target.parent / inside
    return target.parent / inside.with_name(f"{_base(inside.stem)}-v{number}{inside.suffix}")


# The text


def _parsed(text: str, path: Path) -> Any:
    import tomlkit

    from engine.config.toml_source import parse_toml

    parse_toml(text, path)  # a mistake is told with its line
    return tomlkit.parse(text)


def _tables(document: Any) -> list[Any]:
    """The document and every table in it."""
    found = [document]
    for value in document.values():
        if isinstance(value, dict):
            found += _tables(value)
        elif isinstance(value, list):
            found += [table for item in value if isinstance(item, dict) for table in _tables(item)]
    return found


def _values_of(document: Any, key: str) -> list[str]:
    return [str(table[key]) for table in _tables(document) if isinstance(table.get(key), str) and table[key].strip()]


def _is_ours(preset: Path) -> bool:
    """Whether relative paths count from the file; in Musubi Tuner's files, which name no family, from the working directory."""
    from engine.config.bases import read_chain
    from engine.config.toml_source import read_toml

    return any(_values_of(source.data, "family") for source in read_chain(read_toml(preset)).sources)


def _rebased(text: str, source: Path, target: Path, moved: dict[Path, Path], plan: NextVersion) -> str:
    """The text of a copied TOML file: paths to copied files lead to the copies, other relative ones to where they led."""
    import tomlkit

    from engine.config.bases import is_file_name

    document = _parsed(text, source)
    preset = plan.source.preset
    own = _is_ours(preset)

    def follow(key: str, written: str) -> str:
        if key == "base" and not is_file_name(written):  # a name of the library
            return written
        beside = own or key == "base"
        old_base, new_base = (source.parent, target.parent) if beside else (Path.cwd(), Path.cwd())
        path = Path(os.path.abspath(old_base / Path(written).expanduser()))
        leads_to = moved.get(path, path)
        if Path(written).expanduser().is_absolute():
            return str(leads_to) if path in moved else written
        if path not in moved and not path.exists():
            return written
        rebased = os.path.relpath(leads_to, new_base)
        return written if os.path.normpath(written) == rebased else rebased

    changed = False
    for table in _tables(document):
        for key, value in list(table.items()):
            if key == "output_name" and source == preset and isinstance(value, str) and value:
                table[key] = f"{_base(str(value))}-v{plan.number}"
                changed = True
            elif _is_input(key) and isinstance(value, str) and value.strip() and follow(key, str(value)) != str(value):
                table[key] = follow(key, str(value))
                changed = True
            elif _is_input(key) and isinstance(value, list):
                for place, item in enumerate(value):
                    if isinstance(item, str) and item.strip() and follow(key, str(item)) != str(item):
                        value[place] = follow(key, str(item))
                        changed = True
    return tomlkit.dumps(document) if changed else text


def _is_input(key: str) -> bool:
    """Whether a key names files that are read: options of kind path, and the folders and lists of a dataset."""
    from engine.config.schema import OPTIONS

    if key in ("output_dir", "logging_dir"):  # every version writes beside itself
        return False
    option = OPTIONS.get(key)
    return (
        key == "base" or (option is not None and "path" in option.kind) or key.endswith(("_directory", "_jsonl_file"))
    )
