"""Names of files as they can be shown, and pasted into a shell: one with bytes that are no UTF-8 is ``$'caf\\xe9.png'`` wherever it is told."""

from __future__ import annotations

import re

_ODD = re.compile("[\udc80-\udcff]")
_ODD_NAME = re.compile("[^\\s/:,;()\"']*[\udc80-\udcff][^\\s/:,;()\"']*")
_MOST = 80  # characters of a name that are shown
_LONG_NAME = re.compile(rf"[^/\s、。「」(),:'\"]{{{_MOST + 1},}}")


def spelled(text: str) -> str:
    """A sentence without the half characters in which Python keeps bytes that are no UTF-8 (PEP 383): names with such are spelled for a shell."""
    if text.isascii():
        return text
    return _plain(_ODD_NAME.sub(lambda found: _for_shell(found[0]), text) if _ODD.search(text) else text)


def spelled_path(path: str) -> str:
    """A path without these, spelled so where that is needed: ``/pictures/$'caf\\xe9.png'``."""
    if path.isascii():
        return path
    return _plain("/".join(_for_shell(part) if _ODD.search(part) else part for part in path.split("/")))


def shell_word(path: str) -> str:
    """A path as one word for a shell, also where its name is no UTF-8."""
    import shlex

    return _plain(_for_shell(path)) if _ODD.search(path) else shlex.quote(path)


def _for_shell(text: str) -> str:
    """One word of a shell in which these bytes are escaped."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + _ODD.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", escaped) + "'"


def _plain(text: str) -> str:
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def named(path: str, source: str = "", line: int = 0, *, whole: bool = False) -> str:
    """What people are told a file is, by its name or its ``whole`` path: ``cat.png``, and ``cat.png (list.jsonl:12)`` where the list ``source`` names it.

    A line of a list that leads to no file has the list's own path and is told as ``list.jsonl:12``.
    """
    parts = spelled_path(path).split("/")
    name = "/".join(map(shortened, parts)) if whole else shortened(parts[-1])
    if not line:
        return name
    return (
        f"{name}:{line}" if path == source else f"{name} ({shortened(spelled_path(source).rpartition('/')[2])}:{line})"
    )


def readable(text: str) -> str:
    """A sentence in which words and names that are too long to be read have their middle left out."""
    return _LONG_NAME.sub(lambda found: shortened(found[0]), text) if len(text) > _MOST else text


def shortened(text: str, most: int = _MOST) -> str:
    """Long names with their middle left out: begin and end tell more than either alone."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
