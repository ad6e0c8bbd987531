"""What earlier scans read from files, kept under the home: a file is opened again only when it is not the one that was read.

It is the same when path, size, both its times and inode are: the time of the last change cannot be set back, as that of the last
write can. A time of the last moments proves nothing (a second write may carry it too), so such a file is read again the next time.
One file per folder, replaced as a whole: several processes may scan at once, the last one's memory stays, and what is damaged or of
another version is forgotten, never believed.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from engine.data import index_file
from engine.data.captions import read_caption
from engine.data.folder_memory import Listed, Scanned, WholeFolder, recall
from engine.data.frames import FrameTimes
from engine.data.index_file import Entry, Identity, Stored, identity
from engine.data.masks import brightest
from engine.data.media import ClipInfo, clip_info, image_size, times_shown

INDEX_FOLDER = "scans"  # in the home
_SETTLED_NS = 2_000_000_000  # a file changed later than this before the scan is not remembered
Kind = Literal["image", "clip", "times", "caption", "mask", "alpha"]


class ScanIndex:
    """The memory of one scan. ``folder`` None: remembers nothing. Use it with ``with``: its end writes down what is new."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._rooms: dict[tuple[Kind, str], _Room] = {}
        self._listed: dict[tuple[str, str, str | None], Listed] = {}
        self._lock = threading.Lock()  # files are read on several threads where they are waited for
        self._now = time.time_ns()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.save()

    def image_size(self, path: Path | str) -> tuple[int, int]:
        """``media.image_size``, from memory where the file did not change. Raises ``UnreadableMedia``."""
        width, height = self.read("image", os.fspath(path), lambda: image_size(path))
        return width, height

    def mask_facts(self, path: Path, *, alpha: bool = False) -> tuple[int, int, int]:
        """``masks.brightest``, from memory where the file did not change.

        Nothing decodes a mask before the batch that needs it, so it is done here. Raises ``UnreadableMedia``.
        """
        kind: Kind = "alpha" if alpha else "mask"
        width, height, weight = self.read(kind, os.fspath(path), lambda: list(brightest(path, alpha=alpha)))
        return width, height, weight

    def clip_info(self, path: Path) -> ClipInfo:
        """``media.clip_info``, from memory where the file did not change. Raises ``UnreadableMedia``."""

        def facts() -> list[float]:
            info = clip_info(path)
            return [info.width, info.height, info.frames, info.fps, info.promised, info.steady]

        return ClipInfo(*self.read("clip", os.fspath(path), facts))

    def times_shown(self, path: Path) -> FrameTimes | None:
        """``media.times_shown``, from memory where the file did not change."""

        def told() -> list[Any]:
            times = times_shown(path)
            return [1, 1, []] if times is None else [times.base.numerator, times.base.denominator, times.ticks]

        numerator, denominator, ticks = self.read("times", os.fspath(path), told)
        return FrameTimes(tuple(ticks), Fraction(numerator, denominator)) if ticks else None

    def caption(self, path: str, encoding: str | None, now: Identity | None = None) -> tuple[str, str]:
        """Text and notice of ``captions.read_caption``, from memory where the file did not change.

        Raises ``WrongCaption`` and ``OSError`` as it does. ``now`` spares a look when the caller has it.
        """
        known = self.read("caption", path, lambda: [*_caption(path, encoding), encoding], now)
        text, notice, read_in = known
        return (text, notice) if read_in == encoding else _caption(path, encoding)

    def recall(
        self, kind: Kind, folder: str, names: Sequence[str], identities: Sequence[Identity | None]
    ) -> Sequence[Sequence[Any] | None]:
        """What is remembered of many files of one folder, in their order; None of those that must be read."""
        return self._room(kind, folder).recall(names, identities)

    @property
    def remembers(self) -> bool:
        """Whether what is read is kept for the next scan."""
        return self._folder is not None

    def whole_folder(self, folder: str, extension: str, encoding: str | None, listed: Scanned) -> WholeFolder | None:
        """What is remembered of a large folder of pictures with captions of that ending, when nothing in it changed."""
        return recall(self._whole(folder, extension, encoding), listed)

    def note_folder(self, folder: str, extension: str, encoding: str | None, listed: Listed) -> None:
        """Remember the folder as a whole, if everything in it is read before the end."""
        self._listed[folder, extension, encoding] = listed

    def read(self, kind: Kind, path: str, read: Callable[[], Any], now: Identity | None = None) -> Any:
        """What ``read`` gives (a list that JSON can hold, of the same length for all files of a kind), from memory where the file
        of that path did not change.

        ``now``, which file it is, spares a look when the caller has it. What ``read`` raises is not remembered.
        """
        folder, _, name = path.rpartition("/")
        if now is None:
            try:
                now = identity(os.stat(path))
            except OSError:
                return read()  # says itself what is wrong
        with self._lock:
            room = self._room(kind, folder)
            known = room.entries.get(name)
            room.asked += 1
        if known is not None and known[0] == now:
            return known[1]
        value = read()
        if now[1] < self._now - _SETTLED_NS:
            with self._lock:
                room.entries[name] = now, value
                room.changed.add(name)
        return value

    def _room(self, kind: Kind, folder: str) -> _Room:
        room = self._rooms.get((kind, folder))
        if room is None:
            room = self._rooms[kind, folder] = _Room(self._file(kind, folder))
        return room

    def save(self) -> None:
        """Write down what is new. A home that cannot be written only costs the next scan its speed."""
        with contextlib.suppress(OSError), no_collections():
            for room in self._rooms.values():
                room.save()
            for (folder, extension, encoding), listed in self._listed.items():
                file = self._whole(folder, extension, encoding)
                if file is not None:
                    images, texts = (self._room(kind, folder).entries for kind in ("image", "caption"))
                    listed.remember(file, images, texts, encoding)

    def _whole(self, folder: str, extension: str, encoding: str | None) -> Path | None:
        return self._file(f"whole {extension} {encoding}", folder)

    def _file(self, kind: str, folder: str) -> Path | None:
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
        self._stored = Stored() if file is None else index_file.read(file)
        self._values = [] if self._stored.read is None else [*zip(*self._stored.read, strict=True)]
        self._order: Sequence[str] = ()  # of the names, as they are asked for
        self.changed: set[str] = set()
        self.asked = 0

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """By name; not made where nothing changed."""
        names = self._stored.names.split("\0") if self._values else []
        return dict(zip(names, zip(self._stored.identities(), self._values, strict=True), strict=True))

    def recall(self, names: Sequence[str], identities: Sequence[Identity | None]) -> Sequence[Sequence[Any] | None]:
        """What is known of each, in their order; None where it is another file than the one that was read."""
        self._order = names
        if not self.changed and self._stored.names == "\0".join(names) and self._stored.is_of(identities):
            self.asked += len(names)
            return self._values
        get = self.entries.get
        pairs = zip(map(get, names), identities, strict=True)
        found = [None if known is None or known[0] != now else known[1] for known, now in pairs]
        self.asked += len(found) - found.count(None)
        return found

    def save(self) -> None:
        if self._file is None or not self.changed:
            return
        kept = self.entries
        if len(kept) > 2 * self.asked:  # most of them were not asked for: their files are gone
            kept = {name: kept[name] for name in self.changed}
        names = [name for name in dict.fromkeys((*self._order, *kept)) if name in kept]
        values = [kept[name][1] for name in names]
        columns = [[value[part] for value in values] for part in range(len(values[0]))]
        index_file.write(self._file, names, [kept[name][0] for name in names], columns)


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
