"""A preset file on disk: read with what must survive a save, noticed when somebody else changes it, written whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.config.toml_source import read_text
from engine.events.atomic import write_bytes_atomically

_BOM = b"\xef\xbb\xbf"
_NEW_FILE_MODE = 0o644
Stamp = tuple[int, int, int]  # mtime_ns, size, inode: differs whenever the content may differ


@dataclass(frozen=True)
class Document:
    """The file as it was when it was read or written. ``text`` is without the byte-order mark, line ends as they are."""

    path: Path  # links resolved
    text: str
    marked: bool  # begins with a byte-order mark
    stamp: Stamp

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return (_BOM if self.marked else b"") + self.text.encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.content).hexdigest()

    def on_disk(self) -> Literal["same", "other", "gone"]:
        """What the disk says now. The content is read only when time, size or inode differ."""
        try:
            if _stamp(self.path) == self.stamp:
                return "same"
            return "same" if self.path.read_bytes() == self.content else "other"
        except FileNotFoundError:
            return "gone"
        except OSError:  # unreadable now: certainly not what was read
            return "other"


def read_document(path: Path) -> Document:
    """Read a text file. Raises ``ConfigError`` when it is missing, a folder, too large, or not UTF-8."""
    path = resolved(path)
    stamp = _stamp(path) if path.is_file() else (0, 0, 0)  # before the content: a change in between is noticed later
    text = read_text(path)
    with path.open("rb") as file:
        marked = file.read(3) == _BOM
    return Document(path, text, marked, stamp)


def write_document(path: Path, text: str, *, marked: bool = False) -> Document:
    """Write a text atomically; an existing file keeps its permissions. Raises ``ConfigError`` and leaves the old file."""
    path = resolved(path)
    if path.exists() and not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ConfigError.of(
            "read_only",
            say("the file is read-only; nothing was changed.", "ファイルは読み取り専用です。変更していません。"),
            say("Copy it first: musubi-tui presets copy", "先にコピーしてください: musubi-tui presets copy"),
            file=path,
        )
    document = Document(path, text, marked, (0, 0, 0))
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else _NEW_FILE_MODE
        write_bytes_atomically(path, document.content, mode)
        return Document(path, text, marked, _stamp(path))
    except (FileNotFoundError, NotADirectoryError):
        message = say(f"its folder {path.parent} is gone.", f"フォルダー {path.parent} がありません。")
        fix = say("Make it again, or save elsewhere.", "フォルダーを作り直すか、別の場所に保存してください。")
        raise ConfigError.of("no_folder", message, fix, file=path) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = say(f"cannot be written: {reason}.", f"書き込めません: {reason}")
        raise ConfigError.of("unwritable_file", message, file=path) from None


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Whoever else reads, changes and writes this file within ``held`` waits: neither change is lost.

    The lock is on the file itself. A write puts another file in its place, so one who waited looks which is there now.
    A file that cannot be opened is not held; reading it says why.
    """
    path = resolved(path)
    while path.is_file():  # never a pipe, which would wait
        try:
            file = path.open("rb")
        except OSError:
            break
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                break
            if _is_at(path, os.fstat(file.fileno())):
                yield
                return
    yield


def _is_at(path: Path, opened: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), opened)
    except OSError:  # gone meanwhile
        return False


def resolved(path: Path) -> Path:
    """The file a path means, ``~`` and links resolved. Raises nothing: a strange path fails when it is read."""
    try:
        return Path(os.path.realpath(path.expanduser()))
    except (RuntimeError, ValueError):  # "~stranger", a NUL
        return path.absolute()
    except OSError:  # the working folder is gone
        return path


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
