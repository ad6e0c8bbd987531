"""Find what the user pointed at: the pictures or videos of a folder, each with its captions, in sorted order.

Nothing disappears: a file that cannot be used becomes a ``Skipped`` with its reason. Lists are read by ``lists``; what belongs to
an item by its name alone (controls, further targets, masks) is given to it by ``attaching``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple

from engine.config.language import say
from engine.config.spelling import shell_word
from engine.data.attaching import attach_controls, attach_masks, attach_targets
from engine.data.beside import (
    captions_of_nothing,
    count_frames,
    frames_alone,
    holds_something,
    unread_subfolders,
    unused_captions,
)
from engine.data.caption_encodings import Read, as_others, in_doubt
from engine.data.captions import CaptionFile, WrongCaption, captions_of, lacks_text
from engine.data.companions import split_targets
from engine.data.dataset_spec import DatasetSpec
from engine.data.folder_memory import MANY, Scanned, listed_folder
from engine.data.index import Kind, ScanIndex
from engine.data.index_file import Identity
from engine.data.listing import CaptionNotices, Listing, Source, tell_empty
from engine.data.lists import is_unicode, list_jsonl
from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, frame_files
from engine.data.read_ahead import read_each

_OTHER_PICTURES = (".gif", ".tif", ".tiff", ".heic", ".heif", ".jfif", ".jp2", ".psd", ".svg", ".exr", ".dng", ".raw")


def list_sources(
    dataset: DatasetSpec, index: ScanIndex | None = None, others: Sequence[DatasetSpec] = (), typed: str = ""
) -> Listing:
    """Everything the dataset's source holds, sorted by name. ``index`` spares reading captions that did not change.

    Subfolders that ``others`` read are none that were forgotten. ``typed``: what a person types for the dataset.
    """
    listing = Listing(typed=typed)
    if dataset.jsonl is not None:
        list_jsonl(dataset, dataset.jsonl, listing)
    elif dataset.directory is not None:
        folders = [(other.directory, other.control_directory, other.mask_directory) for other in others]
        elsewhere = [os.path.realpath(folder) for one in folders for folder in one if folder is not None]
        _Folder(dataset, dataset.directory, listing, index or ScanIndex(None), elsewhere).read()
    tell_empty(listing, dataset.jsonl)
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

    def __init__(
        self, dataset: DatasetSpec, folder: Path, listing: Listing, index: ScanIndex, elsewhere: Sequence[str]
    ) -> None:
        self.dataset = dataset
        self.elsewhere = elsewhere  # real paths of folders that are read all the same
        self.index = index
        self.encoding = dataset.caption_encoding
        self.folder = folder
        self.listing = listing
        apart = (dataset.control_directory, dataset.mask_directory, dataset.cache_directory)
        self.above = {os.path.realpath(one) for one in apart if one is not None}  # what is not gone into
        self.notices = CaptionNotices()
        self._lower: tuple[_Place, dict[str, str]] | None = None  # names of a folder by their lower-case spelling
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
            attach_targets(self.dataset, self.listing, extras, {entry.name: Path(entry.path) for entry in found})
        self.listing.warnings += self.notices.warnings(self.listing.typed)
        self.listing.warnings += unread_subfolders(self.folder, self.listing.subfolders)
        self.listing.warnings += unused_captions(self.listing.unused_captions)
        if self.dataset.control_directory is not None:
            attach_controls(self.dataset, self.listing, self.dataset.control_directory)
        if self.dataset.mask_directory is not None:
            attach_masks(self.dataset, self.listing, self.dataset.mask_directory)

    def _entries(self) -> list[_Entry | _Known] | None:
        """Every picture or video there is, sorted; None when the folder is missing or cannot be read."""
        found: list[_Entry | _Known] = []
        try:
            self._walk(found)
        except (FileNotFoundError, NotADirectoryError):
            self.listing.missing = True
            return None
        except OSError as error:
            self._skip(self.folder, "unreadable_folder", _unreadable_folder(error), broken=True)
            return None
        return found

    def _walk(self, found: list[_Entry | _Known]) -> None:
        """Folder by folder, depth first. They are stacked here: a tree may be deeper than Python's own stack."""
        real = os.path.realpath(self.folder)
        self.above.add(real)
        entered = [(str(self.folder), real, self._folder(str(self.folder), "", real, found))]
        while entered:
            folder, real, subfolders = entered[-1]
            try:
                below = next(subfolders, None)
            except OSError as error:
                if len(entered) == 1:
                    raise
                self._skip(Path(folder), "unreadable_folder", _unreadable_folder(error), broken=True)
                below = None
            if below is None:
                entered.pop()
                self.above.discard(real)
            else:
                path, prefix, real = below
                self.above.add(real)
                entered.append((path, real, self._folder(path, prefix, real, found)))

    def _folder(
        self, folder: str, prefix: str, real: str, found: list[_Entry | _Known]
    ) -> Iterator[tuple[str, str, str]]:
        """Adds what is in a folder to ``found``; gives (path, prefix, real path) of each subfolder, in its place, to be read too.

        Paths are texts here: of a hundred thousand files most are captions, and a ``Path`` for each would be felt.
        """
        listed = Scanned(folder)
        if (known := self._known_folder(folder, prefix, real, listed)) is not None:
            found.append(known)
            return
        files, media = {entry.name: entry for entry in listed.entries}, self.wanted | self.others
        folders = {name for name, entry in files.items() if _is_folder(entry)}
        candidates = [name for name in files if name not in folders and _extension(name) in media]
        place = _Place(listed, files, -1 if folders and self.dataset.recursive else len(candidates))
        stems = set() if self.dataset.kind == "clip" else set(folders)  # a folder of frames belongs to a set of clips
        for name in sorted((*candidates, *folders)):
            entry, extension = files[name], _extension(name)
            if name not in folders:
                stems.add(stem := name[: -len(extension)])
                found.append(_Entry(prefix + stem, entry.path, extension, place))
            elif (inside := self._inside(entry, real)) is None:
                continue
            elif (kind := self._kind(entry, extension, inside)) == "clip":
                stems.add(name)
                found.append(_Entry(prefix + name, entry.path, "", place))
            elif kind == "folder" and self._is_read(entry, inside):
                yield entry.path, f"{prefix}{name}/", inside
        self._tell_unused(folder, (name for name in files if name not in folders), stems)

    def _inside(self, folder: os.DirEntry[str], real: str) -> str | None:
        """Where a subfolder of the folder at ``real`` is in truth; None for controls, masks and caches, and for a link back up."""
        path = os.path.realpath(folder.path) if folder.is_symlink() else os.path.join(real, folder.name)
        return None if path in self.above else path

    def _is_read(self, folder: os.DirEntry[str], inside: str) -> bool:
        """Whether a folder that is no clip is gone into. If not, it is told, unless it holds nothing."""
        if self.dataset.recursive or folder.name.startswith("."):
            return not folder.name.startswith(".")
        forgotten = not any(f"{other}/".startswith(f"{inside}/") for other in self.elsewhere)
        if forgotten and holds_something(folder.path, self.wanted):
            self.listing.subfolders.append(folder.name)
        return False

    def _kind(self, folder: os.DirEntry[str], extension: str, inside: str) -> Literal["clip", "folder", "told"]:
        """A folder of frames is a clip when its caption stands beside it; without one it is ``told``."""
        if self.dataset.kind != "clip" or folder.name.startswith(".") or extension in self.wanted:
            return "folder"
        captioned = any(os.path.isfile(folder.path + end) for end in self.extensions)
        try:
            if captioned:
                return "clip" if frame_files(Path(folder.path)) else "folder"
            frames = 0 if inside in self.elsewhere else count_frames(folder.path)
        except OSError as error:
            if captioned:
                self._skip(Path(folder.path), "unreadable_clip", _unreadable_folder(error), broken=True)
            return "told" if captioned else "folder"
        if frames:
            self._skip(Path(folder.path), "missing_caption", frames_alone(folder.name, frames, self.extensions))
        return "told" if frames else "folder"

    def _tell_unused(self, folder: str, names: Iterable[str], stems: Collection[str]) -> None:
        if self.extensions:
            unused = captions_of_nothing(names, stems, self.extensions)
            self.listing.unused_captions += [Path(folder, name) for name in sorted(unused)]

    def _known_folder(self, folder: str, prefix: str, real: str, listed: Scanned) -> _Known | None:
        """The sources of a large folder in which nothing changed since it was remembered."""
        known = self.index.whole_folder(folder, self.extensions[0], self.encoding, listed) if self.whole else None
        if known is None or (known.folders and self.dataset.recursive) or in_doubt(known.notices):
            return None
        base = os.path.join(folder, "")
        paths = [base + name for name in known.files]
        stems = [name.rpartition(".")[0] for name in known.files]
        names = [prefix + stem for stem in stems] if prefix else stems
        if known.folders:
            for entry in filter(_is_folder, listed.entries):
                if (inside := self._inside(entry, real)) is not None:
                    self._is_read(entry, inside)
        if len(listed.entries) != 2 * len(stems) + known.folders:
            self._tell_unused(folder, (entry.name for entry in listed.entries if not _is_folder(entry)), set(stems))
        for path, text, notice in zip(paths, known.captions, known.notices):
            if notice:
                self.notices.note(Path(path.rpartition(".")[0] + self.extensions[0]), CaptionFile(text, notice))
        return _Known(self._sources(paths, names, known.captions, known.sizes))

    def _sources(
        self, paths: Sequence[str], names: Sequence[str], captions: Sequence[str], sizes: Iterable[Any]
    ) -> list[Source]:
        """Sources with nothing beside them, from columns."""
        dataset = self.dataset
        if "" in captions:
            self.listing.empty += [path for path, text in zip(paths, captions, strict=True) if not text]
        changed = dataset.multiple_captions or dataset.trigger_word or dataset.tag_shuffle
        trained = (captions_of(dataset, (text,)) for text in captions) if changed else zip(captions)
        nothing = repeat(())
        columns = zip(paths, trained, names, nothing, nothing, repeat(None), sizes, repeat(0))
        sources: list[Source] = [
            *map(tuple.__new__, repeat(Source), columns)
        ]  # as ``Source._make``, in a third of its time
        return sources

    def _is_wanted(self, entry: _Entry) -> bool:
        if entry.extension in self.others:
            self._skip(Path(entry.path), "unsupported_type", _unsupported(self.dataset, entry.extension))
        elif entry.name.rpartition("/")[2].startswith("."):
            reason = say("hidden files are not trained.", "隠しファイルは使われません。")
            self._skip(Path(entry.path), "hidden_file", reason)
        elif not entry.name.isascii() and not is_unicode(entry.path):
            word = shell_word(entry.path.rpartition("/")[2])
            reason = say(
                f"its name is not UTF-8; rename it: mv -- {word} NEW_NAME",
                f"ファイル名がUTF-8ではありません。名前を変えてください: mv -- {word} 新しい名前",
            )
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
        known = zip(*captions) if captions else repeat((), len(entries))
        read = as_others([*read_each(self._read_captions, [*zip(entries, known)])])
        for entry, size, texts in zip(entries, sizes, read, strict=True):
            written = self._captions(entry, texts)
            if written:
                source = Source(entry.path, captions_of(self.dataset, tuple(written)), entry.name, size=size)
                self.listing.sources.append(source)
                if self.extensions and lacks_text(self.dataset, written):
                    self.listing.empty.append(entry.path)
            elif written is not None:
                self._no_caption(entry)

    def _no_caption(self, entry: _Entry) -> None:
        """It is not trained; where a caption stands there whose ending is written otherwise, that is why."""
        wanted = [path.rpartition("/")[2] for path in entry.captions(self.extensions)]
        if self._lower is None or self._lower[0] is not entry.place:
            self._lower = entry.place, {name.lower(): name for name in entry.place.files}
        other = next((self._lower[1][name.lower()] for name in wanted if name.lower() in self._lower[1]), "")
        if other and other != entry.path.rpartition("/")[2]:
            reason = say(
                f"its caption should be {wanted[0]}, and {other} is there.",
                f"キャプションは {wanted[0]} のはずですが、{other} があります。",
            )
            self._skip(Path(entry.path), "caption_case", reason)
        else:
            reason = say(f"it has no caption file {wanted[0]}.", f"キャプション {wanted[0]} がありません。")
            self._skip(Path(entry.path), "missing_caption", reason)

    def _add_known(self, entries: Sequence[_Entry], captions: Sequence[Any], sizes: Iterable[Any]) -> bool:
        """The same where every caption is remembered and none is peculiar; whether that is so."""
        texts, notices, encodings = zip(*captions, strict=True) if captions else ((), (), ())
        if any(notices) or set(encodings) - {self.encoding}:
            return False
        names, paths, *_ = zip(*entries, strict=True) if entries else ((), ())
        self.listing.sources += self._sources(paths, names, texts, sizes)
        return True

    def _read_captions(self, wanted: tuple[_Entry, Sequence[Sequence[Any] | None]]) -> list[Read]:
        """What stands in each caption file of an entry up to the first that cannot be read; those that are not there left out.

        ``wanted``: the entry, and what is remembered of its captions. May be called on any thread.
        """
        entry, remembered = wanted
        found: list[Read] = []
        for known, path in zip(remembered, entry.captions(self.extensions)):
            if known is not None and known[2] == self.encoding:
                found.append((path, CaptionFile(known[0], known[1])))
                continue
            try:
                text, notice = self.index.caption(path, self.encoding, entry.place.identity(path.rpartition("/")[2]))
            except FileNotFoundError as error:
                if path.rpartition("/")[2] in entry.place.files:  # a link that leads nowhere
                    return [*found, (path, error)]
                continue
            except (WrongCaption, OSError) as error:
                return [*found, (path, error)]
            found.append((path, CaptionFile(text, notice)))
        return found

    def _captions(self, entry: _Entry, read: Sequence[Read]) -> list[str] | None:
        """What is written for it; None when a caption is there and cannot be read, which is told."""
        if not self.extensions:
            return [""]
        written = []
        for path, caption in read:
            if isinstance(caption, WrongCaption):
                self._skip(Path(entry.path), caption.code, str(caption), broken=True)
                return None
            if isinstance(caption, OSError):
                name = path.rpartition("/")[2]
                reason = say(
                    f"its caption {name} cannot be read: {caption.strerror}.",
                    f"キャプション {name} を読めません: {caption.strerror}",
                )
                if isinstance(caption, FileNotFoundError):
                    reason = say(
                        f"its caption {name} is a link to a file that is not there.",
                        f"キャプション {name} のリンク先のファイルがありません。",
                    )
                self._skip(Path(entry.path), "unreadable_caption", reason, broken=True)
                return None
            if caption.notice:
                self.notices.note(Path(path), caption)
            written.append(caption.text)
        return written

    # -- companions

    def _further_targets(self, found: list[_Entry]) -> dict[str, str]:
        if not self.dataset.multiple_target:
            return {}
        captioned = {entry.name for entry in found if any(map(os.path.isfile, entry.captions(self.extensions)))}
        return split_targets((entry.name for entry in found), captioned)

    def _skip(self, path: Path, code: str, reason: str, *, broken: bool = False) -> None:
        self.listing.skip(self.dataset, path, code, reason, broken=broken)


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
