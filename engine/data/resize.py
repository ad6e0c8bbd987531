"""Fit a picture into its bucket: scale until both sides cover it, then cut the centre.

Larger is made with Lanczos, smaller with exact area averaging: every output pixel is the mean of the source area it covers,
edge pixels counted by the fraction that lies inside. Averaging is separable, so it is two passes of short dot products, rows
first. It equals OpenCV's INTER_AREA to rounding, which Pillow's BOX does not.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def scaled_size(size: tuple[int, int], bucket: tuple[int, int]) -> tuple[int, int]:
    """(width, height) after scaling and before cutting: the smallest that covers the bucket."""
    scale = max(bucket[0] / size[0], bucket[1] / size[1])
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def resize_to_bucket(pixels: Pixels, bucket: tuple[int, int]) -> Pixels:
    """(H, W, 3) -> (bucket height, bucket width, 3)."""
    height, width = pixels.shape[:2]
    if (width, height) == bucket:
        return pixels
    new_width, new_height = scaled_size((width, height), bucket)
    if max(bucket[0] / width, bucket[1] / height) > 1:
        image = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.LANCZOS)
        scaled: Pixels = np.asarray(image)
    else:
        scaled = average_area(pixels, (new_width, new_height))
    left, top = (new_width - bucket[0]) // 2, (new_height - bucket[1]) // 2
    return np.ascontiguousarray(scaled[top : top + bucket[1], left : left + bucket[0]])


def average_area(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) -> (height, width, 3) with neither side growing: the mean over the area each new pixel covers."""
    height, width, channels = pixels.shape
    rows = np.empty((size[1], width * channels), np.float32)
    flat = pixels.reshape(height, width * channels)
    for row, (first, weights) in enumerate(_spans(height, size[1])):
        np.dot(weights, flat[first : first + len(weights)].astype(np.float32), out=rows[row])
    columns = np.ascontiguousarray(rows.reshape(size[1], width, channels).transpose(1, 0, 2)).reshape(width, -1)
    averaged = np.empty((size[0], size[1] * channels), np.float32)
    for column, (first, weights) in enumerate(_spans(width, size[0])):
        np.dot(weights, columns[first : first + len(weights)], out=averaged[column])
    result = averaged.reshape(size[0], size[1], channels).transpose(1, 0, 2)
    return np.clip(np.floor(result + 0.5), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)
def _spans(source: int, target: int) -> tuple[tuple[int, npt.NDArray[np.float32]], ...]:
    """For each of ``target`` cells: the first source pixel under it, and the share of each from there on (sum 1)."""
    spans = []
    for cell in range(target):
        first, rest = divmod(cell * source, target)
        last = -(-(cell + 1) * source // target)  # rounded up: the end of the last pixel touched
        weights = np.full(last - first, target, np.float64)
        weights[0] -= rest
        weights[-1] -= last * target - (cell + 1) * source
        spans.append((first, (weights / source).astype(np.float32)))
    return tuple(spans)
