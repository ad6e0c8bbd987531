"""The panels of the Data screen: each draws the board it is given, and draws it again when its size changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from engine.config.language import say
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.keymap import hinted, key, shown_key
from musubi_tui.tui.screens.data import text
from musubi_tui.tui.widgets.lines import Line, Lines
from musubi_tui.tui.widgets.plain import entitle

if TYPE_CHECKING:
    from musubi_tui.datasets.board import Board
    from musubi_tui.tui.app import MusubiApp
    from musubi_tui.tui.screens.data.screen import DataScreen


def glyphs_of(widget: Widget) -> Glyphs:
    """The app's set of characters."""
    return cast("MusubiApp", widget.app).glyphs


class Panel(Vertical):
    """A bordered panel that can be zoomed."""

    ALLOW_MAXIMIZE = True

    def title(self, title: str) -> None:
        """Say what it shows."""
        entitle(self, title)


class Drawn(Lines):
    """Lines made of a board."""

    board: Board | None = None

    def show_board(self, board: Board | None) -> None:
        """Draw this one."""
        self.board = board
        self.draw()

    def draw(self) -> None:
        """At the size of now."""

    def on_resize(self) -> None:
        """Draw again."""
        self.draw()


class Head(Lines):
    """The first line: file, family, scan, caches."""

    def show_board(self, board: Board | None, name: str, busy: str) -> None:
        """``name`` and ``busy`` stand there while there is no board."""
        words = f"{name}  {busy}".strip() if board is None else busy
        self.show([text.head_line(board, words, self.size.width, glyphs_of(self), shown_key(self.app, "data.open"))])


class Warnings(Drawn):
    """What is wrong, one finding per line; on one line, all in short. Focused, it has a cursor, and Enter shows the files."""

    can_focus = True
    ALLOW_MAXIMIZE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        key("warnings.up", "up,k", "step(-1)", say("previous warning", "前の警告")),
        key("warnings.down", "down,j", "step(1)", say("next warning", "次の警告")),
        key("warnings.files", "enter", "files", say("show its files", "対象ファイルを表示")),
    ]

    class Asked(Message):
        """The files of a warning are to be shown."""

        def __init__(self, files: frozenset[str]) -> None:
            super().__init__()
            self.files = files

    cursor = 0

    def draw(self) -> None:
        """The findings."""
        if self.board is None:
            return
        told = text.warnings_of(self.board, glyphs_of(self))
        closer = (
            ""
            if self.board.decoded
            else hinted(self.app, say("  {data.doctor} looks closer", "  {data.doctor} で精査"))
        )
        entitle(self, say(f"warnings {len(told)}", f"警告 {len(told)}") + closer)
        height = max(1, self.size.height)
        self.cursor = max(0, min(self.cursor, len(told) - 1))
        self.border_subtitle = self._way_to_the_rest(len(told), height)
        lines: list[Line] = [[(hinted(self.app, words), role) for words, role in entry.line] for entry in told]
        if not lines:
            lines = [[(say("nothing is wrong", "問題なし"), "good")]]
        elif self.has_focus:
            lines[self.cursor] = [(words, "cursor") for words, _ in lines[self.cursor]]
            lines = lines[max(0, self.cursor - height + 1) :]
        elif height == 1:
            lines = [[span for line in lines for span in (*line[:2], ("  ", ""))]]
        self.show(lines)

    def _way_to_the_rest(self, count: int, height: int) -> str:
        """Which keys show what does not fit, or lead from a warning to its files."""
        if self.has_focus and count:
            place, zoom = f"{self.cursor + 1}/{count}", count > height and not self.is_maximized
            words = say(
                f"j/k {place}  {{warnings.files}} its files" + ("  {app.zoom} zoom" if zoom else ""),
                f"j/k {place}  {{warnings.files}} 対象ファイル" + ("  {app.zoom} 拡大" if zoom else ""),
            )
            return hinted(self.app, words)
        return (
            hinted(
                self.app, say("tab here: j/k scroll, {app.zoom} zoom", "tab で選択: j/k スクロール、{app.zoom} 拡大")
            )
            if count > height
            else ""
        )

    def on_focus(self) -> None:
        """Show where one is, once the focus is here: Textual tells the subclass first."""
        self.call_later(self.draw)

    def on_blur(self) -> None:
        """Show all in short."""
        self.call_later(self.draw)

    def action_step(self, by: int) -> None:
        """Up or down."""
        self.cursor += by
        self.draw()

    def action_files(self) -> None:
        """Show the files of the warning under the cursor."""
        told = text.warnings_of(self.board, glyphs_of(self)) if self.board is not None else []
        if self.cursor < len(told) and told[self.cursor].files:
            self.post_message(self.Asked(told[self.cursor].files))


class Words(Drawn):
    """How many captions hold each of the most frequent words."""

    def draw(self) -> None:
        """The bars."""
        if self.board is None:
            return
        files, (width, height) = self.board.summary["total"]["files"], self.size
        title: Line = [(say("words of the captions", "キャプションの語"), "bold")]
        self.show([title, *text.word_lines(self.board.words, files, width, height - 1, glyphs_of(self))])


class Picture(Lines):
    """The item under the cursor; the screen paints it."""

    def on_resize(self) -> None:
        """Ask for it at the new size."""
        cast("DataScreen", self.screen).look()
