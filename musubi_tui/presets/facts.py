"""What is known about one text of a preset: its values and where they come from, its problems, whose family it is.

The same text at the same path gives the same facts as long as the presets it builds on stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from engine.config.entries import Entry
from engine.config.load import Reading, examine
from engine.config.option import Option
from engine.config.problems import ConfigError, Problem
from engine.config.schema import OPTIONS
from engine.config.toml_source import TomlSource
from engine.families import FamilySpec, TaskSpec
from musubi_tui.presets.parsed import parsed
from musubi_tui.presets.places import Pair, find_places

Origin = Literal["file", "base", "family", "default"]


@dataclass(frozen=True)
class Facts:
    """Facts of one text. ``source`` and ``reading`` are None for text that is not TOML; ``problems`` then has the one reason."""

    path: Path
    text: str
    source: TomlSource | None
    reading: Reading | None
    problems: tuple[Problem, ...]

    @property
    def syntax(self) -> Problem | None:
        """Why the text is not TOML."""
        return self.problems[0] if self.source is None else None

    @property
    def spec(self) -> FamilySpec | None:
        """The family, when it can be told."""
        return self.reading.identity.spec if self.reading and self.reading.identity else None

    @property
    def task(self) -> TaskSpec | None:
        """The task, when it can be told."""
        return self.reading.identity.task if self.reading and self.reading.identity else None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What blocks a launch."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @cached_property
    def by_option(self) -> dict[str, list[Problem]]:
        """Problems by the option they are about; those of the file as a whole stand under ""."""
        found: dict[str, list[Problem]] = {}
        for problem in self.problems:
            found.setdefault(problem.key if problem.key in OPTIONS else "", []).append(problem)
        return found

    @cached_property
    def lines(self) -> dict[int, list[Problem]]:
        """Problems of this text by line, from 1."""
        found: dict[int, list[Problem]] = {}
        for problem in self.problems:
            if problem.line and problem.file in ("", str(self.path)):
                found.setdefault(problem.line, []).append(problem)
        return found

    @cached_property
    def lines_of_pairs(self) -> dict[int, Pair]:
        """Line, from 1 -> the ``key = value`` that begins there and has the line for itself."""
        if self.source is None:
            return {}
        data = self.text.encode()
        found: dict[int, Pair] = {}
        line, at = 1, 0
        for pair in find_places(data).pairs:
            line, at = line + data.count(b"\n", at, pair.start), pair.start
            if not pair.inline:
                found.setdefault(line, pair)
        return found

    def given(self, name: str) -> Entry | None:
        """The entry of an option that the file or one of its bases sets."""
        return self.reading.given.get(name) if self.reading else None

    def own(self, name: str) -> Entry | None:
        """The entry of an option that this file itself sets."""
        entry = self.given(name)
        mine = entry is not None and entry.origin is not None and entry.origin.path == self.path
        return entry if mine else None

    def value(self, name: str) -> Any:
        """The value as it is written (paths as they stand in the file), or by default."""
        entry = self.given(name)
        if entry is not None:
            return entry.value
        return self.reading.values.get(name) if self.reading and self.reading.values else OPTIONS[name].default

    def default(self, name: str) -> Any:
        """What the option would be if neither the file nor its bases set it."""
        return self.reading.defaults.get(name) if self.reading and self.reading.defaults else OPTIONS[name].default

    @property
    def has_base(self) -> bool:
        """Whether the file builds on another preset that could be read."""
        return bool(self.reading and self.reading.bases)

    def inherited(self, name: str) -> Any:
        """What the option would be without this file's own line: the base's value, else the default."""
        return self.reading.inherited.get(name) if self.reading and self.reading.inherited else self.default(name)

    def origin(self, name: str) -> Origin:
        """Who says so: this file, the preset it is based on, the family's recommendation, or the default of its kind."""
        if self.given(name) is not None:
            return "file" if self.own(name) else "base"
        source = self.reading.sources.get(name, "") if self.reading else ""
        return "family" if source.startswith("family") else "default"

    def line(self, name: str) -> int:
        """The line that sets the option, from 1; 0 when none of this file does."""
        entry = self.own(name)
        return self.source.positions.get(entry.address, (0, 0))[0] if entry and self.source else 0

    def changed(self, name: str) -> bool:
        """Whether the value is another one than the default of this kind of file."""
        if self.reading is None or name not in self.reading.given:
            return False
        return bool(self.reading.values.get(name) != self.reading.defaults.get(name))

    def applies(self, option: Option) -> bool:
        """Whether the family and task have what the option needs. Unknown family: everything may apply."""
        return self.spec is None or option.applies_to(self.spec, self.task)


def facts_of(text: str, path: Path) -> Facts:
    """Read a text as the preset at ``path``. Of the disk only the presets it builds on are looked at."""
    try:
        source = parsed(text, path)
    except ConfigError as error:
        return Facts(path, text, None, None, error.problems)
    reading = examine(source, check_files=False)
    ordered = sorted(reading.problems, key=lambda problem: (problem.line == 0, problem.line, problem.column))
    return Facts(path, text, source, reading, tuple(ordered))
