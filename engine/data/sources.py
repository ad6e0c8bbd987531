"""Find what the user pointed at: the pictures or videos of a folder, each with its captions, in sorted order.

Nothing disappears: a file that cannot be used becomes a ``Skipped`` with its reason. Lists are read by ``lists``; what belongs to
an item by its name alone (controls, further targets, masks) is found by ``companions``.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.captions import CaptionFile, WrongCaption, captions_of
from engine.data.companions import base_and_number, pictures_by_name, split_targets, videos_by_name
from engine.data.dataset_spec import DatasetSpec
from engine.data.index import ScanIndex
from engine.data.items import Skipped
from engine.data.listing import CaptionNotices, Listing, Source, tell_empty
from engine.data.lists import is_unicode, list_jsonl
from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, frame_files

_OTHER_PICTURES = (".gif", ".tif", ".tiff", ".heic", ".heif", ".jfif", ".jp2", ".psd", ".svg", ".exr", ".dng", ".raw")


def list_sources(dataset: DatasetSpec, index: ScanIndex | None = None) -> Listing:
    """Everything the dataset's source holds, sorted by name. ``index`` spares reading captions that did not change."""
    listing = Listing()
    if dataset.jsonl is not None:
        list_jsonl(dataset, dataset.jsonl, listing)
    elif dataset.directory is not None:
        _Folder(dataset, dataset.directory, listing, index or ScanIndex(None)).read()
    tell_empty(dataset, listing)
    return listing


class _Entry(NamedTuple):
    """A file, or a folder of frames (without extension), that may be a source."""

    name: str  # stem, after its subfolder if it has one
    path: str
    extension: str

    def captions(self, extensions: tuple[str, ...]) -> list[str]:
        """Where its captions would be."""
        stem = self.path[: len(self.path) - len(self.extension)]
        return [stem + extension for extension in extensions]


