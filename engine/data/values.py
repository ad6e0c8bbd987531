"""From what a dataset file says to typed values: one function per value type, each answering with the value or the reason."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.data.key import DatasetKey


class WrongValue(Exception):
    """The value does not fit its key: ``code`` is wrong_type or bad_value, the text says what was expected."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def typed_value(key: DatasetKey, value: Any, base_dir: Path) -> Any:
    """``value`` as the key's type; paths become absolute against ``base_dir``. Raises ``WrongValue``."""
    match key.type:
        case "int":
            return _whole(key, value)
        case "bool":
            if not isinstance(value, bool):
                raise _wrong(key, value, say("true or false", "true か false"))
            return value
        case "text":
            if not isinstance(value, str):
                raise _wrong(key, value, say("a text in quotes", "引用符で囲んだ文字列"))
            return value
        case "texts":
            return _texts(key, value)
        case "path":
            return _path(key, value, base_dir)
        case "number" | "share" | "count or share":
            return _number(key, value)
        case "size":
            return _size(key, value)
        case "sizes":
            return _sizes(key, value)
        case "ints":
            if not isinstance(value, list) or not value:
                raise _wrong(key, value, say("a list of whole numbers, such as [1, 25]", "整数の配列 ([1, 25] など)"))
            return _wholes(key, value)
        case "choice":
            if not isinstance(value, str) or value not in key.choices:
                raise _wrong(key, value, say("one of ", "次のどれか: ") + ", ".join(f'"{c}"' for c in key.choices))
            return value


def _wholes(key: DatasetKey, values: list[Any]) -> tuple[int, ...]:
    """Every element, or one ``WrongValue`` that tells all that do not fit."""
    found, wrong = list[int](), list[WrongValue]()
    for value in values:
        try:
            found.append(_whole(key, value))
        except WrongValue as error:
            wrong.append(error)
    if wrong:
        raise WrongValue(wrong[0].code, say(" ", "").join(dict.fromkeys(map(str, wrong))))
    return tuple(found)


def _if_whole(value: Any) -> Any:
    """64.0 as 64: spreadsheets and scripts write whole numbers so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _whole(key: DatasetKey, value: Any) -> int:
    value = _if_whole(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(key, value, say("a whole number", "整数"))
    least, most = key.minimum, 2**31 - 1 if key.maximum is None else key.maximum
    if (least is not None and value < least) or not -(2**31) < value <= most:
        bounds = "" if least is None else say(f" of at least {least:g}", f" ({least:g} 以上)")
        if key.maximum is not None:
            bounds = say(f" from {least or 0:g} to {most:g}", f" ({least or 0:g}~{most:g})")
        raise WrongValue("bad_value", _sentence(key, value, say("a whole number", "整数") + bounds))
    return value


def _number(key: DatasetKey, value: Any) -> float | int:
    """A number above 0; a share may be 0 and not above 1; a count or share is a whole number or a share between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, value, say("a number", "数値"))
    match key.type:
        case "share":
            fits, expected = 0 <= value <= 1, say("a number from 0 to 1", "0~1の数値")
        case "count or share":
            fits = 1 <= value < 2**31 if isinstance(value, int) else 0 < value < 1
            expected = say("a whole number of files, or a share between 0 and 1", "ファイル数 (整数) か割合 (0と1の間)")
        case _:
            fits, expected = 0 < value < 1e6, say("a number above 0", "0より大きい数値")
    if not fits or not math.isfinite(value):
        raise WrongValue("bad_value", _sentence(key, value, expected))
    return value if key.type == "count or share" else float(value)


def _texts(key: DatasetKey, value: Any) -> str | tuple[str, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or any(not isinstance(text, str) for text in texts):
        raise _wrong(key, value, say("a text in quotes, or a list of such", "引用符で囲んだ文字列、またはその配列"))
    if any(not text.strip(". ") or "/" in text or "\0" in text for text in texts):
        raise WrongValue("bad_value", _sentence(key, value, say("an ending such as .txt", ".txt のような拡張子")))
    return value if isinstance(value, str) else tuple(dict.fromkeys(texts))


def _sizes(key: DatasetKey, value: Any) -> tuple[int, int] | tuple[tuple[int, int], ...]:
    """One size, or the list of all of them when the value is a list of pairs."""
    if isinstance(value, list) and value and all(isinstance(part, list) for part in value):
        return tuple(dict.fromkeys(_size(key, part) for part in value))
    return _size(key, value)


def _size(key: DatasetKey, value: Any) -> tuple[int, int]:
    expected = say("a whole number or two, [width, height]", "整数ひとつ、または [幅, 高さ]")
    value = [_if_whole(side) for side in value] if isinstance(value, list) else _if_whole(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value, value]
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(key, value, expected)
    if any(isinstance(side, bool) or not isinstance(side, int) for side in value):
        raise _wrong(key, value, expected)
    least = int(key.minimum or 1)
    if any(not least <= side <= 65536 for side in value):
        message = _sentence(key, value, say(f"sides from {least} to 65536 pixels", f"一辺 {least}~65536 ピクセル"))
        raise WrongValue("bad_value", message)
    return (value[0], value[1])


def _path(key: DatasetKey, value: Any, base_dir: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise _wrong(key, value, say("a path in quotes", "引用符で囲んだパス"))
    if "\0" in value:
        raise WrongValue("bad_value", _sentence(key, value, say("a path without a NUL character", "NUL文字のないパス")))
    if value.startswith("~"):
        try:
            value = str(Path(value).expanduser())
        except RuntimeError:  # ~nobody: no such user, so it is a name that begins with a tilde
            pass
    return _plain(base_dir.absolute().joinpath(value))


def _plain(path: Path) -> Path:
    """Without ``..`` where that leads to the same place: behind a link it need not."""
    if ".." not in path.parts:
        return path
    plain = Path(os.path.normpath(path))
    return plain if os.path.realpath(plain) == os.path.realpath(path) else path


def _wrong(key: DatasetKey, value: Any, expected: str) -> WrongValue:
    return WrongValue("wrong_type", _sentence(key, value, expected))


def _sentence(key: DatasetKey, value: Any, expected: str) -> str:
    shown = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else _short(value)
    return say(
        f"{key.name} must be {expected}, not {shown}.", f"{key.name} には {expected} を書きます ({shown} は不可)。"
    )


def _short(value: Any) -> str:
    try:
        text = str(value)
    except ValueError:  # Python refuses to print numbers of thousands of digits
        return say("a huge number", "巨大な数")
    return text if len(text) <= 60 else text[:57] + "..."
