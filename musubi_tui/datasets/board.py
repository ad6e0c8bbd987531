"""What the Data screen shows, made in one go by a process of its own: a table of rows in columns, the bucket summary, findings.

A hundred thousand rows are a few arrays and lists, so that handing them over takes milliseconds and the screen looks only at the rows
it paints.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.config.problems import Problem
from engine.config.spelling import named
from engine.data.cache_files import Presence
from engine.data.findings import Finding
from engine.data.items import Bucket, Item, Scan, Skipped, beside, path_text
from engine.data.summary import enlargement, printable
from engine.data.tokens import estimate
from musubi_tui.datasets.opening import OpenedDataset

PRESENT, MISSING, UNKNOWN = 1, 2, 0
IMAGE, CLIP, SKIPPED = 0, 1, 2
_WORDS = 40


class Texts:
    """A column of texts as one text: it is handed over at once and taken apart when it is first looked into."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._whole = "\0".join(text.replace("\0", " ") for text in texts)
        self._parts: list[str] | None = None

    def __getstate__(self) -> str:
        return self._whole

    def __setstate__(self, whole: str) -> None:
        self._whole, self._parts = whole, None

    @property
    def all(self) -> list[str]:
        """The texts."""
        if self._parts is None:
            self._parts = self._whole.split("\0")
        return self._parts

    def folded(self) -> list[str]:
        """The texts in lower case."""
        return self._whole.casefold().split("\0")

    def __getitem__(self, row: int) -> str:
        return self.all[row]

    def replace(self, row: int, text: str) -> None:
        """One text is another one now."""
        self.all[row] = text


@dataclass
class Rows:
    """One row per item and per file that is left out, ordered by dataset, file and start. Arrays are (rows,)."""

    names: Texts
    paths: Texts
    captions: Texts
    reasons: Texts  # of rows that are left out
    ids: Texts
    latent_caches: Texts
    text_caches: Texts
    kind: npt.NDArray[np.uint8]
    dataset: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]  # (rows, 2) width, height of the source
    bucket: npt.NDArray[np.int32]  # (rows, 3) width, height, frames
    start: npt.NDArray[np.int32]
    crop: npt.NDArray[np.float32]  # (rows, 2)
    rates: npt.NDArray[np.float32]  # (rows, 2) source_fps (0: not stated), rate of the family
    tokens: npt.NDArray[np.int32]  # of the caption, about
    enlarged: npt.NDArray[np.float32]
    latents: npt.NDArray[np.uint8]  # PRESENT, MISSING, UNKNOWN
    texts: npt.NDArray[np.uint8]
    beside: dict[int, dict[str, Any]]  # row -> what only some items have: cuts, captions, controls …

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def searched(self) -> list[str]:
        """Name, caption and reason of each row in lower case: what a filter looks into. Made once, best on a thread."""
        columns = (self.names.folded(), self.captions.folded(), self.reasons.folded())
        return ["\n".join(texts) for texts in zip(*columns, strict=True)]

    def retell(self, row: int, caption: str, tokens: int) -> None:
        """A row has another caption."""
        self.captions.replace(row, caption)
        self.tokens[row] = tokens
        self.searched[row] = "\n".join((self.names[row], caption, self.reasons[row])).casefold()

    def item(self, row: int, opened: OpenedDataset) -> Item | None:
        """The item of a row, as far as it is shown; None for a file that is left out."""
        if self.kind[row] == SKIPPED:
            return None
        dataset = opened.config.datasets[int(self.dataset[row])]
        path = Path(self.paths[row])
        source_fps, target_fps = (float(rate) for rate in self.rates[row])
        plain = Item(
            id=self.ids[row],
            dataset=dataset.index,
            name=path.stem,
            path=path,
            caption=self.captions[row],
            width=int(self.size[row, 0]),
            height=int(self.size[row, 1]),
            kind="clip" if self.kind[row] == CLIP else "image",
            start=int(self.start[row]),
            bucket=bucket_of(self, row),
            latent_cache=Path(self.latent_caches[row]),
            text_cache=Path(self.text_caches[row]),
            repeats=dataset.num_repeats,
            batch_size=dataset.batch_size,
            source_fps=source_fps or None,
            target_fps=target_fps,
            crop=(float(self.crop[row, 0]), float(self.crop[row, 1])),
            loss_weight=dataset.loss_weight,
            is_reg=dataset.is_reg,
        )
        return replace(plain, **self.beside.get(row, {}))


