"""Pictures and clips as files: PNG with its prompt inside, MP4 (H.264, yuv420p) that every player opens.

A file appears under its final name only when it is complete. Names are Musubi Tuner's:
``{name}_{e000123|000456}_{prompt:02d}_{timestamp}_{seed}.png``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from engine.events.atomic import write_bytes_atomically

STILL_FPS = 16.0  # for clips of families that name no frame rate


def sample_name(
    name: str, *, step: int, prompt: int, seed: int | None = None, epoch: int | None = None, when: datetime
) -> str:
    """File name without suffix. With ``epoch`` the picture belongs to the end of that epoch, else to ``step``."""
    parts = [name] if name else []
    parts += [f"e{epoch:06d}" if epoch is not None else f"{step:06d}", f"{prompt:02d}", f"{when:%Y%m%d%H%M%S}"]
    if seed is not None:
        parts.append(str(seed))
    return "_".join(parts)


def write_sample(
    frames: np.ndarray, folder: Path, name: str, *, fps: float = 0.0, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write ``frames`` (F, H, W, 3) uint8 as ``name``.png (one frame) or ``name``.mp4 and return the path.

    A name that exists already gets ``-2``, ``-3`` … Raises ``OSError`` when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix, data = (
        (".png", png_bytes(frames[0], metadata or {}))
        if len(frames) == 1
        else (".mp4", mp4_bytes(frames, fps or STILL_FPS, metadata or {}))
    )
    path, number = folder / f"{name}{suffix}", 2
    while path.exists():
        path, number = folder / f"{name}-{number}{suffix}", number + 1
    write_bytes_atomically(path, data)
    return path


def png_bytes(picture: np.ndarray, metadata: Mapping[str, str]) -> bytes:
    """A PNG of (H, W, 3) uint8 that carries ``metadata`` as text chunks (UTF-8)."""
    info = PngInfo()
    for key, value in metadata.items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def mp4_bytes(frames: np.ndarray, fps: float, metadata: Mapping[str, str]) -> bytes:
    """An H.264 clip of (F, H, W, 3) uint8. Odd sides, which yuv420p cannot hold, get their last row or column twice."""
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, mode="w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
        for key, value in metadata.items():
            container.metadata[key] = value
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "17", "preset": "medium"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
