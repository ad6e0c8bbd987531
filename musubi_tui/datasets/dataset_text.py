"""One key of one ``[[datasets]]`` table in a TOML file, changed in its text: everything else stays byte for byte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, UserError
from engine.config.toml_source import parse_toml
from engine.data.positions import key_positions
from engine.events.atomic import write_bytes_atomically

_SOURCES = ("video_directory", "image_directory", "video_jsonl_file", "image_jsonl_file")


def with_dataset_key(text: str, dataset: int, key: str, value: str, path: Path) -> str:
    """The text of a dataset file with ``key = value`` (TOML) in that table: replaced, or put under the line of its source.

    Raises ``UserError`` when the table is not written line by line; the result is parsed to be sure.
    """
    mark, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    places = key_positions(text)
    lines = text.split("\n")
    there = places.get(("datasets", dataset, key))
    source = next((places[a] for name in _SOURCES if (a := ("datasets", dataset, name)) in places), None)
    if there is not None:
        line = lines[there[0] - 1]
        comment = line[line.index("#") :] if "#" in line else ""
        lines[there[0] - 1] = f"{line[: there[1] - 1]}{key} = {value}" + (f"  {comment}" if comment else "")
    elif source is not None:
        before = lines[source[0] - 1]
        ending = "\r" if before.endswith("\r") else ""
        lines.insert(source[0], f"{before[: source[1] - 1]}{key} = {value}{ending}")
    edited = "\n".join(lines)
    try:
        expected = {**_tables(text, path)[dataset], **parse_toml(f"{key} = {value}", path).data}
        good = _tables(edited, path)[dataset] == expected
    except (ConfigError, IndexError):
        good = False
    if not good:
        raise UserError.of(
            "cannot_edit",
            say(f"{key} cannot be put into this file by itself.", f"{key} をこのファイルに自動では追加できません。"),
            say(f"Write {key} = {value} into the [[datasets]] table.", f"[[datasets]] に {key} = {value} を書いてください。"),
            file=path,
        )  # fmt: skip
    return mark + edited


def write_dataset_text(path: Path, before: str, after: str) -> None:
    """Replace the file, if it still is ``before``. Raises ``UserError``."""
    target = Path(os.path.realpath(path))
    try:
        if target.read_bytes() != before.encode("utf-8"):
            raise UserError.of("changed_since", say("the file was changed since; nothing was written.", "その後に変更されているため、書き込みません。"), file=path)  # fmt: skip
        if not os.access(target, os.W_OK):
            raise PermissionError(13, say("the file is read-only", "読み取り専用です"), str(path))
        write_bytes_atomically(target, after.encode("utf-8"), target.stat().st_mode & 0o777)
    except OSError as error:
        message = say(f"it cannot be written: {error.strerror}.", f"書き込めません: {error.strerror}")
        raise UserError.of("unwritable_file", message, file=path) from error


def read_dataset_text(path: Path) -> str:
    """The file's text with its line ends and its byte-order mark. Raises ``UserError``."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = say(f"it cannot be read: {error}.", f"読み込めません: {error}")
        raise UserError.of("unreadable_file", message, file=path) from error


def _tables(text: str, path: Path) -> list[Mapping[str, Any]]:
    tables = parse_toml(text, path).data.get("datasets", [])
    return [table for table in tables if isinstance(table, Mapping)] if isinstance(tables, list) else []
