"""The top line: the seven modes with their keys, and how the app is reached. A click switches."""

from __future__ import annotations

import os

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Click
from textual.widgets import Static

from musubi_tui.tui.modes import MODES


class ModeTab(Static):
    """One mode; the current one stands in brackets, so that it shows without colour."""

    def __init__(self, number: int, mode: str, title: str, *, current: bool) -> None:
        label = f"{number} {title}"
        super().__init__(f"[{label}]" if current else f" {label} ", markup=False, classes="-current" if current else "")
        self._mode = mode

    async def on_click(self, event: Click) -> None:
        """Switch to the mode."""
        event.stop()
        await self.app.run_action(f"mode('{self._mode}')")


class ModeBar(Horizontal):
    """The line itself."""

    DEFAULT_CSS = """
    ModeBar { height: 1; background: $panel; }
    ModeBar > Static { width: auto; }
    ModeBar > .brand { text-style: bold; color: $primary; }
    ModeBar > ModeTab.-current { text-style: bold; }
    ModeBar > .link { width: 1fr; text-align: right; color: $text-muted; }
    """

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def compose(self) -> ComposeResult:
        """Brand, tabs, link."""
        yield Static(" musubi", markup=False, classes="brand")
        for number, mode in enumerate(MODES, 1):
            yield ModeTab(number, mode.id, mode.title, current=mode.id == self._current)
        yield Static(f"{link()} ", markup=False, classes="link")


def link() -> str:
    """How the terminal is reached: ``ssh``, ``tmux``, both, or ``local``."""
    parts = [word for word, variable in (("ssh", "SSH_CONNECTION"), ("tmux", "TMUX")) if os.environ.get(variable)]
    return "+".join(parts) or "local"
