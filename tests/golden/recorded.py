"""Recorded tables that remember what was read of them, so that a test cannot pass over a part of one in silence.

``with recorded("buckets.json") as table`` gives the table; when the block ends, every value of it must have been read or be listed,
with its reason, in docs/golden.md, and every entry listed there must have been needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
PAGE = Path(__file__).parents[2] / "docs" / "golden.md"


class Recorded(Mapping[str, Any]):
    """A table, or a table in it. Reading a value takes its path ("lists.steps16/256x256") off the list of the unread."""

    def __init__(self, values: Mapping[str, Any], path: str, unread: set[str]) -> None:
        self._values, self._path, self._unread = values, path, unread

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if _is_table(value) or _is_rows(value):
            return self._wrapped(value, self._at(key))
        self._unread.discard(self._at(key))
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __eq__(self, other: object) -> bool:
        return self.plain() == other

    def __repr__(self) -> str:
        return repr(self._values)

    def plain(self) -> dict[str, Any]:
        """All of it, read."""
        self._unread -= set(leaves(self._values, self._path))
        return dict(self._values)

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def _wrapped(self, value: Any, path: str) -> Any:
        if _is_rows(value):
            return [Recorded(row, f"{path}.{number}", self._unread) for number, row in enumerate(value)]
        return Recorded(value, path, self._unread)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all values that are no tables themselves."""
    if _is_table(value):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif _is_rows(value):
        for number, row in enumerate(value):
            yield from leaves(row, f"{path}.{number}")
    else:
        yield path


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


class Ledger(Recorded):
    """A whole table with the differences that docs/golden.md lists for it."""

    def __init__(self, name: str) -> None:
        values = json.loads((DATA / name).read_text(encoding="utf-8"))
        super().__init__(values, "", set(leaves(values)))
        self.name = name
        self.listed = differences()[name]
        self._needed: set[str] = set()

    def differs(self, entry: str) -> bool:
        """Whether the page lists this entry as different."""
        found = [pattern for pattern in self.listed if fnmatchcase(entry, pattern)]
        self._needed |= set(found)
        return bool(found)

    def close(self) -> None:
        """Everything was read or is listed, and what is listed was needed."""
        unread = sorted(path for path in self._unread if not self.differs(path))
        assert not unread, f"{self.name}: {len(unread)} values were not compared, such as {unread[:5]}"
        idle = sorted(set(self.listed) - self._needed)
        assert not idle, f"docs/golden.md lists differences of {self.name} that are none: {idle}"


@contextmanager
def recorded(name: str) -> Iterator[Ledger]:
    """The table of that name; see the top of this file."""
    ledger = Ledger(name)
    yield ledger
    ledger.close()


def differences() -> dict[str, dict[str, str]]:
    """docs/golden.md: table -> listed entry -> the rest of its row."""
    found: dict[str, dict[str, str]] = {}
    rows: dict[str, str] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"## `(\S+\.json)`.*", line):
            rows = found.setdefault(heading[1], {})
        elif line.startswith("## "):
            rows = {}
        elif line.startswith("| `"):
            first, _, rest = line[2:].partition(" | ")
            rows |= dict.fromkeys(re.findall(r"`([^`]+)`", first), rest.rstrip(" |"))
    return found
