"""Where each key of a JSON text stands, for complaints with line and column: the same addresses that ``positions`` gives for TOML.

The text has been read by ``json`` before, so it is known to be valid; this only follows its tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.data.positions import Address

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


@dataclass
class _Open:
    """An object or array that is being read: where it stands, and which key or element is next."""

    address: Address
    is_object: bool
    key: str = ""
    index: int = 0
    expects_key: bool = True

    def here(self) -> Address:
        """Address of the value that comes next."""
        return (*self.address, self.key if self.is_object else self.index)


def json_key_positions(text: str) -> dict[Address, tuple[int, int]]:
    """Address of every key and element -> (line, column), both from 1, columns in characters."""
    return dict(_places(text))


def repeated_json_key(text: str) -> tuple[str, int, int] | None:
    """The first key that its object holds already, with line and column: ``json`` keeps the last and says nothing."""
    seen: set[Address] = set()
    for address, (line, column) in _places(text):
        if address in seen:
            return str(address[-1]), line, column
        seen.add(address)
    return None


def _places(text: str) -> Iterator[tuple[Address, tuple[int, int]]]:
    """Address and (line, column) of every key and element as they stand."""
    open_ones: list[_Open] = []
    line, line_start = 1, 0
    scanned = 0
    for token in _TOKEN.finditer(text):
        newlines = text.count("\n", scanned, token.start())
        if newlines:
            line += newlines
            line_start = text.rindex("\n", scanned, token.start()) + 1
        scanned = token.start()
        place = (line, token.start() - line_start + 1)
        word = token.group()
        inside = open_ones[-1] if open_ones else None
        if word in "}]":
            open_ones.pop()
        elif word == "," and inside is not None:
            inside.index += 1
            inside.expects_key = True
        elif word == ":":
            continue
        elif inside is not None and inside.is_object and inside.expects_key:
            inside.key, inside.expects_key = str(json.loads(word)), False
            yield inside.here(), place
        else:
            if inside is not None and not inside.is_object:
                yield inside.here(), place
            if word in "{[":
                open_ones.append(_Open(() if inside is None else inside.here(), word == "{"))
