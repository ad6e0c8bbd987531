"""Screens that answer once, and dialogs, which are such screens. More keys of the same moment come too late and do nothing."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.screen import ModalScreen, Screen

from engine.config.language import say
from musubi_tui.tui.keymap import key

Result = TypeVar("Result")
CANCEL_KEYS = "ctrl+g"
CANCEL_WORDS = say("cancel the command after the run", "終了後コマンドの取り消し")


class AnswersOnce(Screen[Result], Generic[Result]):
    """A screen whose second dismissal does nothing: Textual would take another screen away, or fail."""

    _answer: tuple[Result | None] | None = None

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Close with ``result``, unless it is closed already; under another screen it closes when that one goes."""
        if self._answer is not None:
            return AwaitComplete()
        self._answer = (result,)
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()

    def on_screen_resume(self) -> None:
        """Close now, if the answer came while another screen lay above."""
        if self._answer is not None and self.app.screen is self:
            super().dismiss(self._answer[0])


class Dialog(ModalScreen[Result], AnswersOnce[Result], Generic[Result]):
    """A modal screen that answers once; every dialog of the app is one. ``ModalScreen`` stands first for its style.

    The app's own keys do not reach through it, but a countdown that stops the machine can be cancelled here, too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [key("app.cancel_hook", CANCEL_KEYS, "app.cancel_hook", CANCEL_WORDS)]
