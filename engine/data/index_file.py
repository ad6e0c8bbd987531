"""One file of the scan's memory: what was read of the files of one folder, in columns, so that all of it is compared at once.

A line of JSON that describes the rest, then sizes, both times and inodes as 64-bit numbers, names, and the parts of what was read
as JSON, column by column. What is damaged or of another version is nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from engine.events.atomic import write_bytes_atomically

_VERSION = 3  # of the format, and of what is read: another one forgets everything
_NUMBERS = {"st_size": "Q", "st_mtime_ns": "q", "st_ctime_ns": "q", "st_ino": "Q"}
_identity = attrgetter(*_NUMBERS)
Identity = tuple[int, int, int, int]
Entry = tuple[Identity, Sequence[Any]]  # which file it was, and what was read of it


def identity(status: os.stat_result) -> Identity:
    """Size, time of the last write and of the last change in nanoseconds, inode: equal for a file that is still the same one."""
    found: Identity = _identity(status)
    return found


@dataclass(frozen=True)
class Stored:
    """Entries in columns, one row per file; ``names`` parted by NUL, ``numbers`` as bytes."""

    names: str = ""
    numbers: tuple[bytes, ...] = (b"",) * len(_NUMBERS)
    values: tuple[Sequence[Any], ...] = ()

    def holds_exactly(self, names: Sequence[str], statuses: Sequence[os.stat_result]) -> bool:
        """Whether these are the files, in this order, and each is still the one that was read."""
        return self.names == "\0".join(names) and all(
            column == array(kind, map(attrgetter(number), statuses)).tobytes()
            for column, (number, kind) in zip(self.numbers, _NUMBERS.items(), strict=True)
        )

    def entries(self) -> dict[str, Entry]:
        """By name."""
        if not self.values:
            return {}
        columns = [array(kind, column) for kind, column in zip(_NUMBERS.values(), self.numbers, strict=True)]
        return dict(zip(self.names.split("\0"), zip(zip(*columns, strict=True), self.values, strict=True), strict=True))


def write(file: Path, entries: Mapping[str, Entry]) -> None:
    """Replace the file. Raises ``OSError``."""
    names = "\0".join(entries).encode("utf-8", "surrogateescape")
    numbers = [
        array(kind, [now[part] for now, _ in entries.values()]).tobytes() for part, kind in enumerate(_NUMBERS.values())
    ]
    parts = len(next(iter(entries.values()))[1])
    values = [[value[part] for _, value in entries.values()] for part in range(parts)]
    body = b"".join(numbers) + names + b"\0" + json.dumps(values, separators=(",", ":")).encode("ascii")
    head = {
        "version": _VERSION,
        "count": len(entries),
        "names": len(names),
        "bytes": len(body),
        "crc": zlib.crc32(body),
    }
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes_atomically(file, json.dumps(head).encode("ascii") + b"\n" + body, durable=False)


def read(file: Path) -> Stored:
    """What the file holds; nothing when it is missing, damaged or of another version."""
    try:
        line, _, body = file.read_bytes().partition(b"\n")
        head = json.loads(line)
        if head["version"] != _VERSION or head["bytes"] != len(body) or head["crc"] != zlib.crc32(body):
            return Stored()
        size, width = 8 * head["count"], len(_NUMBERS)
        end = width * size + head["names"]
        return Stored(
            body[width * size : end].decode("utf-8", "surrogateescape"),
            tuple(body[part * size : (part + 1) * size] for part in range(width)),
            tuple(zip(*json.loads(body[end + 1 :]), strict=True)),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return Stored()
