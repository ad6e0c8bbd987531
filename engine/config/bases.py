"""Presets that build on others: ``base = "wan-2.1-1.3b-t2v-16gb"`` (a name of the library) or ``base = "../common.toml"``.

The base is read first and the preset's own lines are laid over it, so that a preset holds only what differs. A base may have
a base of its own. ``base_unset`` names options of the base that go back to their defaults. The preset's dataset, when it has
one, replaces the base's as a whole; a ``[general]`` alone changes the base's ``[general]`` key by key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.preset_folders import preset_names
from engine.config.problems import ConfigError, Problem
from engine.config.toml_source import TomlSource, read_toml, similar_path
from engine.data.positions import Address

DEEPEST = 8  # bases below each other; more is a mistake


@dataclass
class Chain:
    """A preset and its bases, the preset first."""

    sources: list[TomlSource]
    problems: list[Problem] = field(default_factory=list)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the bases, nearest first."""
        return tuple(source.path for source in self.sources[1:])


def read_chain(source: TomlSource) -> Chain:
    """A preset with its bases. A base that is not found, cannot be read, or leads back to the preset stands in
    ``problems``, with its line.
    """
    chain = Chain([source])
    seen = {source.path.resolve()}
    while (found := _base_line(chain.sources[-1])) is not None:
        address, written = found
        above = chain.sources[-1]
        base = _find(above, address, written)
        if isinstance(base, Problem):
            chain.problems.append(base)
            break
        if base.resolve() in seen or len(seen) > DEEPEST:
            message = say(
                f"base = {written!r} leads back to a preset that builds on this one.",
                f"base = {written!r} は循環しています。",
            )
            if base.resolve() not in seen:
                message = say(
                    f"more than {DEEPEST} presets build on each other.", f"base の連鎖が {DEEPEST} 段を超えています。"
                )
            fix = say("Remove one of the base lines.", "base の行をどれか削除してください。")
            chain.problems.append(above.problem("base_cycle", message, fix, at=address))
            break
        seen.add(base.resolve())
        try:
            chain.sources.append(read_toml(base))
        except ConfigError as error:
            message = say(
                f"{above.path.name} builds on a file that cannot be used.",
                f"{above.path.name} の base が読み込めません。",
            )
            chain.problems += [*error.problems, above.problem("broken_base", message, at=address)]
            break
    return chain


def base_written(source: TomlSource) -> str | None:
    """What a preset names as its base; None without one."""
    found = _base_line(source)
    return None if found is None else found[1]


def is_file_name(written: str) -> bool:
    """Whether a ``base`` is a file and not a name of the library."""
    return "/" in written or "\\" in written or written.endswith(".toml")


def _base_line(source: TomlSource) -> tuple[Address, str] | None:
    """The address and value of ``base`` in a file; a wrong type is complained of with the other values."""
    for address, value in _options_of(source.data):
        if address[-1] == "base" and isinstance(value, str) and value.strip():
            return address, value.strip()
    return None


def _options_of(data: Mapping[str, Any]) -> list[tuple[Address, Any]]:
    flat: list[tuple[Address, Any]] = [((name,), value) for name, value in data.items() if not isinstance(value, dict)]
    for name, table in data.items():
        if isinstance(table, dict) and not (name == "general" and isinstance(data.get("datasets"), list)):
            flat += [((name, key), value) for key, value in table.items()]
    return flat


def _find(source: TomlSource, address: Address, written: str) -> Path | Problem:
    """A path counts from the file that names it; anything else is a name of the library."""
    names = preset_names()
    if not is_file_name(written):
        if written in names:
            return names[written]
        close = get_close_matches(written, names, n=1, cutoff=0.5)
        fix = say(f'Did you mean "{close[0]}"? ', f"「{close[0]}」のことですか。") if close else ""
        fix += say(
            "Names: musubi-tui presets list. A file is written with .toml.",
            "名前の一覧: musubi-tui presets list。ファイルは .toml まで書きます。",
        )
        message = say(f"base: there is no preset {written!r}.", f"base: プリセット {written!r} がありません。")
        return source.problem("missing_file", message, fix, at=address)
    try:
        path = Path(written).expanduser()
    except RuntimeError:  # "~stranger": taken literally
        path = Path(written)
    path = Path(os.path.abspath(source.path.absolute().parent / path))
    try:
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if there:
        return path
    message = say(f"base: there is no file {path}.", f"base: ファイル {path} がありません。")
    return source.problem("missing_file", message, similar_path(path), at=address)
