"""How wide text is on a terminal."""

from __future__ import annotations

import unicodedata


def padded(text: str, width: int) -> str:
    """``text`` with blanks behind it up to ``width`` cells."""
    return text + " " * (width - cells(text))


def cells(text: str) -> int:
    """Terminal cells of ``text``: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
