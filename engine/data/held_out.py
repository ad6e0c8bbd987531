"""Which files are kept away from training for the validation loss: whole files, so that no clip of a held-out video is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Item
from engine.data.variants import plain


def hold_out(items: Sequence[Item], dataset: DatasetSpec) -> tuple[list[Item], list[Item]]:
    """(trained, held out). The choice depends on the files' names alone: the same at every scan, whatever else joins them.

    A count or share that would take every file leaves one to train. Held-out items have one caption and one cut.
    """
    if not dataset.validation and dataset.validation_split is None:
        return list(items), []
    names = {item.name for item in items}
    if dataset.validation or dataset.validation_split is None:
        chosen = names
    else:
        split = dataset.validation_split
        count = split if isinstance(split, int) else max(1, round(split * len(names)))
        chosen = set(sorted(names, key=_rank)[: min(count, len(names) - 1)])
    held = [plain(item) for item in items if item.name in chosen]
    return [item for item in items if item.name not in chosen], held


def _rank(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
