"""Which parts of a picture count in the loss, on the grid of its latents: from a mask picture, or from the alpha channel.

White (opaque) counts fully, black (transparent) not at all, grey in between. The mask is turned, scaled, cut and mirrored as the
picture is, and averaged over each latent cell. It is read when a batch is made, so it is never stale and needs no cache file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ImageOps

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.items import Item
from engine.data.media import DECODER_ERRORS, UnreadableMedia, decoder_says, open_image, orientation
from engine.data.pictures import read_image
from engine.data.resize import Pixels, average_area, resize_to_bucket

_KEPT = 4096  # masks in memory, a few kB each
_MOST_ASKEW = 0.02  # difference of aspect ratios that rounding to pixels explains

Mask = npt.NDArray[np.float32]


def read_mask(item: Item, cells: tuple[int, int]) -> Mask:
    """(height, width) in 0..1 on the grid of ``cells`` (height, width). Raises ``UserError`` naming a mask that cannot be read."""
    if item.mask is None:
        return np.ones(cells, np.float32)
    try:
        mtime_ns, alpha = item.mask.stat().st_mtime_ns, item.mask == item.path
        return _on_grid(item.mask, mtime_ns, alpha, item.bucket[:2], item.crop, item.flip, cells)
    except (UnreadableMedia, OSError) as error:
        raise UserError.of(
            "unreadable_mask",
            say(f"the mask cannot be read: {error}", f"マスクを読めません: {error}"),
            say("Repair or remove it.", "直すか取り除いてください。"),
            file=item.mask,
        ) from error


@lru_cache(maxsize=_KEPT)
def _on_grid(
    path: Path,
    mtime_ns: int,
    alpha: bool,
    bucket: tuple[int, int],
    crop: tuple[float, float],
    flip: bool,
    cells: tuple[int, int],
) -> Mask:
    whole = _alpha(path) if alpha else read_image(path)
    fitted = resize_to_bucket(whole, bucket, crop)
    averaged = average_area(fitted[:, ::-1] if flip else fitted, (cells[1], cells[0]))
    grey: Mask = averaged.mean(axis=2, dtype=np.float32) / np.float32(255)
    return grey


def _alpha(path: Path) -> Pixels:
    """The alpha channel as a grey picture (H, W, 3), upright."""
    with open_image(path) as image:
        try:
            image.load()
            upright = ImageOps.exif_transpose(image) if orientation(image) != 1 else image
            return np.repeat(np.asarray(upright.convert("RGBA"))[..., 3:], 3, axis=2)
        except DECODER_ERRORS as error:
            raise UnreadableMedia(decoder_says(error)) from error


def brightest(path: Path, *, alpha: bool) -> tuple[int, int, int]:
    """(width, height, largest weight of 255) of a mask, or of a picture whose ``alpha`` channel is its mask. Raises ``UnreadableMedia``."""
    pixels = _alpha(path) if alpha else read_image(path)
    return pixels.shape[1], pixels.shape[0], int(pixels.max())


def has_alpha(path: Path) -> bool:
    """Whether a picture can be transparent anywhere, from its header. Raises ``UnreadableMedia``."""
    with open_image(path) as image:
        try:
            return "A" in image.getbands() or "transparency" in image.info
        except DECODER_ERRORS as error:
            raise UnreadableMedia(decoder_says(error)) from error


def fits(mask: tuple[int, int], picture: tuple[int, int]) -> bool:
    """Whether a mask of that size lies on a picture of that size when both are scaled."""
    ratio, wanted = mask[0] / mask[1], picture[0] / picture[1]
    return abs(ratio / wanted - 1) <= _MOST_ASKEW
