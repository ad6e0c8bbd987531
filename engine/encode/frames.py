"""The frames of an item as a VAE takes them: floats in [-1, 1], made of bytes when they are asked for, a few at a time.

So no clip stands there as floats, which are four times its bytes. One that is larger than all that is read ahead does not stand there
as bytes either: it is decoded when the VAE asks for the next frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.clip_reading import clip_frames
from engine.data.items import Item
from engine.families.family import FamilySpec
from engine.planner.disk import gigabytes
from engine.planner.host_memory import memory_bytes

Bytes = npt.NDArray[np.uint8]
_COPIES = 6  # of the latents: mean and deviation, once more while pieces are joined, and what is derived from them
_TAKEN_AT_ONCE = 4  # frames: what the VAEs take for one frame of latents


def refuse_too_long(items: Sequence[Item], spec: FamilySpec, dtype: torch.dtype, device: torch.device) -> None:
    """Raise ``ConfigError`` for clips whose latents, the only thing that grows with a clip's length, do not fit into memory while
    they are made; before anything is read.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory_bytes()[1]
    problems = []
    for item in items:
        need = _COPIES * math.prod(spec.latent_shape(*item.bucket)) * dtype.itemsize
        if item.kind == "clip" and need > free:
            width, height, frames = item.bucket
            message = say(
                f"{frames} frames of {width}x{height} in one clip: their latents take about {gigabytes(need)} of memory while they are made, "
                f"and {gigabytes(free)} are free.",
                f"1 クリップが {width}x{height} の {frames} フレームです。潜在の作成に約 {gigabytes(need)} のメモリが必要ですが、"
                f"空きは {gigabytes(free)} です。",
            )
            fix = say(
                'Lower max_frames, or cut the video with frame_extraction = "chunk".',
                'max_frames を下げるか、frame_extraction = "chunk" で分割してください。',
            )
            problems.append(Problem("clip_too_long", message, fix, str(item.path)))
    if problems:
        raise ConfigError(problems)


class LongClip:
    """A clip that is decoded while it is encoded, once and in order. Close it."""

    def __init__(self, item: Item, go_on: Callable[[], bool]) -> None:
        """When ``go_on()`` is no longer true, the next frames raise ``Abandoned``."""
        width, height, count = item.bucket
        self.shape = (count, height, width, 3)
        self.nbytes = _TAKEN_AT_ONCE * height * width * 3  # at a time
        self._frames = clip_frames(item, go_on)
        self._next = 0

    def __getitem__(self, wanted: slice) -> Bytes:
        """The next frames, (n, H, W, 3). Raises ``UnreadableMedia``, and ``ValueError`` for others than the next."""
        first, last, step = wanted.indices(self.shape[0])
        if (first, step) != (self._next, 1):
            raise ValueError(f"frame {first} was asked for, and {self._next} comes next")
        self._next = last
        return np.stack(list(islice(self._frames, last - first)))

    def close(self) -> None:
        """Close the video."""
        self._frames.close()


class ScaledFrames:
    """``engine.families.family.Frames`` of one item's (F, H, W, 3) bytes: the bytes travel to the device, not the floats."""

    def __init__(self, source: Bytes | LongClip, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        count, height, width, channels = source.shape
        self.shape = torch.Size((1, channels, count, height, width))
        self._source, self._device, self._dtype = source, device, dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> ScaledFrames:
        """The same frames of another kind."""
        return ScaledFrames(self._source, device, dtype)

    def __getitem__(self, index: tuple[Any, ...]) -> torch.Tensor:
        """(1, 3, n, H, W), as of a tensor; the frames are a slice, the other sides may be left out."""
        batch, channels, frames, *sides = index
        pixels = torch.from_numpy(self._source[frames]).to(self._device).permute(3, 0, 1, 2)[None]
        scaled = pixels.to(torch.float32) / 127.5 - 1
        return scaled.to(self._dtype)[(batch, channels, slice(None), *sides)]
