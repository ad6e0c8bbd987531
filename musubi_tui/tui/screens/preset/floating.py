"""What every edit of the form stands on: changing the draft (a long text beside the keys), and the one editor that floats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual import on
from textual.geometry import Offset
from textual.widgets import Input

from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import ConfigError
from musubi_tui.presets.completing import working_folder
from musubi_tui.presets.dataset_cells import DatasetCell
from musubi_tui.presets.draft import rewritten
from musubi_tui.tui.screens.preset.frame import EditorFrame
from musubi_tui.tui.widgets.grid import PropertyGrid
from musubi_tui.tui.widgets.toml_view import TomlText

HEAVY = 100_000  # characters; reading a longer text takes more than a key may


class Floating(EditorFrame):
    """``_typing`` is what the floating editor stands on: an option, or a key of a dataset table."""

    _typing: Option | DatasetCell | None = None

    def changed(self) -> None:
        """The draft is another one: draw it, keep it, check it. Overridden where those are."""
        if self.text_is_edited and self.draft is not None:
            self._follow_text(self.draft.text)
        self.draw()

    def _follow_text(self, text: str) -> None:
        """The text editor shows what the draft became by other ways than typing; the cursor stays."""
        area = self.query_one(TomlText)
        if rewritten(text, area.document.lines) != text:
            place = area.cursor_location
            area.load_text(text)
            area.move_cursor(place)

    def attempt(self, change: Callable[[], object]) -> None:
        """Change the draft. What is refused is told; a long text is changed beside the screen, one change at a time."""
        if self.draft is None:
            return
        if self.busy:
            self.say_note(say("still working on the last change …", "前の変更を処理中です …"))
            return
        if len(self.draft.text) <= HEAVY:
            self._finish(tried(change))
            return
        self.busy = True
        self.say_note(say("working …", "処理中 …"))
        self.run_worker(self._attempt_beside(change), exclusive=False)

    async def _attempt_beside(self, change: Callable[[], object]) -> None:
        draft = self.draft
        refused = await asyncio.to_thread(tried, change)
        if draft is not None:
            await asyncio.to_thread(lambda: draft.facts.lines_of_pairs)
        self.busy = False
        self._finish(refused)

    def _finish(self, refused: str) -> None:
        self.note = refused
        self.changed()

    def place_value(self) -> bool:
        """Put the floating editor on the value under the cursor; whether that is on the screen."""
        grid, field = self.query_one(PropertyGrid), self.query_one("#value", Input)
        region = grid.value_region()
        if region is None:
            return False
        place = grid.region.offset - self.query_one("#form").content_region.offset
        field.styles.offset = Offset(place.x + region.x, place.y + region.y)
        field.styles.width = region.width
        return True

    @on(PropertyGrid.Scrolled)
    def grid_scrolled(self) -> None:
        """The titles follow the width; the floating editor stays on its value, and goes when that is scrolled away."""
        self.draw_columns()
        if self._typing is not None and not self.place_value():
            self.close_value()

    def close_value(self) -> None:
        """The floating editor goes."""
        self._typing = None
        self.remove_class("-typing")
        self.query_one(PropertyGrid).focus()
        self.draw_dock()

    def base_folder(self) -> Path:
        """What relative paths of the file count from."""
        reading = self.draft.facts.reading if self.draft else None
        ours = reading is not None and reading.identity is not None and reading.identity.dialect == "musubi-tui"
        return self.draft.path.parent if self.draft and ours else working_folder()


def tried(change: Callable[[], object]) -> str:
    """Do it; why it was refused, in one line."""
    try:
        change()
    except ConfigError as error:
        problem = error.problems[0]
        return f"{problem.message} {problem.fix}".strip()
    return ""
