"""How a run was looked at the last time: its chart, the tab, the focused panel and the log's filter are there again.

Kept a moment after the last change, so that a wheel that turns writes once, and when the screen is left.
"""

from __future__ import annotations

from typing import Any

from textual.events import DescendantFocus
from textual.timer import Timer

from musubi_tui.tui.remembered import MOST_WORDS, Remembered, RunLook
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.screens.run.log import LEVELS, LogScreen
from musubi_tui.tui.widgets.chart import LossChart
from musubi_tui.tui.widgets.field import Field

_KEEP_AFTER_S = 0.5


class RememberingScreen(LogScreen):
    """The part of the run screen that puts things back; of a recording nothing is kept."""

    def __init__(self, source: RunSource) -> None:
        super().__init__(source)
        self._keeping: Timer | None = None
        self._look_now: RunLook | None = None  # what is to be kept

    @property
    def _folder(self) -> str:
        return str(self.source.run.path) if self.source.run is not None else ""

    def put_back(self) -> None:
        """As it was left."""
        kept: Remembered | None = getattr(self.app, "remembered", None)
        look = kept.looks.get(self._folder) if kept is not None else None
        if look is None:
            return
        self.query_one(LossChart).put_back(look)
        self.tab = look.tab if look.tab in self.TABS else self.tab
        self.words, self.level = look.words, look.level if look.level in LEVELS else ""
        if self.words:
            field = self.query_one("#find", Field)
            field.value, field.display = self.words, True
        self.call_after_refresh(self._focus_panel, look.panel)

    def _focus_panel(self, name: str) -> None:
        for panel in self.focus_chain:  # what this layout shows
            if panel.id == name:
                panel.focus()

    def keep_soon(self) -> None:
        """Keep what is seen now, once nothing has changed for a moment."""
        if not self._folder or self.view is None or not self.is_mounted:
            return
        focused = self.focused.id if self.focused is not None and self.focused.id else ""
        look = self.query_one(LossChart).look()
        self._look_now = RunLook(**look, tab=self.tab, panel=focused, words=self.words[:MOST_WORDS], level=self.level)
        if self._keeping is not None:
            self._keeping.stop()
        self._keeping = self.set_timer(_KEEP_AFTER_S, self.keep_look)

    def keep_look(self) -> None:
        """Keep what was seen last, if it is not what is known."""
        app: Any = self.app
        look, self._look_now = self._look_now, None
        if look is None or not hasattr(app, "remember_look"):
            return
        if look != app.remembered.looks.get(self._folder, RunLook(panel="loss")):
            app.remember_look(self._folder, look)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Another panel."""
        self.keep_soon()

    def on_screen_suspend(self) -> None:
        """Another mode: perhaps the app is left from there."""
        self.keep_look()
