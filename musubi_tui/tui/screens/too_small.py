"""The terminal is too small to draw in: says so, and how large it must be. Goes by itself when there is room."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Resize
from textual.geometry import Size
from textual.widgets import Static

from engine.config.language import say
from musubi_tui.tui.app import TOO_SMALL_ID
from musubi_tui.tui.keymap import key
from musubi_tui.tui.screens.dialog import Dialog


class TooSmallScreen(Dialog[None]):
    """One sentence."""

    BINDINGS: ClassVar[list[BindingType]] = [key("small.quit", "q", "app.quit", say("leave", "終了"))]
    DEFAULT_CSS = """
    TooSmallScreen { align: center middle; }
    TooSmallScreen > Static { width: 1fr; text-align: center; }
    """

    def __init__(self, need: Size) -> None:
        super().__init__(id=TOO_SMALL_ID)
        self._need = need

    def compose(self) -> ComposeResult:
        """The sentence."""
        yield Static(self._text(self.app.size), markup=False)

    def on_resize(self, event: Resize) -> None:
        """Say the size of now."""
        self.query_one(Static).update(self._text(event.size))

    def _text(self, size: Size) -> str:
        have, need = f"{size.width}x{size.height}", f"{self._need.width}x{self._need.height}"
        return say(
            f"This terminal has {have} cells; the app needs {need}.\nMake it larger, or press q to leave: training goes on.\n"
            "Lines instead: musubi-tui runs watch last --plain",
            f"端末は {have} です。アプリには {need} 以上が必要です。\n広げるか、q で終了してください（学習は続きます）。\n"
            "行表示: musubi-tui runs watch last --plain",
        )
