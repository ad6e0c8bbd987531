"""The dataset tables that stand inside a preset, key by key: what the form shows of them, and edits in place.

Options are the business of ``editing``; here it is ``[general]`` and the ``[[datasets]]`` of the same file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import tree_sitter

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.config.toml_source import parse_toml
from engine.config.toml_text import toml_value
from engine.data.key import DatasetKey
from engine.data.positions import syntax_tree
from engine.data.schema import BY_NAME
from engine.data.values import WrongValue, typed_value
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.places import line_end

_LONGEST = 200_000  # characters; a longer file is edited as text
_ALWAYS = ("resolution", "batch_size", "num_repeats")  # shown in [general] also where they are not written
_TEXTS = ("text", "path", "choice")
_KEY = re.compile(r"(?:general|datasets\.(\d{1,6}))\.([A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class DatasetCell:
    """One key of one table. ``place`` is None for ``[general]``, else the number of the ``[[datasets]]`` from 0."""

    place: int | None
    name: str
    written: str | None  # TOML text, None where the key is not in the table
    value: Any
    default: Any  # what counts without the line: the value of [general], else the schema's
    line: int  # from 1; 0 where it is not written

    @property
    def key(self) -> str:
        """Its name in the form: ``general.batch_size``, ``datasets.0.num_repeats``."""
        return f"general.{self.name}" if self.place is None else f"datasets.{self.place}.{self.name}"

    @property
    def table(self) -> str:
        """The header of its table, with a number where there are several."""
        return "[general]" if self.place is None else f"[[datasets]] {self.place + 1}"

    @property
    def schema(self) -> DatasetKey | None:
        """What is known about the key; None for one that nobody knows."""
        return BY_NAME.get(self.name)

    @property
    def help(self) -> str:
        """What it does."""
        known = self.schema
        return say(known.help_en, known.help_ja) if known else say("An unknown key.", "不明なキーです。")


def dataset_cells(facts: Facts) -> list[DatasetCell]:
    """The keys of the tables of this file in their order; nothing where the dataset lies elsewhere."""
    if facts.source is None or not isinstance(facts.source.data.get("datasets"), list) or len(facts.text) > _LONGEST:
        return []
    data = facts.text.encode()
    general = facts.source.data.get("general")
    common: Mapping[str, Any] = general if isinstance(general, Mapping) else {}
    found: list[DatasetCell] = []
    for place, node in _tables(data):
        pairs = dict(_pairs(node))
        tables = facts.source.data["datasets"]
        values = common if place is None else tables[place] if place < len(tables) else {}
        names = list(dict.fromkeys([*pairs, *(_ALWAYS if place is None or not common else ())]))
        for name in names:
            known = BY_NAME.get(name)
            default = common[name] if place is not None and name in common else known.default if known else None
            pair = pairs.get(name)
            written = _text(data, pair.named_children[1]) if pair is not None else None
            line = data.count(b"\n", 0, pair.start_byte) + 1 if pair is not None else 0
            found.append(DatasetCell(place, name, written, values.get(name, default) if isinstance(values, Mapping) else None, default, line))  # fmt: skip
    return found


def is_cell(key: str) -> bool:
    """Whether a key has the form of one in a dataset table: ``general.batch_size``, ``datasets.0.num_repeats``."""
    return _KEY.fullmatch(key) is not None


def find_cell(facts: Facts, key: str) -> DatasetCell:
    """The cell of a key, also where its line is still to be written. Raises ``ConfigError``: there is no such table or key."""
    found = next((cell for cell in dataset_cells(facts) if cell.key == key), None)
    if found is not None:
        return found
    parts = _KEY.fullmatch(key)
    place, name = (None if parts[1] is None else int(parts[1]), parts[2]) if parts else (None, key)
    if place not in {place for place, _ in _tables(facts.text.encode())}:
        message = say(f"the file has no table for {key}.", f"{key} のテーブルがファイルにありません。")
        fix = say("Datasets are counted from 0.", "データセットは 0 から数えます。")
        raise ConfigError.of("unknown_key", message, fix, file=facts.path, key=key)
    if name not in BY_NAME:
        close = get_close_matches(name, BY_NAME, n=1)
        message = say(f"there is no dataset key {name!r}.", f"{name!r} というデータセットの項目はありません。")
        fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか。") if close else ""
        raise ConfigError.of("unknown_key", message, fix, file=facts.path, key=key)
    return DatasetCell(place, name, None, None, BY_NAME[name].default, 0)


def set_cell(text: str, cell: DatasetCell, typed: str | None, path: Path) -> str:
    """The text with that key changed as it was typed; None removes its line. Raises ``ConfigError``, and then nothing changes."""
    data = text.encode()
    node = next((node for place, node in _tables(data) if place == cell.place), None)
    if node is None:
        raise _in_text(cell, path)
    pair = dict(_pairs(node)).get(cell.name)
    if typed is None:
        if pair is None:
            return text
        start = data.rfind(b"\n", 0, pair.start_byte) + 1
        return _checked((data[:start] + data[line_end(data, pair.end_byte) :]).decode(), path)
    written = toml_of(cell, typed, path).encode()
    if pair is not None:
        value = pair.named_children[1]
        return _checked((data[: value.start_byte] + written + data[value.end_byte :]).decode(), path)
    pairs = list(_pairs(node))
    after = pairs[-1][1].end_byte if pairs else node.named_children[0].end_byte
    at = line_end(data, after)
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    line = cell.name.encode() + b" = " + written
    line = line + newline if data[:at].endswith(b"\n") else newline + line
    return _checked((data[:at] + line + data[at:]).decode(), path)


def toml_of(cell: DatasetCell, typed: str, path: Path) -> str:
    """The TOML text of what was typed, by the key's type. Raises ``ConfigError`` for what the key cannot be."""
    known = cell.schema
    text = typed.strip()
    if known is not None and known.type in _TEXTS:
        value: Any = text
        written = toml_value(text)
    else:
        value, written = _parsed(known, text)
    if known is not None:
        try:
            typed_value(known, value, path.parent)
        except WrongValue as error:
            raise ConfigError(Problem("wrong_value", str(error), file=str(path), key=cell.name)) from None
    return written


