"""The log of the run screen: which of its lines are shown, whole or cut, and the keys for it."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final

from textual.app import SuspendNotSupported

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.filtering import fits
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import LogLine, RunView
from musubi_tui.tui.screens.run.steering import SteeringScreen
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.lines import Lines

LEVELS: Final = ("", "warn", "bad")
_LEVEL_WORDS = {"warn": say("warnings+", "警告以上"), "bad": say("errors", "エラー")}
_MOST_BYTES = 8 << 20


class LogScreen(SteeringScreen):
    """The part of the run screen that has a log with a filter, in the tab "log" of its lowest panel."""

    TABS: ClassVar[tuple[str, ...]] = ("log", "samples", "t-hist", "blocks", "alerts")

    def __init__(self, source: RunSource) -> None:
        super().__init__(source)
        self.tab = self.TABS[0]
        self.back = 0  # lines scrolled up
        self.words = ""  # that lines must have
        self.wrap = False  # long lines go on below
        self.level = ""  # of ``LEVELS``: lines of less weight are not shown

    @abstractmethod
    def action_show_tab(self, tab: str) -> None:
        """This tab."""

    @abstractmethod
    def keep_soon(self) -> None:
        """What is seen now is there again the next time."""

    def _log(self, view: RunView) -> Sequence[LogLine]:
        """The lines of the log that the filter and the level keep."""
        kept: Sequence[LogLine] = view.log
        if self.level:
            kept = [line for line in kept if line.role in LEVELS[LEVELS.index(self.level) :]]
        return [line for line in kept if fits(self.words, line.text)] if self.words else kept

    def _log_title(self) -> str:
        """The word of the tab, and what is left out."""
        title = say("log", "ログ")
        if self.level:
            title += f" {_LEVEL_WORDS[self.level]}"
        if self.words:
            title += f" /{clean(self.words)}"
        if (self.words or self.level) and self.view is not None:
            title += f" {len(self._log(self.view))}/{len(self.view.log)}"
        return title

    def action_level(self) -> None:
        """All lines, warnings and errors, errors only."""
        self.level = LEVELS[(LEVELS.index(self.level) + 1) % len(LEVELS)]
        self.action_show_tab("log")

    def action_copy_line(self) -> None:
        """Copy the lowest line that is shown: of the log whole, of the other lists as it stands there."""
        told = self._log(self.view) if self.view is not None else ()
        if self.tab == "log":
            text = clean(told[max(0, len(told) - 1 - self.back)].text) if told else ""
        else:
            shown = [line.strip() for line in self.query_one("#bottom", Lines).plain().splitlines()]
            text = next((line for line in reversed(shown) if line), "")
        copy = getattr(self.app, "copy", None)
        if text and copy is not None:
            copy(text)
        elif not text:
            self.tell(say("there is no line to copy", "コピーする行がありません"))

    def action_editor(self) -> None:
        """The whole log in the person's own editor, on a copy."""
        from musubi_tui.tui.screens.preset.outside import edit_outside

        wrong, text = "", self._whole_log()
        try:
            with self.app.suspend():  # nothing may be raised through it: Textual would not take the terminal back
                try:
                    edit_outside(text, "engine.log")
                except (UserError, OSError) as error:
                    wrong = str(error)
        except SuspendNotSupported:
            wrong = say("There is no terminal here for another editor.", "ここでは他のエディターを開けません。")
        if wrong:
            self.tell(wrong)

    def _whole_log(self) -> str:
        """What the engine printed, as far as an editor can bear it; of a recording the lines that are known."""
        if self.source.run is not None:
            with contextlib.suppress(FileNotFoundError), self.source.run.engine_log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _MOST_BYTES))
                return file.read().decode("utf-8", "replace")
        lines = self.view.log if self.view is not None else ()
        return "".join(f"{datetime.fromtimestamp(line.t):%H:%M:%S} {clean(line.text)}\n" for line in lines)

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
        self.keep_soon()
        self.draw()

    def on_input_submitted(self) -> None:
        """Back to the log; the filter stays, and stands in its title."""
        self.query_one("#bottom").focus()

    def action_clear(self) -> None:
        """Clear and close the filter; all lines again."""
        self.level = ""
        self.keep_soon()
        self.draw()
        field = self.query_one("#find", Field)
        if field.display:
            field.value, field.display = "", False
            self.query_one("#bottom").focus()
