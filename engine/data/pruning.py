"""Which cache files of a dataset are left over, and their removal. Only what this tool can prove it made is ever removed.

Left over is a file with our header, of the model of this preset, that this dataset made of a source of its own and that
belongs to no item now: its source is gone from the dataset, or it was made for a size, cut or caption that is no longer asked
for. Everything else stays and is named: files of other tools, damaged ones, those of another model or another dataset, those
of a source that is there but cannot be used now, all of a dataset that gives nothing to read, and those of a subfolder that is
missing or empty: its disk may be away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.cache_files import DamagedCache, parse_latent_name, read_header
from engine.data.claims import Claims
from engine.data.dataset_spec import DatasetConfig, DatasetSpec
from engine.data.index import ScanIndex
from engine.data.inventory import scan
from engine.data.items import Scan
from engine.data.provenance import PROVENANCE_VERSION, origin_of
from engine.data.variants import with_variants
from engine.families.family import FamilySpec, TaskSpec

Contents = Literal["latents", "text"]
_UNLISTED = (
    "unreadable_folder",
    "unreadable_list",
    "not_a_list",
    "bad_line",
    "list_not_utf8",
)  # what lies there is not known
_SIZE_FOLDER = re.compile(r"\d+x\d+")  # where the latents of one of several resolutions lie
_VARIANT = re.compile(r"(\.x\d{4}y\d{4})?(\.flip)?(?=\.safetensors$)")


@dataclass(frozen=True)
class CacheName:
    """A cache file's name taken apart."""

    stem: str
    contents: Contents
    other_stem: str = ""  # of a picture whose name reads like a clip's


@dataclass(frozen=True)
class Leftover:
    """A file that may go. ``code``: "source_gone" or "settings_changed"."""

    path: Path
    bytes: int
    mtime_ns: int
    contents: Contents
    code: str

    @property
    def reason(self) -> str:
        """Why, in words."""
        if self.code == "source_gone":
            return say("its source is not in the dataset", "元ファイルがデータセットにない")
        return say("made for another size, cut or caption", "別のサイズ・切り抜き・キャプション用")


@dataclass(frozen=True)
class Kept:
    """A file that belongs to no item and stays.

    ``code``: "foreign", "other_version", "damaged", "other_model", "other_dataset", "source_unusable", "no_sources", "empty_folder".
    """

    path: Path
    bytes: int
    code: str

    @property
    def reason(self) -> str:
        """Why, in words."""
        return {
            "foreign": say("made by another tool", "他のツールが作成"),
            "other_version": say("made by another version of musubi-tui", "別のバージョンの musubi-tui が作成"),
            "damaged": say("damaged: who made it cannot be told", "破損しており作成元が不明"),
            "other_model": say("of another model", "別のモデル用"),
            "other_dataset": say("not of a source of this dataset", "このデータセットの元ファイルのものではない"),
            "no_sources": say("its dataset gives nothing to read now", "データセットに現在読めるものがない"),
            "empty_folder": say(
                "the folder of its source is missing or empty now; if that is for good, delete them yourself",
                "元ファイルのフォルダが現在ないか空 (本当に不要なら手動で削除)",
            ),
            "source_unusable": say("its source is there, but cannot be used now", "元ファイルはあるが現在使えない"),
        }[self.code]


@dataclass(frozen=True)
class Pruning:
    """What would go and what stays."""

    leftovers: tuple[Leftover, ...]
    kept: tuple[Kept, ...]
    folders: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """What the leftovers take."""
        return sum(leftover.bytes for leftover in self.leftovers)


def plan_pruning(
    config: DatasetConfig, spec: FamilySpec, task: TaskSpec, *, index: ScanIndex | None = None, only: str = ""
) -> Pruning:
    """Look through the dataset's cache folders; nothing is changed. ``only``: "latents" or "text".

    Raises ``ConfigError`` when the dataset cannot be listed as a whole: what belongs to it is not known then.
    """
    found = scan(config, spec, task, strict=False, index=index)
    missing = [error for error in found.errors if error.code == "missing_file"]
    missing += [
        Problem(skipped.code, skipped.reason, file=str(skipped.path), line=skipped.line)
        for skipped in found.skipped
        if skipped.code in _UNLISTED
    ]
    if missing:
        raise ConfigError(missing)
    used = {path for item in with_variants(found.cached) for path in (item.latent_cache, item.text_cache)}
    sources = {(item.dataset, item.path) for item in found.cached if not item.cached_only}
    leftovers: list[Leftover] = []
    kept: list[Kept] = []
    is_away = cache(_is_away)
    folders = _folders(config, used)
    for folder, dataset in folders.items():
        unusable = _unusable_stems(found, dataset)
        readable = any(index == dataset.index for index, _ in sources)
        for path, status in _caches_in(folder):
            name = parse_cache_name(path.name, task.cache_id)
            if path in used or (only and name is not None and name.contents != only):
                continue
            judged = _judge(path, name, task, dataset, unusable)
            if isinstance(judged, str) or name is None:
                kept.append(Kept(path, status.st_size, str(judged)))
            elif not readable:
                kept.append(Kept(path, status.st_size, "no_sources"))
            elif dataset.directory is not None and is_away(judged.parent):
                kept.append(Kept(path, status.st_size, "empty_folder"))
            else:
                code = "settings_changed" if (dataset.index, judged) in sources else "source_gone"
                leftovers.append(Leftover(path, status.st_size, status.st_mtime_ns, name.contents, code))
    return Pruning(tuple(leftovers), tuple(kept), tuple(folders))


