"""Names of files as they can be shown: bytes that are no UTF-8 are spelled ``\\xe9``, as a shell takes them in ``$'…'``."""

from __future__ import annotations

import re

_MOST = 80  # characters of a name that are shown
_LONG_NAME = re.compile(rf"[^/\s、。「」(),:'\"]{{{_MOST + 1},}}")


def spelled(text: str) -> str:
    """The text without the half characters in which Python keeps bytes that are no UTF-8 (PEP 383)."""
    if text.isascii():
        return text
    shown = "".join(f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in text)
    return shown.encode("utf-8", errors="backslashreplace").decode("utf-8")


def shell_word(path: str) -> str:
    """A path as one word for a shell, also where its name is no UTF-8."""
    import shlex

    if spelled(path) == path:
        return shlex.quote(path)
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{spelled(escaped)}'"


def named(path: str, source: str = "", line: int = 0, *, whole: bool = False) -> str:
    """What people are told a file is, by its name or its ``whole`` path: ``cat.png``, and ``cat.png (list.jsonl:12)`` where the list ``source`` names it.

    A line of a list that leads to no file has the list's own path and is told as ``list.jsonl:12``.
    """
    name = "/".join(map(shortened, path.split("/"))) if whole else shortened(path.rpartition("/")[2])
    if not line:
        return name
    return f"{name}:{line}" if path == source else f"{name} ({shortened(source.rpartition('/')[2])}:{line})"


def readable(text: str) -> str:
    """A sentence in which words and names that are too long to be read have their middle left out."""
    return _LONG_NAME.sub(lambda found: shortened(found[0]), text) if len(text) > _MOST else text


def shortened(text: str, most: int = _MOST) -> str:
    """Long names with their middle left out: begin and end tell more than either alone."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
