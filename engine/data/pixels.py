"""From an item to its pixels: decode, turn upright, make RGB, fit into the bucket. Memory is one clip at bucket size.

Colour: palette and CMYK become RGB; an alpha channel is dropped before scaling, so hidden colours under transparency show;
16-bit grey keeps its upper eight bits (Pillow's own conversion would clip everything above 255 to white).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.clip_reading import read_clips
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
        return next(read_clips([item]))[1]
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
