"""The same item in other words and other cuts: which captions and views it has, where each is cached, and which is trained when.

A variant has a cache file of its own beside the plain one, under a name that Musubi Tuner does not take for one of its own:

cat_wan_te.5f1d3c0a.safetensors             another caption of cat, by the hash of its text
no-caption_wan_te.e3b0c442.safetensors      what is trained when the caption is dropped
cat_0640x0427_wan.flip.safetensors          mirrored
cat_0640x0427_wan.x0312y0500.safetensors    cut 31.2 % from the left of what there is to cut (thousandths)

Which one is drawn follows from seed, epoch, item and repetition alone, so a run can go on at any step.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.data.dataset_spec import DatasetSpec
from engine.data.items import CENTRE, Item, Text, View
from engine.data.resize import scaled_size

_SUFFIX = ".safetensors"
_LONGEST_NAME = 255  # bytes, on every file system in use
SURELY_SHORT = 40  # characters of at most 4 bytes; what is added to them is less than 95 bytes


def add_variants(item: Item, captions: tuple[str, ...], dataset: DatasetSpec, cache_id: str) -> Item:
    """The item with every caption and every cut that its dataset asks for."""
    if len(captions) == 1 and not (dataset.caption_dropout or dataset.random_crop or dataset.flip):
        return item
    folder, stem = item.text_cache.parent, item.name.rpartition("/")[2]
    texts: tuple[Text, ...] = ()
    if len(captions) > 1:
        others = (Text(caption, folder / _text_name(stem, cache_id, caption)) for caption in captions[1:])
        texts = (Text(captions[0], item.text_cache), *others)
    dropout = 0.0 if dataset.is_reg or captions == ("",) else dataset.caption_dropout
    nothing = Text("", dataset.cache_directory / _text_name("no-caption", cache_id, "")) if dropout else None
    return replace(item, texts=texts, caption_dropout=dropout, no_text=nothing, views=_views(item, dataset))


def _text_name(stem: str, cache_id: str, caption: str) -> str:
    digest = hashlib.sha256(caption.encode("utf-8", errors="surrogatepass")).hexdigest()[:8]
    return f"{stem}_{cache_id}_te.{digest}{_SUFFIX}"


def _views(item: Item, dataset: DatasetSpec) -> tuple[View, ...]:
    """All cuts, when there is more than the plain one."""
    crops = _crops(item, dataset.random_crop) if dataset.random_crop else [CENTRE]
    flips = (False, True) if dataset.flip else (False,)
    views = tuple(View(crop, flip, _view_path(item.latent_cache, crop, flip)) for crop in crops for flip in flips)
    return () if views == (View(CENTRE, False, item.latent_cache),) else views


def _crops(item: Item, count: int) -> list[tuple[float, float]]:
    """Up to ``count`` places of the bucket in the scaled picture, fixed for the item; fewer where there is less room."""
    width, height = scaled_size((item.width, item.height), item.bucket[:2])
    named = item.id.partition(":")[2]  # without the dataset's number: one inserted above moves no cut
    room = width - item.bucket.width, height - item.bucket.height
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for number in range(count):
        digest = hashlib.blake2b(f"{named}\0{number}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
        thousandths = [int.from_bytes(digest[:2], "big") % 1001, int.from_bytes(digest[2:], "big") % 1001]
        place = tuple(part / 1000 if space else 0.5 for part, space in zip(thousandths, room, strict=True))
        pixels = (int(room[0] * place[0]), int(room[1] * place[1]))
        found.setdefault(pixels, (place[0], place[1]))
    return list(found.values())


def _view_path(plain: Path, crop: tuple[float, float], flip: bool) -> Path:
    marks = "" if crop == CENTRE else f".x{round(crop[0] * 1000):04d}y{round(crop[1] * 1000):04d}"
    marks += ".flip" if flip else ""
    return plain.with_name(plain.name.removesuffix(_SUFFIX) + marks + _SUFFIX)


def with_variants(items: Iterable[Item]) -> Iterator[Item]:
    """Items that among them name every cache file of ``items``, each with one caption and one cut: what is encoded."""
    for item in items:
        if not item.texts and not item.views and item.no_text is None:
            yield item
            continue
        texts = [*(item.texts or (Text(item.caption, item.text_cache),))]
        texts += [item.no_text] if item.no_text is not None else []
        views = item.views or (View(item.crop, item.flip, item.latent_cache),)
        for number in range(max(len(texts), len(views))):
            yield _as(item, texts[number % len(texts)], views[number % len(views)])


def cuts(item: Item) -> list[Item]:
    """The item in each of its cuts, with its first caption."""
    views = item.views or (View(item.crop, item.flip, item.latent_cache),)
    return [_as(item, Text(item.caption, item.text_cache), view) for view in views]


def wordings(item: Item) -> list[Item]:
    """The item with each of its captions, and with none where it may be dropped, in its first cut."""
    texts = [*(item.texts or (Text(item.caption, item.text_cache),)), *([item.no_text] if item.no_text else [])]
    return [_as(item, text, View(item.crop, item.flip, item.latent_cache)) for text in texts]


def too_long_name(item: Item) -> str:
    """Name of a cache file of the item that no file system takes; empty when there is none."""
    if len(item.name) < SURELY_SHORT:
        return ""
    names = (cache.name for cut in with_variants([item]) for cache in (cut.latent_cache, cut.text_cache))
    return next((name for name in names if len(os.fsencode(name)) > _LONGEST_NAME), "")


def plain(item: Item) -> Item:
    """The item with its first caption and the cut in the centre alone."""
    return replace(item, texts=(), views=(), no_text=None, caption_dropout=0.0)


def drawn(item: Item, key: bytes) -> Item:
    """The variant of the item that ``key`` (at least 12 random bytes) stands for."""
    if not item.texts and not item.views and item.no_text is None:
        return item
    chance, which, cut = (int.from_bytes(key[start : start + 4], "big") / 2**32 for start in (0, 4, 8))
    texts = item.texts or (Text(item.caption, item.text_cache),)
    text = texts[int(which * len(texts))]
    if item.no_text is not None and chance < item.caption_dropout:
        text = item.no_text
    views = item.views or (View(item.crop, item.flip, item.latent_cache),)
    return _as(item, text, views[int(cut * len(views))])


def _as(item: Item, text: Text, view: View) -> Item:
    return replace(
        item,
        caption=text.caption,
        text_cache=text.cache,
        crop=view.crop,
        flip=view.flip,
        latent_cache=view.cache,
        texts=(),
        views=(),
        no_text=None,
        caption_dropout=0.0,
    )
