"""Whether a cached file still is what its source, caption, encoder and settings would give, judged from headers alone.

Our header adds to Musubi Tuner's: ``mtui_version``, ``mtui_source`` (size, mtime_ns, sha256 of the file), ``mtui_encoder`` (size
and sampled hash of the weights), ``mtui_settings``, ``mtui_caption_sha256``, ``mtui_origin`` (where the
source lay as seen from the cache's folder; only pruning reads it); JSON compact and sorted. Of an item with control or further
target pictures also ``mtui_controls`` and ``mtui_targets``, lists of what ``mtui_source`` holds. A source is read only
when its size or time differ. A file without our header was made by Musubi Tuner: it is used when caption, size and latent
shape fit and its source need not be turned upright, and never called ours. Nor is one whose header is of another version: what
it says cannot be known.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from engine.config.language import say
from engine.data.cache_files import FORMAT_VERSION, CacheHeader, DamagedCache, latents_shape, read_header, stored_shapes
from engine.data.changes import another_size, changed_settings
from engine.data.dataset_spec import DatasetSpec
from engine.data.fingerprints import caption_hash, compact_json, hash_of, seen_of, source_stamp
from engine.data.items import Item
from engine.data.media import is_turned
from engine.families.family import FamilySpec, TaskSpec

PROVENANCE_VERSION = "1"
Stamps = Mapping[
    str, Any
]  # field of the header -> the stamp of the source, or those of the controls or further targets
_NOTED = frozenset({"resolution", "extraction"})  # in the header for people, see ``noted_of``


@dataclass(frozen=True)
class CacheContext:
    """What a cache file is judged against. ``encoder`` None: the encoder is not at hand, and is not compared."""

    spec: FamilySpec
    task: TaskSpec
    encoder: Mapping[str, Any] | None = None  # from ``encoder_fingerprint``
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the encoding: dtype, token limit, template …
    unknown: frozenset[str] = frozenset()  # settings that cannot be told now, and are not compared
    noted: Mapping[int, Mapping[str, Any]] = field(
        default_factory=dict
    )  # dataset -> what its latents' headers say for people


@dataclass(frozen=True)
class CacheState:
    """The verdict on one cache file. ``current`` and ``foreign`` may be trained from; ``reason`` says what is stale."""

    state: Literal["current", "missing", "stale", "foreign"]
    reason: str = ""
    ours: bool = False  # the file carries our header: only such a file may ever be deleted
    damaged: bool = False  # torn or unreadable: its maker is not known for certain, so it is neither ours nor another's
    stamps: Stamps | None = (
        None  # of sources that were only touched: the header should say this, not to hash them again
    )

    @property
    def usable(self) -> bool:
        """Whether the file can be trained from as it is."""
        return self.state in ("current", "foreign")


# -- what is written


def latent_metadata(item: Item, context: CacheContext, stamps: Stamps | None = None) -> dict[str, str]:
    """Header of the latent cache of ``item``: Musubi Tuner's keys and ours. Without ``stamps`` the sources are read to hash them."""
    clip = item.kind == "clip"
    metadata = {
        "architecture": context.task.header_architecture,
        "width": str(item.bucket.width if clip else item.width),
        "height": str(item.bucket.height if clip else item.height),
        "format_version": FORMAT_VERSION,
        "mtui_version": PROVENANCE_VERSION,
        "mtui_origin": _origin(item.path, item.latent_cache),
        "mtui_settings": compact_json(
            {**latent_settings(item, context.settings), **context.noted.get(item.dataset, {})}
        ),
        **{field: compact_json(value) for field, value in (stamps or item_stamps(item)).items()},
    }
    if clip:
        metadata["frame_count"] = str(item.bucket.frames)
    if context.encoder is not None:
        metadata["mtui_encoder"] = compact_json(context.encoder)
    return metadata


def text_metadata(item: Item, context: CacheContext) -> dict[str, str]:
    """Header of the text cache of ``item``: Musubi Tuner's keys and ours."""
    metadata = {
        "architecture": context.task.header_architecture,
        "caption1": item.caption,
        "format_version": FORMAT_VERSION,
        "mtui_version": PROVENANCE_VERSION,
        "mtui_caption_sha256": caption_hash(item.caption),
        "mtui_origin": _origin(item.path, item.text_cache),
        "mtui_settings": compact_json(context.settings),
        **{field: compact_json([*map(source_stamp, paths)]) for field, paths in _beside(item, latents=False).items()},
    }
    if context.encoder is not None:
        metadata["mtui_encoder"] = compact_json(context.encoder)
    return metadata


