"""From an item to its pixels: decode, turn upright, make RGB, fit into the bucket. Memory is one clip at bucket size.

Colour: palette and CMYK become RGB; an alpha channel is dropped before scaling, so hidden colours under transparency show;
16-bit grey keeps its upper eight bits (Pillow's own conversion would clip everything above 255 to white).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.frames import kept_frames
from engine.data.items import Item
from engine.data.media import UnreadableMedia, open_image, orientation
from engine.data.resize import Pixels, resize_to_bucket


def read_pixels(item: Item) -> Pixels:
    """(F, H, W, 3) uint8, resized and cropped to ``item.bucket``.

    Raises ``UserError`` naming the file when it cannot be decoded or a video ends before the clip does.
    """
    try:
        if item.kind == "image":
            return resize_to_bucket(read_image(item.path), item.bucket[:2])[None]
        return _read_clip(item)
    except UnreadableMedia as error:
        code = "unreadable_image" if item.kind == "image" else "unreadable_clip"
        raise UserError.of(
            code,
            str(error),
            say(
                'Repair or remove the file, or set on_bad_item = "skip".',
                '直すか取り除くか、on_bad_item = "skip" にしてください。',
            ),
            file=item.path,
        ) from error


def read_image(path: Path) -> Pixels:
    """(H, W, 3) uint8 of a picture, upright, RGB, at its own size. Raises ``UnreadableMedia``."""
    with open_image(path) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image) if orientation(image) != 1 else image
            return _rgb(upright)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise UnreadableMedia(
                say(f"the picture cannot be decoded: {str(error).rstrip('.')}.", f"画像をデコードできません: {error}")
            ) from error


def _rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64)
        return np.repeat(np.clip(grey >> 8, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "RGBX"):
        return np.ascontiguousarray(np.asarray(image)[..., :3])
    return np.array(image.convert("RGB"))


def read_frames(path: Path) -> Iterator[Pixels]:
    """The frames of a video, (H, W, 3) uint8, upright, one after the other. Raises ``UnreadableMedia``."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                pixels = frame.to_ndarray(format="rgb24")
                yield np.rot90(pixels, frame.rotation // 90) if frame.rotation % 360 else pixels
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise UnreadableMedia(
            say(f"the video cannot be decoded: {error}.", f"動画をデコードできません: {error}")
        ) from error


def _read_clip(item: Item) -> Pixels:
    width, height, frames = item.bucket
    clip = np.empty((frames, height, width, 3), np.uint8)
    wanted = islice(kept_frames(item.source_fps, item.target_fps), item.start, item.start + frames)
    next_index, filled = next(wanted), 0
    for index, pixels in enumerate(read_frames(item.path)):
        if index != next_index:
            continue
        clip[filled] = resize_to_bucket(np.ascontiguousarray(pixels), (width, height))
        filled += 1
        if filled == frames:
            return clip
        next_index = next(wanted)
    raise UnreadableMedia(
        say(
            f"the video ends after {filled} of the {frames} frames its header promises for this clip.",
            f"動画が途中で終わっています ({frames} フレーム中 {filled} まで)。",
        )
    )
