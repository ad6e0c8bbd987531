"""A picture as terminal cells, with the frame of its crop: two pixels per cell as half blocks, or characters where there is no colour.

What falls outside the crop is dimmed (or drawn faintly) and the edge is marked, so that it shows without colour too. Decoding a large
picture takes a moment: call it on a thread.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from engine.config.language import say
from engine.data.clip_reading import open_frames
from engine.data.items import Item
from engine.data.media import DECODER_ERRORS, UnreadableMedia, decoder_says, open_image, orientation
from engine.data.resize import scaled_size

_RAMP = " .:-=+*#%@"
_FAINT = " .."
_DIM = 0.35
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Cell:
    """One character with its colours; None is the terminal's own. ``edge``: part of the crop frame."""

    text: str
    front: Colour | None = None
    back: Colour | None = None
    edge: bool = False


@dataclass(frozen=True)
class Drawing:
    """Rows of cells; empty with the reason where the picture could not be drawn."""

    rows: tuple[tuple[Cell, ...], ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Crop:
    """The part of a picture that is trained: left, top, right, bottom as shares of its width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def lost_width(self) -> float:
        """Share of the width that is cut away."""
        return 1 - (self.right - self.left)

    @property
    def lost_height(self) -> float:
        """Share of the height that is cut away."""
        return 1 - (self.bottom - self.top)


def crop_of(size: tuple[int, int], bucket: tuple[int, int], place: tuple[float, float] = (0.5, 0.5)) -> Crop:
    """Where the bucket lies in a picture of that size; ``place`` 0 is left or top, 1 right or bottom."""
    width, height = scaled_size(size, bucket)
    left, top = int((width - bucket[0]) * place[0]), int((height - bucket[1]) * place[1])
    return Crop(left / width, top / height, (left + bucket[0]) / width, (top + bucket[1]) / height)


def draw_item(item: Item, width: int, height: int, *, colour: bool = True, ascii_only: bool = False) -> Drawing:
    """The source of an item in at most ``width`` x ``height`` cells: a picture, or the first frame of a clip."""
    if item.cached_only:
        return Drawing(
            problem=say("the picture is gone: only its cache is there", "元の画像がなく、キャッシュだけがあります")
        )
    crop = crop_of((item.width, item.height), item.bucket[:2], item.crop)
    return draw_file(
        item.path, width, height, crop=crop, clip=item.kind == "clip", colour=colour, ascii_only=ascii_only
    )


def draw_file(
    path: Path,
    width: int,
    height: int,
    *,
    crop: Crop | None,
    clip: bool = False,
    colour: bool,
    ascii_only: bool = False,
) -> Drawing:
    """A picture file or a video's first frame."""
    try:
        picture = _first_frame(path) if clip else _picture(path, width, height)
    except UnreadableMedia as error:
        return Drawing(problem=str(error))
    scale = min(width / picture.width, 2 * height / picture.height)
    columns = max(1, min(width, round(picture.width * scale)))
    rows = max(1, min(height, round(picture.height * scale / 2)))
    box = _box(crop, columns, rows)
    if colour and not ascii_only:
        return Drawing(_blocks(picture.resize((columns, rows * 2), Image.Resampling.BOX), columns, rows, box))
    grey = picture.convert("L").resize((columns, rows), Image.Resampling.BOX)
    return Drawing(_letters(grey.tobytes(), columns, rows, box, ascii_only))


def _picture(path: Path, width: int, height: int) -> Image.Image:
    try:
        with open_image(path) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turned = orientation(image)
            image.draft("RGB", (max(width * 2, height * 4), max(width * 2, height * 4)))
            image.load()
            upright = ImageOps.exif_transpose(image) if turned != 1 else image
            return upright.convert("RGB")
    except DECODER_ERRORS as error:
        raise UnreadableMedia(decoder_says(error)) from error


def _first_frame(path: Path) -> Image.Image:
    with open_frames(path) as video:
        frame = video.pixels(0)
    if frame is None:
        raise UnreadableMedia(say("no frame of it can be decoded.", "デコードできるフレームがありません。"))
    return Image.fromarray(frame.copy())


def _box(crop: Crop | None, columns: int, rows: int) -> tuple[int, int, int, int]:
    """The cells inside the crop: [left, right) and [top, bottom); at least one cell of the edge stays visible."""
    if crop is None:
        return 0, columns, 0, rows

    def span(low: float, high: float, cells: int) -> tuple[int, int]:
        first = min(cells - 1, round(low * cells)) if low > 0.001 else 0
        last = max(first + 1, round(high * cells)) if high < 0.999 else cells
        if low > 0.001 and first == 0 and cells > 2:
            first = 1
        if high < 0.999 and last == cells and cells > 2:
            last = cells - 1
        return first, max(last, first + 1)

    return (*span(crop.left, crop.right, columns), *span(crop.top, crop.bottom, rows))


def _edge(x: int, y: int, box: tuple[int, int, int, int], columns: int, rows: int, ascii_only: bool) -> str:
    """The character of the crop's edge at this cell, just outside of what is kept; empty elsewhere."""
    left, right, top, bottom = box
    upright, level = (":", "-") if ascii_only else ("┆", "┄")
    if top <= y < bottom and (x == left - 1 or (x == right and right < columns)):
        return upright
    if left <= x < right and (y == top - 1 or (y == bottom and bottom < rows)):
        return level
    return ""


def _blocks(
    image: Image.Image, columns: int, rows: int, box: tuple[int, int, int, int]
) -> tuple[tuple[Cell, ...], ...]:
    data = image.tobytes()
    left, right, top, bottom = box

    def pixel(x: int, y: int, share: float) -> Colour:
        at = (y * columns + x) * 3
        return (int(data[at] * share), int(data[at + 1] * share), int(data[at + 2] * share))

    drawn = []
    for row in range(rows):
        line = []
        for x in range(columns):
            share = 1.0 if left <= x < right and top <= row < bottom else _DIM
            upper, lower = pixel(x, 2 * row, share), pixel(x, 2 * row + 1, share)
            edge = _edge(x, row, box, columns, rows, ascii_only=False)
            line.append(Cell(edge, None, lower, edge=True) if edge else Cell("▀", upper, lower))
        drawn.append(tuple(line))
    return tuple(drawn)


def _letters(
    grey: bytes, columns: int, rows: int, box: tuple[int, int, int, int], ascii_only: bool
) -> tuple[tuple[Cell, ...], ...]:
    left, right, top, bottom = box
    drawn = []
    for row in range(rows):
        line = []
        for x in range(columns):
            inside = left <= x < right and top <= row < bottom
            ramp = _RAMP if inside else _FAINT
            edge = _edge(x, row, box, columns, rows, ascii_only)
            value = grey[row * columns + x]
            line.append(Cell(edge, edge=True) if edge else Cell(ramp[value * (len(ramp) - 1) // 255]))
        drawn.append(tuple(line))
    return tuple(drawn)