def item_stamps(item: Item) -> Stamps:
    """How the files that the latents of ``item`` are made of look now; they are read. Raises ``OSError``."""
    beside = {field: [*map(source_stamp, paths)] for field, paths in _beside(item).items()}
    return {"mtui_source": source_stamp(item.path), **beside}


def _beside(item: Item, *, latents: bool = True) -> dict[str, list[Path]]:
    """Field of the header -> what a cache is made of beside the source: the controls, which text encoders may look at as well, and further targets."""
    found = {
        "mtui_controls": [control.path for control in item.controls],
        "mtui_targets": list(item.targets) if latents else [],
    }
    return {field: paths for field, paths in found.items() if paths}


def _origin(source: Path, cache: Path) -> str:
    """Where the source lies as seen from the cache's folder: folders that move together keep it true."""
    relative = os.path.relpath(source, cache.parent)
    return os.fsencode(relative).decode("utf-8", "replace")


def origin_of(metadata: Mapping[str, str], cache: Path) -> Path | None:
    """The source that a cache file of ours was made of; None where its header does not say."""
    relative = metadata.get("mtui_origin")
    return Path(os.path.normpath(cache.parent.absolute() / relative)) if relative else None


def latent_settings(item: Item, encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Everything beside source and encoder that decides the latents of ``item``."""
    settings: dict[str, Any] = {
        **encoding,
        "bucket": list(item.bucket),
        "resize": "lanczos-up area-down",
        "crop": list(item.crop),
        "flip": item.flip,
    }
    if item.kind == "clip":
        settings |= {"start": item.start, "source_fps": item.source_fps, "fps": item.target_fps}
        if item.shown:
            settings["frames"] = list(item.shown[item.start : item.start + item.bucket.frames])
    if item.controls:
        settings["controls"] = [list(control.bucket) for control in item.controls]
    return settings


def noted_of(dataset: DatasetSpec) -> dict[str, Any]:
    """What a latent cache says of the dataset it was made for. It decides nothing by itself: what comes of it, bucket, start and
    frame rate, is in the settings that are compared, so that a change re-encodes what it touches and nothing else.
    """
    noted: dict[str, Any] = {"resolution": list(dataset.resolution)}
    if dataset.kind == "clip":
        noted["extraction"] = dataset.frame_extraction
    return noted


# -- what is judged


def latents_state(item: Item, context: CacheContext) -> CacheState:
    """Whether the latent cache of ``item`` may be used, without decoding anything."""
    header = _header_or_state(item.latent_cache, "mtui_source")
    if isinstance(header, CacheState):
        return header
    ours = "mtui_version" in header.metadata
    if header.metadata.get("architecture") != context.task.header_architecture:
        return _stale(say("made for another model", "別のモデル用"), ours)
    compared = ours and not item.cached_only
    changed = _changed_settings(header, latent_settings(item, context.settings), context, item) if compared else ""
    shape = latents_shape(header)
    if not changed and shape not in stored_shapes(context.spec.latent_shape(*item.bucket)):
        changed = another_size(shape, context.spec, *item.bucket)
    if changed:
        return _stale(changed, ours)
    if not ours:
        return _foreign_latents(item, header)
    touched = None
    if compared:
        changed, touched = _judge_sources(header, {"mtui_source": [item.path], **_beside(item)})
        if changed:
            return _stale(changed, ours)
    state = _judge_encoder(header, context, "VAE")
    return replace(state, stamps=touched) if state.usable else state


def text_state(item: Item, context: CacheContext) -> CacheState:
    """Whether the text cache of ``item`` may be used, without loading anything."""
    header = _header_or_state(item.text_cache, "mtui_caption_sha256")
    if isinstance(header, CacheState):
        return header
    ours = "mtui_version" in header.metadata
    if header.metadata.get("architecture") != context.task.header_architecture:
        return _stale(say("made for another model", "別のモデル用"), ours)
    lacking = ", ".join(sorted(set(context.spec.text_tensors) - header.names))
    if lacking:
        return _stale(say(f"it holds no {lacking}", f"{lacking} が入っていない"), ours)
    if not ours:
        if header.metadata.get("caption1") != item.caption:
            return _stale(say("the caption changed", "キャプションが変わった"), ours)
        return CacheState("foreign")
    if header.metadata.get("mtui_caption_sha256") != caption_hash(item.caption):
        return _stale(say("the caption changed", "キャプションが変わった"), ours)
    if not item.cached_only:
        changed = _changed_settings(header, context.settings, context, item)
        changed = changed or _judge_sources(header, _beside(item, latents=False))[0]
        if changed:
            return _stale(changed, ours)
    return _judge_encoder(header, context, "text encoder")


def _header_or_state(path: Path, needed: str) -> CacheHeader | CacheState:
    try:
        header = read_header(path)
    except FileNotFoundError:
        return CacheState("missing")
    except (DamagedCache, OSError) as error:
        return CacheState("stale", say(f"damaged: {error}", f"破損: {error}"), damaged=True)
    version = header.metadata.get("mtui_version", PROVENANCE_VERSION)
    if version != PROVENANCE_VERSION:  # what it says may mean something else: it is neither believed nor called ours
        return _stale(say("made by another version of musubi-tui", "別のバージョンの musubi-tui が作成"), False)
    if "mtui_version" in header.metadata and needed not in header.metadata:
        return _stale(say("it does not say what it was made from", "何から作られたかの記録がない"), True)
    return header


def _foreign_latents(item: Item, header: CacheHeader) -> CacheState:
    size = (item.bucket.width, item.bucket.height) if item.kind == "clip" else (item.width, item.height)
    if (header.metadata.get("width"), header.metadata.get("height")) != (str(size[0]), str(size[1])):
        return _stale(say("made from a picture of another size", "元の画像の寸法が違う"), False)
    if not item.cached_only and is_turned(item.path, clip=item.kind == "clip"):
        return _stale(say("made without turning the source upright", "元ファイルの回転情報が反映されていない"), False)
    return CacheState("foreign")


def _judge_sources(header: CacheHeader, sources: Mapping[str, Sequence[Path]]) -> tuple[str, Stamps | None]:
    """Why what was encoded is not what is there now; and where it only looks different, how it looks now. ``sources`` by field of the header."""
    renewed: dict[str, Any] = {}
    for name, paths in sources.items():
        stored = _stored_stamps(header.metadata.get(name, ""))
        if len(stored) != len(paths):
            return say("other control or target pictures", "制御画像または目標画像が変わった"), None
        judged = [_judge_source(stamp, path) for stamp, path in zip(stored, paths, strict=True)]
        changed = next((reason for reason, _ in judged if reason), "")
        if changed:
            return changed, None
        if any(now for _, now in judged):
            stamps = [now or stamp for (_, now), stamp in zip(judged, stored, strict=True)]
            renewed[name] = stamps[0] if name == "mtui_source" else stamps
    return "", renewed or None


def _stored_stamps(text: str) -> list[dict[str, Any]]:
    """The stamps that a field of the header holds, one or several."""
    value = _json(text)
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, dict)]


def _judge_source(stamp: Mapping[str, Any], path: Path) -> tuple[str, Mapping[str, Any] | None]:
    """Why a file is not the one that was stamped; and where it only looks different, how it looks now."""
    try:
        seen = seen_of(path)
        if {name: stamp.get(name) for name in seen} == seen:
            return "", None
        if stamp.get("size") == seen["size"] and stamp.get("sha256") == hash_of(path, compact_json(seen)):
            return "", {**seen, "sha256": stamp["sha256"]}
    except OSError as error:
        return say(f"{path.name} cannot be read: {error.strerror}", f"{path.name} を読めない: {error.strerror}"), None
    return say("the source changed", "元ファイルが変わった"), None


def _changed_settings(header: CacheHeader, expected: Mapping[str, Any], context: CacheContext, item: Item) -> str:
    stored = _parsed(header.metadata.get("mtui_settings", "{}"))
    wanted = json.loads(compact_json(expected))
    compared = {*stored, *wanted} - _NOTED - context.unknown
    names = [name for name in compared if stored.get(name) != wanted.get(name)]
    return changed_settings(stored, wanted, context.noted.get(item.dataset, {}), names) if names else ""


def _judge_encoder(header: CacheHeader, context: CacheContext, encoder: str) -> CacheState:
    if context.encoder is not None and _parsed(header.metadata.get("mtui_encoder", "{}")) != dict(context.encoder):
        return _stale(say(f"made with another {encoder} file", f"別の {encoder} ファイルで作られた"), True)
    return CacheState("current", ours=True)


def _stale(reason: str, ours: bool) -> CacheState:
    return CacheState("stale", reason, ours)


def _parsed(text: str) -> dict[str, Any]:
    value = _json(text)
    return value if isinstance(value, dict) else {}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