@dataclass
class Board:
    """A scanned dataset."""

    opened: OpenedDataset
    rows: Rows
    summary: dict[str, Any]
    survey: list[str]
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    words: list[tuple[str, int]] = field(default_factory=list)  # most frequent, with the number of captions
    seconds: float = 0.0
    decoded: bool = False
    trains: bool = True  # whether training could start

    @property
    def cached(self) -> float | None:
        """Share of the cache files that are there; None without a family."""
        both = np.concatenate([self.rows.latents, self.rows.texts])
        known = int(np.count_nonzero(both != UNKNOWN))
        return int(np.count_nonzero(both == PRESENT)) / known if known else None


def make_rows(opened: OpenedDataset, scan: Scan) -> Rows:
    """The table of a scan."""
    entries: list[tuple[int, str, int, Item | Skipped]] = [
        (i.dataset, path_text(i, "path"), i.start, i) for i in scan.cached
    ]
    entries += [(entry.dataset, str(entry.path), -1, entry) for entry in scan.skipped]
    entries.sort(key=lambda entry: entry[:3])
    there = None if opened.spec is None else Presence()
    found = [_row(path, entry, there) for _, path, _, entry in entries]
    columns = list(zip(*found, strict=True)) if found else [()] * (_TEXTS + len(_KINDS))
    texts = [Texts(column) for column in columns[:_TEXTS]]
    arrays = [
        np.array(column, kind).reshape(-1, *shape)
        for column, (kind, shape) in zip(columns[_TEXTS:], _KINDS, strict=True)
    ]
    more = {row: beside(entry) for row, (*_, entry) in enumerate(entries) if isinstance(entry, Item)}
    values: list[Any] = [*texts, *arrays, {row: fields for row, fields in more.items() if fields}]
    return Rows(*values)


_TEXTS = 7
_KINDS: tuple[tuple[Any, tuple[int, ...]], ...] = (
    (np.uint8, ()), (np.int32, ()), (np.int32, (2,)), (np.int32, (3,)), (np.int32, ()), (np.float32, (2,)), (np.float32, (2,)),
    (np.int32, ()), (np.float32, ()), (np.uint8, ()), (np.uint8, ()),
)  # fmt: skip


def _row(path: str, entry: Item | Skipped, there: Presence | None) -> tuple[Any, ...]:
    path = printable(path)
    name = path.rpartition("/")[2]
    if isinstance(entry, Skipped):
        # The name stands in front of it already; in a list what matters is the line.
        told = (
            f"{named(str(entry.source), str(entry.source), entry.line)}: {entry.reason}" if entry.line else entry.reason
        )
        return (
            name, path, "", told, "", "", "", SKIPPED, entry.dataset, (0, 0), (0, 0, 0), 0, (0.5, 0.5), (0, 0), 0, 0.0,
            UNKNOWN, UNKNOWN,
        )  # fmt: skip
    clip = entry.kind == "clip"
    latents, text = path_text(entry, "latent_cache"), path_text(entry, "text_cache")
    more = beside(entry)
    latent_files = [str(view.cache) for view in more.get("views", ())] or [latents]
    text_files = [str(one.cache) for one in more.get("texts", ())] or [text]
    text_files += [str(more["no_text"].cache)] if "no_text" in more else []
    return (
        f"{name.rpartition('.')[0]}@{entry.start}+{entry.bucket.frames}" if clip else name, path, entry.caption, "", entry.id, printable(latents),
        printable(text), CLIP if clip else IMAGE, entry.dataset, (entry.width, entry.height), tuple(entry.bucket),
        entry.start, entry.crop, (entry.source_fps or 0.0, entry.target_fps), estimate(entry.caption), enlargement(entry),
        _state(latent_files, there), _state(text_files, there),
    )  # fmt: skip


def _state(files: Iterable[str], there: Presence | None) -> int:
    """Whether all files of an item are there."""
    return UNKNOWN if there is None else PRESENT if all(map(there.has, files)) else MISSING


def frequent_words(captions: Sequence[str]) -> list[tuple[str, int]]:
    """The words that most captions hold, each counted once per caption."""
    words: Counter[str] = Counter()
    for caption in captions:
        words.update({word.casefold() for word in re.findall(r"[^\W_][\w'-]+", caption)})
    return sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))[:_WORDS]


def bucket_of(rows: Rows, row: int) -> Bucket:
    """The bucket of a row."""
    width, height, frames = (int(value) for value in rows.bucket[row])
    return Bucket(width, height, frames)
