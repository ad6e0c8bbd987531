"""Change values of a TOML preset in place: comments, order and spelling of everything untouched survive byte for byte.

The edit works on the text itself, at the positions a parser gives, so what is not touched cannot change. A new key goes
beside the options of its section. The result is parsed again before it is written, atomically.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.config.entries import collect, suggestion
from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import ConfigError, Problem
from engine.config.schema import OPTIONS, validate
from engine.config.toml_text import toml_value
from engine.config.values import parse_override
from musubi_tui.presets.dataset_cells import find_cell, is_cell, set_cell
from musubi_tui.presets.document import held, read_document, write_document
from musubi_tui.presets.facts import facts_of
from musubi_tui.presets.parsed import parsed
from musubi_tui.presets.places import Pair, Places, find_places, line_end


@dataclass(frozen=True)
class Change:
    """One value that an edit changed: TOML texts, None where the key was or is not in the file. ``line`` is in the result."""

    key: str
    before: str | None
    after: str | None
    line: int


def set_values(path: Path, values: Mapping[str, Any]) -> list[Change]:
    """Write options into a preset. Texts are parsed by the option's type (as ``--set``); None or "none" removes the line
    (but for an option of which "none" is a value).

    Raises ``ConfigError`` when the file is not TOML or cannot be written, or a name or value is wrong; then nothing changes.
    """
    with held(path):
        before = read_document(path)
        edited, changes = edit_text(before.text, values, before.path)
        if edited != before.text:
            write_document(before.path, edited, marked=before.marked)
    return changes


def edit_text(text: str, values: Mapping[str, Any], path: Path) -> tuple[str, list[Change]]:
    """The text of a preset with those options changed, and what changed. Raises ``ConfigError`` as ``set_values``."""
    parsed(text, path)  # a broken file is told as such, not edited
    cells = {name: value for name, value in values.items() if is_cell(name)}
    wanted = _written({name: value for name, value in values.items() if name not in cells}, path)
    changes = []
    for name, written in wanted.items():
        text, change = _edit_one(text, OPTIONS[name], written, path)
        if change is not None:
            changes.append(change)
    for name, value in cells.items():
        text, change = _edit_cell(text, name, value, path)
        if change is not None:
            changes.append(change)
    _verify(text, wanted, path)
    return text, changes


def _edit_cell(text: str, name: str, value: Any, path: Path) -> tuple[str, Change | None]:
    """A key of a dataset table, as it was typed."""
    if not _is_text(value):
        raise ConfigError(_no_text(name, path))
    typed = None if value is None or str(value).strip().lower() == "none" else str(value)
    cell = find_cell(facts_of(text, path), name)
    edited = set_cell(text, cell, typed, path)
    if edited == text:
        return text, None
    after = find_cell(facts_of(edited, path), name)
    return edited, Change(name, cell.written, after.written, after.line or cell.line)


def _written(values: Mapping[str, Any], path: Path) -> dict[str, str | None]:
    """The TOML text of every wanted value. A number keeps the spelling it was given with."""
    problems = [_no_text(name, path) for name, value in values.items() if not _is_text(value)]
    if problems:
        raise ConfigError(problems)
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        option = OPTIONS.get(name)
        if option is None:
            message = say(f"there is no option {name!r}.", f"{name!r} という項目はありません。")
            problems.append(Problem("unknown_key", message, suggestion(name), str(path), key=name))
        elif option.kind in ("table", "list of tables"):
            message = say(f"{name} is not a single value.", f"{name} は単一の値ではありません。")
            fix = say("Edit the tables in the file.", "ファイル内のテーブルを編集してください。")
            problems.append(Problem("not_settable", message, fix, str(path), key=name))
        else:
            unset = isinstance(value, str) and value.strip().lower() == "none" and "none" not in option.choices
            parsed[name] = None if unset else parse_override(option, value) if isinstance(value, str) else value
    set_ones = {name: value for name, value in parsed.items() if value is not None}
    problems += [replace(problem, file=str(path)) for problem in validate(set_ones)[1]]
    if problems:
        raise ConfigError(problems)
    return {name: None if value is None else _spelling(values[name], value) for name, value in parsed.items()}


def _is_text(value: Any) -> bool:
    """Whether a file in UTF-8 can hold it. Bytes of the command line that are no UTF-8 arrive as lone surrogates."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_text(name: str, path: Path) -> Problem:
    message = say(f"the value of {name} is not UTF-8 text.", f"{name} の値は UTF-8 の文字列ではありません。")
    fix = say(
        "Presets are UTF-8; a path needs a name in it too.",
        "プリセットは UTF-8 です。パスの名前も UTF-8 にしてください。",
    )
    return Problem("not_utf8", message, fix, str(path), key=name)


