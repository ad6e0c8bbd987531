"""Cache files from outside: their names, and their headers without tensors. Names are Musubi Tuner's, so that both serve each.

cat_0640x0427_wan.safetensors               latents of a picture (the size is the original one)
bikes_00143-017_0256x0096_wan.safetensors   latents of a clip: first frame, frames, size after bucketing
cat_wan_te.safetensors                      text, one per source file
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.data.items import Bucket

FORMAT_VERSION = "1.0.1"  # what Musubi Tuner writes into every cache header
_MAX_HEADER_BYTES = 16 * 1024 * 1024


class DamagedCache(Exception):
    """The file is not a whole safetensors file; the text says in what way."""


@dataclass(frozen=True)
class CacheHeader:
    """What a cache file says about itself: its metadata, and name -> (dtype, shape) of its tensors."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]

    @property
    def names(self) -> frozenset[str]:
        """The tensors as a batch names them."""
        return frozenset(batch_key(name)[0] for name in self.tensors)


@dataclass(frozen=True)
class LatentName:
    """A latent cache's name taken apart. ``frames`` is 0 for pictures, whose size is the original one."""

    stem: str
    width: int
    height: int
    start: int = 0
    frames: int = 0


def image_latent_name(stem: str, width: int, height: int, cache_id: str) -> str:
    """Name of a picture's latent cache; ``width`` and ``height`` of the original."""
    return f"{stem}_{width:04d}x{height:04d}_{cache_id}.safetensors"


def clip_latent_name(stem: str, start: int, bucket: Bucket, cache_id: str) -> str:
    """Name of a clip's latent cache; the size is the bucket's."""
    return f"{stem}_{start:05d}-{bucket.frames:03d}_{bucket.width:04d}x{bucket.height:04d}_{cache_id}.safetensors"


def text_name(stem: str, cache_id: str) -> str:
    """Name of the text cache of one source file."""
    return f"{stem}_{cache_id}_te.safetensors"


_SIZE = re.compile(r"(\d{4,})x(\d{4,})")
_POSITION = re.compile(r"(\d{5,})-(\d{3,})")


def parse_latent_name(name: str, cache_id: str, *, clip: bool) -> LatentName | None:
    """Take a latent cache's name apart; ``None`` when it is no such name. Stems may hold underscores."""
    ending = f"_{cache_id}.safetensors"
    parts = name.removesuffix(ending).split("_")
    if not name.endswith(ending) or len(parts) < 2:
        return None
    size = _SIZE.fullmatch(parts[-1])
    if size is None:
        return None
    width, height = int(size[1]), int(size[2])
    if not clip:
        return LatentName("_".join(parts[:-1]), width, height)
    position = _POSITION.fullmatch(parts[-2])
    if position is None or len(parts) < 3:
        return None
    return LatentName("_".join(parts[:-2]), width, height, int(position[1]), int(position[2]))


def read_header(path: Path) -> CacheHeader:
    """Metadata, dtypes and shapes of a safetensors file without loading a tensor.

    Raises ``DamagedCache`` when it is cut off or not a safetensors file, ``OSError`` when it cannot be read at all.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise DamagedCache(say("the file is cut off or not a safetensors file.", "ファイルが壊れています。"))
        text = file.read(length)
    try:
        entries = json.loads(text)
        metadata = {str(key): str(value) for key, value in entries.pop("__metadata__", {}).items()}
        tensors = {}
        end = 0
        for name, entry in entries.items():
            tensors[name] = (str(entry["dtype"]), tuple(int(side) for side in entry["shape"]))
            end = max(end, int(entry["data_offsets"][1]))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DamagedCache(say("its header cannot be read.", "ヘッダーを読めません。")) from error
    if size != 8 + length + end:
        raise DamagedCache(
            say(f"it holds {size} bytes of {8 + length + end}.", f"{8 + length + end} バイト中 {size} しかありません。")
        )
    return CacheHeader(metadata, tensors)


class Presence:
    """Which files are there: each folder is listed once, when it is first asked about."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def has(self, file: str) -> bool:
        """Whether it is there."""
        folder, _, name = file.rpartition("/")
        names = self._names.get(folder)
        if names is None:
            try:
                with os.scandir(folder or "/") as entries:
                    names = frozenset(e.name for e in entries if not e.is_symlink() or os.path.exists(e.path))
            except OSError:
                names = frozenset()
            self._names[folder] = names
        return name in names


_LATENTS = re.compile(r"(latents(?:_[a-z0-9_]+?)?)_(\d+x)?(\d+)x(\d+)")
_DTYPES = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "float8_e4m3fn",
    "float8_e5m2",
]


def batch_key(name: str) -> tuple[str, bool]:
    """Musubi Tuner's rule from tensor name to batch key: ``(key, ragged)``.

    ``latents_1x26x38_bfloat16`` -> ("latents", False); ``varlen_t5_bfloat16`` -> ("t5", True). Masks carry no dtype.
    """
    ragged = name.startswith("varlen_")
    key = name.removeprefix("varlen_")
    if not key.endswith("_mask"):
        for dtype in _DTYPES:
            if key.endswith("_" + dtype):
                key = key.removesuffix("_" + dtype)
                break
    if key.startswith("latents_"):
        sized = _LATENTS.fullmatch(key)
        key = sized[1] if sized else key
    return key, ragged


def latents_shape(header: CacheHeader) -> tuple[int, ...] | None:
    """Shape of the latents themselves (not of control or image latents), or ``None`` when there are none."""
    for name, (_, shape) in header.tensors.items():
        if batch_key(name)[0] == "latents":
            return shape
    return None


def stored_shapes(expected: tuple[int, int, int, int]) -> list[tuple[int, ...]]:
    """(C, F, H, W), and for one frame also (C, H, W): some families store pictures without the frame axis."""
    channels, frames, height, width = expected
    return [expected, (channels, height, width)] if frames == 1 else [expected]


def list_latent_names(names: Iterable[str], cache_id: str) -> list[str]:
    """Those of ``names`` that end as latent caches of this id, sorted."""
    return sorted(name for name in names if name.endswith(f"_{cache_id}.safetensors"))
