"""Which pictures look alike: a difference hash in two directions, checked by colour, so that resized, recompressed and slightly
graded copies are found and two dark pictures are not called one.

The hash is 128 bits: whether each cell of an 8x8 grid is brighter than its neighbour to the right, and than the one below. Flat
areas give bits of noise, so pairs are kept only when their 8x8 colour thumbnails agree too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

MOST_BITS = 12  # of 128 that may differ
MOST_COLOUR = 10.0  # mean difference of the thumbnails, of 255
_BLOCK_CELLS = 4_000_000  # of the distance matrix that is held at once


@dataclass(frozen=True, slots=True)
class Signature:
    """What a picture looks like. ``bits`` (128,) of 0 and 1, ``colours`` (192,) of 0 to 255; ``spread`` is 0 for one flat colour."""

    bits: npt.NDArray[np.bool_]
    colours: npt.NDArray[np.uint8]
    spread: float


def signature(image: Image.Image) -> Signature:
    """Of an upright RGB picture."""
    grey = image.convert("L")
    across = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    down = np.asarray(grey.resize((8, 9), Image.Resampling.BOX), np.int16)
    bits = np.concatenate([(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()])
    small = image.resize((8, 8), Image.Resampling.BOX)
    even = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.int16).reshape(-1, 3)
    spread = int((even.max(axis=0) - even.min(axis=0)).max())
    return Signature(bits, np.asarray(small, np.uint8).ravel(), float(spread))


def alike(signatures: Sequence[Signature]) -> list[list[int]]:
    """Groups (of two and more) of indices that look alike, each ascending, ordered by their first.

    Distances are products of matrices of +1 and -1, block by block: 2,000 pictures take a blink, memory stays bounded.
    """
    count = len(signatures)
    if count < 2:
        return []
    signs = np.stack([entry.bits for entry in signatures]).astype(np.float32) * 2 - 1
    colours = np.stack([entry.colours for entry in signatures]).astype(np.int16)
    owner = list(range(count))

    def root(index: int) -> int:
        while owner[index] != index:
            owner[index] = owner[owner[index]]
            index = owner[index]
        return index

    rows = max(1, _BLOCK_CELLS // count)
    width = signs.shape[1]
    for start in range(0, count, rows):
        block = signs[start : start + rows] @ signs[start:].T  # width - 2 * distance
        for left, right in zip(*np.nonzero(block >= width - 2 * MOST_BITS), strict=True):
            if right <= left:
                continue
            one, other = start + int(left), start + int(right)
            if float(np.abs(colours[one] - colours[other]).mean()) <= MOST_COLOUR:
                first, second = sorted((root(one), root(other)))
                owner[second] = first
    groups: dict[int, list[int]] = {}
    for index in range(count):
        groups.setdefault(root(index), []).append(index)
    return [members for members in groups.values() if len(members) > 1]


def files_once(paths: Sequence[Path]) -> tuple[list[int], set[Path]]:
    """Indices of each file's first name, and those first names of files that have several (links).

    A file is no duplicate of itself; and it has to stay where its other names lead.
    """
    first: dict[tuple[int, int] | Path, int] = {}
    shared: set[Path] = set()
    for index, path in enumerate(paths):
        try:
            status = path.stat()
        except OSError:  # went away since it was decoded
            first.setdefault(path, index)
            continue
        known = first.setdefault((status.st_dev, status.st_ino), index)
        if known != index:
            shared.add(paths[known])
    return list(first.values()), shared
