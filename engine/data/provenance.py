"""Whether a cached file still is what its source, caption, encoder and settings would give, judged from headers alone.

Our header adds to Musubi Tuner's: ``mtui_version``, ``mtui_source`` (size, mtime_ns, sha256 of the file), ``mtui_encoder`` (size
and sampled hash of the weights), ``mtui_settings``, ``mtui_caption_sha256``, ``mtui_origin`` (where the
source lay as seen from the cache's folder; only pruning reads it); JSON compact and sorted. A source is read only
when its size or time differ. A file without our header was made by Musubi Tuner: it is used when caption, size and latent
shape fit, and never called ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.cache_files import FORMAT_VERSION, CacheHeader, DamagedCache, latents_shape, read_header, stored_shapes
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Item
from engine.data.media import frame_files
from engine.families.family import FamilySpec, TaskSpec

PROVENANCE_VERSION = "1"
_BLOCK = 64 * 1024
_SAMPLED_BLOCKS = 64
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
    stamp: Mapping[str, Any] | None = (
        None  # of a source that was only touched: the header should say this, not to hash it again
    )

    @property
    def usable(self) -> bool:
        """Whether the file can be trained from as it is."""
        return self.state in ("current", "foreign")


def compact_json(value: Mapping[str, Any]) -> str:
    """JSON without spaces, keys sorted: equal values give equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


# -- what is written


