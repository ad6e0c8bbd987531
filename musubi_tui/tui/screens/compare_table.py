"""The table of Compare: a line per setting, a column per run, each column as wide as its values want and the room allows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.events import Click
from textual.message import Message

from musubi_tui.runs.comparing import BEST_ROW
from musubi_tui.runs.plain_text import clean
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import count, fit
from musubi_tui.tui.widgets.grid import cut
from musubi_tui.tui.widgets.lines import Line, Lines, Span

if TYPE_CHECKING:
    from musubi_tui.runs.comparing import Compared

Row = tuple[str, list[str]]
_NAME_LEAST, _NAME_MOST = 12, 26
_VALUE_LEAST, _VALUE_MOST = 8, 24  # of a column; a longer value is cut
_FRACTION = re.compile(r"(\d+)/(\d+)")


class Settings(Lines):
    """``fill`` gives it the rows. ``chosen`` is the run that keys like ``r`` and ``w`` are about."""

    can_focus = True
    ALLOW_MAXIMIZE = True

    class Chosen(Message):
        """The cursor stands on another run."""

    class Resized(Message):
        """There is another room to draw in."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.top = self.chosen = 0
        self._edges: list[int] = []  # the first cell behind each run's column

    def fill(self, runs: Sequence[Compared], rows: Sequence[Row], best: str, glyphs: Glyphs) -> None:
        """Draw; ``best`` is the letter of the run with the smallest validation loss, empty for none."""
        self.chosen = max(0, min(self.chosen, len(runs) - 1))
        self.top = max(0, min(self.top, len(rows) - self.size.height + 1))
        heads = [f"{run.letter} {clean(run.now.name)}" for run in runs]
        named = max([_NAME_LEAST, *(cells(name) for name, _ in rows)])
        name_width = min(named, _NAME_MOST) + 1
        room = self.size.width - name_width - len(runs)
        wants = [self._wanted(head, [values[place] for _, values in rows]) for place, head in enumerate(heads)]
        widths = shared(room, wants)
        self._edges = [name_width + sum(widths[: place + 1]) + place + 1 for place in range(len(runs))]
        head_line: list[Span] = [(" " * name_width, "")]
        for place, head in enumerate(heads):
            mark = glyphs.cursor if place == self.chosen else " "
            text = fit(mark + head, widths[place], ellipsis=glyphs.ellipsis) + " "
            head_line.append((text, "accent" if place == self.chosen else "bold"))
        lines: list[Line] = [head_line]
        for name, values in rows[self.top :]:
            lines.append(_line(name, values, name_width, widths, glyphs, best=best if name == BEST_ROW else ""))
        self.show(lines)

    def wanted_width(self, runs: Sequence[Compared], rows: Sequence[Row]) -> int:
        """Cells in which nothing is cut that need not be."""
        named = max([_NAME_LEAST, *(cells(name) for name, _ in rows)])
        heads = [f"{run.letter} {clean(run.now.name)}" for run in runs]
        wants = [self._wanted(head, [values[place] for _, values in rows]) for place, head in enumerate(heads)]
        return min(named, _NAME_MOST) + 1 + sum(wants) + len(wants)

    @staticmethod
    def _wanted(head: str, values: Sequence[str]) -> int:
        longest = max([cells(head), *(cells(clean(value)) for value in values)]) + 1
        return max(_VALUE_LEAST, min(longest, _VALUE_MOST)) + 1

    def on_resize(self) -> None:
        """Whoever has the rows draws them again."""
        self.post_message(self.Resized())

    def on_click(self, event: Click) -> None:
        """Choose the run of a column."""
        place = next((place for place, edge in enumerate(self._edges) if event.x - 2 < edge), None)
        if place is not None and place != self.chosen:
            self.chosen = place
            self.post_message(self.Chosen())


def shared(room: int, wants: Sequence[int]) -> list[int]:
    """Widths of columns: what each wants where there is room, else the small ones whole and the others equal shares."""
    widths, left = [0] * len(wants), max(0, room)
    open_ = list(range(len(wants)))
    while open_:
        fair = left // len(open_)
        small = [place for place in open_ if wants[place] <= fair]
        for place in small or open_:
            widths[place] = wants[place] if small else fair
            left -= widths[place]
        open_ = [place for place in open_ if place not in small] if small else []
    return widths


def _line(
    name: str, values: Sequence[str], name_width: int, widths: Sequence[int], glyphs: Glyphs, *, best: str
) -> Line:
    texts = [_short_fraction(clean(value), width - 1) for value, width in zip(values, widths)]
    texts = shortened(texts, [width - 1 for width in widths], glyphs.ellipsis)
    spans: list[Span] = [(fit(name, name_width - 1, ellipsis=glyphs.ellipsis) + " ", "muted")]
    for place, (text, width) in enumerate(zip(texts, widths)):
        wins = best == chr(ord("A") + place)
        text = f"{text} {glyphs.back}" if wins else text
        spans.append((" " + cut(text, width - 1, glyphs.ellipsis, keep_end="/" in text and not _FRACTION.fullmatch(text)) + " ", "good" if wins else ""))  # fmt: skip
    return spans


def _short_fraction(value: str, width: int) -> str:
    """``987654/1000000`` as ``988k/1M`` where it does not fit: half a number is another number."""
    found = _FRACTION.fullmatch(value) if cells(value) > width else None
    return f"{count(int(found[1]))}/{count(int(found[2]))}" if found else value


def shortened(values: Sequence[str], widths: Sequence[int], ellipsis: str) -> list[str]:
    """Values of which one is too long for its cells, without the folders that all of them begin with."""
    paths = [value for value in values if value.startswith("/")]
    shared_by_all = os.path.dirname(os.path.commonpath(paths)) if paths else ""
    fits = all(cells(value) <= width for value, width in zip(values, widths))
    if not shared_by_all.strip("/") or len(paths) < 2 or fits:
        return list(values)
    return [f"{ellipsis}{value.removeprefix(shared_by_all)}" if value in paths else value for value in values]
