"""One number asked for: the factor on the learning rate, from now on."""

from __future__ import annotations

import math

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import Input, Static

from engine.config.language import say
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.field import Field


class TuneScreen(Dialog[float]):
    """Dismissed with the factor, or with nothing."""

    CSS_PATH = "tune.tcss"

    def __init__(self, twin: str) -> None:
        super().__init__()
        self._twin = twin

    def compose(self) -> ComposeResult:
        """The question and a field."""
        with Vertical(id="tune"):
            yield Static(say("Learning-rate factor", "学習率の係数"), classes="title", markup=False)
            yield Static(
                say("The schedule's rate is multiplied by it from the next step on.", "次のステップからスケジュールの学習率に掛けます。"),
                markup=False,
            )  # fmt: skip
            yield Field("0.5", type="number", id="factor")
            yield Static(f"{self._twin}0.5", classes="twin", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The command line that does the same."""
        self.query_one(".twin", Static).update(f"{self._twin}{event.value}")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the number, if it is one."""
        try:
            factor = float(event.value)
        except ValueError:
            return
        if math.isfinite(factor):
            self.dismiss(factor)

    def on_key(self, event: Key) -> None:
        """Escape leaves everything as it is."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)
