"""A mode that is not built yet: what will be there, and how the same is done at the shell today."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import VerticalScroll
from textual.widget import Widget

from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.modes import Mode
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.widgets.plain import Plain


class LaterScreen(ModeScreen):
    """One paragraph and a few commands. ``Y`` copies the first of them."""

    CSS_PATH = "later.tcss"

    def __init__(self, mode: Mode) -> None:
        super().__init__(mode.id)
        self._about = mode

    def panels(self) -> Iterable[Widget]:
        """The paragraph and the commands."""
        panel = VerticalScroll(
            Plain(hinted(self.app, self._about.about), id="about"),
            *(Plain(f"  {twin}", classes="twin") for twin in self._about.twins),
            id="later",
        )
        panel.border_title = self._about.title
        return (panel,)

    def cli_twin(self) -> str:
        """The first command."""
        return self._about.twins[0]
