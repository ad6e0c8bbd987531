"""The top line: the seven modes with their keys, and how the app is reached. A click switches. One widget: nine cost 40 ms of a start."""

from __future__ import annotations

from textual.events import Click

from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.link import Link, way
from musubi_tui.tui.modes import MODES
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.lines import Lines, Span, justify, width_of
from musubi_tui.tui.widgets.status_bar import hook_text


class ModeBar(Lines):
    """The line itself; the current mode stands in brackets, so that it shows without colour."""

    DEFAULT_CSS = "ModeBar { height: 1; width: 1fr; background: $panel; }"

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current
        self._told = self._hook = ""
        self.facts = ""  # before how the app is reached, where there is room
        self._places: list[tuple[int, str]] = []  # (first cell behind it, mode)

    def tell(self, text: str) -> None:
        """Words for the right end instead of how the app is reached; empty: that again."""
        self._told = text
        self.draw()

    def count_down(self, view: View) -> None:
        """On a screen without a status line: the command after a run that waits here, and the key that cancels it."""
        hook = f"! {hinted(self.app, hook_text(view.hooks[0]))}" if view.hooks else ""
        if hook != self._hook:
            self._hook = hook
            self.draw()

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw; what has not changed costs nothing."""
        spans: list[Span] = [(" musubi", "brand")]
        self._places = [(width_of(spans), "")]
        for number, mode in enumerate(MODES, 1):
            label = f"{number} {mode.title}"
            spans.append((f"[{label}]", "bold") if mode.id == self._current else (f" {label} ", ""))
            self._places.append((width_of(spans), mode.id))
        told = self._hook or "   ".join(filter(None, (self.facts, self._told or self._link())))
        self.show([justify(spans, [(f"{told} ", "warn" if self._hook else "muted")], self.size.width)])

    async def on_click(self, event: Click) -> None:
        """Switch to the mode under the pointer."""
        event.stop()
        mode = next((mode for stop, mode in self._places if event.x < stop), "")
        if mode:
            await self.app.run_action(f"mode('{mode}')")

    def _link(self) -> str:
        link = getattr(self.app, "link", None) or Link(way())  # a screen may stand in another app
        return str(link.text())
