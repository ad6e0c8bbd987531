"""A list of any length with a cursor, drawn line by line: only the rows on the screen are ever made into text."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.config.language import say
from musubi_tui.tui.keymap import key
from musubi_tui.tui.widgets.lines import Line, fit, style_of_role

Draw = Callable[[int, int], Line]


class RowList(ScrollView, can_focus=True):
    """``show(count, draw)`` gives it the rows; ``draw(place, width)`` makes one of them into spans.

    Says ``Chosen`` when the cursor moves and ``Opened`` on Enter or a double click.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("data.up", "up,k", "move(-1)", say("up", "上")),
        key("data.down", "down,j", "move(1)", say("down", "下")),
        key("data.page_up", "pageup,ctrl+u", "page(-1)", say("page up", "前のページ")),
        key("data.page_down", "pagedown,ctrl+d", "page(1)", say("page down", "次のページ")),
        key("data.first", "home", "move(-1000000000)", say("first", "先頭")),
        key("data.last", "end,G", "move(1000000000)", say("last", "末尾")),
        key("data.enter", "enter", "open", say("show", "表示")),
    ]
    DEFAULT_CSS = "RowList { scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; }"

    class Chosen(Message):
        """The cursor stands on another row."""

        def __init__(self, rows: RowList, place: int) -> None:
            super().__init__()
            self.rows, self.place = rows, place

        @property
        def control(self) -> RowList:
            """The list it comes from."""
            return self.rows

    class Opened(Chosen):
        """A row is to be opened."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.count = 0
        self.cursor = 0
        self._draw: Draw = lambda place, width: []
        self._styles: dict[str, Style] = {}
        self._theme = ""

    def show(self, count: int, draw: Draw, cursor: int | None = None) -> None:
        """Show these rows from now on."""
        self.count, self._draw = count, draw
        self.cursor = max(0, min(self.cursor if cursor is None else cursor, count - 1))
        width = self.scrollable_content_region.width or self.size.width
        if self.virtual_size != Size(width, count):
            self.virtual_size = Size(width, count)
        self._follow()
        self.refresh()

    def on_resize(self) -> None:
        """The rows have the width of the list."""
        self.virtual_size = Size(self.scrollable_content_region.width or self.size.width, self.count)
        self._follow()

    def redraw(self, place: int) -> None:
        """One row has other contents."""
        y = place - self.scroll_offset.y
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width, base, place = self.size.width, self.rich_style, y + self.scroll_offset.y
        if place >= self.count:
            return Strip.blank(width, base)
        here = place == self.cursor
        if here:
            base += self._style("cursor" if self.has_focus else "bold")
        line = fit(self._draw(place, width), width)
        segments = [Segment(text, base if here and self.has_focus else base + self._style(role)) for text, role in line]
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, role: str | Style) -> Style:
        if isinstance(role, Style):
            return role
        if self._theme != self.app.theme:
            self._theme, self._styles = self.app.theme, {}
        known = self._styles.get(role)
        if known is None:
            known = self._styles[role] = style_of_role(role, self.app.theme_variables)
        return known

    def _follow(self) -> None:
        if self.count:
            self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True, immediate=True)

    def choose(self, place: int) -> None:
        """Put the cursor there."""
        place = max(0, min(self.count - 1, place))
        if not self.count or place == self.cursor:
            return
        old, self.cursor = self.cursor, place
        top = self.scroll_offset.y
        self._follow()
        if self.scroll_offset.y == top:
            self.redraw(old)
            self.redraw(place)
        self.post_message(self.Chosen(self, place))

    def on_focus(self) -> None:
        """The cursor shows where one is."""
        self.redraw(self.cursor)

    def on_blur(self) -> None:
        """And where one was."""
        self.redraw(self.cursor)

    def action_move(self, by: int) -> None:
        """Up or down."""
        self.choose(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.choose(self.cursor + by * max(1, self.size.height - 1))

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.count:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: Click) -> None:
        """A click chooses, a double click opens."""
        place = event.y + self.scroll_offset.y
        if place < self.count:
            self.choose(place)
            if event.chain > 1:
                self.action_open()
