"""A dataset file as a mapping with the position of every key: TOML or JSON, and one clear complaint when it is neither."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.config.toml_source import read_text, read_toml
from engine.data.json_positions import json_key_positions, repeated_json_key
from engine.data.positions import Address, key_positions


@dataclass(frozen=True)
class Document:
    """What a file says. ``positions`` maps ("datasets", 0, "resolution") to (line, column), both from 1."""

    content: Mapping[str, Any]
    file: str = ""
    positions: Mapping[Address, tuple[int, int]] = field(default_factory=dict)

    def problem(self, address: Address, code: str, message: str, fix: str = "", *, warning: bool = False) -> Problem:
        """A complaint about the key at ``address``, with the position of it or of the nearest table around it."""
        around = (address[:length] for length in range(len(address), 0, -1))
        line, column = next((self.positions[part] for part in around if part in self.positions), (0, 0))
        key = next((part for part in reversed(address) if isinstance(part, str)), "")
        return Problem(code, message, fix, self.file, line, column, key, severity="warning" if warning else "error")


def read_document(path: Path) -> Document:
    """Read a dataset file. Raises ``ConfigError`` when it cannot be read, is not text, or is not TOML / JSON."""
    match path.suffix.lower():
        case ".json":
            text = read_text(path)
            return Document(_parse_json(text, path), str(path), json_key_positions(text))
        case ".toml":
            source = read_toml(path)
            return Document(source.data, str(path), source.positions)
        case other:
            if not path.is_file():
                read_text(path)  # says that it is not there, or a folder
            raise ConfigError.of(
                "unknown_file_type",
                say(
                    f"a dataset file ends in .toml or .json, not {other!r}.",
                    f"データセットファイルの拡張子は .toml か .json です ({other!r} ではありません)。",
                ),
                file=path,
            )


def positions_of(path: Path) -> Mapping[Address, tuple[int, int]]:
    """Key positions of a file that was already read by someone else (a preset); empty when it is neither TOML nor JSON."""
    read = {".toml": key_positions, ".json": json_key_positions}.get(path.suffix.lower())
    if read is None or not path.is_file():
        return {}
    return read(path.read_bytes().decode("utf-8-sig", errors="replace"))


def _parse_json(text: str, path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        message = say(f"this is not JSON: {error.msg}.", f"JSONとして読めません: {error.msg}")
        raise ConfigError(Problem("bad_json", message, "", str(path), error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        message = say(
            f"a value in it cannot be read: {str(error).splitlines()[0]}.",
            f"読めない値があります: {str(error).splitlines()[0]}",
        )
        raise ConfigError.of("bad_json", message, file=path) from error
    if not isinstance(content, dict):
        message = say(
            "the file must hold an object with general and datasets.",
            "general と datasets を持つオブジェクトが必要です。",
        )
        raise ConfigError.of("wrong_type", message, file=path)
    repeated = repeated_json_key(text)
    if repeated is not None:
        key, line, column = repeated
        message = say(f"{key} is written twice.", f"{key} が2回書かれています。")
        fix = say("Remove one of them.", "どちらかを削除してください。")
        raise ConfigError(Problem("repeated_key", message, fix, str(path), line, column, key))
    return content