def _parsed(known: DatasetKey | None, text: str) -> tuple[Any, str]:
    """A TOML value as it was spelled, words of a list, or plain text."""
    listed = known is not None and known.type in ("size", "sizes", "ints") and not text.startswith("[")
    for candidate in (
        f"[{', '.join(text.replace(',', ' ').split())}]" if listed and " " in text.strip() else text,
        text.lower(),
    ):
        try:
            return tomllib.loads(f"value = {candidate}")["value"], candidate
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            continue
    return text, toml_value(text)


def _tables(data: bytes) -> Iterator[tuple[int | None, tree_sitter.Node]]:
    """(place, node) of ``[general]`` and of every ``[[datasets]]``."""
    root = syntax_tree(data).root_node
    number = 0
    for node in root.named_children:
        if node.type not in ("table", "table_array_element") or not node.named_children:
            continue
        name = _text(data, node.named_children[0])
        if node.type == "table" and name == "general":
            yield None, node
        elif node.type == "table_array_element" and name == "datasets":
            yield number, node
            number += 1


def _pairs(node: tree_sitter.Node) -> Iterator[tuple[str, tree_sitter.Node]]:
    """(name, node) of the plain keys of a table."""
    for child in node.named_children[1:]:
        if child.type == "pair" and len(child.named_children) >= 2 and child.named_children[0].type == "bare_key":
            yield (child.named_children[0].text or b"").decode(), child


def _text(data: bytes, node: tree_sitter.Node) -> str:
    return data[node.start_byte : node.end_byte].decode()


def _checked(text: str, path: Path) -> str:
    parse_toml(text, path)
    return text


def _in_text(cell: DatasetCell, path: Path) -> ConfigError:
    message = say(f"{cell.name} cannot be edited here.", f"{cell.name} はここでは編集できません。")
    return ConfigError.of("not_settable", message, say("Edit the text: T", "テキストで編集してください: T"), file=path)
