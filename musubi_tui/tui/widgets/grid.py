"""A property grid: a line per option with its value, drawn line by line, so that two hundred options cost what is visible.

It knows nothing of presets: it is given rows, keeps the cursor on a row's key, and says what the person wants with it. The one
editor of a value is a widget of whoever owns the grid; ``value_region`` says where it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.config.language import say
from engine.events.redaction import redact
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.keymap import key
from musubi_tui.tui.numbers import fit

Role = Literal["", "error", "warning", "changed", "muted"]
_NAME_LEAST, _VALUE_LEAST, _DEFAULT = 26, 16, 11


@dataclass(frozen=True)
class GridRow:
    """One line. ``key`` names it; rows without one are passed over by the cursor. ``text`` rows run over the whole width."""

    key: str
    kind: Literal["value", "title", "text"]
    marks: str = ""  # up to two characters
    name: str = ""
    value: str = ""
    default: str = ""
    effect: str = ""
    role: Role = ""
    keep_end: bool = False  # a value that is too long loses its beginning: paths
    wrapped: int = 1  # lines a text row may take


@dataclass(frozen=True)
class Columns:
    """Where the columns begin and how wide they are."""

    name: int
    value: int
    default: int
    effect: int

    @classmethod
    def of(cls, width: int) -> Columns:
        """For a grid of that many cells: four for cursor and marks, a blank between columns."""
        room = width - 4 - _DEFAULT - 3
        name = max(_NAME_LEAST, room * 9 // 20)
        value = max(_VALUE_LEAST, room * 27 // 100)
        return cls(name, value, _DEFAULT, max(0, room - name - value))


class PropertyGrid(ScrollView, can_focus=True):
    """``show`` gives it rows. Says ``Moved`` when the cursor stands on another key, ``Edit`` on Enter or a double click."""

    HELP = say(
        "Every option of the preset. ● differs from the default, ✱ not saved yet, ⌂ from the base preset or the family, "
        "! error, ? warning.",
        "プリセットの全項目。● デフォルトと異なる、✱ 未保存、⌂ base またはファミリーの推奨値、! エラー、? 警告。",
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("preset.up", "up,k", "move(-1)", say("option above", "上の項目")),
        key("preset.down", "down,j", "move(1)", say("option below", "下の項目")),
        key("preset.page_up", "pageup,ctrl+u", "page(-1)", say("page up", "前のページ")),
        key("preset.page_down", "pagedown,ctrl+d", "page(1)", say("page down", "次のページ")),
        key("preset.first", "home", "move(-1000000)", say("first option", "最初の項目")),
        key("preset.last", "end,G", "move(1000000)", say("last option", "最後の項目")),
        key("preset.edit", "enter", "edit", say("edit", "編集"), show=True),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--error", "grid--warning", "grid--changed", "grid--muted", "grid--title", "grid--cursor",
    }  # fmt: skip
    DEFAULT_CSS = """
    PropertyGrid > .grid--error { color: $error; }
    PropertyGrid > .grid--warning { color: $warning; }
    PropertyGrid > .grid--changed { text-style: bold; }
    PropertyGrid > .grid--muted { color: $foreground 60%; }
    PropertyGrid > .grid--title { color: $primary; text-style: bold; }
    PropertyGrid > .grid--cursor { text-style: reverse; }
    PropertyGrid { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    """

    class Moved(Message):
        """The cursor stands on another row; ``key`` is empty when there is none."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Edit(Message):
        """The value under the cursor is to be edited."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Scrolled(Message):
        """Other rows are seen than before."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: tuple[GridRow, ...] = ()
        self.cursor = ""
        self._glyphs = UNICODE
        self._lines: list[tuple[int, str]] = []  # (which row, text of a text row's line)

    # Content

    def show(self, rows: Sequence[GridRow], glyphs: Glyphs) -> None:
        """Show these rows; the cursor stays on its key, else goes to the nearest row, and only changed lines are painted."""
        place = self._place()
        before = [self._signature(line) for line in self._lines]
        same_glyphs, self._glyphs = self._glyphs is glyphs, glyphs
        self.rows = tuple(rows)
        if not any(row.key == self.cursor for row in self.rows) or not self.cursor:
            self._choose_near(place)
        self._lay_out()
        after = [self._signature(line) for line in self._lines]
        top = self.scroll_offset.y
        if not same_glyphs or len(before) != len(after):
            self.refresh()
            self.call_after_refresh(self.scroll_to_cursor)  # a complaint that came up under it is seen
            return
        dirty = [y for y in range(top, min(len(after), top + self.size.height)) if before[y] != after[y]]
        self.refresh(*[Region(0, y - top, self.size.width, 1) for y in dirty]) if dirty else None

    def _signature(self, line: tuple[int, str]) -> tuple[object, ...]:
        place, text = line
        row = self.rows[place] if place < len(self.rows) else None
        return (row, text, row is not None and bool(row.key) and row.key == self.cursor)

    def _choose_near(self, place: int) -> None:
        keyed = [n for n, row in enumerate(self.rows) if row.key]
        near = min(keyed, key=lambda n: abs(n - place), default=None)
        self.cursor = "" if near is None else self.rows[near].key
        self.post_message(self.Moved(self.cursor))

    def _place(self) -> int:
        return next((n for n, row in enumerate(self.rows) if row.key and row.key == self.cursor), 0)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Say so: whoever floats over a row must follow it."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Scrolled())

    def watch_show_vertical_scrollbar(self) -> None:
        """The scroll bar came or went, which is no resize: what stands beside the rows follows their new width."""
        self.call_after_refresh(self.post_message, self.Scrolled())

    def on_resize(self) -> None:
        """Lay out for another width."""
        self._lay_out()
        self.post_message(self.Scrolled())
        self.call_after_refresh(self.scroll_to_cursor)

    @property
    def row(self) -> GridRow | None:
        """The row under the cursor."""
        return next((row for row in self.rows if row.key and row.key == self.cursor), None)

    def _width(self) -> int:
        return self.scrollable_content_region.width or self.size.width

    def _lay_out(self) -> None:
        width = self._width()
        self._lines = []
        for place, row in enumerate(self.rows):
            if row.kind == "text":
                self._lines += [(place, text) for text in wrap(row.name, width - 6, row.wrapped)]
            else:
                self._lines.append((place, ""))
        self.virtual_size = Size(width, len(self._lines))

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        y += self.scroll_offset.y
        width, style = self.size.width, self.rich_style
        if y >= len(self._lines):
            return Strip.blank(width, style)
        place, text = self._lines[y]
        row = self.rows[place]
        chosen = bool(row.key) and row.key == self.cursor
        if row.kind == "text":
            segments = self._text_line(row, text, chosen, first=y == 0 or self._lines[y - 1][0] != place)
        elif row.kind == "title":
            segments = [Segment(f" {row.name}", style + self._style("title"))]
        else:
            segments = self._value_line(row, chosen)
        return Strip(segments).adjust_cell_length(width, style)

    def _text_line(self, row: GridRow, text: str, chosen: bool, *, first: bool) -> list[Segment]:
        style = self.rich_style + self._style(row.role)
        lead = ("└ " if self._glyphs.name == "unicode" else "\\ ") if first else "  "
        mark = self._cursor_mark() if chosen else " "
        return [Segment(f"{mark}   {lead}", style), Segment(text, style)]

    def _cursor_mark(self) -> str:
        return "▌" if self._glyphs.name == "unicode" else ">"

    def _value_line(self, row: GridRow, chosen: bool) -> list[Segment]:
        base, dots = self.rich_style, self._glyphs.ellipsis
        shape = Columns.of(self._width())
        role = self._style(row.role)
        body = base + role + self._style("cursor") if chosen else base + role
        muted = base + self._style("muted")
        value_width, default, effect = shape.value, row.default, row.effect
        value = redact(row.value)  # only what is seen: the rows are made anew at every key
        if cells(value) > value_width and not effect:  # a long value takes the room of what is not there
            value_width += shape.effect + 1
            if default in ("", self._glyphs.none):
                value_width, default = value_width + shape.default + 1, ""
        segments = [
            Segment(f"{self._cursor_mark() if chosen else ' '}{fit(row.marks, 2)} ", base + role),
            Segment(fit(row.name, shape.name, ellipsis=dots), body),
            Segment(" ", base),
            Segment(cut(value, value_width, dots, keep_end=row.keep_end), body),
        ]
        if default or effect:
            segments += [Segment(" ", base), Segment(fit(default, shape.default, ellipsis=dots), muted)]
        if effect:
            segments += [Segment(" ", base), Segment(fit(effect, shape.effect, ellipsis=dots), muted)]
        return segments

    def _style(self, role: str) -> Style:
        return self.get_component_rich_style(f"grid--{role}", partial=True) if role else Style.null()

    def titles(self, names: tuple[str, str, str, str]) -> str:
        """The header line over the columns: name, value, default, effect."""
        shape = Columns.of(self._width())
        dots = self._glyphs.ellipsis
        widths = (shape.name, shape.value, shape.default, shape.effect)
        return "    " + " ".join(fit(name, width, ellipsis=dots) for name, width in zip(names, widths))

    def value_region(self) -> Region | None:
        """Where the value under the cursor stands, relative to the grid; to the right edge, as far as an editor may grow."""
        y = self._line_of(self.cursor)
        if y is None or not self.scroll_offset.y <= y < self.scroll_offset.y + self.size.height:
            return None
        x = 4 + Columns.of(self._width()).name + 1
        return Region(x, y - self.scroll_offset.y, max(1, self._width() - x), 1)

    # Cursor

    def _line_of(self, wanted: str) -> int | None:
        return next((y for y, (place, _) in enumerate(self._lines) if self.rows[place].key == wanted), None)

    def choose(self, wanted: str) -> None:
        """Put the cursor on a key."""
        if wanted == self.cursor or not any(row.key == wanted for row in self.rows):
            return
        old, self.cursor = self.cursor, wanted
        top = self.scroll_offset.y
        self.scroll_to_cursor()
        if self.scroll_offset.y == top:
            lines = [n for n, (place, _) in enumerate(self._lines) if self.rows[place].key in (old, wanted)]
            self.refresh(*[Region(0, n - top, self.size.width, 1) for n in lines if 0 <= n - top < self.size.height])
        self.post_message(self.Moved(wanted))

    def scroll_to_cursor(self) -> None:
        """The row with the complaints under it, and the title above it when it is the first."""
        first = self._line_of(self.cursor)
        if first is None:
            return
        last = first
        while (
            last + 1 < len(self._lines)
            and not self._keyed(last + 1)
            and self.rows[self._lines[last + 1][0]].kind == "text"
        ):
            last += 1
        start = first - 1 if first and self.rows[self._lines[first - 1][0]].kind == "title" else first
        height = max(1, min(last - start + 1, self.size.height))
        self.scroll_to_region(Region(0, start, 1, height), animate=False, force=True)

    def _keyed(self, y: int) -> bool:
        return bool(self.rows[self._lines[y][0]].key)

    def action_move(self, by: int) -> None:
        """Up or down, over rows without a key."""
        keyed = [row.key for row in self.rows if row.key]
        if keyed:
            place = keyed.index(self.cursor) if self.cursor in keyed else 0
            self.choose(keyed[max(0, min(len(keyed) - 1, place + by))])

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_edit(self) -> None:
        """Edit the value under the cursor."""
        if self.cursor:
            self.post_message(self.Edit(self.cursor))

    def on_click(self, event: Click) -> None:
        """A click chooses; a click on what is chosen already, or a double click, edits."""
        y = event.y + self.scroll_offset.y
        if y >= len(self._lines):
            return
        found = self.rows[self._lines[y][0]].key
        if not found:
            return
        if found == self.cursor and (event.chain > 1 or event.x > Columns.of(self._width()).name):
            self.action_edit()
        self.choose(found)


def cut(text: str, width: int, ellipsis: str, *, keep_end: bool) -> str:
    """``text`` in exactly ``width`` cells; where it is too long it loses its end, or its beginning."""
    if not keep_end or cells(text) <= width:
        return fit(text, width, ellipsis=ellipsis)
    kept = ""
    for character in reversed(text):
        if cells(character + kept) > width - 1:
            break
        kept = character + kept
    return fit(ellipsis + kept, width)


@lru_cache(maxsize=1024)  # complaints of a long file are laid out at every key
def wrap(text: str, width: int, most: int) -> Sequence[str]:
    """Up to ``most`` lines of at most ``width`` cells; words stay whole where there are any."""
    lines: list[str] = []
    line = ""
    for word in _words(text):
        if line and cells(line + word.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        while cells(word) > width > 0:
            head = fit(word, width, ellipsis="").rstrip()
            lines.append(head)
            word = word[len(head) :]
        line += word
    if line.strip() or not lines:
        lines.append(line.rstrip())
    if len(lines) > most:
        lines = [*lines[: most - 1], fit(f"{lines[most - 1]} {lines[most]}", width).rstrip()]
    return lines


def _words(text: str) -> list[str]:
    """Words with the blank behind them; a wide character is a word of its own, as Japanese has no blanks."""
    found: list[str] = []
    word = ""
    for character in text:
        if cells(character) == 2:
            if word:
                found.append(word)
            found.append(character)
            word = ""
            continue
        word += character
        if character == " ":
            found.append(word)
            word = ""
    return [*found, word] if word else found
