"""The one small language of every filter: all words must be found (``a b``), one of several (``a|b``), or none (``!a``)."""

from __future__ import annotations


def fits(words: str, text: str) -> bool:
    """Whether a filter keeps ``text``, whatever the case."""
    text = text.casefold()
    for word in words.casefold().split():
        wanted = not word.startswith("!")
        choices = [choice for choice in word.lstrip("!").split("|") if choice]
        if choices and any(choice in text for choice in choices) is not wanted:
            return False
    return True
