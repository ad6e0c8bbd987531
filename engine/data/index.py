"""What earlier scans read from files, kept under the home: a file is opened again only when it is not the one that was read.

It is the same when path, size, time and inode are. A time of the last moments proves nothing (a second write may carry it
too), so such a file is read again the next time. One file per folder, replaced as a whole: several processes may
scan at once, the last one's memory stays, and what is damaged or of another version is forgotten, never believed.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import time
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from engine.data.captions import read_caption
from engine.data.media import ClipInfo, clip_info, image_size
from engine.data.pictures import read_image
from engine.events.atomic import write_bytes_atomically

INDEX_FOLDER = "scans"  # in the home
_VERSION = 2  # of the format, and of what is read: another one forgets everything
_SETTLED_NS = 2_000_000_000  # a file changed later than this before the scan is not remembered
Kind = Literal["image", "clip", "caption", "mask"]
Entry = tuple[int, int, int, Any]  # size, mtime_ns, inode, what was read


class ScanIndex:
    """The memory of one scan. ``folder`` None: remembers nothing. Use it with ``with``: its end writes down what is new."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._rooms: dict[tuple[Kind, str], _Room] = {}
        self._now = time.time_ns()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.save()

    def image_size(self, path: Path) -> tuple[int, int]:
        """``media.image_size``, from memory where the file did not change. Raises ``UnreadableMedia``."""
        width, height = self.read("image", os.fspath(path), lambda: image_size(path))
        return width, height

    def mask_size(self, path: Path) -> tuple[int, int]:
        """(width, height) of a picture that was decoded to its last pixel, from memory where the file did not change.

        Nothing decodes a mask before the batch that needs it, so it is done here. Raises ``UnreadableMedia``.
        """

        def decoded() -> list[int]:
            height, width = read_image(path).shape[:2]
            return [width, height]

        width, height = self.read("mask", os.fspath(path), decoded)
        return width, height

    def clip_info(self, path: Path) -> ClipInfo:
        """``media.clip_info``, from memory where the file did not change. Raises ``UnreadableMedia``."""

        def facts() -> list[float]:
            info = clip_info(path)
            return [info.width, info.height, info.frames, info.fps, info.promised, info.steady]

        return ClipInfo(*self.read("clip", os.fspath(path), facts))

    def caption(self, path: str, encoding: str | None) -> tuple[str, str]:
        """Text and notice of ``captions.read_caption``, from memory where the file did not change.

        Raises ``WrongCaption`` and ``OSError`` as it does.
        """
        known = self.read("caption", path, lambda: [*_caption(path, encoding), encoding])
        text, notice, read_in = known
        return (text, notice) if read_in == encoding else _caption(path, encoding)

    def read(self, kind: Kind, path: str, read: Callable[[], Any], status: os.stat_result | None = None) -> Any:
        """What ``read`` gives (something JSON can hold), from memory where the file of that path did not change.

        ``status`` spares a look when the caller has it. What ``read`` raises is not remembered.
        """
        folder, _, name = path.rpartition("/")
        room = self._rooms.get((kind, folder))
        if room is None:
            room = self._rooms[kind, folder] = _Room(self._file(kind, folder))
        if status is None:
            try:
                status = os.stat(path)
            except OSError:
                return read()  # says itself what is wrong
        known = room.entries.get(name)
        room.asked += 1
        if known is not None and known[:3] == (status.st_size, status.st_mtime_ns, status.st_ino):
            return known[3]
        value = read()
        if status.st_mtime_ns < self._now - _SETTLED_NS:
            room.entries[name] = (status.st_size, status.st_mtime_ns, status.st_ino, value)
            room.changed.add(name)
        return value

    def save(self) -> None:
        """Write down what is new. A home that cannot be written only costs the next scan its speed."""
        for room in self._rooms.values():
            with contextlib.suppress(OSError):
                room.save()

    def _file(self, kind: Kind, folder: str) -> Path | None:
        if self._folder is None:
            return None
        digest = hashlib.sha256(f"{kind}:{folder}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self._folder / f"{digest}.index"


def _caption(path: str, encoding: str | None) -> tuple[str, str]:
    caption = read_caption(path, encoding)
    return caption.text, caption.notice


class _Room:
    """What is known of the files of one kind in one folder."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.entries = {} if file is None else _load(file)
        self.changed: set[str] = set()
        self.asked = 0

    def save(self) -> None:
        if self._file is None or not self.changed:
            return
        kept = self.entries
        if len(kept) > 2 * self.asked:  # most of them were not asked for: their files are gone
            kept = {name: kept[name] for name in self.changed}
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes_atomically(self._file, _packed(kept), durable=False)


def _packed(entries: dict[str, Entry]) -> bytes:
    """A line of JSON that describes the rest, then sizes, times and inodes as 64-bit numbers, names, and values as JSON."""
    names = "\0".join(entries).encode("utf-8", "surrogateescape")
    values = json.dumps([entry[3] for entry in entries.values()], separators=(",", ":")).encode("ascii")
    numbers = b"".join(array("Q", [entry[part] for entry in entries.values()]).tobytes() for part in range(3))
    body = numbers + names + b"\0" + values
    head = {
        "version": _VERSION,
        "count": len(entries),
        "names": len(names),
        "bytes": len(body),
        "crc": zlib.crc32(body),
    }
    return json.dumps(head).encode("ascii") + b"\n" + body


def _load(file: Path) -> dict[str, Entry]:
    """The entries of a file; none when it is missing, damaged or of another version."""
    try:
        data = file.read_bytes()
        line, _, body = data.partition(b"\n")
        head = json.loads(line)
        if head["version"] != _VERSION or head["bytes"] != len(body) or head["crc"] != zlib.crc32(body):
            return {}
        count, end = head["count"], 24 * head["count"] + head["names"]
        columns = [array("Q", body[8 * part * count : 8 * (part + 1) * count]) for part in range(3)]
        names = body[24 * count : end].decode("utf-8", "surrogateescape").split("\0")
        values = json.loads(body[end + 1 :])
        return dict(zip(names, zip(*columns, values, strict=True), strict=True)) if count else {}
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return {}


@contextmanager
def no_collections() -> Iterator[None]:
    """Hundreds of thousands of small objects that all stay: looking for cycles among them would take a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
