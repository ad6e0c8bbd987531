"""One event as one line of events.jsonl, and back: under 4 KiB, sequence number and time in front.

A line that is too long is cut where people miss least: long lists lose their tail, then long texts lose their middle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.events.redaction import redacted
from engine.events.types import (
    SCHEMA_VERSION,
    Block,
    Event,
    Host,
    Memory,
    Progress,
    Step,
    Swap,
    from_json,
    to_json,
)

LINE_LIMIT = 4096  # bytes, with the newline
_CUTS = ((1200, 64), (400, 32), (120, 12), (40, 4), (16, 1))  # (characters of a text, entries of a list), ever harsher
_READINGS = (Step, Progress, Memory, Swap, Block, Host)  # many, and without a word from outside


@dataclass(frozen=True, slots=True)
class Record:
    """An event with its place in the run: ``seq`` counts through all attempts, ``t`` is seconds since 1970 (UTC)."""

    seq: int
    t: float
    event: Event
    offset: int = -1  # byte offset of its line in events.jsonl, -1 when it was not read from a file
    length: int = 0  # bytes of its line


def encode_line(seq: int, t: float, event: Event) -> bytes:
    """The line of an event, with its newline, at most ``LINE_LIMIT`` bytes, without secrets."""
    head = {"v": SCHEMA_VERSION, "seq": seq, "t": iso_time(t)}
    body = to_json(event) if isinstance(event, _READINGS) else redacted(to_json(event))
    line = _dump({**head, **body})
    for text_limit, list_limit in _CUTS:
        if len(line) <= LINE_LIMIT:
            return line
        line = _dump({**head, **{key: _cut(value, text_limit, list_limit) for key, value in body.items()}})
    if len(line) <= LINE_LIMIT:
        return line
    return _dump({**head, "type": body["type"]})


def decode_line(line: bytes, offset: int = -1) -> Record | None:
    """The record in a line, or None when the line is torn, damaged or not an event."""
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            return None
        seq, t = values["seq"], values["t"]
        if type(seq) is not int or not isinstance(t, str):
            return None
        return Record(seq, datetime.fromisoformat(t).timestamp(), from_json(values), offset, len(line))
    except (ValueError, KeyError, OverflowError, RecursionError):
        return None


def iso_time(t: float) -> str:
    """Seconds since 1970 as ``2026-01-31T12:00:00.123Z``."""
    return datetime.fromtimestamp(t, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dump(values: dict[str, Any]) -> bytes:
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"


def _cut(value: Any, text_limit: int, list_limit: int) -> Any:
    if isinstance(value, str) and len(value) > text_limit:
        half = text_limit // 2
        return f"{value[:half]}…{value[-half:]}"
    if isinstance(value, list):
        return [_cut(entry, text_limit, list_limit) for entry in value[:list_limit]]
    if isinstance(value, dict):
        kept = list(value.items())[: list_limit * 2]
        return {_cut(key, text_limit, list_limit): _cut(entry, text_limit, list_limit) for key, entry in kept}
    return value
