"""Find what the user pointed at: the pictures or videos of a folder or list, each with its caption, in sorted order.

Nothing disappears: a file that cannot be used becomes a ``Skipped`` with its reason.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Skipped
from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

_OTHER_PICTURES = (".gif", ".tif", ".tiff", ".heic", ".heif", ".jfif", ".jp2", ".psd", ".svg", ".exr", ".dng", ".raw")
_OTHER_BOMS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Source:
    """One file with its caption, not opened yet."""

    path: Path
    caption: str


@dataclass
class Listing:
    """What one dataset's folder or list holds. ``missing``: there is no such folder or list."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    missing: bool = False
    subfolders: int = 0


class WrongCaption(Exception):
    """A caption file that is not text; the reason is the text."""


def list_sources(dataset: DatasetSpec) -> Listing:
    """Everything the dataset's source holds, sorted by name."""
    listing = Listing()
    if dataset.jsonl is not None:
        _list_jsonl(dataset, dataset.jsonl, listing)
    elif dataset.directory is not None:
        _list_folder(dataset, dataset.directory, listing)
    empty = [source.path for source in listing.sources if not source.caption]
    if empty and (dataset.caption_extension is not None or dataset.jsonl is not None):
        message = say(
            f"{len(empty)} captions are empty, such as that of {empty[0].name}.",
            f"空のキャプションが {len(empty)} 件あります ({empty[0].name} など)。",
        )
        listing.warnings.append(Problem("empty_caption", message, file=str(empty[0]), severity="warning"))
    return listing


def read_caption(path: Path) -> tuple[str, bool]:
    """(caption without outer whitespace, whether a byte-order mark was left out).

    Raises ``WrongCaption`` when it is not UTF-8 (nor UTF-16 with a byte-order mark), ``OSError`` when it cannot be read.
    """
    data = path.read_bytes()
    if data.startswith(codecs.BOM_UTF8):
        encoding, marked = "utf-8-sig", True
    else:
        encoding, marked = next(((name, True) for mark, name in _OTHER_BOMS if data.startswith(mark)), ("utf-8", False))
    try:
        return data.decode(encoding).strip(), marked
    except UnicodeDecodeError as error:
        raise WrongCaption(
            say(
                f"the caption {path.name} is not UTF-8 (byte {error.start + 1} is 0x{data[error.start]:02x}). Save it as UTF-8.",
                f"キャプション {path.name} がUTF-8ではありません ({error.start + 1}バイト目)。UTF-8で保存してください。",
            )
        ) from error


# -- folders


def _list_folder(dataset: DatasetSpec, folder: Path, listing: Listing) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        listing.missing = True
        return
    except OSError as error:
        reason = say(f"the folder cannot be read: {error.strerror}.", f"フォルダを読めません: {error.strerror}")
        listing.skipped.append(Skipped(folder, "unreadable_folder", reason, dataset.index, broken=True))
        return
    wanted, others = (
        (IMAGE_EXTENSIONS, (*VIDEO_EXTENSIONS, *_OTHER_PICTURES))
        if dataset.kind == "image"
        else (VIDEO_EXTENSIONS, (*IMAGE_EXTENSIONS, *_OTHER_PICTURES))
    )
    marked = []
    for entry in entries:
        path, extension = folder / entry.name, os.path.splitext(entry.name)[1].lower()
        if _is_folder(entry):
            listing.subfolders += 1
        elif extension in others:
            listing.skipped.append(Skipped(path, "unsupported_type", _unsupported(dataset, extension), dataset.index))
        elif extension in wanted and entry.name.startswith("."):
            reason = say("hidden files are not trained.", "隠しファイルは使われません。")
            listing.skipped.append(Skipped(path, "hidden_file", reason, dataset.index))
        elif extension in wanted and not _is_unicode(entry.name):
            reason = say("its name is not UTF-8; rename it.", "ファイル名がUTF-8ではありません。名前を変えてください。")
            listing.skipped.append(Skipped(path, "name_not_utf8", reason, dataset.index, broken=True))
        elif extension in wanted and _add_captioned(dataset, path, listing):
            marked.append(path)
    if marked:
        message = say(
            f"{len(marked)} captions begin with a byte-order mark; it is left out.",
            f"BOM付きのキャプションが {len(marked)} 件あります。BOMは無視します。",
        )
        listing.warnings.append(Problem("byte_order_mark", message, file=str(marked[0]), severity="warning"))


