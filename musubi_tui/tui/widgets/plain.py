"""Sentences on the screen, and the last door before the terminal.

Every dialog and notice is made of ``Plain``: no markup is read in it, control characters stand as what they are, and no secret
stays in it. ``NoEscapes`` looks at every line of every widget, Textual's own included: whatever was not cleaned loses what would
steer the terminal.
"""

from __future__ import annotations

import re

from rich.segment import Segment
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter
from textual.visual import VisualType
from textual.widget import Widget
from textual.widgets import Static

from musubi_tui.runs.plain_text import clean_lines

_STEERS = re.compile("[\x00-\x1f\x7f-\x9f]")


def safe(text: str) -> str:
    """``text`` as it may be shown: without secrets and control characters."""
    if len(text) < 8:
        return clean_lines(text)
    from engine.events.redaction import redact  # its patterns take longer than the app has for its start

    return clean_lines(redact(text))


class Plain(Static):
    """A text as it is written."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(safe(text) if text else "", markup=False, id=id, classes=classes)

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Another text."""
        super().update(safe(content) if isinstance(content, str) and content else content, layout=layout)


def entitle(widget: Widget, title: str) -> None:
    """Put words from outside into the border; the same ones again cost nothing."""
    content = Content(safe(title))
    if (widget.border_title or "") != content.markup:
        widget.border_title = content


class NoEscapes(LineFilter):
    """Control characters have no width, so that a line without them is as wide as before. Lines with control segments are those
    of pictures that the terminal draws itself: no text makes one."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments without what would steer the terminal."""
        if not any(_STEERS.search(segment.text) for segment in segments) or any(one.control for one in segments):
            return segments
        return [Segment(_STEERS.sub("", text), style, control) for text, style, control in segments]
