"""Which samples stand in the strip, and their thumbnails, drawn on a thread."""

from __future__ import annotations

from musubi_tui.tui.run_view import Picture, RunView
from musubi_tui.tui.widgets.picture import Gallery, Thumbnail

_CELLS = 14  # of a thumbnail, with the gap


class Strip:
    """The samples of one prompt up to the cursor. ``drawn``: path -> thumbnail."""

    def __init__(self) -> None:
        self.prompt = 0
        self.drawn: dict[str, Thumbnail] = {}
        self._gallery = Gallery()
        self._wanted: tuple[tuple[str, ...], tuple[int, int], bool] = ((), (0, 0), True)
        self._done: object = None

    def prompts(self, view: RunView) -> list[str]:
        """The prompts in the order in which they were first seen."""
        return list(dict.fromkeys(picture.prompt for picture in view.pictures))

    def choose(self, view: RunView, step: float, size: tuple[int, int]) -> tuple[list[Picture], tuple[int, int]]:
        """The newest pictures of the prompt that are not after ``step``, as many as fit; and the size of one."""
        width, height = size
        prompts = self.prompts(view)
        self.prompt = min(self.prompt, max(0, len(prompts) - 1))
        rows = max(1, height - 2)
        cell = (max(_CELLS, min(width // 3, rows * 2 + 2)), rows)
        mine = [picture for picture in view.pictures if prompts and picture.prompt == prompts[self.prompt]]
        past = [picture for picture in mine if picture.step <= step]
        return (past or mine[:1])[-max(1, width // cell[0]) :], cell

    def missing(self, chosen: list[Picture], cell: tuple[int, int], colour: bool) -> bool:
        """Whether something is to be drawn for these; remembers it."""
        self._wanted = (tuple(picture.path for picture in chosen), (cell[0] - 1, cell[1]), colour)
        return bool(chosen) and self._wanted != self._done

    def fill(self) -> bool:
        """Draw what is wanted; True when anything changed. For a thread."""
        wanted = self._wanted
        paths, (width, height), colour = wanted
        made = {path: self._gallery.draw(path, width, height, colour=colour) for path in paths}
        changed = made != {path: self.drawn.get(path) for path in paths}
        self.drawn = {**self.drawn, **made}
        self._done = wanted
        return changed
