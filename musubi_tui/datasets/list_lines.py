"""Lines of a jsonl list taken out and put back: byte for byte, whatever the list was saved as, and only while nobody else changed it."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.data import DatasetSpec
from engine.data.list_text import ListText, list_text
from engine.data.sources import list_sources
from musubi_tui.datasets.captions import replace_file
from musubi_tui.datasets.record import Change


def lines_of(spec: DatasetSpec) -> dict[str, list[int]]:
    """Every line that names a file, by the file's path as the scan tells it."""
    listing = list_sources(spec)
    found: dict[str, list[int]] = defaultdict(list)
    for source in listing.sources:
        found[source.file].append(source.line)
    for skipped in listing.skipped:
        found[str(skipped.path)].append(skipped.line)
    return found


def removal(file: Path, dataset: int, code: str, encoding: str | None, numbers: Iterable[int]) -> Change:
    """The change that takes these lines (from 1) out of the list. Raises ``OSError``."""
    lines = _read(file, encoding).lines
    taken = [[number, lines[number - 1].decode("latin-1")] for number in sorted(set(numbers)) if number <= len(lines)]
    return Change("lines", file, dataset, code, before=json.dumps({"encoding": encoding, "lines": taken}))


def numbers_of(change: Change) -> list[int]:
    """Which lines a change takes out."""
    return [number for number, _ in json.loads(change.before or "{}").get("lines", [])]


def settled(change: Change) -> Change:
    """The change as it is about to be made, with what the list will be afterwards. Raises ``UserError`` when the list was changed."""
    return replace(change, after=_digest(_without(change).data()))


def take_out(change: Change) -> None:
    """Remove the lines. Raises ``UserError`` when the list was changed since they were found, ``OSError``."""
    replace_file(change.path, _without(change).data())


def put_back(change: Change) -> None:
    """Where the lines were taken out, they stand where they stood again. Raises ``UserError`` when the list was changed since."""
    told = json.loads(change.before or "{}")
    text = _read(change.path, told["encoding"])
    if _digest(text.data()) != change.after:
        if _holds(text, told["lines"]):
            return  # were never taken out, or are back already
        raise _changed(change.path)
    for number, line in told["lines"]:
        text.lines.insert(number - 1, line.encode("latin-1"))
    replace_file(change.path, text.data())


def _without(change: Change) -> ListText:
    told = json.loads(change.before or "{}")
    text = _read(change.path, told["encoding"])
    if not _holds(text, told["lines"]):
        raise _changed(change.path)
    gone = {number for number, _ in told["lines"]}
    return replace(text, lines=[line for number, line in enumerate(text.lines, 1) if number not in gone])


def _read(file: Path, encoding: str | None) -> ListText:
    data = file.read_bytes()
    text = list_text(data, encoding)
    if text.data() != data:  # nothing is written that would change other lines
        raise _changed(file)
    return text


def _holds(text: ListText, lines: Iterable[tuple[int, str]]) -> bool:
    return all(number <= len(text.lines) and text.lines[number - 1] == line.encode("latin-1") for number, line in lines)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _changed(file: Path) -> UserError:
    return UserError.of("changed_since", say("the list was changed since; it stays.", "リストがその後に変更されているため、そのままにします。"), file=file)  # fmt: skip
