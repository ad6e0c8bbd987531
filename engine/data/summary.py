"""The scan in numbers: items, files and batches per dataset and bucket, what is enlarged, what is cut away, what is left out.

The document of ``data buckets --json`` and of the app's Data screen: both read these numbers from here.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.config.spelling import spelled, spelled_path
from engine.data.dataset_spec import DatasetConfig, DatasetSpec
from engine.data.extras import extras_of
from engine.data.items import Bucket, Item, Scan, Skipped, path_text
from engine.data.resize import scaled_size


def bucket_summary(config: DatasetConfig, scan: Scan) -> dict[str, Any]:
    """``{"datasets": […], "total": …}``. ``items`` count after repeats, ``files`` are source files, a short batch is one with
    fewer items than the batch size, ``upscaled`` counts files that are enlarged, ``cropped_percent`` is the mean share of
    the scaled picture that falls outside the bucket.
    """
    by_dataset: dict[int, list[Item]] = defaultdict(list)
    for item in scan.items:
        by_dataset[item.dataset].append(item)
    datasets = [_dataset(dataset, by_dataset[dataset.index], scan) for dataset in config.datasets]
    names = ("items", "files", "batches", "short_batches", "upscaled")
    return {"datasets": datasets, "total": {name: sum(entry[name] for entry in datasets) for name in names}}


def enlargement(item: Item) -> float:
    """How many times the source is enlarged to cover its bucket; at most 1 where it is not."""
    return max(item.bucket.width / item.width, item.bucket.height / item.height)


def cropped_share(item: Item) -> float:
    """The part of the scaled picture that is cut away, 0 to 1."""
    width, height = scaled_size((item.width, item.height), item.bucket[:2])
    return 1 - item.bucket.width * item.bucket.height / (width * height)


def _dataset(dataset: DatasetSpec, items: Sequence[Item], scan: Scan) -> dict[str, Any]:
    groups: dict[Bucket, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.bucket].append(item)
    buckets = [_bucket(bucket, members) for bucket, members in sorted(groups.items())]
    return {
        "name": printable(Path(dataset.name)),
        "kind": dataset.kind,
        "on_bad_item": dataset.on_bad_item,
        "items": sum(entry["items"] for entry in buckets),
        "files": len({path_text(item, "path") for item in items}),
        "batch_size": dataset.batch_size,
        "batches": sum(entry["batches"] for entry in buckets),
        "short_batches": sum(rest > 0 for members in groups.values() for _, rest in _batches(members)),
        "upscaled": len({path_text(item, "path") for item in items if enlargement(item) > 1}),
        "cropped_percent": _mean_percent(items),
        "buckets": buckets,
        "extras": extras_of(dataset, items, [item for item in scan.held_out if item.dataset == dataset.index]),
        "list": "" if dataset.jsonl is None else printable(dataset.jsonl),
        "skipped": [skipped_entry(skipped) for skipped in scan.skipped if skipped.dataset == dataset.index],
    }  # fmt: skip


def skipped_entry(skipped: Skipped) -> dict[str, Any]:
    """One file that is left out, as every ``--json`` of ``data`` says it; ``list`` and ``line`` where a list names it."""
    told: dict[str, Any] = {"path": printable(skipped.path), "code": skipped.code, "reason": spelled(skipped.reason)}
    return told | ({"list": printable(skipped.source or ""), "line": skipped.line} if skipped.line else {})


def printable(path: Path | str) -> str:
    """The path as text; JSON cannot hold bytes that are no UTF-8: such names are spelled as a shell takes them, ``$'caf\\xe9.png'``."""
    return spelled_path(str(path))


def _mean_percent(items: Sequence[Item]) -> float:
    return round(100 * math.fsum(map(cropped_share, items)) / len(items), 1) if items else 0.0


def _batches(members: Sequence[Item]) -> list[tuple[int, int]]:
    """(batches, items in a last one that is not full) of each group of a bucket that is batched by itself.

    There is one, unless the items have control pictures of several sizes.
    """
    counts: Counter[tuple[tuple[int, int], ...]] = Counter()
    for item in members:
        counts[tuple(control.bucket for control in item.controls)] += item.repeats
    size = members[0].batch_size
    return [(math.ceil(count / size), count % size) for count in counts.values()]


def _bucket(bucket: Bucket, members: list[Item]) -> dict[str, Any]:
    batches = _batches(members)
    return {
        "width": bucket.width,
        "height": bucket.height,
        "frames": bucket.frames,
        "items": sum(item.repeats for item in members),
        "batches": sum(count for count, _ in batches),
        "short": sum(rest for _, rest in batches),  # items in batches that are not full
        "upscaled": len({path_text(item, "path") for item in members if enlargement(item) > 1}),
        "cropped_percent": _mean_percent(members),
    }
