"""The dataset: what will be trained, read from the user's own files and told back to them before anything is encoded.

``dataset_config`` reads the TOML, ``sources`` finds pictures and clips, ``inventory`` turns both into items with buckets and
cache names, ``pixels`` decodes, ``cache_files`` and ``provenance`` judge what is already encoded, ``batches`` orders it.
No torch in this room but ``loader``; a name below is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.data.batches import BatchPlan as BatchPlan
    from engine.data.dataset_config import check_dataset_config as check_dataset_config
    from engine.data.dataset_config import read_dataset_config as read_dataset_config
    from engine.data.dataset_spec import DatasetConfig as DatasetConfig
    from engine.data.dataset_spec import DatasetSpec as DatasetSpec
    from engine.data.inventory import scan as scan
    from engine.data.items import Bucket as Bucket
    from engine.data.items import Item as Item
    from engine.data.items import Scan as Scan
    from engine.data.items import Skipped as Skipped
    from engine.data.pixels import read_pixels as read_pixels

_HOMES = {
    "BatchPlan": "batches",
    "DatasetConfig": "dataset_spec",
    "DatasetSpec": "dataset_spec",
    "check_dataset_config": "dataset_config",
    "read_dataset_config": "dataset_config",
    "Bucket": "items",
    "Item": "items",
    "Scan": "items",
    "Skipped": "items",
    "read_pixels": "pixels",
    "scan": "inventory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"engine.data.{_HOMES[name]}"), name)
