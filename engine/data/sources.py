"""Find what the user pointed at: the pictures or videos of a folder, each with its captions, in sorted order.

Nothing disappears: a file that cannot be used becomes a ``Skipped`` with its reason. Lists are read by ``lists``; what belongs to
an item by its name alone (controls, further targets, masks) is found by ``companions``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Any, NamedTuple

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.captions import CaptionFile, WrongCaption, captions_of
from engine.data.companions import base_and_number, pictures_by_name, split_targets, videos_by_name
from engine.data.dataset_spec import DatasetSpec
from engine.data.folder_memory import MANY, Scanned, listed_folder
from engine.data.index import Kind, ScanIndex
from engine.data.index_file import Identity
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


class _Place(NamedTuple):
    """A folder and the files in it as they were listed: nobody is asked once more whether a caption is there."""

    listed: Scanned
    files: dict[str, os.DirEntry[str]]
    media: int  # how many of them may be sources; -1 when those of subfolders stand between them

    def recall(self, index: ScanIndex, kind: Kind, names: Sequence[str]) -> Sequence[Sequence[Any] | None]:
        """What ``index`` remembers of these files, in their order."""
        there = self.files.keys()
        identities = iter(self.listed.identities([name for name in names if name in there]))
        return index.recall(
            kind, self.listed.folder, names, [next(identities) if name in there else None for name in names]
        )

    def identity(self, name: str) -> Identity | None:
        """Which file it is; None when it was not listed."""
        return self.listed.identity(name) if name in self.files else None


class _Entry(NamedTuple):
    """A file, or a folder of frames (without extension), that may be a source."""

    name: str  # stem, after its subfolder if it has one
    path: str
    extension: str
    place: _Place

    def captions(self, extensions: tuple[str, ...]) -> list[str]:
        """Where its captions would be."""
        stem = self.path[: len(self.path) - len(self.extension)]
        return [stem + extension for extension in extensions]


class _Known(NamedTuple):
    """The sources of a folder that is remembered as a whole."""

    sources: list[Source]
    place: None = None


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
        self.wanted = frozenset(IMAGE_EXTENSIONS if images else VIDEO_EXTENSIONS)
        one = dataset.caption_extension
        self.extensions = dataset.caption_extensions or (() if one is None else (one,))
        self.whole = images and len(self.extensions) == 1 and not dataset.multiple_target
        self.others = frozenset((*(VIDEO_EXTENSIONS if images else IMAGE_EXTENSIONS), *_OTHER_PICTURES))

    def read(self) -> None:
        """Fill the listing."""
        entries = self._entries()
        if entries is None:
            return
        wanted = [one for one in entries if isinstance(one, _Known) or self._is_wanted(one)]
        found = [one for one in wanted if isinstance(one, _Entry)]
        extras = self._further_targets(found)
        for place, members in groupby(wanted, key=lambda one: one.place):
            if place is None:
                self.listing.sources += chain.from_iterable(one.sources for one in members if isinstance(one, _Known))
            else:
                self._add(place, [one for one in members if isinstance(one, _Entry) and one.name not in extras])
        if self.dataset.multiple_target:
            self._attach_targets(extras, {entry.name: Path(entry.path) for entry in found})
        self.listing.warnings += self.notices.warnings()
        if self.dataset.control_directory is not None:
            self._attach_controls(self.dataset.control_directory)
        if self.dataset.mask_directory is not None:
            self._attach_masks(self.dataset.mask_directory)

    def _entries(self) -> list[_Entry | _Known] | None:
        """Every picture or video there is, sorted; None when the folder is missing or cannot be read."""
        found: list[_Entry | _Known] = []
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

    def _walk(self, folder: str, prefix: str, seen: set[str], found: list[_Entry | _Known]) -> None:
        """Paths are texts here: of a hundred thousand files most are captions, and a ``Path`` for each would be felt."""
        listed = Scanned(folder)
        if (known := self._known_folder(folder, prefix, listed)) is not None:
            found.append(known)
            return
        files, media = {entry.name: entry for entry in listed.entries}, self.wanted | self.others
        folders = {name for name, entry in files.items() if _is_folder(entry)}
        candidates = [name for name in files if name not in folders and _extension(name) in media]
        place = _Place(listed, files, -1 if folders and self.dataset.recursive else len(candidates))
        for name in sorted((*candidates, *folders)):
            entry, extension = files[name], _extension(name)
            if name not in folders:
                found.append(_Entry(prefix + name[: -len(extension)], entry.path, extension, place))
            elif self._is_clip(entry, extension):
                found.append(_Entry(prefix + name, entry.path, "", place))
            elif not self.dataset.recursive or name.startswith("."):
                self.listing.subfolders += 1
            elif (real := os.path.realpath(entry.path)) not in seen:  # neither controls and masks nor a link back up
                try:
                    self._walk(entry.path, f"{prefix}{name}/", seen | {real}, found)
                except OSError as error:
                    self._skip(Path(entry.path), "unreadable_folder", _unreadable_folder(error), broken=True)

    def _known_folder(self, folder: str, prefix: str, listed: Scanned) -> _Known | None:
        """The sources of a large folder in which nothing changed since it was remembered."""
        known = self.index.whole_folder(folder, self.extensions[0], self.encoding, listed) if self.whole else None
        if known is None or (known.folders and self.dataset.recursive):
            return None
        self.listing.subfolders += known.folders
        base = os.path.join(folder, "")
        paths = [base + name for name in known.files]
        names = [prefix + name.rpartition(".")[0] for name in known.files]
        for path, text, notice in zip(paths, known.captions, known.notices):
            if notice:
                self.notices.note(Path(path.rpartition(".")[0] + self.extensions[0]), CaptionFile(text, notice))
        return _Known(self._sources(paths, names, known.captions, known.sizes))

    def _sources(
        self, paths: Iterable[str], names: Iterable[str], captions: Iterable[str], sizes: Iterable[Any]
    ) -> list[Source]:
        """Sources with nothing beside them, from columns."""
        dataset = self.dataset
        changed = dataset.multiple_captions or dataset.trigger_word or dataset.tag_shuffle
        trained = (captions_of(dataset, (text,)) for text in captions) if changed else zip(captions)
        nothing = repeat(())
        columns = zip(paths, trained, names, nothing, nothing, repeat(None), sizes)
        sources: list[Source] = [
            *map(tuple.__new__, repeat(Source), columns)
        ]  # as ``Source._make``, in a third of its time
        return sources

    def _is_clip(self, folder: os.DirEntry[str], extension: str) -> bool:
        """A folder of frames is a clip when its caption stands beside it."""
        if self.dataset.kind != "clip" or folder.name.startswith(".") or extension in self.wanted:
            return False
        try:
            captions = (folder.path + extension for extension in self.extensions)
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
        elif _leads_nowhere(entry):
            reason = say("it is a link to a file that is not there.", "リンク先のファイルがありません。")
            self._skip(Path(entry.path), "broken_link", reason, broken=True)
        else:
            return True
        return False

    # -- captions

    def _add(self, place: _Place, entries: Sequence[_Entry]) -> None:
        """Add the sources of one folder with their captions, or say why not."""
        files = [entry.path.rpartition("/")[2] for entry in entries]
        stems = [name[: len(name) - len(entry.extension)] for name, entry in zip(files, entries, strict=True)]
        captions = [place.recall(self.index, "caption", [stem + end for stem in stems]) for end in self.extensions]
        sizes: Iterable[Any] = repeat(None, len(entries))
        if self.dataset.kind == "image":
            sizes = place.recall(self.index, "image", files)
        if self.whole and len(entries) == place.media >= MANY and self.index.remembers:
            of_stems = [stem + self.extensions[0] for stem in stems]
            if (whole := listed_folder(place.listed, files, of_stems)) is not None:
                self.index.note_folder(place.listed.folder, self.extensions[0], self.encoding, whole)
        if len(captions) == 1 and None not in captions[0] and self._add_known(entries, captions[0], sizes):
            return
        for entry, size, known in zip(entries, sizes, zip(*captions) if captions else repeat(())):
            written = self._captions(entry, known)
            if written:
                source = Source(entry.path, captions_of(self.dataset, tuple(written)), entry.name, size=size)
                self.listing.sources.append(source)
            elif written is not None:
                name = os.path.basename(entry.captions(self.extensions)[0])
                reason = say(f"it has no caption file {name}.", f"キャプション {name} がありません。")
                self._skip(Path(entry.path), "missing_caption", reason)

    def _add_known(self, entries: Sequence[_Entry], captions: Sequence[Any], sizes: Iterable[Any]) -> bool:
        """The same where every caption is remembered and none is peculiar; whether that is so."""
        texts, notices, encodings = zip(*captions, strict=True) if captions else ((), (), ())
        if any(notices) or set(encodings) - {self.encoding}:
            return False
        names, paths, *_ = zip(*entries, strict=True) if entries else ((), ())
        self.listing.sources += self._sources(paths, names, texts, sizes)
        return True

    def _captions(self, entry: _Entry, remembered: Sequence[Sequence[Any] | None]) -> list[str] | None:
        """What is written for it, read where it is not remembered; None when a caption is there and cannot be read."""
        if not self.extensions:
            return [""]
        written = []
        for known, extension in zip(remembered, self.extensions, strict=True):
            if known is not None and known[2] == self.encoding:
                text, notice = known[0], known[1]
            else:
                path = entry.captions((extension,))[0]
                now = entry.place.identity(path.rpartition("/")[2])
                try:
                    text, notice = self.index.caption(path, self.encoding, now)
                except FileNotFoundError:
                    continue
                except WrongCaption as error:
                    self._skip(Path(entry.path), "caption_not_utf8", str(error), broken=True)
                    return None
                except OSError as error:
                    reason = say(
                        f"its caption cannot be read: {error.strerror}.", f"キャプションを読めません: {error.strerror}"
                    )
                    self._skip(Path(entry.path), "unreadable_caption", reason, broken=True)
                    return None
            if notice:
                self.notices.note(Path(entry.captions((extension,))[0]), CaptionFile(text, notice))
            written.append(text)
        return written

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
            sources.append(source._replace(targets=tuple(paths[name] for name in own)))
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
                self.listing.sources.append(source._replace(controls=found[source.name]))
            else:
                what = say("picture", "画像") if self.dataset.kind == "image" else say("video", "動画")
                reason = say(f"it has no control {what} in {folder}.", f"{folder} に対応する制御{what}がありません。")
                self._skip(source.path, "missing_control", reason, broken=True)
        if unused:
            message = say(
                f"{counted(len(unused), 'file')} in {folder} {'belongs' if len(unused) == 1 else 'belong'} to no item, such as {unused[0].name}.",
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
                self.listing.sources.append(source._replace(mask=masks[0]))
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


def _extension(name: str) -> str:
    """As ``os.path.splitext`` tells it, in lower case, in a third of its time."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem.lstrip(".") else ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links: opening it as a file says so by name
        return False


def _leads_nowhere(entry: _Entry) -> bool:
    """Whether it is a link whose file is gone, or one that leads to itself."""
    file = entry.place.files.get(entry.path.rpartition("/")[2])
    return file is not None and file.is_symlink() and not os.path.exists(entry.path)


def _unsupported(dataset: DatasetSpec, extension: str) -> str:
    if extension in VIDEO_EXTENSIONS:
        return say("videos belong in video_directory.", "動画は video_directory に置きます。")
    if dataset.kind == "clip" and extension in IMAGE_EXTENSIONS:
        return say("pictures belong in image_directory.", "画像は image_directory に置きます。")
    return say(
        f"{extension} is not a picture type that is trained; convert it to png or jpg.",
        f"{extension} は使えません。png か jpg に変換してください。",
    )
