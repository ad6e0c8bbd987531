"""Files that are either whole or absent: written beside their final name, then renamed over it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_bytes_atomically(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Replace ``path`` by ``data``. A reader sees the old content or the new one, never a part.

    ``durable`` also waits for the disk (fsync), so that the file survives a power cut; heartbeats do without.
    Raises ``OSError`` and leaves the old file and no remains.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        sync(path.parent)


def write_text_atomically(path: Path, text: str, mode: int = 0o600, *, durable: bool = True) -> None:
    """``write_bytes_atomically`` for UTF-8 text."""
    write_bytes_atomically(path, text.encode("utf-8", "backslashreplace"), mode, durable=durable)


def sync(path: Path) -> None:
    """Make what was written to a file, or the renames in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
