"""Words from outside (captions, file names, prompts) may hold anything; what steers a terminal never reaches it."""

from __future__ import annotations


def clean(text: str) -> str:
    """``text`` on one line without control characters (escape sequences would steer the terminal)."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in text)


def clean_lines(text: str) -> str:
    """The same for a text of several lines, which stay."""
    return "\n".join(clean(line) for line in text.split("\n"))
