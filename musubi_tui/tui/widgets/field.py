"""A field to type in, whose cursor stands still: nothing on screen moves, and no byte is sent, unless something happened."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Input


class Field(Input):
    """Textual's input without the blinking."""

    cursor_blink = reactive(False, init=False)
