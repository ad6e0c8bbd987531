"""``s``: the whole survey in sentences, as ``data scan`` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.terminal_width import cells
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import wrapped
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.lines import Line
from musubi_tui.tui.widgets.plain import entitle
from musubi_tui.tui.widgets.rows import RowList


def _parts(line: str, width: int) -> list[str]:
    """The line in pieces; those after the first are indented further, so that one sees where the next begins."""
    if cells(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip())
    first, *rest = wrapped(line.lstrip(), width - indent - 2)
    return [" " * indent + first, *(" " * (indent + 2) + part for part in rest)]


class WordsScreen(Dialog[None]):
    """Lines that can be scrolled. ``twin`` is the command that prints them."""

    CSS_PATH = "words.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [key("words.close", "escape,q,s", "dismiss", say("close", "閉じる"))]

    def __init__(self, title: str, lines: Sequence[str], twin: str) -> None:
        super().__init__()
        self._title, self._lines, self._twin = title, [clean(line) for line in lines], twin
        self._rows: list[str] = []

    def compose(self) -> ComposeResult:
        """The lines."""
        rows = RowList(id="words-list")
        rows.border_subtitle = hinted(self.app, say("{words.close} close", "{words.close} 閉じる"))
        entitle(rows, self._title)
        yield rows

    def on_mount(self) -> None:
        """Show them."""
        self.on_resize()

    def on_resize(self) -> None:
        """In the width there is: what does not fit goes on in the next line."""
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        rows = self.query_one(RowList)
        width = max(20, rows.scrollable_content_region.width)
        self._rows = [row for line in self._lines for row in _parts(line, width)]
        rows.show(len(self._rows), self._line)

    def _line(self, place: int, _width: int) -> Line:
        return [(self._rows[place], "")]

    def cli_twin(self) -> str:
        """The command."""
        return self._twin