def _spelling(given: Any, value: Any) -> str:
    if isinstance(given, str) and not isinstance(value, str | bool):
        try:
            if tomllib.loads(f"value = {given.strip()}") == {"value": value}:
                return given.strip()
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            return toml_value(value)
    return toml_value(value)


def _edit_one(text: str, option: Option, written: str | None, path: Path) -> tuple[str, Change | None]:
    data = text.encode()
    places = find_places(data)
    pair = places.pair(option.name)
    if pair is None:
        if written is None:
            return text, None
        at, like = _insert_position(places, option, data)
        line = _new_line(data, at, like, option.name, written)
        edited = data[:at] + line + data[at:]
        number = data.count(b"\n", 0, at) + (2 if line.startswith((b"\n", b"\r\n")) else 1)
        return edited.decode(), Change(option.name, None, written, number)
    before = data[pair.value_start : pair.value_end].decode()
    number = data.count(b"\n", 0, pair.start) + 1
    if written is None:
        start, end = _whole_lines(data, pair, path)
        return (data[:start] + data[end:]).decode(), Change(option.name, before, None, number)
    if _same_value(before, written):
        return text, None
    written = _quoted_like(before, written)
    edited = data[: pair.value_start] + written.encode() + data[pair.value_end :]
    return edited.decode(), Change(option.name, before, written, number)


def _insert_position(places: Places, option: Option, data: bytes) -> tuple[int, Pair | None]:
    """Where a new line goes, and the line whose style it takes."""
    near = places.neighbour(option.name)
    if near is not None:
        return line_end(data, near.end), near
    for section in places.sections:
        if section.name == option.section:
            return section.header_end, None
    own_lines = [pair for pair in places.top or places.pairs if not pair.inline]
    if own_lines:
        return line_end(data, own_lines[-1].end), own_lines[-1]
    return (len(data) if places.first_header is None else places.first_header), None


def _new_line(data: bytes, at: int, like: Pair | None, name: str, written: str) -> bytes:
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    indent, equals = b"", b" = "
    if like is not None:
        line_start = data.rfind(b"\n", 0, like.start) + 1
        indent = data[line_start : like.start] if not data[line_start : like.start].strip() else b""
        equals = b"=" if data[like.key_end : like.value_start] == b"=" else b" = "
    line = indent + name.encode() + equals + written.encode()
    if at and not data[:at].endswith(b"\n"):  # the last line has no newline: it stays so
        return newline + line
    return line + newline


def _whole_lines(data: bytes, pair: Pair, path: Path) -> tuple[int, int]:
    """The offsets of the lines a pair takes, with the comment behind it."""
    if pair.inline:
        raise ConfigError.of(
            "not_removable",
            say(f"{pair.name} stands inside braces.", f"{pair.name} は波括弧の中にあります。"),
            say("Remove it in an editor.", "エディターで削除してください。"),
            file=path,
            key=pair.name,
        )
    return data.rfind(b"\n", 0, pair.start) + 1, line_end(data, pair.end)


def _same_value(before: str, after: str) -> bool:
    old, new = (tomllib.loads(f"value = {text}")["value"] for text in (before, after))
    return type(old) is type(new) and old == new and repr(old) == repr(new)


def _quoted_like(before: str, written: str) -> str:
    """Single quotes stay single quotes where the new text allows them."""
    if not (before.startswith("'") and not before.startswith("'''") and written.startswith('"')):
        return written
    text = tomllib.loads(f"value = {written}")["value"]
    return written if "'" in text or not text.isprintable() else f"'{text}'"


def _verify(text: str, wanted: Mapping[str, str | None], path: Path) -> None:
    """An edit that does not read back as it was meant must never reach the disk."""
    found = collect(parsed(text, path), {}).by_name
    for name, written in wanted.items():
        expected = None if written is None else tomllib.loads(f"value = {written}")["value"]
        actual = found[name].value if name in found else None
        if actual != expected:
            message = say(
                f"{name} cannot be changed in place in this file; nothing was changed.",
                f"このファイルでは {name} を書き換えられません。変更していません。",
            )
            fix = say("Change the line in an editor.", "エディターで行を変更してください。")
            raise ConfigError.of("not_editable", message, fix, file=path, key=name)
