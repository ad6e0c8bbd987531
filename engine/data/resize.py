"""Fit a picture into its bucket: scale until both sides cover it, then cut the centre.

Larger is made with Lanczos, smaller with exact area averaging: every output pixel is the mean of the source area it covers,
edge pixels counted by the fraction that lies inside. That is OpenCV's INTER_AREA, ten times faster than the same sums in
NumPy, and not Pillow's BOX, which is up to 100 grey levels away from it. ``tests/unit/test_data_pixels.py`` holds the plain sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
_MOST_CUT_AWAY = 16  # times the bucket's area: a larger picture is not made whole before it is cut


def scaled_size(size: tuple[int, int], bucket: tuple[int, int]) -> tuple[int, int]:
    """(width, height) after scaling and before cutting: the smallest that covers the bucket."""
    scale = max(bucket[0] / size[0], bucket[1] / size[1])
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def resize_to_bucket(pixels: Pixels, bucket: tuple[int, int], crop: tuple[float, float] = (0.5, 0.5)) -> Pixels:
    """(H, W, 3) -> (bucket height, bucket width, 3). ``crop`` says where the bucket lies in what is left over, 0 left or top."""
    height, width = pixels.shape[:2]
    if (width, height) == bucket:
        return pixels
    new_width, new_height = scaled_size((width, height), bucket)
    left, top = int((new_width - bucket[0]) * crop[0]), int((new_height - bucket[1]) * crop[1])
    if max(bucket[0] / width, bucket[1] / height) > 1:
        image = Image.fromarray(pixels)
        if new_width * new_height > _MOST_CUT_AWAY * bucket[0] * bucket[1]:  # a line of pixels would become gigabytes
            across, down = width / new_width, height / new_height
            box = (left * across, top * down, (left + bucket[0]) * across, (top + bucket[1]) * down)
            return np.array(image.resize(bucket, Image.Resampling.LANCZOS, box=box))
        scaled: Pixels = np.asarray(image.resize((new_width, new_height), Image.Resampling.LANCZOS))
    else:
        scaled = average_area(pixels, (new_width, new_height))
    return np.ascontiguousarray(scaled[top : top + bucket[1], left : left + bucket[0]])


def average_area(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) -> (height, width, 3) with neither side growing: the mean over the area each new pixel covers."""
    import cv2  # 0.3 s: only where pixels are made

    cv2.setNumThreads(1)  # the pipeline around has threads of its own
    averaged = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, np.uint8)
