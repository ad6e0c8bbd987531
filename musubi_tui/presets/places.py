"""Where the options of a TOML text stand, in bytes: what an edit replaces, and beside what it puts a new line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter

from engine.config.schema import OPTIONS, SECTIONS
from engine.data.positions import key_parts, syntax_tree

_SECTION_LIKE = {*SECTIONS, "general", "datasets"}  # names of sections, also where an option has the same name


@dataclass(frozen=True)
class Pair:
    """One ``key = value``. Offsets are bytes; ``start`` and ``end`` enclose it without the comment behind."""

    name: str
    start: int
    end: int
    key_end: int
    value_start: int
    value_end: int
    inline: bool  # inside braces: it has no line of its own


@dataclass(frozen=True)
class Table:
    """One ``[header]``: its name and the offsets of its line."""

    name: str
    start: int
    header_end: int


@dataclass(frozen=True)
class Places:
    """The option pairs of a text in order (not those inside the dataset's tables), and its section headers."""

    pairs: tuple[Pair, ...]
    top: tuple[Pair, ...]  # those above the first header
    sections: tuple[Table, ...]  # ordinary ones
    first_header: int | None  # of any table

    def pair(self, name: str) -> Pair | None:
        """The pair that sets an option: the last one, as in reading."""
        return next((pair for pair in reversed(self.pairs) if pair.name == name), None)

    def neighbour(self, name: str) -> Pair | None:
        """The option of the same section that stands nearest in the schema's order, of those with lines of their own."""
        order = list(OPTIONS)
        wanted = order.index(name)
        mates = [
            pair
            for pair in self.pairs
            if pair.name in OPTIONS and not pair.inline and OPTIONS[pair.name].section == OPTIONS[name].section
        ]
        # Of two equally near ones the one before.
        return min(mates, key=lambda pair: (abs(order.index(pair.name) - wanted), order.index(pair.name)), default=None)


def find_places(data: bytes) -> Places:
    """Read the places off a text that is valid TOML."""
    root = syntax_tree(data).root_node
    arrays = {_table_name(node)[0] for node in root.named_children if node.type == "table_array_element"}
    top = [pair for node in root.named_children if node.type == "pair" for pair in _pairs(node, inline=False)]
    pairs, sections = list(top), []
    headers = [node for node in root.named_children if node.type in ("table", "table_array_element")]
    for node in headers:
        path = _table_name(node)
        if node.type == "table_array_element" or len(path) != 1 or (path[0] == "general" and "datasets" in arrays):
            continue
        if path[0] in OPTIONS and path[0] not in _SECTION_LIKE:  # a table where a value belongs is no section
            continue
        sections.append(Table(path[0], node.start_byte, line_end(data, node.named_children[0].end_byte)))
        pairs += [pair for child in node.named_children[1:] for pair in _pairs(child, inline=False)]
    first = headers[0].start_byte if headers else None
    return Places(tuple(pairs), tuple(top), tuple(sections), first)


def _pairs(node: tree_sitter.Node, *, inline: bool) -> Iterator[Pair]:
    if node.type != "pair":
        return
    key, value = [child for child in node.named_children if child.type != "comment"][:2]
    names = key_parts(key)
    if value.type == "inline_table" and names[-1] not in OPTIONS:  # a section in braces
        for child in value.named_children:
            yield from _pairs(child, inline=True)
    else:
        yield Pair(names[-1], node.start_byte, value.end_byte, key.end_byte, value.start_byte, value.end_byte, inline)


def _table_name(node: tree_sitter.Node) -> tuple[str, ...]:
    return tuple(key_parts(node.named_children[0]))


def line_end(data: bytes, offset: int) -> int:
    """Offset just behind the newline that ends the line of ``offset`` (the end of the text without one)."""
    found = data.find(b"\n", offset)
    return len(data) if found < 0 else found + 1
