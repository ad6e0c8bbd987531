"""``g``: a strip that says where one can go, and goes there with the next key. ``gg`` is the top of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Key
from textual.screen import ModalScreen

from engine.config.language import say
from musubi_tui.tui.keymap import key
from musubi_tui.tui.modes import MODES
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp

LETTERS = {"j": "jobs", "p": "preset", "d": "data", "r": "run", "c": "compare", "t": "tools", "e": "generate"}
TOP = "top"


def go(app: MusubiApp) -> None:
    """Open the strip, unless a dialog is open."""
    if isinstance(app.screen, ModalScreen):
        return
    focused = app.focused
    has_top = focused is not None and hasattr(focused, "action_top")

    def chosen(place: str | None) -> None:
        if place == TOP and focused is not None:
            focused.action_top()  # type: ignore[attr-defined]
        elif place:
            app.call_later(app.action_mode, place)

    app.push_screen(GoScreen(top=has_top), chosen)


class GoScreen(Dialog[str | None]):
    """Dismissed with a mode, ``TOP``, or nothing."""

    CSS = """
    GoScreen { align: left bottom; background: transparent; }
    GoScreen > Plain { width: 100%; height: auto; background: $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [key("go.close", "escape", "dismiss", say("close", "閉じる"))]

    def __init__(self, *, top: bool) -> None:
        super().__init__()
        titles = {mode.id: mode.title for mode in MODES}
        self._places = dict(LETTERS) | ({"g": TOP} if top else {"g": "generate"})
        words = [f"{letter} {titles[mode]}" for letter, mode in LETTERS.items()]
        words += [say("g top", "g 先頭")] if top else []
        self._text = say("go to:  ", "移動:  ") + "  ".join(words)

    def compose(self) -> ComposeResult:
        """The strip."""
        yield Plain(self._text)

    def on_key(self, event: Key) -> None:
        """Go; any other key closes."""
        if event.key != "escape":
            event.stop()
            self.dismiss(self._places.get(event.key))
