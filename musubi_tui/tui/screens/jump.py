"""``ctrl+o``: a letter on every panel; typing it goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import Click, Key, Resize
from textual.geometry import Offset, Size
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from engine.config.language import say
from musubi_tui.tui.keymap import key
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


def jump(app: MusubiApp) -> None:
    """Open the letters over the screen, unless a dialog is open or there is only one place to be."""
    if isinstance(app.screen, ModalScreen):
        return
    panels = jump_targets(app.screen)
    if len(panels) < 2:
        app.tell(say("There is one panel here.", "この画面のパネルは 1 つです。"))
        return
    app.push_screen(JumpScreen(dict(zip(LETTERS, panels))), lambda panel: panel.focus() if panel else None)


def jump_targets(screen: Screen[object]) -> list[Widget]:
    """The panels that can be focused now, top left first."""
    panels = [widget for widget in screen.focus_chain if widget.region.area > 0]
    return sorted(panels, key=lambda widget: (widget.region.y, widget.region.x))[: len(LETTERS)]


class Letter(Plain):
    """One letter, over the top left corner of its panel; a click on it goes there, too."""

    def __init__(self, letter: str, panel: Widget) -> None:
        super().__init__(f" {letter} ")
        self._panel = panel
        self.styles.offset = Offset(panel.region.x, panel.region.y)

    def on_click(self, event: Click) -> None:
        """Go."""
        event.stop()
        self.screen.dismiss(self._panel)


class JumpScreen(Dialog[Widget | None]):
    """Dismissed with the panel, or with nothing."""

    CSS = """
    JumpScreen { background: transparent; layers: letters; }
    Letter { position: absolute; width: 3; height: 1; background: $accent; color: $background; text-style: bold reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("jump.close", "escape,ctrl+o", "dismiss", say("close", "閉じる")),
    ]

    def __init__(self, targets: dict[str, Widget]) -> None:
        super().__init__()
        self._targets = targets
        self._drawn_at: Size | None = None

    def compose(self) -> ComposeResult:
        """The letters."""
        for letter, panel in self._targets.items():
            yield Letter(letter, panel)

    def on_key(self, event: Key) -> None:
        """Go, or close for a letter that is on no panel."""
        if event.key in ("escape", "ctrl+o"):
            return
        event.stop()
        self.dismiss(self._targets.get(event.key))

    def on_resize(self, event: Resize) -> None:
        """In a terminal of another size the panels have moved."""
        self._drawn_at = self._drawn_at or event.size
        if event.size != self._drawn_at:
            self.dismiss(None)
