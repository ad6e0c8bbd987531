"""What a person typed while the terminal was asked something before the app: it came with the answer, and the app reads it later.

A process has one terminal, so there is one such text.
"""

from __future__ import annotations

import re

_typed = bytearray()
_ANSWERS = re.compile(rb"\x1b_G[^\x1b]*\x1b\\|\x1b\[\??[\d;]*[cntR]")


def keep(read: bytes) -> None:
    """Keep what is left of the bytes that were read when the terminal's own answers are taken out."""
    _typed.extend(_ANSWERS.sub(b"", read))


def take() -> bytes:
    """All of it, once."""
    typed = bytes(_typed)
    _typed.clear()
    return typed
