"""Fingerprints: what tells that a source, a caption or an encoder's weights are the ones they were."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.media import frame_files

_BLOCK = 64 * 1024
_SAMPLED_BLOCKS = 64


def compact_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON without spaces, keys sorted: equal values give equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def source_stamp(path: Path) -> dict[str, Any]:
    """Size, time and hash of a source file; of a folder of frames also a fingerprint of its names, sizes and times in order."""
    seen = seen_of(path)
    return {**seen, "sha256": hash_of(path, compact_json(seen))}


def seen_of(path: Path) -> dict[str, Any]:
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
def hash_of(path: Path, seen: str) -> str:
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
