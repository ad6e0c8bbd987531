"""The caption under edit: a field in the preview panel. ctrl+s keeps it, escape leaves it."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import TextArea

from engine.config.language import say
from musubi_tui.tui.keymap import key


class CaptionEditor(TextArea):
    """Says ``Kept`` with the text, or ``Left``. The cursor stands still, as in ``Field``."""

    cursor_blink = reactive(False, init=False)

    BINDINGS: ClassVar[list[BindingType]] = [
        key("caption.keep", "ctrl+s", "keep", say("keep", "保存"), show=True),
        key("caption.leave", "escape", "leave", say("leave", "やめる"), show=True),
    ]

    class Kept(Message):
        """The text is to be written."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """Nothing is to be written."""

    def __init__(self, text: str, row: int, on_disk: str | None) -> None:
        """``on_disk`` is what lay there when it opened, as ``CaptionPlace.raw`` gives it."""
        super().__init__(text, soft_wrap=True, id="caption-editor", tab_behavior="focus", compact=True)
        self.row, self.on_disk = row, on_disk
        self.cursor_blink = False
        self.move_cursor(self.document.end)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Blank once it is taken off the screen: Textual may still ask, and TextArea has no styles by then."""
        if not self.is_attached:
            return [Strip.blank(crop.width, Style())] * crop.height
        return super().render_lines(crop)

    def action_keep(self) -> None:
        """Keep."""
        self.post_message(self.Kept(self.text))

    def action_leave(self) -> None:
        """Leave."""
        self.post_message(self.Left())
