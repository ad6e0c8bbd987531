"""Disk: what caches, states and LoRA files will take, and whether it is there, before the first paid minute.

Every figure is an upper estimate in bytes: latents are counted exactly from their shape, text by the length of its caption and
the width of the family's encoder, an adapter by its parameters, a resume state by the adapter and the optimizer's two moments.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, MissingRequirement
from engine.families.family import FamilySpec

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_HEADER = 4096  # safetensors header, our provenance and the file system's rounding
_SLOW_BYTES_PER_SECOND = 100e6  # a network volume on a busy day
_BYTES_PER_TOKEN = 3  # of UTF-8: English has 4 to 5, tags and other languages seldom less than 3
_END_TOKENS = 2
_SMALLEST_TOLD = 1_000_000  # bytes free; a disk with less is called full
_RESERVE = 256 << 20  # never plan to fill a disk to its last byte


def latent_cache_bytes(spec: FamilySpec, width: int, height: int, frames: int = 1) -> int:
    """Size of one latent cache file of that many pixels and frames."""
    channels, latent_frames, rows, columns = spec.latent_shape(width, height, frames)
    return channels * latent_frames * rows * columns * _BYTES[spec.latents_dtype] + _HEADER


def text_cache_bytes(spec: FamilySpec, caption: str) -> int:
    """Estimate of one text cache file, on the safe side; never more than the encoder's longest. Embeddings are stored as bf16."""
    behind = spec.caption_template.partition("{}")[2]  # what stands before the caption is not kept
    length = len((caption + behind).encode("utf-8", "replace"))
    tokens = min(spec.token_limit, -(-length // _BYTES_PER_TOKEN) + _END_TOKENS)
    return (
        tokens * sum(spec.text_tensors.values()) * _BYTES["bfloat16"]
        + len(caption.encode("utf-8", "replace"))
        + _HEADER
    )


def adapter_bytes(parameters: int, precision_bytes: int = 4) -> int:
    """Size of one LoRA file with that many parameters."""
    return parameters * precision_bytes + _HEADER


def files_kept(steps: int, every: int | None, distance: int | None = None) -> int:
    """How many files lie there at most when one is saved ``every`` so many steps and those ``distance`` behind go."""
    if not every:
        return 0
    kept = steps // every
    return kept if distance is None else min(kept, distance // every + 2)


def loras_kept(values: Mapping[str, Any], steps: int, steps_per_epoch: int) -> int:
    """How many LoRA files lie there at most, the one saved at the end included. ``values``: options by name.

    At the last step a step's file is saved too, an epoch's is not.
    """
    every_epochs, last_epochs = values["save_every_n_epochs"], values["save_last_n_epochs"]
    distance = None if last_epochs is None else last_epochs * (every_epochs or 1)
    kept = 1 + files_kept(steps, values["save_every_n_steps"], values["save_last_n_steps"])
    return kept + files_kept((steps - 1) // max(1, steps_per_epoch), every_epochs, distance)


def lora_tensor_bytes(parameters: int, modules: int, precision: str | None) -> int:
    """Bytes of the tensors in one LoRA file: the matrices, and one alpha per module, all in its precision."""
    return (parameters + modules) * (2 if precision in ("bf16", "fp16") else 4)


def state_bytes(parameters: int) -> int:
    """Size of one resume state: the adapter and both Adam moments in fp32."""
    return 3 * parameters * 4 + _HEADER


def write_seconds(size: int) -> float:
    """How long ``size`` bytes take to write and to reach the disk, at most; a healthy SSD is ten times as fast."""
    return size / _SLOW_BYTES_PER_SECOND + 0.5


def check_space(needs: Iterable[tuple[Path, int]], *, caches: bool = False) -> None:
    """Raise ``MissingRequirement`` when a file system cannot take what will be written there.

    ``needs`` are (folder, bytes); folders of the same file system are added up. Folders need not exist yet. ``caches``: cache files
    are written, and no training need follow.
    """
    by_device: dict[int, tuple[Path, int]] = {}
    for folder, size in needs:
        existing = _existing(folder)
        device = os.stat(existing).st_dev
        first, total = by_device.get(device, (existing, 0))
        by_device[device] = (first, total + size)
    for folder, total in by_device.values():
        free = shutil.disk_usage(folder).free
        if total + _RESERVE > free:
            raise MissingRequirement.of("no_disk_space", _too_small(folder, free, total, caches), _way_out(caches))


def _too_small(folder: Path, free: int, total: int, caches: bool) -> str:
    what_en, what_ja = (
        ("The cache files take", "キャッシュファイルは") if caches else ("This run will write", "この学習は")
    )
    if free < _SMALLEST_TOLD:
        there = say(f"The disk of {folder} is full.", f"{folder} のディスクに空きがありません。")
    else:
        there = say(
            f"The disk of {folder} has {megabytes(free)} free.", f"{folder} の空き容量は {megabytes(free)} です。"
        )
    return there + say(
        f" {what_en} about {megabytes(total)}, and {megabytes(_RESERVE)} more must stay free.",
        f"{what_ja}約 {megabytes(total)} を書き込み、さらに {megabytes(_RESERVE)} の余裕が必要です。",
    )


def _way_out(caches: bool) -> str:
    if caches:
        return say(
            "Free some space, or set cache_directory in the dataset file to a folder on a larger disk.",
            "空きを作るか、データセットファイルの cache_directory を別のディスクのフォルダにしてください。",
        )
    return say(
        "Free some space, lower keep_states, save less often, or set output_dir to a folder on a larger disk.",
        "空きを作るか、keep_states や保存頻度を下げるか、output_dir を別のディスクのフォルダにしてください。",
    )


def check_writable(option: str, folders: Iterable[Path]) -> None:
    """Make each folder and write a probe into it. Raises ``ConfigError`` naming the option whose folder cannot be written."""
    for folder in dict.fromkeys(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError.of(
                "cannot_write",
                say(
                    f"{option} = {folder} cannot be written: {error.strerror or error}.",
                    f"{option} = {folder} に書き込めません: {error.strerror or error}。",
                ),
                say(
                    "Choose another folder, or change its owner or permissions.",
                    "別のフォルダーにするか、所有者・権限を変更してください。",
                ),
                key=option,
            ) from error


def gigabytes(size: int) -> str:
    """``12.3 GB``, or MB below one (1 GB = 10^9 bytes, as disks are sold)."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def megabytes(size: int) -> str:
    """``184 MB``, kilobytes below one."""
    return gigabytes(size) if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