def remove(pruning: Pruning) -> list[Leftover]:
    """Remove the leftovers, and what dead processes left; those that are really gone.

    A file that is no longer the one that was judged stays. Raises ``OSError``.
    """
    removed = []
    for leftover in pruning.leftovers:
        try:
            status = leftover.path.lstat()
            if (status.st_size, status.st_mtime_ns) != (leftover.bytes, leftover.mtime_ns):
                continue
            leftover.path.unlink()
        except FileNotFoundError:
            continue
        removed.append(leftover)
    with Claims() as claims:
        claims.sweep(pruning.folders)
    return removed


def parse_cache_name(name: str, cache_id: str) -> CacheName | None:
    """Stem and contents of a cache file of that id, variants included; None for any other name."""
    text = re.fullmatch(rf"(.+)_{re.escape(cache_id)}_te(\.[0-9a-f]{{8}})?\.safetensors", name, re.DOTALL)
    if text is not None:
        return CacheName(text[1], "text")
    plain = _VARIANT.sub("", name, count=1) if name.endswith(".safetensors") else name
    picture, clip = (parse_latent_name(plain, cache_id, clip=clip) for clip in (False, True))
    if picture is None:
        return None
    return CacheName(picture.stem if clip is None else clip.stem, "latents", picture.stem)


def _folders(config: DatasetConfig, used: Collection[Path]) -> dict[Path, DatasetSpec]:
    """Every folder that may hold caches of a dataset, with the dataset whose cache folder is nearest above it."""
    folders: set[Path] = {path.parent for path in used}
    for dataset in config.datasets:
        top = dataset.cache_directory
        folders.add(top)
        if dataset.recursive:
            folders |= {Path(folder) for folder, _, _ in os.walk(top)}
        elif top.is_dir():
            folders |= {path for path in top.iterdir() if _SIZE_FOLDER.fullmatch(path.name) and not path.is_symlink()}
    owned = {}
    for folder in sorted(folder for folder in folders if folder.is_dir()):
        owners = [dataset for dataset in config.datasets if folder.is_relative_to(dataset.cache_directory)]
        if owners:
            owned[folder] = max(owners, key=lambda dataset: len(dataset.cache_directory.parts))
    return owned


def _caches_in(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if (
                entry.name.endswith(".safetensors")
                and not entry.name.startswith(".")
                and entry.is_file(follow_symlinks=False)
            ):
                yield folder / entry.name, entry.stat(follow_symlinks=False)


def _unusable_stems(found: Scan, dataset: DatasetSpec) -> set[str]:
    """Names of sources that lie there but give no item; of a folder of frames the whole name, dots and all."""
    paths = [skipped.path for skipped in found.skipped if skipped.dataset == dataset.index]
    return {name for path in paths for name in (path.stem, path.name)}


def _judge(
    path: Path, name: CacheName | None, task: TaskSpec, dataset: DatasetSpec, unusable: Collection[str]
) -> Path | str:
    """The source a file of this dataset was made of, or the code of why it stays."""
    try:
        metadata = read_header(path).metadata
    except (DamagedCache, OSError):
        return "damaged"
    if "mtui_version" not in metadata:
        return "foreign"
    if metadata["mtui_version"] != PROVENANCE_VERSION:
        return "other_version"
    if name is None or metadata.get("architecture") != task.header_architecture:
        return "other_model"
    if {name.stem, name.other_stem} & set(unusable):
        return "source_unusable"
    source = origin_of(metadata, path)
    return source if source is not None and _makes(dataset, source, path.parent) else "other_dataset"


def _is_away(folder: Path) -> bool:
    """Whether a folder of sources is missing or empty, as one is whose disk is not mounted."""
    try:
        return all(name.startswith(".") for name in os.listdir(folder))
    except OSError:
        return True


def _makes(dataset: DatasetSpec, source: Path, folder: Path) -> bool:
    """Whether this dataset is where ``source`` comes from, and caches it in ``folder`` (of whatever size)."""
    beneath = Path()
    if dataset.directory is not None:
        directory = Path(os.path.normpath(dataset.directory))
        if not source.is_relative_to(directory):
            return False
        beneath = source.parent.relative_to(directory)
    parts = folder.relative_to(dataset.cache_directory).parts
    sized = bool(parts) and _SIZE_FOLDER.fullmatch(parts[0]) is not None
    return parts == beneath.parts or (sized and parts[1:] == beneath.parts)
