"""What a dataset's folder or list holds before any file of it is opened: sources with their captions and companions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.captions import CaptionFile
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Skipped
from engine.data.reasons import look_command


class Source(NamedTuple):
    """One file or folder of frames with its captions, not opened yet. ``name``: the stem, after its subfolder if it has one."""

    file: str  # its path as a text: of many files no other is needed
    captions: tuple[str, ...]
    name: str
    controls: tuple[Path, ...] = ()
    targets: tuple[Path, ...] = ()  # further targets beside it
    mask: Path | None = None
    size: tuple[int, int] | None = None  # (width, height) of a picture, when an earlier scan read it
    line: int = 0  # of the list that names it; 0 in a folder

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.file)

    @property
    def stem(self) -> str:
        """What its cache files are named by: the file's name without its ending, or the folder's whole name."""
        return self.name.rpartition("/")[2]

    @property
    def caption(self) -> str:
        """The first caption."""
        return self.captions[0]


@dataclass
class Listing:
    """What one dataset's folder or list holds. ``missing``: there is no such folder or list.

    ``subfolders``: names of those that may hold sources and are not read. ``unreadable``: keys of further folders (controls, masks) that cannot be read, with the reason; then there are no sources.
    """

    sources: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    missing: bool = False
    subfolders: list[str] = field(default_factory=list)
    unused_captions: list[Path] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)  # sources whose caption is empty as written
    unreadable: dict[str, str] = field(default_factory=dict)
    typed: str = ""  # what a person types for the dataset

    def skip(
        self, dataset: DatasetSpec, path: Path, code: str, reason: str, *, broken: bool = False, line: int = 0
    ) -> None:
        """Note a file that is not trained, with its line in the dataset's list."""
        self.skipped.append(Skipped(path, code, reason, dataset.index, broken, line, dataset.jsonl))


class CaptionNotices:
    """Counts what was unusual about the captions of one dataset, to say it once."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._counts: Counter[str] = Counter()

    def note(self, path: Path, caption: CaptionFile) -> None:
        """Remember a caption that was read."""
        if caption.notice:
            self._files.setdefault(caption.notice, path)
            self._counts[caption.notice] += 1

    def warnings(self, typed: str) -> list[Problem]:
        """One warning for each kind of notice; ``typed``: what a person types for the dataset."""
        return [self._warning(notice, count, typed) for notice, count in sorted(self._counts.items())]

    def _warning(self, notice: str, count: int, typed: str) -> Problem:
        first = self._files[notice]
        if notice == "bom":
            message = say(
                f"{counted(count, 'caption begins', 'captions begin')} with a byte-order mark; it is left out.",
                f"BOM付きのキャプションが {count} 件あります。BOMは無視します。",
            )
            return Problem("byte_order_mark", message, file=str(first), severity="warning")
        look = look_command(typed, "show", first.stem)
        return Problem(
            "caption_encoding",
            say(
                f"{counted(count, 'caption is', 'captions are')} not UTF-8 and read as {notice}, such as {first.name}.",
                f"UTF-8でないキャプションが {count} 件あり、{notice} として読みます ({first.name} など)。",
            ),
            say(
                f"Look at it: `{look}`; if it is wrong, set caption_encoding, or save them as UTF-8.",
                f"`{look}` で確かめ、違っていれば caption_encoding を書くか、UTF-8で保存し直してください。",
            ),
            file=str(first),
            severity="warning",
        )


def tell_empty(listing: Listing, jsonl: Path | None) -> None:
    """Warn of captions that are empty where captions are expected; ``jsonl``: the list they stand in."""
    if not listing.empty:
        return
    there = {source.file for source in listing.sources}
    listing.empty = [file for file in listing.empty if file in there]
    if listing.empty:
        empty = set(listing.empty)
        one = min((source for source in listing.sources if source.file in empty), key=lambda source: source.line)
        message = say(
            f"{counted(len(listing.empty), 'caption is', 'captions are')} empty, such as that of {one.path.name}.",
            f"空のキャプションが {len(listing.empty)} 件あります ({one.path.name} など)。",
        )
        file = one.file if not one.line else str(jsonl)
        listing.warnings.append(Problem("empty_caption", message, file=file, line=one.line, severity="warning"))
