"""One file of the scan's memory: what was read of the files of one folder, in columns, so that all of it is compared at once.

A line of JSON that describes the rest, then sizes, both times and inodes as 64-bit numbers, names, and what was read as JSON. What is
damaged or of another version is nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from engine.events.atomic import write_bytes_atomically

_VERSION = 5  # of the format, and of what is read: another one forgets everything
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
    """What a file holds: ``names`` parted by NUL, ``numbers`` that identify files as columns of bytes, and what was read."""

    names: str = ""
    numbers: tuple[bytes, ...] = (b"",) * len(_NUMBERS)
    read: Any = None  # None: the file holds nothing

    def is_of(self, identities: Sequence[Identity | None]) -> bool:
        """Whether these are the files that were read, in this order."""
        there = [one for one in identities if one is not None]
        if not len(identities) == len(there) == len(self.numbers[0]) // 8:
            return False
        found = zip(*there, strict=True) if there else ((),) * len(_NUMBERS)
        return all(
            column == array(kind, numbers).tobytes()
            for column, kind, numbers in zip(self.numbers, _NUMBERS.values(), found, strict=True)
        )

    def identities(self) -> Iterator[Identity]:
        """Of each file."""
        columns = [array(kind, column) for kind, column in zip(_NUMBERS.values(), self.numbers, strict=True)]
        return zip(*columns, strict=True)


def write(file: Path, names: Iterable[str], identities: Sequence[Identity], read: Any) -> None:
    """Replace the file. ``read`` is something JSON can hold. Raises ``OSError``."""
    listed = "\0".join(names).encode("utf-8", "surrogateescape")
    numbers = [array(kind, [one[part] for one in identities]).tobytes() for part, kind in enumerate(_NUMBERS.values())]
    text = json.dumps(read, separators=(",", ":")).encode("ascii")
    body = b"".join([*numbers, listed, b"\0", text])
    head = {
        "version": _VERSION,
        "count": len(identities),
        "names": len(listed),
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
            json.loads(body[end + 1 :]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return Stored()
