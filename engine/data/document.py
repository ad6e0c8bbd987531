"""A dataset file as a mapping with the position of every key: TOML or JSON, and one clear complaint when it is neither."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.positions import key_positions

Address = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """What a file says. ``positions`` maps ("datasets", 0, "resolution") to (line, column), both from 1; JSON has none."""

    content: Mapping[str, Any]
    file: str = ""
    positions: Mapping[Address, tuple[int, int]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def problem(self, address: Address, code: str, message: str, fix: str = "", *, warning: bool = False) -> Problem:
        """A complaint about the key at ``address``, with the position of it or of the nearest table around it."""
        line, column = 0, 0
        for length in range(len(address), 0, -1):
            if address[:length] in self.positions:
                line, column = self.positions[address[:length]]
                break
        key = next((part for part in reversed(address) if isinstance(part, str)), "")
        return Problem(code, message, fix, self.file, line, column, key, severity="warning" if warning else "error")


def read_document(path: Path) -> Document:
    """Read a dataset file. Raises ``ConfigError`` when it cannot be read, is not text, or is not TOML / JSON."""
    if path.suffix.lower() not in (".toml", ".json"):
        raise ConfigError.of(
            "unknown_file_type",
            say(
                f"a dataset file ends in .toml or .json, not {path.suffix!r}.",
                f"データセットファイルの拡張子は .toml か .json です ({path.suffix!r} ではありません)。",
            ),
            file=path,
        )
    text, warnings = _read_text(path)
    if path.suffix.lower() == ".json":
        return Document(_parse_json(text, path), str(path), {}, warnings)
    return Document(_parse_toml(text, path), str(path), key_positions(text), warnings)


def positions_of(path: Path) -> Mapping[Address, tuple[int, int]]:
    """Key positions of a TOML file that was already read by someone else (a preset); empty when it is not TOML."""
    if path.suffix.lower() != ".toml" or not path.is_file():
        return {}
    return key_positions(path.read_bytes().decode("utf-8-sig", errors="replace"))


def _read_text(path: Path) -> tuple[str, tuple[Problem, ...]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError.of(
            "missing_file",
            say("there is no such dataset file.", "そのデータセットファイルはありません。"),
            say("Check the path; relative paths count from the working directory.", "パスを確認してください。"),
            file=path,
        ) from None
    except OSError as error:
        raise ConfigError.of(
            "unreadable_file",
            say(f"the dataset file cannot be read: {error.strerror}.", f"読み込めません: {error.strerror}"),
            file=path,
        ) from error
    warnings: tuple[Problem, ...] = ()
    if data.startswith(b"\xef\xbb\xbf"):
        message = say(
            "the file begins with a byte-order mark; it is left out in reading.",
            "ファイルがBOMで始まっています。無視して読みます。",
        )
        warnings = (Problem("byte_order_mark", message, file=str(path), line=1, column=1, severity="warning"),)
        data = data[3:]
    try:
        return data.decode("utf-8"), warnings
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = say(
            f"the file is not UTF-8: byte 0x{data[error.start]:02x} cannot be read.",
            f"UTF-8ではありません (バイト 0x{data[error.start]:02x})。",
        )
        fix = say("Save it as UTF-8.", "UTF-8で保存してください。")
        raise ConfigError(Problem("not_utf8", message, fix, str(path), line)) from error


def _parse_json(text: str, path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        message = say(f"this is not JSON: {error.msg}.", f"JSONとして読めません: {error.msg}")
        raise ConfigError(Problem("bad_json", message, "", str(path), error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise ConfigError.of("bad_json", _unreasonable(error), file=path) from error
    if not isinstance(content, dict):
        raise ConfigError.of(
            "wrong_type",
            say(
                "the file must hold an object with general and datasets.",
                "general と datasets を持つオブジェクトが必要です。",
            ),
            file=path,
        )
    return content


def _parse_toml(text: str, path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        where = re.search(r" \(at line (\d+), column (\d+)\)$", said)
        line, column = (int(where[1]), int(where[2])) if where else (0, 0)
        reason = said[: where.start()] if where else said
        message = say(f"this is not TOML: {reason}.", f"TOMLとして読めません: {reason}")
        raise ConfigError(Problem("bad_toml", message, "", str(path), line, column)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError.of("bad_toml", _unreasonable(error), file=path) from error


def _unreasonable(error: Exception) -> str:
    return say(
        f"a value in the file cannot be read: {str(error).splitlines()[0]}.",
        f"読めない値があります: {str(error).splitlines()[0]}",
    )
