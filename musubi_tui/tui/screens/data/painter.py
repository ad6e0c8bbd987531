"""Pictures and facts of the item under the cursor, made on a thread: only the newest wish is worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.problems import UserError

if TYPE_CHECKING:
    from engine.data import Item
    from engine.data.timeline import Timeline
    from musubi_tui.datasets.board import Board
    from musubi_tui.datasets.cells import Drawing


@dataclass(frozen=True)
class Wish:
    """What to paint: a row of a board in so many cells."""

    board: Board = field(compare=False)
    row: int
    width: int
    height: int
    colour: bool
    ascii_only: bool
    picture: bool  # False: facts alone


@dataclass(frozen=True)
class Painted:
    """A wish come true. ``facts`` is empty for a file that is left out."""

    wish: Wish
    drawing: Drawing | None
    facts: dict[str, Any]
    line: Timeline | None
    caption: str | None
    problem: str = ""


class Painter:
    """``wish`` asks, ``hear`` is called on the thread with what was painted. ``stop`` ends it."""

    def __init__(self, hear: Callable[[Painted], None]) -> None:
        self._hear = hear
        self._news = threading.Condition()
        self._wish: Wish | None = None
        self._stopped = False
        threading.Thread(target=self._work, name="painter", daemon=True).start()

    def wish(self, wish: Wish) -> None:
        """Forget what was asked before."""
        with self._news:
            self._wish = wish
            self._news.notify()

    def stop(self) -> None:
        """The thread ends."""
        with self._news:
            self._stopped = True
            self._news.notify()

    def _work(self) -> None:
        while True:
            with self._news:
                while self._wish is None and not self._stopped:
                    self._news.wait()
                if self._stopped or self._wish is None:
                    return
                wish, self._wish = self._wish, None
            self._hear(paint(wish))


def paint(wish: Wish) -> Painted:
    """Decode, draw and read."""
    from engine.data.media import UnreadableMedia
    from engine.data.variants import cuts
    from musubi_tui.datasets.captions import caption_place
    from musubi_tui.datasets.cells import draw_file, draw_item
    from musubi_tui.datasets.item_facts import item_facts, timeline_of

    opened, rows = wish.board.opened, wish.board.rows
    items = items_of_file(wish.board, wish.row)
    dataset = opened.config.datasets[int(rows.dataset[wish.row])]
    caption, problem = None, ""
    path = Path(rows.paths[wish.row])
    try:
        caption = caption_place(dataset, path).read()
    except UserError as error:
        if error.problems[0].code != "no_captions":  # the warnings say that of the whole dataset
            problem = error.problems[0].message
    except OSError as error:
        problem = error.strerror or str(error)
    if not items:
        clip = dataset.kind == "clip"
        drawing = draw_file(path, wish.width, wish.height, crop=None, clip=clip, colour=wish.colour, ascii_only=wish.ascii_only) if wish.picture else None  # fmt: skip
        return Painted(wish, drawing, {}, None, caption, problem)
    mine = next((item for item in items if item.id == rows.ids[wish.row]), items[0])
    drawing = None
    if wish.picture:
        drawing = draw_item(cuts(mine)[0], wish.width, wish.height, colour=wish.colour, ascii_only=wish.ascii_only)
    line = None
    if mine.kind == "clip" and not mine.cached_only:
        try:
            line = timeline_of(dataset, mine.path, items)
        except UnreadableMedia as error:
            problem = problem or str(error)
    return Painted(
        wish, drawing, item_facts(opened, [mine, *(i for i in items if i is not mine)]), line, caption, problem
    )


def items_of_file(board: Board, row: int) -> list[Item]:
    """All items of the file of a row: the clips of a video stand side by side. Empty for a file that is left out."""
    rows = board.rows
    path, dataset = rows.paths[row], rows.dataset[row]
    first = row
    while first > 0 and rows.paths[first - 1] == path and rows.dataset[first - 1] == dataset:
        first -= 1
    found = []
    while first < len(rows) and rows.paths[first] == path and rows.dataset[first] == dataset:
        item = rows.item(first, board.opened)
        if item is not None:
            found.append(item)
        first += 1
    return found
