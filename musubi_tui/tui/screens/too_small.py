"""The terminal is too small to draw in: says so, and how large it must be. Goes by itself when there is room."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Resize
from textual.geometry import Size

from engine.config.language import say
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.plain import Plain


class TooSmallScreen(Dialog[None]):
    """One sentence."""

    BINDINGS: ClassVar[list[BindingType]] = [key("small.quit", "q", "app.quit", say("leave", "終了"))]
    DEFAULT_CSS = """
    TooSmallScreen { align: center middle; }
    TooSmallScreen > Plain { width: 1fr; text-align: center; }
    """

    def __init__(self, need: Size) -> None:
        super().__init__()
        self._need = need

    def compose(self) -> ComposeResult:
        """The sentence."""
        yield Plain(hinted(self.app, self._text(self.app.size)))

    def action_help(self) -> None:
        """There is no room for it."""

    def on_resize(self, event: Resize) -> None:
        """Say the size of now, or go."""
        self.query_one(Plain).update(hinted(self.app, self._text(event.size)))
        self._go_if_it_fits(event.size)

    def on_screen_resume(self) -> None:
        """There may be room by now: another mode or a dialog was shown meanwhile."""
        self._go_if_it_fits(self.app.size)

    def _go_if_it_fits(self, size: Size) -> None:
        if size.width >= self._need.width and size.height >= self._need.height:
            self.dismiss(None)

    def _text(self, size: Size) -> str:
        have, need = f"{size.width}x{size.height}", f"{self._need.width}x{self._need.height}"
        return say(
            f"This terminal has {have} cells; the app needs {need}.\nMake it larger, or press {{small.quit}} to leave: training goes on.\n"
            "Lines instead: musubi-tui runs watch last --plain",
            f"端末は {have} です。アプリには {need} 以上が必要です。\n広げるか、{{small.quit}} で終了してください（学習は続きます）。\n"
            "行表示: musubi-tui runs watch last --plain",
        )
