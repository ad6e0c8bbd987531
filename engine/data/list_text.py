"""The lines of a list, whatever it was saved as: UTF-8, another encoding that is named or recognised, with or without a byte-order mark.

Lines are kept as bytes, so that whoever changes one puts the others back as they were.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.captions import guessed_encoding, unmarked_utf16
from engine.data.reasons import look_command

_MARKS = (  # that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_WESTERN = ("utf-8", "cp1252")
_WITHOUT_MARK = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}


@dataclass(frozen=True)
class ListText:
    """``lines`` are bytes in ``encoding``, without the byte-order ``mark`` that the file begins with, if it does."""

    lines: list[bytes]
    encoding: str
    mark: bytes = b""

    def is_blank(self, line: bytes) -> bool:
        """Whether nothing but white space stands in a line."""
        return not line.strip() or (self._wide and not line.decode(self.encoding, "replace").strip())

    @property
    def _wide(self) -> bool:
        return len("\n".encode(self.encoding)) > 1

    def data(self) -> bytes:
        """All of it, as the file holds it."""
        return self.mark + "\n".encode(self.encoding).join(self.lines)

    def notices(self, path: Path, typed: str) -> Iterator[Problem]:
        """What is unusual about the list, as warnings; ``typed``: what a person types for the dataset."""
        look = f"{look_command(typed, 'show')} NAME"
        if self.mark:
            message = say(
                f"{path.name} begins with a byte-order mark; it is left out.",
                f"{path.name} はBOM付きです。BOMは無視します。",
            )
            yield Problem("byte_order_mark", message, file=str(path), severity="warning")
        elif self.encoding != "utf-8":
            yield Problem(
                "list_encoding",
                say(
                    f"{path.name} is not UTF-8 and read as {self.encoding}.",
                    f"{path.name} はUTF-8でないため、{self.encoding} として読みます。",
                ),
                say(
                    f"Look at an item: `{look}`; if its caption is wrong, set caption_encoding, or save the list as UTF-8.",
                    f"`{look}` で確かめ、違っていれば caption_encoding を書くか、UTF-8で保存し直してください。",
                ),
                file=str(path),
                severity="warning",
            )


def list_text(data: bytes, encoding: str | None = None) -> ListText:
    """The lines of a list. Lists are UTF-8 by right; what is not is read in ``encoding``, or in one that is recognised.

    A list with lines in UTF-8 and others that are not stays UTF-8: those lines are at fault.
    """
    for mark, known in _MARKS:
        if data.startswith(mark):
            return ListText(_split(data[len(mark) :], known), known, mark)
    lines = data.split(b"\n")
    if b"\0" in data[:4] and (wide := unmarked_utf16(data)):  # "{" is one byte, and the other is zero
        return ListText(_split(data, wide), wide)
    if _is_utf8(data):
        return ListText(lines, "utf-8")
    known = encoding or guessed_encoding(data) or "utf-8"
    least = 0x80 if known in _WESTERN else 0x800  # two letters of an Asian encoding may look like one of UTF-8
    if any(_is_utf8(line, least) for line in lines):
        return ListText(lines, "utf-8")
    known = _WITHOUT_MARK.get(codecs.lookup(known).name, known)
    return ListText(_split(data, known), known)


def _split(data: bytes, encoding: str) -> list[bytes]:
    """At line ends of that encoding. Where these are several bytes they are looked for in the text, not among its bytes."""
    end = "\n".encode(encoding)
    if len(end) == 1:
        return data.split(end)
    try:
        return [line.encode(encoding) for line in data.decode(encoding).split("\n")]
    except UnicodeError:
        return [data]  # one line that cannot be read


def _is_utf8(data: bytes, least: int = 0) -> bool:
    """Whether it is UTF-8 with a character from ``least`` on."""
    try:
        return ord(max(data.decode("utf-8"), default="\0")) >= least
    except UnicodeError:
        return False
