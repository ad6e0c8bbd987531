"""A field to type in, whose cursor stands still: nothing on screen moves, and no byte is sent, unless something happened.

Secrets that stand in it or are typed into it are drawn as stars.
"""

from __future__ import annotations

from typing import Any

from rich.highlighter import Highlighter
from rich.text import Text
from textual.reactive import reactive
from textual.widgets import Input


class Stars(Highlighter):
    """Draws as many stars as a secret has characters, so that the cursor stays where it is."""

    def highlight(self, text: Text) -> None:
        """Put the stars."""
        if len(text.plain) >= 8:
            from engine.events.redaction import starred  # its patterns take longer than the app has for its start

            text.plain = starred(text.plain)


class Field(Input):
    """Textual's input without the blinking and without secrets to be seen."""

    cursor_blink = reactive(False, init=False)

    def __init__(self, value: str | None = None, **settings: Any) -> None:
        super().__init__(value, highlighter=Stars(), **settings)
