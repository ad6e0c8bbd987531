"""The nouns of the room: a bucket, an item that will be trained, a file that will not be, and the scan that holds both.

An item has one caption and one cut of its picture unless its dataset asks for more; then ``texts`` and ``views`` hold all of
them, each with a cache file of its own, and ``engine.data.variants`` says which one is trained when.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from engine.config.problems import Problem
from engine.config.spelling import named

Kind = Literal["image", "clip"]
PathField = Literal["path", "latent_cache", "text_cache"]
SOURCES_GONE = ("missing_file", "from_caches")  # problems of a scan: a folder or list does not exist, or holds nothing


class Bucket(NamedTuple):
    """Pixels of one training sample: width, height and frames (1 for pictures)."""

    width: int
    height: int
    frames: int = 1


class Control(NamedTuple):
    """One control picture or video of an item: its size in pixels, and (width, height) it is encoded at."""

    path: Path
    width: int
    height: int
    bucket: tuple[int, int]


class Text(NamedTuple):
    """One caption that may be trained, and where its embedding is cached."""

    caption: str
    cache: Path


class View(NamedTuple):
    """One cut of an item's picture: where the bucket lies in the scaled picture (0 left or top, 1 right or bottom)."""

    crop: tuple[float, float]
    flip: bool
    cache: Path


CENTRE = (0.5, 0.5)


class Rows(Protocol):
    """Many items in columns."""

    def value(self, row: int, name: str) -> Any:
        """What the field ``name`` of that row's item is. Raises ``KeyError`` when items have no such field."""

    def text(self, row: int, name: PathField) -> str:
        """The same of a field that is a path, as a text."""


class _InColumns:
    """An item whose fields are fetched from columns when they are first looked at: of a hundred thousand items most paths never are."""

    __slots__ = ("_row", "_rows")
    _row: int
    _rows: Rows

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in _InColumns.__slots__:  # an item that was given all its fields
                raise AttributeError(name)
            try:
                value = self._rows.value(self._row, name)
            except KeyError:
                raise AttributeError(name) from None
            object.__setattr__(self, name, value)
            return value


@dataclass(frozen=True, slots=True)
class Item(_InColumns):
    """One picture or clip that is trained, with everything needed to encode, find and batch it."""

    id: str  # unique in the run and stable: "0:cat" or "1:street@00000-025"; events refer to items by it
    dataset: int  # index of its [[datasets]] entry
    name: str  # the file's stem
    path: Path  # the source; for an item known from its cache alone, the latent cache file
    caption: str
    width: int  # of the source in pixels, rotation honoured
    height: int
    kind: Kind
    start: int  # first frame, counted after the frame-rate conversion; 0 for pictures
    bucket: Bucket
    latent_cache: Path
    text_cache: Path
    repeats: int
    batch_size: int
    source_fps: float | None = None  # frame rate the user states; None: every frame is used
    target_fps: float = 0.0  # frame rate of the family; 0: no conversion
    shown: tuple[int, ...] = ()  # frames of the file that are used, where time decides and not the two rates
    cached_only: bool = False  # the source is gone: only the cache files are there
    controls: tuple[Control, ...] = ()  # in the order the model is given them
    targets: tuple[Path, ...] = ()  # further pictures to learn beside ``path``, such as the layers of a layered picture
    texts: tuple[Text, ...] = ()  # when there are several: all captions, ``caption`` the first
    no_text: Text | None = None  # what is trained when the caption is dropped
    caption_dropout: float = 0.0  # how often it is
    views: tuple[View, ...] = ()  # when there are several: all cuts
    crop: tuple[float, float] = CENTRE  # of this cut
    flip: bool = False  # mirrored left to right
    mask: Path | None = None  # picture of what counts in the loss; the item's own file: its alpha channel
    loss_weight: float = 1.0
    is_reg: bool = False  # a regularisation picture: what the model knows already and shall keep
    line: int = 0  # of the list that names it; 0 in a folder


_BESIDE = {
    field.name: field.default
    for field in fields(Item)
    if field.default is not MISSING
    and field.name not in ("source_fps", "target_fps", "loss_weight", "is_reg", "crop", "line")
}


def items_in(rows: Rows, count: int) -> list[Item]:
    """The items of the first ``count`` rows; nothing of them is made yet."""
    items: list[Item] = [*map(Item.__new__, repeat(Item, count))]
    slots = vars(_InColumns)
    deque(map(slots["_rows"].__set__, items, repeat(rows)), maxlen=0)
    deque(map(slots["_row"].__set__, items, range(count)), maxlen=0)
    return items


def fill(items: Iterable[Item], name: str, values: Iterable[Any]) -> None:
    """Give a field of many items its values."""
    deque(map(vars(Item)[name].__set__, items, values), maxlen=0)


def beside(item: Item) -> dict[str, Any]:
    """What an item has beyond what every item has, by field; of one in columns, which has nothing, nothing is fetched."""
    if getattr(item, "_rows", None) is not None:
        return {}
    return {name: value for name, default in _BESIDE.items() if (value := getattr(item, name)) != default}


def path_text(item: Item, name: PathField) -> str:
    """A field that is a path as a text: for who goes through all items and opens none."""
    rows = getattr(item, "_rows", None)
    return str(getattr(item, name)) if rows is None else rows.text(item._row, name)


@dataclass(frozen=True, slots=True)
class Skipped:
    """One file that is not trained, and why."""

    path: Path
    code: str  # "missing_caption", "unreadable_image", "too_short" …
    reason: str
    dataset: int = 0
    broken: bool = False  # damaged or undecodable: stops the run unless on_bad_item = "skip"
    line: int = 0  # of the list that names it; 0 in a folder
    source: Path | None = None  # that list

    @property
    def named(self) -> str:
        """What people are told it is: ``cat.png``, ``cat.png (list.jsonl:12)``, or ``list.jsonl:12`` for a line that names no file."""
        return named(str(self.path), str(self.source or ""), self.line)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is there: items in a fixed order, what was left out, and what the user should know."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()  # why training must not start; empty unless the scan was asked not to raise
    held_out: tuple[Item, ...] = ()  # never trained: what the validation loss is measured on
    unused_captions: tuple[tuple[Path, int], ...] = ()  # caption files that belong to nothing, with their dataset
    empty_captions: frozenset[tuple[str, int]] = frozenset()  # (file, dataset) whose caption is empty as written

    @property
    def cached(self) -> tuple[Item, ...]:
        """Everything that needs cache files: trained and held-out items."""
        return (*self.items, *self.held_out)
