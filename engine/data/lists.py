"""Lists of a dataset: one JSON object per line with the path of a picture or video, its caption and what belongs to it.

``{"image_path": "cat.png", "caption": "a cat", "control_path_0": "pose.png", "control_path_1": "style.png"}``

Several targets are ``image_path_0``, ``image_path_1`` …; a video may be a folder of frames; ``caption`` may be a list of texts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.config.spelling import shortened
from engine.data.captions import captions_of, lacks_text
from engine.data.dataset_spec import DatasetSpec
from engine.data.list_faults import not_json, one_document
from engine.data.list_text import list_text
from engine.data.listing import Listing, Source
from engine.data.media import is_folder

_MOST_KEYS = 8  # names of ignored keys that are told
_MEANT = {  # what others call it
    "text": "caption", "prompt": "caption", "captions": "caption", "mask": "mask_path", "control": "control_path", "file": "file",
    "path": "file", "file_name": "file", "filename": "file", "image": "file", "video": "file", "image_path": "file", "video_path": "file",
    "control_image": "control_path",
}  # fmt: skip


class _WrongRecord(Exception):
    """A line that is no record; code and reason in both languages."""

    def __init__(self, code: str, en: str, ja: str) -> None:
        self.code, self.en, self.ja = code, en, ja
        super().__init__(code)


def list_jsonl(dataset: DatasetSpec, path: Path, listing: Listing) -> None:
    """Fill ``listing`` with what the list names, sorted by path."""
    try:
        if not path.is_dir() and not path.is_file() and path.exists():  # it would be waited for
            reason = say("it is a pipe or a device, not a list.", "リストではなくパイプまたはデバイスです。")
            listing.skip(dataset, path, "not_a_list", reason, broken=True)
            return
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        listing.missing = True
        return
    except OSError as error:
        reason = say(f"the list cannot be read: {error.strerror}.", f"リストを読めません: {error.strerror}")
        listing.skip(dataset, path, "unreadable_list", reason, broken=True)
        return
    seen: dict[str, int] = {}  # file -> where it stands among the sources
    text = list_text(data, dataset.caption_encoding)
    listing.warnings += text.notices(path, listing.typed)
    if reason := one_document(text):
        listing.skip(dataset, path, "not_a_list", reason, broken=True)
        return
    keys = _KnownKeys(dataset, path)
    for number, line in enumerate(text.lines, start=1):
        if text.is_blank(line):
            continue
        try:
            record = _record(line, text.encoding)
            meant = keys.look(record, number)
            source, is_empty = _read_record(dataset, path, record, number, meant)
        except _WrongRecord as wrong:
            listing.skip(dataset, path, wrong.code, say(wrong.en, wrong.ja), broken=True, line=number)
            continue
        if not source.captions:
            mistyped = next((name for name, near in meant.items() if near == "caption"), "")
            reason = say("it has no caption.", "caption がありません。")
            if mistyped:
                reason = say(f"it has no caption, but {mistyped!r}.", f"caption がなく、{mistyped!r} があります。")
            listing.skip(dataset, source.path, "missing_caption", reason, line=number)
            continue
        _add(dataset, source, seen, listing)
        if is_empty:
            listing.empty.append(source.file)
    listing.warnings += keys.warnings()
    listing.sources.sort(key=lambda source: source.file)


class _KnownKeys:
    """Which keys of a list mean something, and which of its lines hold others: Musubi Tuner ignores those without a word."""

    def __init__(self, dataset: DatasetSpec, path: Path) -> None:
        self._path = path
        self._file_key = "image_path" if dataset.kind == "image" else "video_path"
        self._known = {self._file_key, "caption", "control_path", "mask_path"}
        self._unknown: dict[str, tuple[int, int]] = {}  # key -> (first line, lines)
        self._near: dict[str, str] = {}  # key -> the known one it looks like, or nothing

    def look(self, record: Mapping[str, Any], number: int) -> dict[str, str]:
        """Note the line's unknown keys; which of them look like known ones."""
        found = {}
        for name in record.keys() - self._known:
            base, _, tail = name.rpartition("_")
            if _is_number(tail) and base in self._known:
                continue
            first, count = self._unknown.get(name, (number, 0))
            self._unknown[name] = first, count + 1
            if name not in self._near:
                close = get_close_matches(name.lower(), sorted(self._known), n=1, cutoff=0.75)
                self._near[name] = close[0] if close else _MEANT.get(name.lower(), "")
            if self._near[name]:
                found[name] = self._near[name]
        return found

    def warnings(self) -> Iterator[Problem]:
        """One for each key that looks like a known one, and one for all others together."""
        others = []
        for name, (first, count) in sorted(self._unknown.items(), key=lambda entry: (entry[1], entry[0])):
            near = self._near[name] if self._near[name] != "file" else self._file_key
            if near:
                yield self._warning(
                    first,
                    say(f"{name!r} means nothing in a list ({counted(count, 'line')}).", f"{name!r} というキーはリストにありません ({count} 行)。"),
                    say(f"Did you mean {near}?", f"{near} のことですか?"),
                )  # fmt: skip
            else:
                others.append(name)
        if others:
            shown = ", ".join(others[:_MOST_KEYS]) + (" …" if len(others) > _MOST_KEYS else "")
            yield self._warning(
                self._unknown[others[0]][0],
                say(f"keys that mean nothing here are ignored: {shown}.", f"意味のないキーは無視します: {shown}"),
                "",
            )

    def _warning(self, line: int, message: str, fix: str) -> Problem:
        return Problem("unknown_list_key", message, fix, file=str(self._path), line=line, severity="warning")


