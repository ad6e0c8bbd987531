"""A question before something that cannot be taken back at once: what happens, and the choices with their keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.events import Click, Key

from engine.config.language import say
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.plain import Plain


@dataclass(frozen=True)
class Choice:
    """``id`` is the answer; ``key`` picks it."""

    id: str
    key: str
    text: str


class ChoiceLine(Plain):
    """One choice; a click picks it."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(f" {choice.key}  {choice.text}", classes="choice")
        self.choice = choice

    def on_click(self, event: Click) -> None:
        """Pick."""
        event.stop()
        self.screen.dismiss(self.choice.id)


class ConfirmScreen(Dialog[str]):
    """Dismissed with the id of the choice, or with nothing. A text that is long is scrolled, so that the choices stay in sight.

    ``twin`` is the command line without its last word, which is the choice, or ``complete``; empty where no command does it.
    """

    CSS_PATH = "confirm.tcss"

    def __init__(
        self, title: str, text: str, choices: tuple[Choice, ...], twin: str, *, complete: bool = False
    ) -> None:
        super().__init__()
        self._title, self._text, self._choices = title, text, choices
        self._twin = twin if complete or not twin else twin + "|".join(choice.id for choice in choices)

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical(id="confirm"):
            yield Plain(self._title, classes="title")
            yield VerticalScroll(Plain(self._text), id="text")
            for choice in self._choices:
                yield ChoiceLine(choice)
            copies = say("   {dialog.copy_twin}  copy the command below", "   {dialog.copy_twin}  下のコマンドをコピー")
            leave = say(" esc  leave it as it is", " esc  何もしない") + (copies if self._twin else "")
            yield Plain(hinted(self.app, leave), classes="choice")
            if self._twin:
                yield Plain(self._twin, classes="twin")

    def cli_twin(self) -> str:
        """The command of the first choice, or the first of several commands."""
        first, _, others = self._twin.partition("|")
        return first if others else self._twin.partition("\n")[0]

    def own_keys(self) -> Iterable[tuple[str, str]]:
        """The choices."""
        return [*((choice.key, choice.text) for choice in self._choices), ("esc q", say("leave it as it is", "何もしない"))]  # fmt: skip

    def on_key(self, event: Key) -> None:
        """Pick by key."""
        for choice in self._choices:
            if event.key == choice.key:
                event.stop()
                self.dismiss(choice.id)
                return
        if event.key in ("escape", "q"):
            event.stop()
            self.dismiss(None)
