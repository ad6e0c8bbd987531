"""Large folders of pictures with captions, remembered as a whole: where nothing in one changed, nothing is done file by file.

It is the same folder when it lists the same names in the same order, and every picture and caption in it is the file that was read:
each is asked for its size, times and inode at every scan. Anything else, and the folder is looked at file by file, as small ones are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from engine.data import index_file
from engine.data.index_file import Entry, Identity, Stored, identity
from engine.data.read_ahead import is_waited_for, read_at_once, read_each

MANY = 1000  # pictures: below, reading a file more is not worth it


class Scanned:
    """A folder's entries as they were listed, and which file each of them is, asked once."""

    def __init__(self, folder: str) -> None:
        """Raises ``OSError``."""
        with os.scandir(folder) as entries:
            self.entries = list(entries)
        self.folder = folder
        self._asked: dict[str, Identity | None] = {}

    def identities(self, names: Sequence[str]) -> list[Identity | None]:
        """Of the files of these names (a link's is that of the file it leads to); None where there is none that can be asked."""
        if self._asked and self._asked.keys() >= set(names):
            return [self._asked[name] for name in names]
        try:
            found = self._ask(names)
        except OSError:
            found = [*read_each(self._by_path, names)]
        self._asked.update(zip(names, found, strict=True))
        return found

    def identity(self, name: str) -> Identity | None:
        """The same for one."""
        return self._asked[name] if name in self._asked else self.identities([name])[0]

    def _ask(self, names: Sequence[str]) -> list[Identity | None]:
        """By the folder's descriptor: the system need not walk the path for each of a hundred thousand. Raises ``OSError``."""
        stat, place = os.stat, os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:

            def ask(name: str) -> Identity:
                return identity(stat(name, dir_fd=place))

            if is_waited_for(ask, names):
                return [*read_at_once(ask, names)]
            return [identity(stat(name, dir_fd=place)) for name in names]
        finally:
            os.close(place)

    def _by_path(self, name: str) -> Identity | None:
        try:
            return identity(os.stat(os.path.join(self.folder, name)))
        except OSError:
            return None


class WholeFolder(NamedTuple):
    """What was remembered, in columns, sorted by file name."""

    files: Sequence[str]  # names of the pictures
    captions: Sequence[str]
    notices: Sequence[str]  # what was unusual about each caption; empty when nothing was about any
    sizes: Sequence[tuple[int, int]]
    folders: int  # in it


def recall(file: Path | None, listed: Scanned) -> WholeFolder | None:
    """What ``file`` holds of a folder with these entries; None when it is another one by now, or was never remembered."""
    entries = listed.entries
    stored = Stored() if file is None or len(entries) < MANY else index_file.read(file)
    names = [entry.name for entry in entries]
    if stored.read is None or stored.names != "\0".join(names):
        return None
    folders, asked, *columns = stored.read
    try:
        if [row for row, entry in enumerate(entries) if entry.is_dir()] != folders:
            return None
    except OSError:
        return None
    if not stored.is_of(listed.identities([*compress(names, bytes.fromhex(asked))])):
        return None
    files, captions, notices, widths, heights = columns
    return WholeFolder(files, captions, notices, [*zip(widths, heights, strict=True)], len(folders))


@dataclass
class Listed:
    """A folder that was looked at file by file: every picture in it has a caption, and nothing else in it matters."""

    names: list[str]  # of all entries, in the order they were listed
    folders: list[int]  # rows of those that are folders
    statuses: dict[str, Identity]  # of the pictures and captions
    pictures: Sequence[str]
    captions: Sequence[str]  # the file of each picture's caption

    def remember(self, file: Path, images: dict[str, Entry], texts: dict[str, Entry], encoding: str | None) -> None:
        """Write it down for ``recall`` when everything in it was read, from what was. Raises ``OSError``."""
        sizes = self._read(images, self.pictures)
        captions = self._read(texts, self.captions)
        if sizes is None or captions is None or any(read_in != encoding for _, _, read_in in captions):
            return
        notices = [notice for _, notice, _ in captions]
        columns = [
            self.folders,
            bytes(name in self.statuses for name in self.names).hex(),
            list(self.pictures),
            [text for text, _, _ in captions],
            notices if any(notices) else [],
            [width for width, _ in sizes],
            [height for _, height in sizes],
        ]
        identities = [self.statuses[name] for name in self.names if name in self.statuses]
        index_file.write(file, self.names, identities, columns)

    def _read(self, entries: dict[str, Entry], names: Iterable[str]) -> list[Sequence[Any]] | None:
        found = [entries.get(name) for name in names]
        if any(known is None or known[0] != self.statuses[name] for known, name in zip(found, names, strict=True)):
            return None
        return [known[1] for known in found if known is not None]


def listed_folder(listed: Scanned, pictures: Sequence[str], captions: Sequence[str]) -> Listed | None:
    """The folder as it was listed; None when a caption is missing."""
    mine = [*pictures, *captions]
    statuses = {name: found for name, found in zip(mine, listed.identities(mine), strict=True) if found is not None}
    try:
        folders = [row for row, entry in enumerate(listed.entries) if entry.is_dir()]
    except OSError:
        return None
    if len(statuses) < len(mine):
        return None
    return Listed([entry.name for entry in listed.entries], folders, statuses, pictures, captions)
