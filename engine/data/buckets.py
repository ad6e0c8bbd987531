"""Which size a picture or clip is trained at: Musubi Tuner's bucket lists and choice, as ``golden/buckets.json`` records them.

A list holds sizes of about one area A = width * height: widths climb in steps from half the square's side, each height is the
largest multiple of the step that keeps the area, and every size also stands turned around. Chosen is the nearest aspect ratio
(plain difference of width / height), the first of the ascending list where two are equally near.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Sizes = npt.NDArray[np.int64]  # (n, 2) widths and heights


def floor_to(value: int, step: int) -> int:
    """The largest multiple of ``step`` that is at most ``value``."""
    return value - value % step


@lru_cache
def bucket_list(
    width: int, height: int, step: int, shortest: int = 0, longest: int | None = None
) -> tuple[tuple[int, int], ...]:
    """All (width, height) of about the area ``width * height``, ascending; only those with sides within the bounds."""
    area = width * height
    side = math.isqrt(area)
    sizes = set()
    for short in range(floor_to(side // 2, step), side + step, step):
        if short:
            long = floor_to(area // short, step)
            sizes |= {(short, long), (long, short)}
    most = max(map(max, sizes), default=0) if longest is None else longest
    return tuple(sorted(size for size in sizes if min(size) >= max(1, shortest) and max(size) <= most))


@dataclass(frozen=True)
class BucketRule:
    """How one dataset chooses sizes."""

    resolution: tuple[int, int]
    step: int
    enable_bucket: bool
    no_upscale: bool
    shortest: int = 0
    longest: int | None = None

    def choose(self, width: int, height: int) -> tuple[int, int]:
        """The training size of a source of that size.

        A side can be 0 when ``no_upscale`` meets a source below the step. A source whose own size is out of bounds takes the
        nearest of the list.
        """
        if not self.enable_bucket:
            return self.resolution
        if self.no_upscale and width * height <= self.resolution[0] * self.resolution[1]:
            own = floor_to(width, self.step), floor_to(height, self.step)
            if min(own) >= self.shortest and (self.longest is None or max(own) <= self.longest):
                return own
        sizes, ratios = _by_ratio(*self.resolution, self.step, self.shortest, self.longest)
        wanted = width / height
        right = bisect_left(ratios, wanted)
        near = range(max(0, right - 1), min(len(ratios), right + 1))
        nearest = min(near, key=lambda index: (abs(ratios[index] - wanted), index))
        return sizes[bisect_left(ratios, ratios[nearest])]

    def choose_many(self, sources: Sizes) -> Sizes:
        """``choose`` of many sources at once."""
        if not self.enable_bucket:
            return np.broadcast_to(np.array(self.resolution, np.int64), sources.shape).copy()
        listed, ratios = (
            np.array(column) for column in _by_ratio(*self.resolution, self.step, self.shortest, self.longest)
        )
        wanted = sources[:, 0] / sources[:, 1]
        right = np.searchsorted(ratios, wanted)
        left, right = np.maximum(right - 1, 0), np.minimum(right, len(ratios) - 1)
        nearest = np.where(np.abs(ratios[left] - wanted) <= np.abs(ratios[right] - wanted), left, right)
        chosen: Sizes = listed[np.searchsorted(ratios, ratios[nearest])]
        if self.no_upscale:
            own = sources - sources % self.step
            fits = (sources.prod(axis=1) <= self.resolution[0] * self.resolution[1]) & (
                own.min(axis=1) >= self.shortest
            )
            fits &= self.longest is None or own.max(axis=1) <= self.longest
            chosen[fits] = own[fits]
        return chosen


def control_size(width: int, height: int, resolution: tuple[int, int], step: int) -> tuple[int, int]:
    """The size of about the area of ``resolution`` whose ratio is nearest to ``width / height``, for a control picture.

    Five widths are tried around the exact one; the first wins where two are equally near.
    """
    area, ratio = resolution[0] * resolution[1], width / height
    middle = floor_to(int(math.sqrt(area * ratio)), step)
    tried = (middle + step * offset for offset in range(-2, 3))
    sizes = [(side, floor_to(area // side, step)) for side in tried if side > 0]
    sizes = [size for size in sizes if size[1]] or [
        (floor_to(area // step, step) or step, step)
    ]  # a mere line of pixels
    return min(sizes, key=lambda size: abs(size[0] / size[1] - ratio))


@lru_cache
def _by_ratio(
    width: int, height: int, step: int, shortest: int, longest: int | None
) -> tuple[tuple[tuple[int, int], ...], tuple[float, ...]]:
    """The bucket list with its aspect ratios, ordered by ratio and then as in the list."""
    listed = bucket_list(width, height, step, shortest, longest)
    ordered = sorted(listed, key=lambda size: (size[0] / size[1], size))
    return tuple(ordered), tuple(size[0] / size[1] for size in ordered)
