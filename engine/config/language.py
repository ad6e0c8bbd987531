"""English or Japanese, by the environment: every message to a person is written in both beside each other.

``say("Step done.", "ステップ完了。")`` picks one when the message is made, so neither twin can be forgotten.
"""

from __future__ import annotations

import os
from functools import cache


@cache
def language() -> str:
    """``"ja"`` when MUSUBI_TUI_LANG, LC_ALL, LC_MESSAGES or LANG (the first that is set) starts with "ja", else ``"en"``."""
    for variable in ("MUSUBI_TUI_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable)
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"


def say(en: str, ja: str) -> str:
    """The twin of the user's language."""
    return ja if language() == "ja" else en


def counted(count: int, one: str, more: str = "") -> str:
    """A number with its English noun: ``1 file``, ``3 files``; with a verb ``counted(n, "file is", "files are")``."""
    return f"{count} {one if count == 1 else more or one + 's'}"
