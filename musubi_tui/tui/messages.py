"""What threads tell the app."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message

from musubi_tui.tui.view import View


class ViewRead(Message):
    """The reader has something new."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view


class Told(Message):
    """A background job ended: a sentence, or what went wrong."""

    def __init__(self, text: str, wrong: bool = False, then: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.text, self.wrong, self.then = text, wrong, then
