"""A TOML file as the user wrote it: its text, its values, and where each key stands.

Whatever is wrong with a file becomes one clear problem: missing, a folder, not UTF-8, not TOML. A byte-order mark is read over.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.positions import Address, key_positions

_DEEPEST = 100  # tables inside tables; a preset has three
LARGEST_FILE = 8 * 2**20  # bytes; a preset has a few kB, so more is another kind of file


@dataclass(frozen=True)
class TomlSource:
    """``positions``: address of a key -> (line, column), from 1. ``data`` is None for text that is not TOML."""

    path: Path
    text: str
    data: Mapping[str, Any]
    positions: Mapping[Address, tuple[int, int]]

    def problem(self, code: str, message: str, fix: str = "", *, at: Address = (), warning: bool = False) -> Problem:
        """A complaint about the key at that address (without one: about the file)."""
        line, column = self.positions.get(at, (0, 0))
        key = str(at[-1]) if at else ""
        severity = "warning" if warning else "error"
        return Problem(code, message, fix, str(self.path), line, column, key, severity)  # type: ignore[arg-type]


def read_toml(path: Path) -> TomlSource:
    """Read a TOML file. Raises ``ConfigError`` with one problem when it cannot be read or is not TOML."""
    text = read_text(path)
    return parse_toml(text, path)


def parse_toml(text: str, path: Path) -> TomlSource:
    """The same from text that stands (or will stand) at ``path``. Raises ``ConfigError`` with one problem."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(error, text, path)) from None
    except ValueError:  # an integer with thousands of digits
        digits = re.search(r"\d(?:_?\d){4000,}", text)
        line = text.count("\n", 0, digits.start()) + 1 if digits else 0
        message = say("a number has thousands of digits.", "数千桁の数値があります。")
        raise ConfigError(Problem("wrong_value", message, file=str(path), line=line)) from None
    except RecursionError:
        raise ConfigError(_too_deep(path)) from None
    if _is_too_deep(data):
        raise ConfigError(_too_deep(path))
    return TomlSource(path, text, data, key_positions(text))


def _is_too_deep(data: Mapping[str, Any]) -> bool:
    """Whether values lie deeper than whoever walks through them can follow. A dotted key needs no bracket for that."""
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        inside = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
    return bool(level)


def _too_deep(path: Path) -> Problem:
    message = say(
        "brackets or dotted keys are nested too deeply to be a preset.",
        "括弧またはドット区切りキーの入れ子が深すぎます。",
    )
    return Problem("syntax", message, file=str(path))


