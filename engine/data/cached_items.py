"""Items from cache files alone, for a dataset whose pictures are gone: Musubi Tuner needs no sources to train, nor do we.

Every ``*_{id}.safetensors`` with its ``*_{id}_te.safetensors`` is an item; its caption is the one in the text cache's header.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.buckets import BucketRule
from engine.data.cache_files import (
    DamagedCache,
    LatentName,
    latents_shape,
    list_latent_names,
    parse_latent_name,
    read_header,
    stored_shapes,
    text_name,
)
from engine.data.changes import another_size
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Bucket, Item, Skipped
from engine.families.family import FamilySpec


@dataclass
class CachedListing:
    """What a cache folder holds."""

    items: list[Item] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def list_cached(
    dataset: DatasetSpec, spec: FamilySpec, cache_id: str, rule: BucketRule, missing: Problem | None = None
) -> CachedListing:
    """The items that the cache folder can serve by itself. Files that do not fit the present resolution are left out.

    ``missing`` says that the dataset's folder or list does not exist: a slip in its name would else train old files unseen.
    """
    listing = CachedListing()
    folder = dataset.cache_directory
    try:
        names = os.listdir(folder)
    except OSError:  # no folder, or none that can be read: then there is nothing to serve
        return listing
    for name in list_latent_names(names, cache_id):
        parsed = parse_latent_name(name, cache_id, clip=dataset.kind == "clip")
        if parsed is not None:
            _add(listing, dataset, spec, cache_id, rule, name, parsed)
    if listing.items and missing is not None:
        count = counted(len(listing.items), "old item", "old items")
        message = say(
            f"{missing.message} {count} from the cache files in {folder} would be trained.",
            f"{missing.message} {folder} の古いキャッシュ {len(listing.items)} 件で学習することになります。",
        )
        listing.warnings.append(replace(missing, code="from_caches", message=message, severity="warning"))
    elif listing.items:
        source = dataset.directory or dataset.jsonl
        message = say(
            f"{source} holds nothing to read: {counted(len(listing.items), 'item is', 'items are')} taken from the cache files in {folder}.",
            f"{source} に元データがないため、{folder} のキャッシュから {len(listing.items)} 件を使います。",
        )
        listing.warnings.append(Problem("from_caches", message, file=str(source), severity="warning"))
    return listing


def _add(
    listing: CachedListing,
    dataset: DatasetSpec,
    spec: FamilySpec,
    cache_id: str,
    rule: BucketRule,
    name: str,
    parsed: LatentName,
) -> None:
    path = dataset.cache_directory / name
    text_path = dataset.cache_directory / text_name(parsed.stem, cache_id)
    clip = dataset.kind == "clip"
    size = (parsed.width, parsed.height) if clip else rule.choose(parsed.width, parsed.height)
    bucket = Bucket(*size, parsed.frames if clip else 1)
    try:
        shape = latents_shape(read_header(path))
        caption = read_header(text_path).metadata.get("caption1", "")
    except FileNotFoundError:
        reason = say(f"it has no text cache {text_path.name}.", f"テキストのキャッシュ {text_path.name} がありません。")
        listing.skipped.append(Skipped(path, "missing_text_cache", reason, dataset.index))
        return
    except (DamagedCache, OSError) as error:
        listing.skipped.append(Skipped(path, "damaged_cache", str(error), dataset.index, broken=True))
        return
    if shape not in stored_shapes(spec.latent_shape(*bucket)):
        changed = another_size(shape, spec, *bucket)
        reason = say(
            f"{changed}; its source is gone, so it cannot be made again.",
            f"{changed}。元ファイルがないため作り直せません。",
        )
        listing.skipped.append(Skipped(path, "stale_cache", reason, dataset.index))
        return
    position = f"@{parsed.start:05d}-{parsed.frames:03d}" if clip else ""
    listing.items.append(
        Item(
            id=f"{dataset.index}:{parsed.stem}{position}",
            dataset=dataset.index,
            name=parsed.stem,
            path=path,
            caption=caption,
            width=parsed.width,
            height=parsed.height,
            kind=dataset.kind,
            start=parsed.start,
            bucket=bucket,
            latent_cache=path,
            text_cache=text_path,
            repeats=dataset.num_repeats,
            batch_size=dataset.batch_size,
            cached_only=True,
        )
    )
