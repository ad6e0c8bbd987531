"""The lowest line: keys that work now and what they do. Like Textual's footer, but one line of cells.

The footer mounts its keys anew whenever the focus moves, which lays out the whole screen again (60 to 90 ms on the run
screen); this one compares and paints what changed.
"""

from __future__ import annotations

from textual.events import Click
from textual.screen import Screen

from musubi_tui.tui.widgets.lines import Lines, Span, width_of


class KeyLine(Lines):
    """Docked at the bottom. A click on a key does what the key does."""

    DEFAULT_CSS = "KeyLine { dock: bottom; height: 1; width: 1fr; background: $footer-background; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._places: list[tuple[int, str]] = []  # (first cell behind it, key)

    def on_mount(self) -> None:
        """Hear of changes."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def on_resize(self) -> None:
        """Draw at the new size."""
        self._changed(self.screen)

    def on_click(self, event: Click) -> None:
        """Press the key under the pointer."""
        key = next((key for stop, key in self._places if event.x < stop), None)
        if key is not None:
            self.app.simulate_key(key)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is not self.screen or not self.is_attached:
            return
        spans: list[Span] = []
        self._places = []
        actions: set[str] = set()  # several keys of one action are shown once
        for _, binding, enabled, _ in screen.active_bindings.values():
            if not binding.show or binding.action in actions:
                continue
            actions.add(binding.action)
            words = f" {binding.description} "
            spans += [(f" {self.app.get_key_display(binding)}", "key" if enabled else "muted"), (words, "" if enabled else "muted")]  # fmt: skip
            self._places.append((width_of(spans), binding.key))
        self.show([spans])
