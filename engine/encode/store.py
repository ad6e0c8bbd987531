"""One cache file: tensor keys as Musubi Tuner has them, refused when a value is not finite, written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

import torch
from safetensors.torch import save

from engine.config.language import say
from engine.config.problems import MissingRequirement, UserError
from engine.data.fingerprints import compact_json
from engine.data.provenance import CacheState, Stamps

_PUBLIC = 0o644  # cache folders are shared between machines and users


def dtype_name(dtype: torch.dtype) -> str:
    """``float32``, ``bfloat16`` …"""
    return str(dtype).removeprefix("torch.")


def latents_key(latents: torch.Tensor) -> str:
    """``latents_FxHxW_dtype`` for (C, F, H, W)."""
    frames, height, width = latents.shape[-3:]
    return f"latents_{frames}x{height}x{width}_{dtype_name(latents.dtype)}"


def text_key(name: str, tensor: torch.Tensor, *, ragged: bool) -> str:
    """``varlen_t5_bfloat16``: ragged tensors are marked, masks carry no dtype."""
    key = name if name.endswith("_mask") else f"{name}_{dtype_name(tensor.dtype)}"
    return f"varlen_{key}" if ragged else key


def write_cache(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str], *, source: Path, temporary: Path
) -> int:
    """Write one cache file in place of the old one, by way of ``temporary`` beside it; its size in bytes.

    Raises ``UserError`` naming ``source`` when a value is NaN or infinite (Musubi Tuner stores zeros instead) and when the
    folder cannot be written, ``MissingRequirement`` when the disk is full.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise _not_finite(name, source)
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=metadata)
    try:
        # Not synced to the disk one by one: a file that a power cut tore is found by its header and made again.
        _write_whole(temporary, data)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    return len(data)


def restamp(path: Path, stamps: Stamps, temporary: Path) -> None:
    """Let the header of a cache file of ours tell of its sources what ``stamps`` says; its tensors are copied byte for byte.

    Raises ``OSError``.
    """
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] |= {field: compact_json(stamp) for field, stamp in stamps.items()}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    _write_whole(temporary, len(text).to_bytes(8, "little") + text + data[end:])
    os.replace(temporary, path)


def _write_whole(path: Path, data: bytes) -> None:
    """A new file with all of ``data``, or none. Raises ``OSError``."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PUBLIC)
    try:
        try:
            os.fchmod(handle, _PUBLIC)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
        finally:
            os.close(handle)  # some file systems tell only now that the disk is full
    except BaseException:
        os.unlink(path)
        raise


def set_aside(path: Path, state: CacheState) -> bool:
    """Rename a stale file that we did not make to ``*.old`` (``*.old-2`` …) instead of overwriting it; whether there was one.

    Nothing that was set aside before is touched. Raises ``UserError`` when the file cannot be renamed.
    """
    if state.state != "stale" or state.ours:
        return False
    try:
        if not os.path.lexists(path):
            return False
        os.rename(path, _free_name(path))  # the claim on the file is ours: nobody else sets it aside meanwhile
    except OSError as error:
        raise cannot_write(path, error) from error
    return True


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.old{f'-{number}' if number > 1 else ''}") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


def _not_finite(name: str, source: Path) -> UserError:
    return UserError.of(
        "not_finite",
        say(f"{source.name}: encoding gave NaN or infinite values ({name}); nothing was written for it.",
            f"{source.name}: エンコード結果に NaN または無限大が含まれます（{name}）。書き込みませんでした。"),
        say('Try vae_dtype = "float32"; if it stays, check the encoder file and this item.',
            'vae_dtype = "float32" を試してください。直らなければエンコーダーのファイルとこの項目を確認してください。'),
        file=source,
    )  # fmt: skip


def make_folders(files: Iterable[Path]) -> None:
    """Make the folders that cache files go into. Raises ``UserError`` naming a file whose folder cannot be made."""
    for folder, file in {file.parent: file for file in files}.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(file, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """What to tell a person when a cache file could not be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return MissingRequirement.of(
            "no_space",
            say(f"The disk is full: {path.name} was not written.", f"ディスクがいっぱいです: {path.name} を書けませんでした。"),
            say("Free some space and start again: what is already encoded is kept.",
                "空きを作って再実行してください。エンコード済みのものはそのまま使われます。"),
            file=path,
        )  # fmt: skip
    reason = error.strerror or str(error)
    return UserError.of(
        "cannot_write",
        say(f"The cache file cannot be written: {reason}.", f"キャッシュファイルを書けません: {reason}。"),
        say("Set cache_directory to a folder that you may write to.", "cache_directory を書き込めるフォルダーにしてください。"),
        file=path,
    )  # fmt: skip
