"""Lists of a dataset: one JSON object per line with the path of a picture or video, its caption and what belongs to it.

``{"image_path": "cat.png", "caption": "a cat", "control_path_0": "pose.png", "control_path_1": "style.png"}``

Several targets are ``image_path_0``, ``image_path_1`` …; a video may be a folder of frames; ``caption`` may be a list of texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.data.captions import captions_of, lacks_text
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Skipped
from engine.data.list_text import list_text
from engine.data.listing import Listing, Source
from engine.data.media import is_folder


class _WrongRecord(Exception):
    """A line that is no record; code and reason in both languages."""

    def __init__(self, code: str, en: str, ja: str) -> None:
        self.code, self.en, self.ja = code, en, ja
        super().__init__(code)


def list_jsonl(dataset: DatasetSpec, path: Path, listing: Listing) -> None:
    """Fill ``listing`` with what the list names, sorted by path."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        listing.missing = True
        return
    except OSError as error:
        reason = say(f"the list cannot be read: {error.strerror}.", f"リストを読めません: {error.strerror}")
        listing.skipped.append(Skipped(path, "unreadable_list", reason, dataset.index, broken=True))
        return
    seen: dict[Path, Source] = {}
    text = list_text(data, dataset.caption_encoding)
    listing.warnings += text.notices(path)
    for number, line in enumerate(text.lines, start=1):
        if text.is_blank(line):
            continue
        try:
            source, is_empty = _read_record(dataset, path, line, text.encoding)
        except _WrongRecord as wrong:
            reason = say(f"line {number}: {wrong.en}", f"{number}行目: {wrong.ja}")
            listing.skipped.append(Skipped(path, wrong.code, reason, dataset.index, broken=True))
            continue
        if not source.captions:
            reason = say(f"line {number} has no caption.", f"{number}行目に caption がありません。")
            listing.skipped.append(Skipped(source.path, "missing_caption", reason, dataset.index))
            continue
        _add(dataset, source, number, seen, listing)
        if is_empty:
            listing.empty.append(source.file)
    listing.sources.sort(key=lambda source: source.file)


def _add(dataset: DatasetSpec, source: Source, number: int, seen: dict[Path, Source], listing: Listing) -> None:
    known = seen.get(source.path)
    if known is not None and (known.controls, known.targets) == (source.controls, source.targets):
        if known.captions == source.captions:
            reason = say(f"line {number} lists it again.", f"{number}行目で重複しています。")
            listing.skipped.append(Skipped(source.path, "duplicate", reason, dataset.index))
            return
        if dataset.multiple_captions:
            merged = known._replace(captions=tuple(dict.fromkeys((*known.captions, *source.captions))))
            listing.sources[listing.sources.index(known)] = seen[source.path] = merged
            return
    seen.setdefault(source.path, source)
    listing.sources.append(source)


def _read_record(dataset: DatasetSpec, jsonl: Path, line: bytes, encoding: str) -> tuple[Source, bool]:
    """The source of one line, without captions when the line has none; whether one is empty. Raises ``_WrongRecord``."""
    try:
        record: Any = json.loads(line.decode(encoding))
    except UnicodeDecodeError:
        name = encoding.upper()
        raise _WrongRecord("list_not_utf8", f"it is not {name}.", f"{name}ではありません。") from None
    except (ValueError, RecursionError) as error:
        text = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise _WrongRecord("bad_line", f"it is not JSON ({text}).", f"JSONではありません ({text})。") from error
    if not isinstance(record, dict):
        raise _WrongRecord("bad_line", "it is not an object in braces.", "{ } で囲んだオブジェクトではありません。")
    key = "image_path" if dataset.kind == "image" else "video_path"
    paths = _paths(jsonl, record, key)
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
    )
    return source, bool(captions) and lacks_text(dataset, captions)


def _captions(written: Any) -> tuple[str, ...]:
    if written is None or written == []:
        return ()
    texts = written if isinstance(written, list) else [written]
    if any(not isinstance(text, str) or not is_unicode(text) for text in texts):
        raise _WrongRecord("bad_line", "caption is not a text.", "caption が文字列ではありません。")
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
            raise _WrongRecord("bad_line", f"{key} is not a path.", f"{key} がパスではありません。")
        found.append(_locate(jsonl, value))
    return tuple(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: file names of another encoding and halves of characters cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _locate(jsonl: Path, written: str) -> Path:
    """Relative paths count from the list's folder; where nothing is there, from the working directory as in Musubi Tuner."""
    path = Path(written)
    beside = jsonl.parent / path
    return beside if path.is_absolute() or _exists(beside) else path.absolute() if _exists(path) else beside


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the system allows
        return False