def read_text(path: Path) -> str:
    """The file's text without a byte-order mark, line ends as they are. Raises ``ConfigError`` with one problem."""
    try:
        found = path.stat()
        size = found.st_size
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # a pipe may wait, a device never end
            message = say(
                "this is a pipe or a device; a file is expected.",
                "パイプまたはデバイスです。ファイルを指定してください。",
            )
            raise ConfigError.of("not_a_file", message, file=path)
        raw = path.read_bytes() if size <= LARGEST_FILE else b""
    except FileNotFoundError:
        raise ConfigError.of(
            "missing_file", say("there is no such file.", "ファイルがありません。"), similar_path(path), file=path
        ) from None
    except IsADirectoryError:
        raise ConfigError.of(
            "not_a_file",
            say("this is a folder; a TOML file is expected.", "フォルダーです。TOML ファイルを指定してください。"),
            _tomls_inside(path),
            file=path,
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError.of(
            "unreadable_file", say(f"cannot be read: {reason}.", f"読み込めません: {reason}"), file=path
        ) from None
    if size > LARGEST_FILE:
        message = say(
            f"is {size / 2**20:.0f} MB, too large to be a preset.",
            f"{size / 2**20:.0f} MB あり、プリセットとしては大きすぎます。",
        )
        raise ConfigError.of("too_large", message, file=path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = raw.rfind(b"\n", 0, error.start) + 1
        column = len(raw[start : error.start].decode("utf-8", "replace")) + 1
        raise ConfigError(
            Problem(
                "not_utf8",
                say("the file is not UTF-8 text.", "UTF-8 のテキストではありません。"),
                say("Save it as UTF-8 in your editor.", "エディターで UTF-8 として保存してください。"),
                str(path),
                raw.count(b"\n", 0, error.start) + 1,
                column,
            )
        ) from None


def similar_path(path: Path) -> str:
    """A hint for a path that does not exist: a sibling with a similar name, or the first parent that is missing."""
    try:
        parent = path.parent
        if parent.is_dir():
            close = get_close_matches(path.name, [entry.name for entry in parent.iterdir()], n=1, cutoff=0.6)
            return say(f"Did you mean {parent / close[0]}?", f"{parent / close[0]} のことですか。") if close else ""
        while not parent.parent.is_dir():
            parent = parent.parent
    except (OSError, ValueError):
        return ""
    return say(f"There is no folder {parent}.", f"フォルダー {parent} がありません。")


def _tomls_inside(folder: Path) -> str:
    try:
        found = sorted(entry.name for entry in folder.glob("*.toml"))[:5]
    except OSError:
        found = []
    return say(f"It holds {', '.join(found)}.", f"中にあるファイル: {', '.join(found)}") if found else ""


def _syntax_problem(error: tomllib.TOMLDecodeError, text: str, path: Path) -> Problem:
    found = re.search(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", str(error), re.DOTALL)
    reason, line, column = found.groups() if found else (str(error), None, None)
    lines = text.splitlines()
    row = int(line) if line else len(lines)
    written = lines[row - 1] if 0 < row <= len(lines) else ""
    if "overwrite" in reason or "twice" in reason:
        return _duplicate(text, written, row, path)
    fix = _syntax_hint(reason, written)
    if open_quote := _open_quote(reason, written):
        fix = fix or say(
            f"Write {open_quote} at the end of the text.", f"文字列の終わりに {open_quote} を書いてください。"
        )
        message = say(
            "not valid TOML: a quote is not closed.", "TOML の書式が正しくありません: 引用符が閉じられていません。"
        )
        return Problem("syntax", message, fix, str(path), row, int(column) if column else 0)
    message = say(f"not valid TOML: {reason[:1].lower()}{reason[1:]}.", f"TOML の書式が正しくありません: {reason}")
    return Problem("syntax", message, fix, str(path), row, int(column) if column else 0)


def _open_quote(reason: str, written: str) -> str:
    """The quote that begins a text and does not end it, as far as the parser's reason tells; else nothing."""
    if not re.search(r"character '\\n'|^Unterminated string|^Expected \"'+\"$", reason):
        return ""
    found = re.search(r"""\"{3}|'{3}|"|'""", written.partition("=")[2] or written)
    return found[0] if found else ""


def _duplicate(text: str, written: str, row: int, path: Path) -> Problem:
    key = written.partition("=")[0].strip().strip("[]").strip()
    name = key.rpartition(".")[2].strip().strip("\"'")
    earlier = [line for address, (line, _) in key_positions(text).items() if address[-1] == name and line < row]
    first = say(f" (first on line {earlier[-1]})", f" (最初は {earlier[-1]} 行目)") if earlier else ""
    return Problem(
        "duplicate_key",
        say(f"{key} is set twice{first}.", f"{key} が二重に指定されています{first}。"),
        say("Remove one of the two lines.", "どちらかの行を削除してください。"),
        str(path),
        row,
        len(written) - len(written.lstrip()) + 1,
        name,
    )


def _syntax_hint(reason: str, written: str) -> str:
    if "\\" in written and ("escape" in reason.lower() or "hex" in reason.lower() or "\\" in reason):
        return say(
            "For backslashes use single quotes: 'C:\\models\\x'.",
            "バックスラッシュを含む場合は単引用符を使います: 'C:\\models\\x'",
        )
    value = written.partition("=")[2].strip()
    if "Invalid value" in reason and value in ("True", "False", "None", "null"):
        if value in ("True", "False"):
            return say(f"TOML writes {value.lower()}.", f"TOML では {value.lower()} と書きます。")
        return say("Leave the line out to unset the option.", "未指定にするにはこの行を削除してください。")
    if "Invalid value" in reason and value[:1] not in ("", '"', "'", "["):
        return say(f'Text needs quotes: "{value}".', f'文字列には引用符が必要です: "{value}"')
    return ""
