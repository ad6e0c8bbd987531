"""The scan in numbers: items, files and batches per dataset and bucket, and what was left out. The document of ``data buckets``."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from engine.data.dataset_spec import DatasetConfig, DatasetSpec
from engine.data.items import Bucket, Item, Scan


def bucket_summary(config: DatasetConfig, scan: Scan) -> dict[str, Any]:
    """``{"datasets": […], "total": {"items", "files", "batches"}}``: items count after repeats, files are source files."""
    datasets = [_dataset(dataset, scan) for dataset in config.datasets]
    total = {name: sum(entry[name] for entry in datasets) for name in ("items", "files", "batches")}
    return {"datasets": datasets, "total": total}


def _dataset(dataset: DatasetSpec, scan: Scan) -> dict[str, Any]:
    items = [item for item in scan.items if item.dataset == dataset.index]
    groups: dict[Bucket, list[Item]] = defaultdict(list)
    for item in items:
        groups[item.bucket].append(item)
    buckets = [_bucket(bucket, members) for bucket, members in sorted(groups.items())]
    return {
        "name": _printable(Path(dataset.name)),
        "kind": dataset.kind,
        "items": sum(entry["items"] for entry in buckets),
        "files": len({item.path for item in items}),
        "batches": sum(entry["batches"] for entry in buckets),
        "buckets": buckets,
        "skipped": [
            {"path": _printable(skipped.path), "code": skipped.code, "reason": skipped.reason}
            for skipped in scan.skipped
            if skipped.dataset == dataset.index
        ],
    }


def _printable(path: Path) -> str:
    """The path as text; bytes that are no valid UTF-8 are shown escaped, as JSON cannot hold them."""
    return str(path).encode("utf-8", errors="backslashreplace").decode("utf-8")


def _bucket(bucket: Bucket, members: list[Item]) -> dict[str, int]:
    items = sum(item.repeats for item in members)
    return {
        "width": bucket.width,
        "height": bucket.height,
        "frames": bucket.frames,
        "items": items,
        "batches": math.ceil(items / members[0].batch_size),
    }
