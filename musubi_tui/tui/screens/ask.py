"""One question with one line for the answer: a price, a number of steps, a note. What is wrong with it stays on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input

from engine.config.language import say
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


class AskScreen(Dialog[None]):
    """``job`` gets the answer on a thread and returns a sentence, or raises ``UserError``: then the question stays.

    ``twin`` makes the command of an answer. An empty answer is one where ``may_be_empty``.
    """

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [key("ask.close", "escape", "dismiss", say("close", "閉じる"))]

    def __init__(
        self,
        title: str,
        text: str,
        job: Callable[[str], str],
        twin: Callable[[str], str],
        *,
        value: str = "",
        hint: str = "",
        may_be_empty: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._text, self._job, self._twin = title, text, job, twin
        self._value, self._hint, self._may_be_empty = value, hint, may_be_empty
        self._busy = False

    def compose(self) -> ComposeResult:
        """Question, line, what is wrong, the command."""
        with Vertical(id="ask"):
            yield Plain(self._title, classes="title")
            yield Plain(self._text)
            yield Field(self._value, placeholder=self._hint, compact=True, id="answer")
            yield Plain(
                hinted(
                    self.app,
                    say(
                        "enter does it, {ask.close} closes, {dialog.copy_twin} copies the command",
                        "enter で実行、{ask.close} で閉じ、{dialog.copy_twin} でコマンドをコピー",
                    ),
                ),
                classes="text",
            )
            yield Plain(self._twin(self._value), id="twin", classes="text")
            yield Plain(id="told")

    def cli_twin(self) -> str:
        """The command of the answer so far."""
        return self._twin(self.query_one(Input).value.strip())

    def on_input_changed(self) -> None:
        """Show its command; what was wrong with the answer before is not about this one."""
        self.query_one("#twin", Plain).update(self.cli_twin())
        if not self._busy:
            self.query_one("#told", Plain).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do it, off this thread."""
        answer = event.value.strip()
        if self._busy or not (answer or self._may_be_empty):
            return
        self._busy = True
        told = self.query_one("#told", Plain)
        told.update(say("One moment …", "処理中 …"))
        told.add_class("-busy")
        cast("MusubiApp", self.app).in_background(lambda: self._job(answer), self._done, self._refused)

    def _done(self) -> None:
        if self.is_attached:
            self.dismiss(None)

    def _refused(self, text: str) -> None:
        self._busy = False
        if self.is_attached:
            told = self.query_one("#told", Plain)
            told.remove_class("-busy")
            told.update(text)
