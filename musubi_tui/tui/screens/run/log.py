"""The log of the run screen: which of its lines are shown, whole or cut, and the keys for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from musubi_tui.tui.filtering import fits
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import LogLine, RunView
from musubi_tui.tui.screens.run.steering import SteeringScreen
from musubi_tui.tui.widgets.field import Field


class LogScreen(SteeringScreen):
    """The part of the run screen that has a log with a filter."""

    def __init__(self, source: RunSource) -> None:
        super().__init__(source)
        self.back = 0  # lines scrolled up
        self.words = ""  # that lines must have
        self.wrap = False  # long lines go on below

    @abstractmethod
    def action_show_tab(self, tab: str) -> None:
        """This tab."""

    def _log(self, view: RunView) -> Sequence[LogLine]:
        """The lines of the log that the filter keeps."""
        return [line for line in view.log if fits(self.words, line.text)] if self.words else view.log

    def action_follow(self) -> None:
        """The end of the log."""
        self.back = 0
        self.draw()

    def action_wrap(self) -> None:
        """Long lines of the log whole, or one line each."""
        self.wrap = not self.wrap
        self.action_show_tab("log")

    def action_find(self) -> None:
        """Filter the log, or go back into the filter."""
        self.action_show_tab("log")
        field = self.query_one("#find", Field)
        field.display = True
        field.focus()

    def on_input_changed(self, event: Field.Changed) -> None:
        """Filter while one types."""
        self.words, self.back = event.value.strip(), 0
        self.draw()

    def on_input_submitted(self) -> None:
        """Back to the log; the filter stays, and stands in its title."""
        self.query_one("#bottom").focus()

    def action_clear(self) -> None:
        """Clear and close the filter."""
        field = self.query_one("#find", Field)
        if field.display:
            field.value, field.display = "", False
            self.query_one("#bottom").focus()
