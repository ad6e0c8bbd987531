"""Where each key of a TOML text stands: tomllib gives values without positions, tree-sitter gives both ends of every key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import lru_cache

import tree_sitter
import tree_sitter_toml

Address = tuple[str | int, ...]


@lru_cache(maxsize=1)  # whoever edits a text asks for its tree again and again
def syntax_tree(data: bytes) -> tree_sitter.Tree:
    """The syntax tree of a TOML text; of a broken one as far as it goes."""
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language())).parse(data)


def key_positions(text: str) -> dict[Address, tuple[int, int]]:
    """Address of every key and table -> (line, column), both from 1, columns in characters. Broken TOML gives what it can.

    An array of tables counts its elements: the second ``[[datasets]]`` is ``("datasets", 1)``.
    """
    data = text.encode("utf-8", errors="replace")
    tree = syntax_tree(data)
    lines = data.split(b"\n")
    counts: dict[Address, int] = {}
    found: dict[Address, tuple[int, int]] = {}
    for address, node in _keys(tree.root_node, (), counts):
        row, column = node.start_point
        characters = len(lines[row][:column].decode("utf-8", errors="replace"))
        found.setdefault(address, (row + 1, characters + 1))
    return found


def _keys(
    node: tree_sitter.Node, prefix: Address, counts: dict[Address, int]
) -> Iterator[tuple[Address, tree_sitter.Node]]:
    for child in node.named_children:
        if child.type == "pair":
            address, key = prefix, child.named_children[0]
            for address, part in _parts(key, prefix, counts, last_is_array=False):
                yield address, part
            yield from _values(child.named_children[1:], address, counts)
        elif child.type in ("table", "table_array_element") and child.named_children:
            address = prefix
            is_array = child.type == "table_array_element"
            for address, part in _parts(child.named_children[0], prefix, counts, last_is_array=is_array):
                yield address, part
            yield from _keys(child, address, counts)


def _parts(
    key: tree_sitter.Node, prefix: Address, counts: dict[Address, int], *, last_is_array: bool
) -> Iterator[tuple[Address, tree_sitter.Node]]:
    parts = list(_names(key))
    address = prefix
    for number, part in enumerate(parts):
        address = (*address, _name(part))
        yield address, part
        if last_is_array and number == len(parts) - 1:
            counts[address] = counts.get(address, -1) + 1
        if address in counts:  # an array of tables: what follows belongs to its newest element
            address = (*address, counts[address])
            yield address, part


def _values(
    nodes: list[tree_sitter.Node], address: Address, counts: dict[Address, int]
) -> Iterator[tuple[Address, tree_sitter.Node]]:
    for node in nodes:
        if node.type == "inline_table":
            yield from _keys(node, address, counts)
        elif node.type == "array":
            for index, element in enumerate(part for part in node.named_children if part.type != "comment"):
                yield (*address, index), element
                yield from _values([element], (*address, index), counts)


def key_parts(key: tree_sitter.Node) -> list[str]:
    """``a."b c"`` -> its parts, unquoted."""
    return [_name(part) for part in _names(key)]


def _names(key: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    waiting = [key]  # the grammar nests a.b.c to the left, as deep as the key has parts
    while waiting:
        part = waiting.pop()
        if part.type == "dotted_key":
            waiting += reversed(part.named_children)
        elif part.type in ("bare_key", "quoted_key"):
            yield part


def _name(part: tree_sitter.Node) -> str:
    text = (part.text or b"").decode("utf-8", errors="replace")
    if part.type == "bare_key":
        return text
    try:
        return str(next(iter(tomllib.loads(f"{text} = 0"))))
    except tomllib.TOMLDecodeError:  # broken text: the raw name is still the best address
        return text.strip("\"'")