class _Folder:
    """One folder on its way to a listing."""

    def __init__(self, dataset: DatasetSpec, folder: Path, listing: Listing, index: ScanIndex) -> None:
        self.dataset = dataset
        self.index = index
        self.encoding = dataset.caption_encoding
        self.folder = folder
        self.listing = listing
        self.notices = CaptionNotices()
        images = dataset.kind == "image"
        self.wanted = IMAGE_EXTENSIONS if images else VIDEO_EXTENSIONS
        one = dataset.caption_extension
        self.extensions = dataset.caption_extensions or (() if one is None else (one,))
        self.others = (*(VIDEO_EXTENSIONS if images else IMAGE_EXTENSIONS), *_OTHER_PICTURES)

    def read(self) -> None:
        """Fill the listing."""
        entries = self._entries()
        if entries is None:
            return
        found = [entry for entry in entries if self._is_wanted(entry)]
        extras = self._further_targets(found)
        for entry in found:
            if entry.name not in extras:
                self._add(entry)
        if self.dataset.multiple_target:
            self._attach_targets(extras, {entry.name: Path(entry.path) for entry in found})
        self.listing.warnings += self.notices.warnings()
        if self.dataset.control_directory is not None:
            self._attach_controls(self.dataset.control_directory)
        if self.dataset.mask_directory is not None:
            self._attach_masks(self.dataset.mask_directory)

    def _entries(self) -> list[_Entry] | None:
        """Every picture or video there is, sorted; None when the folder is missing or cannot be read."""
        found: list[_Entry] = []
        try:
            apart = (self.dataset.control_directory, self.dataset.mask_directory, self.dataset.cache_directory)
            seen = {os.path.realpath(folder) for folder in (self.folder, *apart) if folder is not None}
            self._walk(str(self.folder), "", seen, found)
        except (FileNotFoundError, NotADirectoryError):
            self.listing.missing = True
            return None
        except OSError as error:
            self._skip(self.folder, "unreadable_folder", _unreadable_folder(error), broken=True)
            return None
        return found

    def _walk(self, folder: str, prefix: str, seen: set[str], found: list[_Entry]) -> None:
        """Paths are texts here: of a hundred thousand files most are captions, and a ``Path`` for each would be felt."""
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            stem, extension = os.path.splitext(entry.name)
            extension = extension.lower()
            if not _is_folder(entry):
                if extension in self.wanted or extension in self.others:
                    found.append(_Entry(prefix + stem, entry.path, extension))
            elif self._is_clip(entry, extension):
                found.append(_Entry(prefix + entry.name, entry.path, ""))
            elif not self.dataset.recursive or entry.name.startswith("."):
                self.listing.subfolders += 1
            elif (real := os.path.realpath(entry.path)) not in seen:  # neither controls and masks nor a link back up
                try:
                    self._walk(entry.path, f"{prefix}{entry.name}/", seen | {real}, found)
                except OSError as error:
                    self._skip(Path(entry.path), "unreadable_folder", _unreadable_folder(error), broken=True)

    def _is_clip(self, folder: os.DirEntry[str], extension: str) -> bool:
        """A folder of frames is a clip when its caption stands beside it."""
        if self.dataset.kind != "clip" or folder.name.startswith(".") or extension in self.wanted:
            return False
        captions = _Entry(folder.name, folder.path, "").captions(self.extensions)
        try:
            return any(map(os.path.isfile, captions)) and bool(frame_files(Path(folder.path)))
        except OSError as error:
            self._skip(Path(folder.path), "unreadable_clip", _unreadable_folder(error), broken=True)
            return False

    def _is_wanted(self, entry: _Entry) -> bool:
        if entry.extension in self.others:
            self._skip(Path(entry.path), "unsupported_type", _unsupported(self.dataset, entry.extension))
        elif entry.name.rpartition("/")[2].startswith("."):
            reason = say("hidden files are not trained.", "隠しファイルは使われません。")
            self._skip(Path(entry.path), "hidden_file", reason)
        elif not entry.name.isascii() and not is_unicode(entry.path):
            reason = say("its name is not UTF-8; rename it.", "ファイル名がUTF-8ではありません。名前を変えてください。")
            self._skip(Path(entry.path), "name_not_utf8", reason, broken=True)
        else:
            return True
        return False

    # -- captions

    def _add(self, entry: _Entry) -> None:
        """Add the source with its captions, or say why not."""
        written = [] if self.extensions else [""]
        for path in entry.captions(self.extensions):
            try:
                text, notice = self.index.caption(path, self.encoding)
            except FileNotFoundError:
                continue
            except WrongCaption as error:
                self._skip(Path(entry.path), "caption_not_utf8", str(error), broken=True)
                return
            except OSError as error:
                reason = say(
                    f"its caption cannot be read: {error.strerror}.", f"キャプションを読めません: {error.strerror}"
                )
                self._skip(Path(entry.path), "unreadable_caption", reason, broken=True)
                return
            if notice:
                self.notices.note(Path(path), CaptionFile(text, notice))
            written.append(text)
        if written:
            captions = captions_of(self.dataset, tuple(written))
            self.listing.sources.append(Source(Path(entry.path), captions, entry.name))
        else:
            name = os.path.basename(entry.captions(self.extensions)[0])
            reason = say(f"it has no caption file {name}.", f"キャプション {name} がありません。")
            self._skip(Path(entry.path), "missing_caption", reason)

    # -- companions

    def _further_targets(self, found: list[_Entry]) -> dict[str, str]:
        if not self.dataset.multiple_target:
            return {}
        captioned = {entry.name for entry in found if any(map(os.path.isfile, entry.captions(self.extensions)))}
        return split_targets((entry.name for entry in found), captioned)

    def _attach_targets(self, extras: dict[str, str], paths: dict[str, Path]) -> None:
        """Give each item its further targets; all items must have equally many."""
        of: dict[str, list[str]] = {}
        for extra, base in extras.items():
            of.setdefault(base, []).append(extra)
        counts = Counter(len(of.get(source.name, ())) for source in self.listing.sources)
        usual = counts.most_common(1)[0][0] if counts else 0
        sources = []
        for source in self.listing.sources:
            own = sorted(of.get(source.name, ()), key=lambda name: (base_and_number(name) or (name, 0))[1])
            if len(own) != usual:
                reason = say(
                    f"it has {len(own)} further targets, and most items have {usual}.",
                    f"追加の目標画像が {len(own)} 枚で、他の項目 ({usual} 枚) と違います。",
                )
                self._skip(source.path, "target_count", reason, broken=True)
                continue
            sources.append(replace(source, targets=tuple(paths[name] for name in own)))
        self.listing.sources = sources

    def _attach_controls(self, folder: Path) -> None:
        sources = self.listing.sources
        try:
            if self.dataset.kind == "image":
                found, unused = pictures_by_name(folder, [source.name for source in sources])
            else:
                videos, unused = videos_by_name(folder, {source.name: source.path.name for source in sources})
                found = {name: (path,) for name, path in videos.items()}
        except OSError as error:
            self._lose("control_directory", folder, error)
            return
        self.listing.sources = []
        for source in sources:
            if source.name in found:
                self.listing.sources.append(replace(source, controls=found[source.name]))
            else:
                what = say("picture", "画像") if self.dataset.kind == "image" else say("video", "動画")
                reason = say(f"it has no control {what} in {folder}.", f"{folder} に対応する制御{what}がありません。")
                self._skip(source.path, "missing_control", reason, broken=True)
        if unused:
            message = say(
                f"{len(unused)} files in {folder} belong to no item, such as {unused[0].name}.",
                f"{folder} の {len(unused)} 個のファイルはどの項目にも対応しません ({unused[0].name} など)。",
            )
            self.listing.warnings.append(Problem("unused_controls", message, file=str(unused[0]), severity="warning"))

    def _attach_masks(self, folder: Path) -> None:
        sources = self.listing.sources
        try:
            found, _ = pictures_by_name(folder, [source.name for source in sources])
        except OSError as error:
            self._lose("mask_directory", folder, error)
            return
        self.listing.sources = []
        for source in sources:
            masks = [path for path in found.get(source.name, ()) if path.stem == Path(source.name).name]
            if masks:
                self.listing.sources.append(replace(source, mask=masks[0]))
            else:
                reason = say(f"it has no mask in {folder}.", f"{folder} に対応するマスクがありません。")
                self._skip(source.path, "missing_mask", reason, broken=True)

    def _lose(self, key: str, folder: Path, error: OSError) -> None:
        """A whole folder of companions is missing: no item may be trained without them."""
        self.listing.sources = []
        self.listing.unreadable[key] = say(
            f"{key} cannot be read: {folder}: {error.strerror}.", f"{key} を読めません: {folder}: {error.strerror}"
        )

    def _skip(self, path: Path, code: str, reason: str, *, broken: bool = False) -> None:
        self.listing.skipped.append(Skipped(path, code, reason, self.dataset.index, broken))


def _unreadable_folder(error: OSError) -> str:
    return say(f"the folder cannot be read: {error.strerror}.", f"フォルダを読めません: {error.strerror}")


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