def latent_metadata(item: Item, context: CacheContext, stamp: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Header of the latent cache of ``item``: Musubi Tuner's keys and ours. Without a ``stamp`` the source is read to hash it."""
    clip = item.kind == "clip"
    metadata = {
        "architecture": context.task.architecture,
        "width": str(item.bucket.width if clip else item.width),
        "height": str(item.bucket.height if clip else item.height),
        "format_version": FORMAT_VERSION,
        "mtui_version": PROVENANCE_VERSION,
        "mtui_source": compact_json(stamp or source_stamp(item.path)),
        "mtui_origin": _origin(item.path, item.latent_cache),
        "mtui_settings": compact_json(
            {**latent_settings(item, context.settings), **context.noted.get(item.dataset, {})}
        ),
    }
    if clip:
        metadata["frame_count"] = str(item.bucket.frames)
    if context.encoder is not None:
        metadata["mtui_encoder"] = compact_json(context.encoder)
    return metadata


def text_metadata(item: Item, context: CacheContext) -> dict[str, str]:
    """Header of the text cache of ``item``: Musubi Tuner's keys and ours."""
    metadata = {
        "architecture": context.task.architecture,
        "caption1": item.caption,
        "format_version": FORMAT_VERSION,
        "mtui_version": PROVENANCE_VERSION,
        "mtui_caption_sha256": caption_hash(item.caption),
        "mtui_origin": _origin(item.path, item.text_cache),
        "mtui_settings": compact_json(context.settings),
    }
    if context.encoder is not None:
        metadata["mtui_encoder"] = compact_json(context.encoder)
    return metadata


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
    return settings


def noted_of(dataset: DatasetSpec) -> dict[str, Any]:
    """What a latent cache says of the dataset it was made for. It decides nothing by itself: what comes of it, bucket, start and
    frame rate, is in the settings that are compared, so that a change re-encodes what it touches and nothing else.
    """
    noted: dict[str, Any] = {"resolution": list(dataset.resolution)}
    if dataset.kind == "clip":
        noted["extraction"] = dataset.frame_extraction
    return noted


def source_stamp(path: Path) -> dict[str, Any]:
    """Size, time and hash of a source file; of a folder of frames also a fingerprint of its names, sizes and times in order."""
    seen = _seen(path)
    return {**seen, "sha256": _hash_of(path, compact_json(seen))}


def _seen(path: Path) -> dict[str, Any]:
    """What tells without reading a source that it is the same. Frames that change places keep their sum and the newest time."""
    if not path.is_dir():
        status = path.stat()
        return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    frames = [(file.name, file.stat()) for file in frame_files(path)]
    lines = "".join(f"{name} {frame.st_size} {frame.st_mtime_ns}\n" for name, frame in frames)
    return {
        "size": sum(frame.st_size for _, frame in frames),
        "mtime_ns": max((frame.st_mtime_ns for _, frame in frames), default=0),
        "frames": hashlib.sha256(lines.encode("utf-8", errors="surrogatepass")).hexdigest(),
    }


@lru_cache(maxsize=1 << 16)
def _hash_of(path: Path, seen: str) -> str:
    """``file_hash`` of a source that looks like ``seen``: read once, however many cuts are made of it."""
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a whole file; of a folder of frames, of their names and hashes in order."""
    if path.is_dir():
        lines = (f"{file.name} {file_hash(file)}\n" for file in frame_files(path))
        return hashlib.sha256("".join(lines).encode("utf-8", errors="surrogatepass")).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def caption_hash(caption: str) -> str:
    """SHA-256 of the caption as it is encoded."""
    return hashlib.sha256(caption.encode("utf-8", errors="surrogatepass")).hexdigest()


def encoder_fingerprint(paths: Sequence[Path]) -> dict[str, Any]:
    """Size and sampled hash of an encoder's weights: the header of each file and 64 blocks of 64 kB spread over it.

    A folder stands for the weight files in it, and one shard of several for all of them. Raises ``UserError`` when a file is
    missing.
    """
    files = [file for path in paths for file in _weight_files(path)]
    stamps = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            message = say("the model file is not there.", "モデルファイルがありません。")
            raise UserError.of("missing_file", message, file=file) from None
        stamps.append(_sampled_hash(file, status.st_size, status.st_mtime_ns))
    if len(stamps) == 1:
        return {"size": files[0].stat().st_size, "sha256": stamps[0]}
    whole = hashlib.sha256("".join(stamps).encode()).hexdigest()
    return {"size": sum(file.stat().st_size for file in files), "sha256": whole}


def _weight_files(path: Path) -> list[Path]:
    if path.is_dir():
        endings = (".safetensors", ".bin", ".pt", ".pth")
        return sorted(file for file in path.rglob("*") if file.suffix in endings and file.is_file())
    shard = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})(\.[a-z]+)", path.name)
    if shard is None:
        return [path]
    count = int(shard[2])
    return [path.with_name(f"{shard[1]}-{n:05d}-of-{shard[2]}{shard[3]}") for n in range(1, count + 1)]


@lru_cache(maxsize=64)
def _sampled_hash(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        head = file.read(8)
        length = int.from_bytes(head, "little")
        header = length if path.suffix == ".safetensors" and length < size else _BLOCK
        digest.update(head + file.read(min(header, 64 * 1024 * 1024)))
        last = max(0, size - _BLOCK)
        for offset in sorted({last * block // (_SAMPLED_BLOCKS - 1) for block in range(_SAMPLED_BLOCKS)}):
            file.seek(offset)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


# -- what is judged


def latents_state(item: Item, context: CacheContext) -> CacheState:
    """Whether the latent cache of ``item`` may be used, without decoding anything."""
    header = _header_or_state(item.latent_cache, "mtui_source")
    if isinstance(header, CacheState):
        return header
    ours = "mtui_version" in header.metadata
    if header.metadata.get("architecture") != context.task.architecture:
        return _stale(say("made for another architecture", "別のモデル用"), ours)
    expected = context.spec.latent_shape(*item.bucket)
    shape = latents_shape(header)
    if shape not in stored_shapes(expected):
        found = "x".join(map(str, shape or ()))
        wanted = "x".join(map(str, expected))
        return _stale(say(f"latents are {found}, not {wanted}", f"潜在の形が {found} ({wanted} ではない)"), ours)
    if not ours:
        return _foreign_latents(item, header)
    touched = None
    if not item.cached_only:
        changed = _changed_settings(header, latent_settings(item, context.settings))
        if not changed:
            changed, touched = _judge_source(header, item.path)
        if changed:
            return _stale(changed, ours)
    state = _judge_encoder(header, context)
    return replace(state, stamp=touched) if state.usable else state


def text_state(item: Item, context: CacheContext) -> CacheState:
    """Whether the text cache of ``item`` may be used, without loading anything."""
    header = _header_or_state(item.text_cache, "mtui_caption_sha256")
    if isinstance(header, CacheState):
        return header
    ours = "mtui_version" in header.metadata
    if header.metadata.get("architecture") != context.task.architecture:
        return _stale(say("made for another architecture", "別のモデル用"), ours)
    if not header.tensors:
        return _stale(say("it holds no tensors", "中身がない"), ours)
    if not ours:
        if header.metadata.get("caption1") != item.caption:
            return _stale(say("the caption changed", "キャプションが変わった"), ours)
        return CacheState("foreign")
    if header.metadata.get("mtui_caption_sha256") != caption_hash(item.caption):
        return _stale(say("the caption changed", "キャプションが変わった"), ours)
    if not item.cached_only:
        changed = _changed_settings(header, context.settings, context.unknown)
        if changed:
            return _stale(changed, ours)
    return _judge_encoder(header, context)


def _header_or_state(path: Path, needed: str) -> CacheHeader | CacheState:
    try:
        header = read_header(path)
    except FileNotFoundError:
        return CacheState("missing")
    except (DamagedCache, OSError) as error:
        return CacheState("stale", say(f"damaged: {error}", f"破損: {error}"), damaged=True)
    if "mtui_version" in header.metadata and needed not in header.metadata:
        return _stale(say("its provenance is incomplete", "来歴の記録が不完全"), True)
    return header


def _foreign_latents(item: Item, header: CacheHeader) -> CacheState:
    size = (item.bucket.width, item.bucket.height) if item.kind == "clip" else (item.width, item.height)
    if (header.metadata.get("width"), header.metadata.get("height")) != (str(size[0]), str(size[1])):
        return _stale(say("made from a picture of another size", "元の画像の寸法が違う"), False)
    return CacheState("foreign")


def _judge_source(header: CacheHeader, path: Path) -> tuple[str, Mapping[str, Any] | None]:
    """Why the source is not the one that was encoded; and where it only looks different, how it looks now."""
    stamp = _parsed(header.metadata["mtui_source"])
    try:
        seen = _seen(path)
        if {name: stamp.get(name) for name in seen} == seen:
            return "", None
        if stamp.get("size") == seen["size"] and stamp.get("sha256") == _hash_of(path, compact_json(seen)):
            return "", {**seen, "sha256": stamp["sha256"]}
    except OSError as error:
        return say(f"the source cannot be read: {error.strerror}", f"元ファイルを読めない: {error.strerror}"), None
    return say("the source changed", "元ファイルが変わった"), None


def _changed_settings(header: CacheHeader, expected: Mapping[str, Any], unknown: frozenset[str] = frozenset()) -> str:
    stored = _parsed(header.metadata.get("mtui_settings", "{}"))
    wanted = json.loads(compact_json(expected))
    compared = {*stored, *wanted} - _NOTED - unknown
    names = sorted(name for name in compared if stored.get(name) != wanted.get(name))
    if not names:
        return ""
    return say(f"settings changed: {', '.join(names)}", f"設定が変わった: {', '.join(names)}")


def _judge_encoder(header: CacheHeader, context: CacheContext) -> CacheState:
    if context.encoder is not None and _parsed(header.metadata.get("mtui_encoder", "{}")) != dict(context.encoder):
        return _stale(say("made by another encoder file", "別のエンコーダーで作られた"), True)
    return CacheState("current", ours=True)


def _stale(reason: str, ours: bool) -> CacheState:
    return CacheState("stale", reason, ours)


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
