"""Everything a person may ask about one file of a dataset: buckets, every cut, every caption, and whether their cache files would be
used. One function for the command and the app.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.data import Item
from engine.data.contexts import latent_context, text_context
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Control
from engine.data.media import clip_info, times_shown
from engine.data.provenance import CacheState, latents_state, text_state
from engine.data.summary import enlargement, printable
from engine.data.timeline import Timeline, timeline
from engine.data.tokens import ESTIMATE, TokenCounter
from engine.data.variants import cuts, wordings
from musubi_tui.datasets.cells import crop_of
from musubi_tui.datasets.opening import OpenedDataset

Judge = Callable[[Item], tuple[str, str]]


def item_facts(
    opened: OpenedDataset, items: Sequence[Item], counter: TokenCounter = ESTIMATE, *, held_out: Sequence[Item] = ()
) -> dict[str, Any]:
    """The document of ``data show --json``. ``items`` are all of one file (a video gives several clips); a part is one cut of one.

    ``held_out``: the items of the whole scan that are not trained.
    """
    first, judges = items[0], _judges(opened)
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
        "parts": [_part(opened, cut, judges[0]) for item in items for cut in cuts(item)],
        "texts": [_text(wording, judges[1]) for wording in _once_each(items)],
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


def _part(opened: OpenedDataset, item: Item, judge: Judge) -> dict[str, Any]:
    crop = crop_of((item.width, item.height), item.bucket[:2], item.crop)
    state, reason = judge(item)
    return {
        "id": item.id,
        "dataset": opened.config.datasets[item.dataset].name,
        "start": item.start,
        "bucket": {"width": item.bucket.width, "height": item.bucket.height, "frames": item.bucket.frames},
        "tokens": 0 if opened.spec is None else opened.spec.tokens(*item.bucket),
        "enlarged": round(enlargement(item), 3),
        "cropped_width": round(crop.lost_width, 4),
        "cropped_height": round(crop.lost_height, 4),
        "crop": {side: round(share, 4) for side, share in asdict(crop).items()},
        "mirrored": item.flip,
        "latent_cache": printable(item.latent_cache),
        "latents": state,
        "latents_reason": reason,
    }


def _once_each(items: Sequence[Item]) -> list[Item]:
    """Every caption that is trained with a file, once for all its clips and sizes."""
    return list({wording.text_cache: wording for item in items for wording in wordings(item)}.values())


def _text(item: Item, judge: Judge) -> dict[str, Any]:
    state, reason = judge(item)
    return {"caption": item.caption, "text_cache": printable(item.text_cache), "text": state, "text_reason": reason}


def _judges(opened: OpenedDataset) -> tuple[Judge, Judge]:
    """What judges latents and what judges text: as ``cache`` would, but that a tokenizer, and a model file that is not there, are not compared.

    They give ("current" | "foreign" | "missing" | "stale" | "unknown", reason).
    """
    spec, task = opened.spec, opened.task
    if spec is None or task is None:
        return _unknown, _unknown
    latents = latent_context(opened.options, spec, task, needed=False)
    text = text_context(opened.options, spec, task, needed=False)
    return lambda item: _told(latents_state(item, latents)), lambda item: _told(text_state(item, text))


def _unknown(item: Item) -> tuple[str, str]:
    return "unknown", ""


def _told(state: CacheState) -> tuple[str, str]:
    return state.state, state.reason
