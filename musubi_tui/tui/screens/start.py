"""``n``: a run from a preset. The file is checked as ``presets check`` does; what is wrong stays on the screen, nothing starts."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static

from engine.config.language import say
from musubi_tui.runs.home import Home, survives
from musubi_tui.tui.keymap import key
from musubi_tui.tui.steering import start

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


class StartScreen(ModalScreen[None]):
    """Asks for the path. Closes when the run has started."""

    CSS_PATH = "start.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [key("start.close", "escape", "dismiss", say("close", "閉じる"))]

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._home = home
        self._busy = False

    def compose(self) -> ComposeResult:
        """The question, the answer, and what is wrong with it."""
        found = sorted(path.name for path in Path.cwd().glob("*.toml"))
        with Vertical(id="start"):
            yield Static(
                say("Start a run of which preset?", "どのプリセットで run を始めますか？"),
                classes="title",
                markup=False,
            )
            yield Input(
                placeholder=say("path or name of a preset", "プリセットのパスまたは名前"),
                suggester=SuggestFromList(found, case_sensitive=True),
                compact=True,
                id="path",
            )
            yield Static(self._where(), markup=False, classes="text")
            yield VerticalScroll(Static(markup=False, id="told"), can_focus=False)

    def _where(self) -> str:
        text = say(f"The run goes to {self._home.path}.", f"run の保存先: {self._home.path}")
        if not survives(self._home.path):
            text += say(
                " It is on the container's own disk: gone when it stops.",
                " コンテナのディスク上のため、停止すると消えます。",
            )
        return text + say("\nenter starts, esc closes.", "\nenter で開始、esc で閉じます。")

    def cli_twin(self) -> str:
        """``train`` of this preset."""
        return f"musubi-tui train {shlex.quote(self.query_one(Input).value or 'PRESET')} --detach"

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Check and start, off this thread."""
        if self._busy or not event.value.strip():
            return
        self._busy = True
        self.query_one("#told", Static).update(say("Checking …", "検査中 …"))
        preset = os.path.expanduser(event.value.strip())
        cast("MusubiApp", self.app).in_background(lambda: start(preset, self._home), self._started, self._refused)

    def _started(self) -> None:
        if self.is_attached:
            self.dismiss(None)

    def _refused(self, text: str) -> None:
        self._busy = False
        if self.is_attached:
            self.query_one("#told", Static).update(text)
