"""The pictures of one dataset in columns: what most large datasets are, files with a caption each and nothing beside them.

A hundred thousand items are made at once, and nothing of any of them but its place is; ``dataset_scan`` takes whatever else there is
one by one, and gives the same items.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import MISSING, fields
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.buckets import BucketRule
from engine.data.cache_files import image_latent_name, text_name
from engine.data.control_pictures import controls_wanted
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Bucket, Item, PathField, fill, items_in
from engine.data.listing import Source
from engine.data.variants import SURELY_SHORT
from engine.families.family import FamilySpec, TaskSpec

_DEFAULTS = {field.name: field.default for field in fields(Item) if field.default is not MISSING}


def holds_plain_pictures(dataset: DatasetSpec, task: TaskSpec | None, sources: Sequence[Source]) -> bool:
    """Whether every source is a picture with one caption, trained in one cut at one size, and with nothing beside it."""
    if dataset.kind != "image" or len(dataset.resolutions) > 1 or controls_wanted(dataset, task) is not None:
        return False
    if dataset.alpha_mask or dataset.caption_dropout or dataset.random_crop or dataset.flip:
        return False
    _, captions, _, controls, targets, masks, _, _ = zip(*sources, strict=True) if sources else [()] * 8
    return set(map(len, captions)) == {1} and not any(controls) and not any(targets) and not any(masks)


class PictureRows:
    """Sources with their sizes and buckets."""

    def __init__(
        self,
        dataset: DatasetSpec,
        spec: FamilySpec | None,
        cache_id: str,
        sources: Sequence[Source],
        sizes: Sequence[Sequence[int]],
        rule: BucketRule,
        folders: Callable[[str], tuple[Path, Path]],
    ) -> None:
        """``folders`` tells where latents and texts of a subfolder's files are cached."""
        self._dataset = dataset
        self._cache_id = cache_id
        self._sources = sources
        self._sizes = sizes
        self._folders = folders
        chosen = rule.choose_many(np.array(sizes, np.int64).reshape(-1, 2))
        different, which = np.unique(chosen[:, 0] << 32 | chosen[:, 1], return_inverse=True)
        self._buckets = [Bucket(one >> 32, one & 0xFFFFFFFF) for one in different.tolist()]
        self._bucket_of: list[int] = which.reshape(-1).tolist()
        self._items: list[Item] = []  # whose plain fields are not filled yet
        self._too_small = chosen.min(axis=1, initial=1 << 32) < rule.step
        self._same: dict[str, Any] = _DEFAULTS | {
            "dataset": dataset.index,
            "kind": dataset.kind,
            "start": 0,
            "repeats": dataset.num_repeats,
            "batch_size": dataset.batch_size,
            "source_fps": None if dataset.fps_from_file else dataset.source_fps,
            "target_fps": 0.0 if spec is None else spec.fps,
            "loss_weight": dataset.loss_weight,
            "is_reg": dataset.is_reg,
        }
        self._own = _OWN
        if dataset.jsonl is not None:
            del self._same["line"]
            self._own = _OWN | {"line": lambda rows, row: rows._sources[row].line}

    def doubtful(self) -> list[int]:
        """Rows that may have to be left out: too small for a bucket, or with a name that may be too long for a cache file."""
        long = {row for row, source in enumerate(self._sources) if len(source.name) >= SURELY_SHORT}
        small = np.flatnonzero(self._too_small).tolist() if self._dataset.enable_bucket else []
        return sorted(long.union(small))

    def items(self) -> list[Item]:
        """One of each row; nothing of it is made."""
        self._items = items_in(self, len(self._sources))
        return list(self._items)

    def value(self, row: int, name: str) -> Any:
        """What the field ``name`` of that row's item is. Raises ``KeyError`` when items have no such field."""
        if name == "id":
            return f"{self._dataset.index}:{self._sources[row].name}"
        if name in _PATHS:
            return Path(self.text(row, _PATHS[name]))
        self._fill()
        if name in self._same:
            return self._same[name]
        return self._own[name](self, row)

    def text(self, row: int, name: PathField) -> str:
        """A field that is a path, as a text."""
        source = self._sources[row]
        if name == "path":
            return source.file
        latents, texts = self._folders(source.name.rpartition("/")[0])
        return (
            f"{latents}/{self._latent_name(row)}"
            if name == "latent_cache"
            else f"{texts}/{text_name(source.stem, self._cache_id)}"
        )

    def _fill(self) -> None:
        """Give all items at once what costs next to nothing: who looks at one of these fields looks at those of all items."""
        items, self._items = self._items, []
        for name, value in self._same.items() if items else ():
            fill(items, name, repeat(value))
        for name, field in self._own.items() if items else ():
            fill(items, name, map(field, repeat(self), range(len(items))))

    def latent_files(self, without: Collection[int]) -> Iterator[str]:
        """Where the latents of each row are cached, ``without`` some."""
        return (self.text(row, "latent_cache") for row in range(len(self._sources)) if row not in without)

    def _latent_name(self, row: int) -> str:
        return image_latent_name(self._sources[row].stem, self._sizes[row][0], self._sizes[row][1], self._cache_id)


_PATHS: dict[str, PathField] = {"path": "path", "latent_cache": "latent_cache", "text_cache": "text_cache"}
_OWN: dict[str, Callable[[PictureRows, int], Any]] = {
    "name": lambda rows, row: rows._sources[row].name,
    "caption": lambda rows, row: rows._sources[row].captions[0],
    "width": lambda rows, row: rows._sizes[row][0],
    "height": lambda rows, row: rows._sizes[row][1],
    "bucket": lambda rows, row: rows._buckets[rows._bucket_of[row]],
}