def _add_captioned(dataset: DatasetSpec, path: Path, listing: Listing) -> bool:
    """Add the file with its caption, or say why not; true when a byte-order mark was left out."""
    if dataset.caption_extension is None:
        listing.sources.append(Source(path, ""))
        return False
    caption_path = path.with_name(path.stem + dataset.caption_extension)
    try:
        caption, marked = read_caption(caption_path)
    except FileNotFoundError:
        reason = say(f"it has no caption file {caption_path.name}.", f"キャプション {caption_path.name} がありません。")
        listing.skipped.append(Skipped(path, "missing_caption", reason, dataset.index))
    except WrongCaption as error:
        listing.skipped.append(Skipped(path, "caption_not_utf8", str(error), dataset.index, broken=True))
    except OSError as error:
        reason = say(f"its caption cannot be read: {error.strerror}.", f"キャプションを読めません: {error.strerror}")
        listing.skipped.append(Skipped(path, "unreadable_caption", reason, dataset.index, broken=True))
    else:
        listing.sources.append(Source(path, caption))
        return marked
    return False


def _is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: file names of another encoding and halves of characters cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links: opening it as a file says so by name
        return False


def _unsupported(dataset: DatasetSpec, extension: str) -> str:
    if extension in VIDEO_EXTENSIONS:
        return say("videos belong in video_directory.", "動画は video_directory に置きます。")
    if dataset.kind == "clip" and extension in IMAGE_EXTENSIONS:
        return say("pictures belong in image_directory.", "画像は image_directory に置きます。")
    return say(
        f"{extension} is not a picture type that is trained; convert it to png or jpg.",
        f"{extension} は使えません。png か jpg に変換してください。",
    )


# -- lists


def _list_jsonl(dataset: DatasetSpec, path: Path, listing: Listing) -> None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        listing.missing = True
        return
    except OSError as error:
        reason = say(f"the list cannot be read: {error.strerror}.", f"リストを読めません: {error.strerror}")
        listing.skipped.append(Skipped(path, "unreadable_list", reason, dataset.index, broken=True))
        return
    seen: dict[Path, str] = {}
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        if not line.strip():
            continue
        for source in _read_record(dataset, path, number, line, listing):
            if seen.get(source.path) == source.caption:
                reason = say(f"line {number} lists it again.", f"{number}行目で重複しています。")
                listing.skipped.append(Skipped(source.path, "duplicate", reason, dataset.index))
                continue
            seen.setdefault(source.path, source.caption)
            listing.sources.append(source)
    listing.sources.sort(key=lambda source: str(source.path))


def _read_record(dataset: DatasetSpec, jsonl: Path, number: int, line: bytes, listing: Listing) -> Iterator[Source]:
    def broken(code: str, en: str, ja: str, path: Path = jsonl) -> None:
        reason = say(f"line {number}: {en}", f"{number}行目: {ja}")
        listing.skipped.append(Skipped(path, code, reason, dataset.index, broken=True))

    try:
        record: Any = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return broken("list_not_utf8", "it is not UTF-8.", "UTF-8ではありません。")
    except (ValueError, RecursionError) as error:
        text = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return broken("bad_line", f"it is not JSON ({text}).", f"JSONではありません ({text})。")
    key = "image_path" if dataset.kind == "image" else "video_path"
    if not isinstance(record, dict):
        return broken("bad_line", "it is not an object in braces.", "{ } で囲んだオブジェクトではありません。")
    unbuilt = [name for name in record if name.startswith(("control_path", "image_path_"))]
    if unbuilt:
        return broken("not_built_yet", f"{unbuilt[0]} is not built yet.", f"{unbuilt[0]} は未実装です。")
    if not isinstance(record.get(key), str) or not record[key] or "\0" in record[key] or not _is_unicode(record[key]):
        return broken("bad_line", f"it has no {key}.", f"{key} がありません。")
    path = _locate(jsonl, record[key])
    caption = record.get("caption")
    if caption is None:
        reason = say(f"line {number} has no caption.", f"{number}行目に caption がありません。")
        listing.skipped.append(Skipped(path, "missing_caption", reason, dataset.index))
    elif not isinstance(caption, str) or not _is_unicode(caption):
        broken("bad_line", "caption is not a text.", "caption が文字列ではありません。")
    elif path.is_dir():
        broken("not_built_yet", "folders of frames are not built yet.", "フレームのフォルダは未実装です。", path)
    else:
        yield Source(path, caption.strip())


def _locate(jsonl: Path, written: str) -> Path:
    """Relative paths count from the list's folder; where nothing is there, from the working directory as in Musubi Tuner."""
    path = Path(written)
    beside = jsonl.parent / path
    return beside if path.is_absolute() or beside.exists() else path.absolute() if path.exists() else beside
