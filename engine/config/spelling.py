"""Names of files as they can be shown: bytes that are no UTF-8 are spelled ``\\xe9``, as a shell takes them in ``$'…'``."""

from __future__ import annotations


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


def shortened(text: str, most: int = 80) -> str:
    """Long names with their middle left out: begin and end tell more than either alone."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
