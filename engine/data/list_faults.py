"""What is wrong with a list that is no list, and with a line of one that is no JSON, in plain words."""

from __future__ import annotations

import json

from engine.config.language import say
from engine.data.list_text import ListText

_WORDS = {  # how a message of ``json`` begins -> what it means to who wrote the line
    "Expecting property name": ("a key in double quotes is missing", "二重引用符で囲んだキーがありません"),
    "Illegal trailing comma": ("a comma stands before the closing bracket", "閉じ括弧の前にカンマがあります"),
    "Expecting ':'": ("a colon is missing", "コロンがありません"),
    "Expecting ','": ("a comma or the closing bracket is missing", "カンマまたは閉じ括弧がありません"),
    "Expecting value": ("a value is missing", "値がありません"),
    "Unterminated string": ("a text has no closing quote", "文字列の終わりの引用符がありません"),
    "Invalid control character": (
        "a text holds a tab or another control character",
        "文字列にタブなどの制御文字があります",
    ),
    "Invalid \\escape": (
        r"a backslash must be written twice: C:\\pictures\\cat.png",
        r"バックスラッシュは2つ重ねて書きます: C:\\pictures\\cat.png",
    ),
    "Extra data": ("something follows the closing brace", "閉じ括弧の後に余分なものがあります"),
}


def not_json(error: Exception) -> tuple[str, str]:
    """What keeps a line from being JSON, in both languages, with its column."""
    if not isinstance(error, json.JSONDecodeError):
        return str(error), str(error)
    known = next((words for start, words in _WORDS.items() if error.msg.startswith(start)), (error.msg, error.msg))
    return f"column {error.colno}: {known[0]}", f"{error.colno} 文字目: {known[1]}"


def one_document(text: ListText) -> str:
    """Why it is no list: one JSON document over many lines, or an array; empty where it has an object in each line, as far as the first tells."""
    first = next((line for line in text.lines if not text.is_blank(line)), b"").decode(text.encoding, "replace").strip()
    if first not in ("[", "{") and not first.startswith("[{"):
        return ""
    end = "\n".encode(text.encoding)
    try:
        json.loads(end.join(text.lines).decode(text.encoding))
    except (ValueError, RecursionError):
        return ""
    return say(
        "it is one JSON document: a list has one object in each line. `jq -c '.[]' FILE > list.jsonl` makes one of an array.",
        "全体が1つの JSON です。リストは1行に1オブジェクトです。配列なら `jq -c '.[]' ファイル > list.jsonl` で変換できます。",
    )
