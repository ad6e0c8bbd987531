"""Pictures in a terminal: two pixels per cell as half blocks, or a ramp of characters where there is no colour."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rich.style import Style

from musubi_tui.tui.widgets.lines import Span

_RAMP = " .:-=+*#%@"


@dataclass(frozen=True)
class Thumbnail:
    """A picture as lines of cells; ``lines`` is empty and ``problem`` says why when it could not be drawn."""

    lines: tuple[tuple[Span, ...], ...] = ()
    problem: str = ""


class Gallery:
    """Thumbnails by file and size, made once. ``draw`` decodes a picture: call it on a thread."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, int, int, bool], Thumbnail] = {}

    def draw(self, path: str, width: int, height: int, *, colour: bool = True) -> Thumbnail:
        """The picture in at most ``width`` x ``height`` cells."""
        try:
            facts = os.stat(path)
        except (OSError, ValueError):
            return Thumbnail(problem="not on this machine")
        if not stat.S_ISREG(facts.st_mode):  # a device or a pipe would be read for ever
            return Thumbnail(problem="not a picture")
        stamp = facts.st_mtime_ns
        key = (path, stamp, width, height, colour)
        if key not in self._made:
            if len(self._made) > 64:
                self._made.clear()
            self._made[key] = _draw(Path(path), width, height, colour)
        return self._made[key]


def _draw(path: Path, width: int, height: int, colour: bool) -> Thumbnail:
    from PIL import Image

    try:
        with Image.open(path) as file:
            file.draft("RGB", (width * 4, height * 8))
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Thumbnail(problem="not a picture")
    scale = min(width / picture.width, 2 * height / picture.height)
    columns = max(1, min(width, round(picture.width * scale)))
    rows = max(1, min(height, round(picture.height * scale / 2)))
    if not colour:
        grey = picture.convert("L").resize((columns, rows))
        ramp = [_RAMP[value * (len(_RAMP) - 1) // 255] for value in grey.tobytes()]
        return Thumbnail(tuple((("".join(ramp[row * columns : (row + 1) * columns]), ""),) for row in range(rows)))
    data = picture.resize((columns, rows * 2)).tobytes()

    def pixel(x: int, y: int) -> str:
        at = (y * columns + x) * 3
        return "#" + data[at : at + 3].hex()

    return Thumbnail(
        tuple(
            tuple(("▀", Style(color=pixel(x, 2 * row), bgcolor=pixel(x, 2 * row + 1))) for x in range(columns))
            for row in range(rows)
        )
    )
