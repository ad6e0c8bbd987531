"""Captions where they are written: a text file beside the picture, or a line of a list. Read, and replaced atomically.

What is written is UTF-8 without a byte-order mark, or the dataset's ``caption_encoding``. Of a list only the lines of that file change, every other byte stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.data import DatasetSpec
from engine.data.captions import WrongCaption, read_caption
from engine.data.list_text import list_text
from engine.data.lists import locate
from engine.data.media import is_folder
from engine.events.atomic import write_bytes_atomically

_NEW_FILE = 0o644
LONGEST = 64 * 1024  # characters


@dataclass(frozen=True)
class CaptionPlace:
    """Where the caption of ``source`` stands: in ``file``, which is the list where ``listed``."""

    source: Path
    file: Path
    listed: bool = False
    encoding: str | None = None

    def read(self) -> str | None:
        """What is written there; None without a caption. Raises ``UserError`` when it is no text."""
        if self.listed:
            found = [caption for path, caption in _records(self) if path == self.source]
            if any(isinstance(caption, list) for caption in found):
                raise UserError.of("several_captions", say("it has several captions in the list.", "リストに複数のキャプションがあります。"), say("Edit them there.", "リストを直接編集してください。"), file=self.file)  # fmt: skip
            return next((caption for caption in found if isinstance(caption, str)), None)
        try:
            return read_caption(self.file, self.encoding).text
        except FileNotFoundError:
            return None
        except WrongCaption as error:
            raise UserError.of("caption_not_utf8", str(error), file=self.file) from error

    def raw(self) -> str | None:
        """The file's text to the last byte, whatever its encoding, for putting it back; of a list as ``read``."""
        if self.listed:
            return self.read()
        try:
            return self.file.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None

    def write(self, text: str | None, *, exactly: bool = False) -> None:
        """Put ``text`` in its place, with one line end; ``exactly`` puts back what ``raw`` gave. None takes the caption's file
        away (a list keeps its line, with no caption).

        Raises ``UserError`` when that is not allowed; nothing has changed then.
        """
        if text is not None and len(text) > LONGEST:
            raise UserError.of("caption_too_long", say(f"a caption of {len(text)} characters is no caption.", f"{len(text)} 文字はキャプションとして長すぎます。"), file=self.file)  # fmt: skip
        try:
            if self.listed:
                _rewrite_list(self, lambda record: {**record, "caption": text})
            elif text is None:
                os.unlink(self.file)
            else:
                written = (text.strip() + "\n").encode(self.encoding or "utf-8") if not exactly else b""
                replace_file(self.file, text.encode("utf-8", "surrogateescape") if exactly else written)
        except UnicodeEncodeError as error:
            name = self.encoding or "utf-8"
            raise UserError.of("cannot_encode", say(f"{error.object[error.start]!r} cannot be written in {name}.", f"{error.object[error.start]!r} は {name} で書けません。"), file=self.file) from None  # fmt: skip
        except OSError as error:
            reason = error.strerror or str(error)
            message = say(f"the caption cannot be written: {reason}.", f"キャプションを書き込めません: {reason}")
            raise UserError.of("unwritable_file", message, say("Nothing was changed.", "変更していません。"), file=self.file) from error  # fmt: skip


def caption_place(dataset: DatasetSpec, source: Path) -> CaptionPlace:
    """Where the first caption of a file of that dataset stands. Raises ``UserError`` when the dataset has none."""
    return caption_places(dataset, source)[0]


def caption_places(dataset: DatasetSpec, source: Path) -> list[CaptionPlace]:
    """Where all captions of a file stand; where there is none, the place of the first. Raises ``UserError`` as above."""
    if dataset.jsonl is not None:
        return [CaptionPlace(source, dataset.jsonl, listed=True, encoding=dataset.caption_encoding)]
    extensions = dataset.caption_extensions or ((dataset.caption_extension,) if dataset.caption_extension else ())
    if not extensions:
        raise UserError.of(
            "no_captions",
            say("the dataset has no caption_extension, so it is trained without captions.", "caption_extension がないため、キャプションなしで学習されます。"),
            say('Add caption_extension = ".txt" to it.', 'caption_extension = ".txt" を追加してください。'),
            file=source,
        )  # fmt: skip
    stem = source.name if is_folder(source) else source.stem
    files = [source.with_name(stem + extension) for extension in extensions]
    there = [file for file in files if file.is_file()] or files[:1]
    return [CaptionPlace(source, file, encoding=dataset.caption_encoding) for file in there]


def replace_file(file: Path, data: bytes) -> None:
    """Atomically, through links, with the mode it had."""
    target = Path(os.path.realpath(file))
    mode = target.stat().st_mode & 0o777 if target.exists() else _NEW_FILE
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(13, say("the file is read-only", "読み取り専用です"), str(file))
    write_bytes_atomically(target, data, mode)


# -- lists


def _record(line: bytes, encoding: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line.decode(encoding))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _path_of(place: CaptionPlace, record: dict[str, Any]) -> Path | None:
    names = ("image_path", "video_path", "image_path_0")
    written = next((record[name] for name in names if name in record), None)
    if not isinstance(written, str) or "\0" in written:
        return None
    return locate(place.file, written)


def _records(place: CaptionPlace) -> list[tuple[Path | None, Any]]:
    text = list_text(place.file.read_bytes(), place.encoding)
    found = []
    for line in text.lines:
        record = _record(line, text.encoding)
        if record is not None:
            found.append((_path_of(place, record), record.get("caption")))
    return found


def _rewrite_list(place: CaptionPlace, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the lines of that file, in the list's own encoding. Raises ``UserError`` when there is none."""
    text, changed = list_text(place.file.read_bytes(), place.encoding), False
    for number, line in enumerate(text.lines):
        record = _record(line, text.encoding)
        if record is None or _path_of(place, record) != place.source:
            continue
        ending = "\r" if line.decode(text.encoding).endswith("\r") else ""
        changed_record = change(record)
        try:
            written = (json.dumps(changed_record, ensure_ascii=False) + ending).encode(text.encoding)
        except UnicodeEncodeError:  # what the list's encoding lacks, JSON writes in ASCII
            written = (json.dumps(changed_record) + ending).encode(text.encoding)
        text.lines[number] = written
        changed = True
    if not changed:
        raise UserError.of("no_such_item", say(f"{place.source.name} is not in the list any more.", f"{place.source.name} はリストにありません。"), file=place.file)  # fmt: skip
    replace_file(place.file, text.data())
