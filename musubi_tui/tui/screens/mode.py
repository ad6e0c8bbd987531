"""The frame of a mode: the modes above, the status bar and the keys below, the screen's own panels between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.key_line import KeyLine
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


class ShowsView:
    """A screen that shows what the app knows of all runs, also while a dialog stands above it."""

    def show(self, view: View) -> None:
        """Show these facts; called on the screen's thread when they have changed, and when the screen comes back."""
        raise NotImplementedError


class ModeScreen(Screen[None], ShowsView):
    """A screen of one mode. Subclasses give ``panels`` and, where they have one, a CLI twin."""

    MODE: ClassVar[str] = ""

    def __init__(self, mode: str = "") -> None:
        super().__init__()
        self._mode = mode or self.MODE

    @property
    def musubi(self) -> MusubiApp:
        """The app, by its type."""
        return cast("MusubiApp", self.app)

    def compose(self) -> ComposeResult:
        """The frame."""
        yield ModeBar(self._mode)
        yield from self.panels()
        yield StatusBar()
        yield KeyLine()

    def panels(self) -> Iterable[Widget]:
        """What stands between the lines of the frame."""
        return ()

    def show(self, view: View) -> None:
        """Show these facts; called on the screen's thread when they have changed, and when the screen comes back."""
        self.query_one(ModeBar).draw()
        self.query_one(StatusBar).tell(view, self.musubi.glyphs)

    def cli_twin(self) -> str:
        """The command that does at the shell what is under the cursor here."""
        return "musubi-tui"

    def on_screen_resume(self) -> None:
        """Catch up with what changed while another screen was shown."""
        self.show(self.musubi.view)
