"""Scroll bars of whole cells: for terminals that draw lines and blocks wrongly, the ends without eighths of a block."""

from __future__ import annotations

from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender

from musubi_tui.tui.glyphs import ASCII, Glyphs


class WholeCells(ScrollBarRender):
    """Textual's bar without the characters that make its ends finer than a cell."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def draw_scrollbars(glyphs: Glyphs) -> None:
    """Let all scroll bars of this program be drawn with characters of the set."""
    ScrollBar.renderer = WholeCells if glyphs is ASCII else ScrollBarRender
