"""Which rows are shown, and how buckets are grouped: arithmetic on the columns of a board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.config.language import counted, say
from musubi_tui.datasets.board import SKIPPED, Board, Rows

GROUPINGS = ("bucket", "source", "frames")


@dataclass(frozen=True)
class Group:
    """One line of the buckets panel. ``short`` is what is left for a last batch that is not full."""

    title: str
    items: int
    batches: int
    batch_size: int
    short: int
    bucket: tuple[int, int, int] | None = None
    dataset: int | None = None
    frames: int | None = None

    @property
    def below_batch(self) -> bool:
        """Whether not even one batch is full."""
        return self.items < self.batch_size


def groups(summary: Mapping[str, Any], grouping: str) -> list[Group]:
    """The lines of the buckets panel, the largest first (frames and sources in their own order)."""
    if grouping == "source":
        return [
            Group(room["name"], room["items"], room["batches"], room["batch_size"], room["short_batches"], dataset=index)
            for index, room in enumerate(summary["datasets"])
        ]  # fmt: skip
    merged: dict[Any, list[tuple[Mapping[str, Any], int]]] = defaultdict(list)
    for room in summary["datasets"]:
        for bucket in room["buckets"]:
            whole = (bucket["width"], bucket["height"], bucket["frames"])
            merged[whole if grouping == "bucket" else bucket["frames"]].append((bucket, room["batch_size"]))
    found = [_merge(key, members) for key, members in merged.items()]
    if grouping == "frames":
        return sorted(found, key=lambda group: group.frames or 0)
    return sorted(found, key=lambda group: (-group.items, group.bucket))


def _merge(key: Any, members: Sequence[tuple[Mapping[str, Any], int]]) -> Group:
    whole = key if isinstance(key, tuple) else None
    title = (
        _size_word(whole)
        if whole
        else say("pictures", "画像")
        if key == 1
        else say(counted(key, "frame"), f"{key} フレーム")
    )
    return Group(
        title,
        sum(bucket["items"] for bucket, _ in members),
        sum(bucket["batches"] for bucket, _ in members),
        members[0][1],
        sum(bucket["short"] for bucket, _ in members),
        bucket=whole,
        frames=None if whole else key,
    )


def _size_word(bucket: tuple[int, int, int]) -> str:
    return f"{bucket[0]}x{bucket[1]}" + (f"x{bucket[2]}" if bucket[2] > 1 else "")


@dataclass(frozen=True)
class Choice:
    """What is asked of the rows: words of the filter, a group of buckets, or the files of one finding."""

    words: str = ""
    group: Group | None = None
    files: frozenset[str] | None = None


def chosen(board: Board, choice: Choice) -> npt.NDArray[np.int64]:
    """The rows that fit, ascending."""
    rows = board.rows
    mask = np.ones(len(rows), bool)
    if choice.group is not None:
        mask &= _in_group(rows, choice.group)
    if choice.files is not None:
        paths = rows.paths.all
        mask &= np.fromiter((path in choice.files for path in paths), bool, len(rows))
    places = np.flatnonzero(mask)
    for word in choice.words.casefold().split():
        wanted = not word.startswith("!")
        parts = [part for part in word.lstrip("!").split("|") if part]
        if parts:
            places = _holding(rows.searched, places, parts, wanted)
    return places


def _holding(
    texts: Sequence[str], places: npt.NDArray[np.int64], parts: Sequence[str], wanted: bool
) -> npt.NDArray[np.int64]:
    """The places whose text holds one of the parts, or none of them."""
    if len(parts) == 1:
        part = parts[0]
        return np.array([place for place in places.tolist() if (part in texts[place]) is wanted], np.int64)
    return np.array([p for p in places.tolist() if any(part in texts[p] for part in parts) is wanted], np.int64)


def _in_group(rows: Rows, group: Group) -> npt.NDArray[np.bool_]:
    if group.dataset is not None:
        return np.asarray(rows.dataset == group.dataset)
    if group.bucket is not None:
        return np.asarray((rows.bucket == np.array(group.bucket)).all(axis=1))
    return np.asarray((rows.bucket[:, 2] == group.frames) & (rows.kind != SKIPPED))
