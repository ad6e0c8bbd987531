"""Everything a person may ask about one file of a dataset: buckets, crop, caption, cache files. One function for the command and the app."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.data import Item
from engine.data.cache_files import DamagedCache, latents_shape, read_header, stored_shapes
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Control
from engine.data.media import clip_info, times_shown
from engine.data.summary import enlargement, printable
from engine.data.timeline import Timeline, timeline
from engine.data.tokens import ESTIMATE, TokenCounter
from musubi_tui.datasets.cells import crop_of
from musubi_tui.datasets.opening import OpenedDataset


def item_facts(
    opened: OpenedDataset, items: Sequence[Item], counter: TokenCounter = ESTIMATE, *, held_out: Sequence[Item] = ()
) -> dict[str, Any]:
    """The document of ``data show --json``. ``items`` are all of one file (a video gives several clips).

    ``held_out``: the items of the whole scan that are not trained.
    """
    first = items[0]
    return {
        "id": first.id,
        "path": printable(first.path),
        "dataset": opened.config.datasets[first.dataset].name,
        "width": first.width,
        "height": first.height,
        "caption": first.caption,
        "caption_tokens": counter.count(first.caption),
        "caption_tokens_exact": counter.exact,
        "captions": [text.caption for text in first.texts] or [first.caption],
        "caption_dropout": first.caption_dropout,
        "controls": [_control(control) for control in first.controls],
        "targets": [printable(target) for target in first.targets],
        "mask": None if first.mask is None else printable(first.mask),
        "loss_weight": first.loss_weight,
        "held_out": first.id in {item.id for item in held_out},
        "repeats": first.repeats,
        "parts": [_part(opened, item) for item in items],
    }


def _control(control: Control) -> dict[str, Any]:
    """A control's file, its size, and the one it is encoded at."""
    return {
        "path": printable(control.path),
        "width": control.width,
        "height": control.height,
        "bucket": {"width": control.bucket[0], "height": control.bucket[1]},
    }


def timeline_of(dataset: DatasetSpec, path: Path, items: Sequence[Item], lengths: Sequence[int] = ()) -> Timeline:
    """Which frames of a video its clips use; ``lengths`` are those asked for. Raises ``UnreadableMedia``."""
    info = clip_info(path)
    return timeline(
        path,
        info,
        [(item.start, item.bucket) for item in items],
        source_fps=items[0].source_fps,
        target_fps=items[0].target_fps,
        lengths=lengths,
        times=None if info.steady else times_shown(path),
        by_number=dataset.frames_by_number,
    )


def _part(opened: OpenedDataset, item: Item) -> dict[str, Any]:
    crop = crop_of((item.width, item.height), item.bucket[:2], item.crop)
    spec = opened.spec
    latents, latents_reason = _cache(opened, item, item.latent_cache, text=False)
    text, text_reason = _cache(opened, item, item.text_cache, text=True)
    return {
        "id": item.id,
        "start": item.start,
        "bucket": {"width": item.bucket.width, "height": item.bucket.height, "frames": item.bucket.frames},
        "tokens": 0 if spec is None else spec.tokens(*item.bucket),
        "enlarged": round(enlargement(item), 3),
        "cropped_width": round(crop.lost_width, 4),
        "cropped_height": round(crop.lost_height, 4),
        "latent_cache": printable(item.latent_cache),
        "latents": latents,
        "latents_reason": latents_reason,
        "text_cache": printable(item.text_cache),
        "text": text,
        "text_reason": text_reason,
    }


def _cache(opened: OpenedDataset, item: Item, file: Path, *, text: bool) -> tuple[str, str]:
    """("present" | "missing" | "stale" | "unknown", reason): by name, header, caption and shape. Encoder files are not compared."""
    if opened.spec is None:
        return "unknown", ""
    try:
        header = read_header(file)
    except FileNotFoundError:
        return "missing", ""
    except (DamagedCache, OSError) as error:
        return "stale", str(error)
    if text:
        caption = header.metadata.get("caption1")
        return (
            ("present", "")
            if caption in (None, item.caption)
            else ("stale", say("the caption changed", "キャプションが変わった"))
        )
    shape = latents_shape(header)
    if shape not in stored_shapes(opened.spec.latent_shape(*item.bucket)):
        sides = "x".join(map(str, shape or ()))
        return "stale", say(f"latents are {sides}", f"潜在の形が {sides}")
    return "present", ""