def _add(dataset: DatasetSpec, source: Source, seen: dict[str, int], listing: Listing) -> None:
    place = seen.setdefault(source.file, len(listing.sources))
    known = listing.sources[place] if place < len(listing.sources) else None
    if known is not None and (known.controls, known.targets) == (source.controls, source.targets):
        if known.captions == source.captions:
            reason = say(f"line {known.line} lists it already.", f"{known.line}行目と重複しています。")
            listing.skip(dataset, source.path, "duplicate", reason, line=source.line)
            return
        if dataset.multiple_captions:
            merged = tuple(dict.fromkeys((*known.captions, *source.captions)))
            listing.sources[place] = known._replace(captions=merged)
            return
    listing.sources.append(source)


def _record(line: bytes, encoding: str) -> dict[str, Any]:
    """The object of one line. Raises ``_WrongRecord``."""
    try:
        record: Any = json.loads(line.decode(encoding))
    except UnicodeDecodeError:
        name = encoding.upper()
        raise _WrongRecord("list_not_utf8", f"it is not {name}.", f"{name}ではありません。") from None
    except (ValueError, RecursionError) as error:
        en, ja = not_json(error)
        raise _WrongRecord("bad_line", f"it is not JSON ({en}).", f"JSONではありません ({ja})。") from error
    if not isinstance(record, dict):
        raise _WrongRecord("bad_line", "it is not an object in braces.", "{ } で囲んだオブジェクトではありません。")
    return record


def _read_record(
    dataset: DatasetSpec, jsonl: Path, record: Mapping[str, Any], number: int, meant: Mapping[str, str]
) -> tuple[Source, bool]:
    """The source of one line, without captions when the line has none; whether one is empty. Raises ``_WrongRecord``.

    ``meant``: keys of it that look like known ones, with these.
    """
    key = "image_path" if dataset.kind == "image" else "video_path"
    paths = _paths(jsonl, record, key)
    mistyped = next((name for name, near in meant.items() if near in (key, "file")), "")
    if not paths and mistyped:
        raise _WrongRecord(
            "bad_line", f"it has no {key}, but {mistyped!r}.", f"{key} がなく、{mistyped!r} があります。"
        )
    if not paths:
        raise _WrongRecord("bad_line", f"it has no {key}.", f"{key} がありません。")
    if len(paths) > 1 and dataset.kind == "clip":
        raise _WrongRecord("bad_line", "it names several videos.", "動画が複数書かれています。")
    if len(paths) > 1 and not dataset.multiple_target:
        raise _WrongRecord(
            "bad_line",
            "it names several pictures, and multiple_target is not set.",
            "画像が複数書かれていますが、multiple_target がありません。",
        )
    controls = _paths(jsonl, record, "control_path")
    masks = _paths(jsonl, record, "mask_path")
    if len(masks) > 1:
        raise _WrongRecord("bad_line", "it names several masks.", "マスクが複数書かれています。")
    captions = _captions(record.get("caption"))
    source = Source(
        str(paths[0]),
        captions_of(dataset, captions) if captions else (),
        paths[0].name if is_folder(paths[0]) else paths[0].stem,
        controls=controls,
        targets=paths[1:],
        mask=masks[0] if masks else None,
        line=number,
    )
    return source, bool(captions) and lacks_text(dataset, captions)


def _captions(written: Any) -> tuple[str, ...]:
    if written is None or written == []:
        return ()
    texts = written if isinstance(written, list) else [written]
    if any(not isinstance(text, str) or not is_unicode(text) for text in texts):
        shown = _shown(written)
        raise _WrongRecord(
            "bad_line",
            f"caption must be a text in quotes, or a list of them, and is {shown}.",
            f"caption は引用符で囲んだ文字列かそのリストです ({shown} と書かれています)。",
        )
    if any("\0" in text for text in texts):
        raise _WrongRecord("bad_line", "caption holds a NUL character.", "caption に NUL 文字が含まれています。")
    return tuple(text.strip() for text in texts)


def _paths(jsonl: Path, record: Mapping[str, Any], key: str) -> tuple[Path, ...]:
    """The paths under ``key`` itself and under ``key_0``, ``key_1`` …, by number."""
    numbered = [
        (-1 if name == key else int(name.removeprefix(f"{key}_")), value)
        for name, value in record.items()
        if name == key or (name.startswith(f"{key}_") and _is_number(name.removeprefix(f"{key}_")))
    ]
    found = []
    for _, value in sorted(numbered, key=lambda entry: entry[0]):
        if not isinstance(value, str) or not value or "\0" in value or not is_unicode(value):
            shown = _shown(value)
            raise _WrongRecord(
                "bad_line",
                f"{key} must be a path in quotes, and is {shown}.",
                f"{key} は引用符で囲んだパスです ({shown} と書かれています)。",
            )
        found.append(locate(jsonl, value))
    return tuple(found)


def _shown(value: Any) -> str:
    """A value as it stands in the list; all that is no ASCII escaped, as halves of characters may be in it."""
    return shortened(json.dumps(value), 40)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: file names of another encoding and halves of characters cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def locate(jsonl: Path, written: str) -> Path:
    """Relative paths count from the list's folder; where nothing is there, from the working directory as in Musubi Tuner.

    ``~`` is the home. A path with ``..`` is written without, so that one file has one name.
    """
    path = Path(written)
    beside = jsonl.parent / path
    home = os.path.expanduser(written)  # as it is where there is no such user
    if home != written and not _exists(beside):
        path = beside = Path(home)
    found = beside if path.is_absolute() or _exists(beside) else path.absolute() if _exists(path) else beside
    return Path(os.path.realpath(found.parent), found.name) if ".." in found.parts else found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the system allows
        return False
