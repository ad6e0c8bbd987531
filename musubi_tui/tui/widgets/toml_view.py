"""The text of a file beside its form: line numbers, changed lines and complaints marked, drawn line by line whatever its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import TextArea

from engine.config.language import say
from engine.config.secrets import starred_lines
from engine.events.redaction import starred
from musubi_tui.presets.draft import lines_of
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.keymap import key
from musubi_tui.tui.numbers import fit

_AROUND = 12  # lines that a secret may run over


class TomlView(ScrollView, can_focus=True):
    """``show`` gives it the text. Says ``Edit`` with a line when the text itself is to be edited."""

    HELP = say(
        "The file as it would be saved. ~ changed, + new, ! error, ? warning.",
        "保存される内容。~ 変更、+ 追加、! エラー、? 警告。",
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("text.up", "up,k", "move(-1)", say("line up", "上の行")),
        key("text.down", "down,j", "move(1)", say("line down", "下の行")),
        key("text.page_up", "pageup,ctrl+u", "page(-1)", say("page up", "前のページ")),
        key("text.page_down", "pagedown,ctrl+d", "page(1)", say("page down", "次のページ")),
        key("text.first", "home", "move(-1000000000)", say("first line", "先頭の行")),
        key("text.last", "end,G", "move(1000000000)", say("last line", "最後の行")),
        key("text.edit", "enter", "edit", say("edit the text", "テキストを編集"), show=True),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"toml--number", "toml--comment", "toml--header", "toml--changed", "toml--error", "toml--warning", "toml--cursor"}  # fmt: skip
    DEFAULT_CSS = """
    TomlView > .toml--number { color: $foreground 40%; }
    TomlView > .toml--comment { color: $foreground 60%; }
    TomlView > .toml--header { color: $secondary; text-style: bold; }
    TomlView > .toml--changed { color: $accent; text-style: bold; }
    TomlView > .toml--error { color: $error; }
    TomlView > .toml--warning { color: $warning; }
    TomlView > .toml--cursor { text-style: reverse; }
    TomlView { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    """

    class Edit(Message):
        """The text is to be edited at that line, from 1."""

        def __init__(self, line: int) -> None:
            super().__init__()
            self.line = line

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 1
        self._glyphs = UNICODE
        self._text = ""
        self._lines: list[str] = []
        self._changed: Mapping[int, str] = {}
        self._told: Mapping[int, tuple[str, str]] = {}

    def show(self, text: str, changed: Mapping[int, str], told: Mapping[int, tuple[str, str]], glyphs: Glyphs) -> None:
        """``changed``: line -> what stood there ("" where it is new); ``told``: line -> ("error" or "warning", message)."""
        before = (self._text, self._changed, self._told, self._glyphs)
        if before == (text, changed, told, glyphs):
            return
        old = self._window()
        if text != self._text:
            self._lines = starred_lines(lines_of(text))
        self._text, self._changed, self._told, self._glyphs = text, dict(changed), dict(told), glyphs
        self.cursor = max(1, min(self.cursor, len(self._lines)))
        self.virtual_size = Size(self.size.width, len(self._lines))
        new = self._window()
        dirty = [Region(0, y, self.size.width, 1) for y, (a, b) in enumerate(zip(old, new)) if a != b]
        if before[3] is not glyphs or len(old) != len(new):
            self.refresh()
        elif dirty:
            self.refresh(*dirty)

    def _window(self) -> list[tuple[object, ...]]:
        top = self.scroll_offset.y
        return [
            (self._lines[n - 1] if n <= len(self._lines) else None, self._changed.get(n), self._told.get(n), n == self.cursor)
            for n in range(top + 1, top + self.size.height + 1)
        ]  # fmt: skip

    def go_to(self, line: int) -> None:
        """Put the cursor on a line, from 1, and show it with what is around."""
        line = max(1, min(line, len(self._lines)))
        old, self.cursor = self.cursor, line
        top, height = self.scroll_offset.y, self.size.height
        around = min(3, max(0, height // 2 - 1))
        if height and not top <= line - 1 - min(around, line - 1) <= line - 1 + around < top + height:
            self.scroll_to(y=max(0, line - 1 - height // 2), animate=False, force=True)
        if self.scroll_offset.y == top:
            self.refresh(*[Region(0, n - 1 - top, self.size.width, 1) for n in {old, line}])

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        number = y + self.scroll_offset.y + 1
        width, style = self.size.width, self.rich_style
        if number > len(self._lines):
            return Strip.blank(width, style)
        text = visible(starred(self._lines[number - 1])[: 4 * width])
        digits = len(str(len(self._lines)))
        bar = "│" if self._glyphs.name == "unicode" else "|"
        severity, message = self._told.get(number, ("", ""))
        mark = {"error": "!", "warning": "?"}.get(severity, "")
        role = severity
        if not mark and number in self._changed:
            mark, role = ("~" if self._changed[number] else "+"), "changed"
        chosen = number == self.cursor and self.has_focus
        body = style + (self._style("cursor") if chosen else self._look(text))
        lead = f"{number:>{digits + 1}}{mark or ' '}{bar} "
        segments = [Segment(lead, style + self._style(role or "number")), Segment(text, body)]
        segments.append(Segment(self._remark(number, text, message, width - cells(lead)), style + self._style(role or "number")))  # fmt: skip
        return Strip(segments).adjust_cell_length(width, style)

    def _remark(self, number: int, text: str, message: str, width: int) -> str:
        """What is wrong with the line, or what it was; as far as there is room."""
        was = visible(without_secrets(self._changed.get(number, ""))[:400]).strip()
        value = was.partition("=")[2].partition("#")[0].strip() if "=" in was else was
        arrow = "←" if self._glyphs.name == "unicode" else "<-"
        remark = f"{arrow} {message}" if message else say(f"# was {value}", f"# 変更前: {value}") if value else ""
        room = width - cells(text) - 3
        return (
            f"   {fit(remark, min(room, cells(remark)), ellipsis=self._glyphs.ellipsis)}" if remark and room > 8 else ""
        )

    def _look(self, text: str) -> Style:
        start = text.lstrip()[:1]
        return self._style("comment") if start == "#" else self._style("header") if start == "[" else Style.null()

    def _style(self, role: str) -> Style:
        return self.get_component_rich_style(f"toml--{role}", partial=True)

    def on_focus(self) -> None:
        """The cursor shows only here."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor shows only here."""
        self.refresh()

    def on_resize(self) -> None:
        """Another width."""
        self.virtual_size = Size(self.size.width, len(self._lines))

    def action_move(self, by: int) -> None:
        """Up or down."""
        self.go_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.go_to(self.cursor + by * max(1, self.size.height - 2))

    def action_edit(self) -> None:
        """Edit the text at the cursor."""
        self.post_message(self.Edit(self.cursor))

    def on_click(self, event: Click) -> None:
        """A click goes to the line, a double click edits there."""
        self.go_to(event.y + self.scroll_offset.y + 1)
        if event.chain > 1:
            self.action_edit()


class TomlText(TextArea):
    """The text being edited. The line of the error stands in reverse, so that it shows without colour too."""

    cursor_blink = reactive(False, init=False)  # as in ``Field``
    error_line = 0  # from 1

    def mark_error(self, line: int) -> None:
        """Mark a line, from 1; 0 marks none."""
        if line != self.error_line:
            self.error_line = line
            self.notify_style_update()
            self.refresh()

    def get_line(self, line_index: int) -> Text:
        """The line with stars for secrets, marked where the error is."""
        line = super().get_line(line_index)
        first = max(0, line_index - _AROUND)
        around = [self.document.get_line(n) for n in range(first, min(self.document.line_count, line_index + _AROUND))]
        line.plain = starred(starred_lines(around)[line_index - first])
        if line_index + 1 == self.error_line:
            line.stylize("reverse")
        return line


def without_secrets(line: str) -> str:
    """A line of a preset with stars for what is secret in it."""
    return starred(starred_lines([line])[0])


def visible(text: str) -> str:
    """The line with tabs as blanks and without what would steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text.expandtabs(4))
