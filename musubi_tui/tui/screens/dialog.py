"""Screens that answer once, and dialogs, which are such screens. More keys of the same moment come too late and do nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.screen import ModalScreen, Screen

from engine.config.language import say
from musubi_tui.tui.keymap import key

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp

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

    Textual leaves the app's keys out while a modal screen is open: help, copying, and cancelling a countdown that stops the machine
    are bound here once more. In a field the letters are text, so each has a key that is none.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("app.cancel_hook", CANCEL_KEYS, "app.cancel_hook", CANCEL_WORDS),
        key("dialog.help", "f1,question_mark", "help", say("keys", "キー")),
        key("dialog.copy_twin", "ctrl+y,Y", "copy_twin", say("copy the shell command", "シェルのコマンドをコピー")),
    ]

    def own_keys(self) -> Iterable[tuple[str, str]]:
        """(key, what it does) of the keys that the dialog reads itself."""
        return ()

    def action_help(self) -> None:
        """The keys that work here."""
        cast("MusubiApp", self.app).action_help()

    def action_copy_twin(self) -> None:
        """Copy the command that does what the dialog would do; below one that does nothing, that of the screen."""
        cast("MusubiApp", self.app).action_copy_twin()
