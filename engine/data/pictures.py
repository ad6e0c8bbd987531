"""One picture, decoded: upright, RGB, eight bits.

Palette and CMYK become RGB; an alpha channel is dropped before scaling, so hidden colours under transparency show; 16-bit grey
keeps its upper eight bits (Pillow's own conversion would clip everything above 255 to white).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from engine.config.language import say
from engine.data.media import DECODER_ERRORS, UnreadableMedia, decoder_says, open_image, orientation
from engine.data.resize import Pixels


def read_image(path: Path) -> Pixels:
    """(H, W, 3) uint8 of a picture, upright, RGB, at its own size. Raises ``UnreadableMedia``."""
    with open_image(path) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image) if orientation(image) != 1 else image
            return _rgb(upright)
        except DECODER_ERRORS as error:
            text = decoder_says(error)
            raise UnreadableMedia(
                say(f"the picture cannot be decoded: {text}", f"画像をデコードできません: {text}")
            ) from error


def _rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.asarray(image).astype(np.int64)
        return np.repeat(np.clip(grey >> 8, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "RGBX"):
        return np.ascontiguousarray(np.asarray(image)[..., :3])
    return np.array(image.convert("RGB"))
