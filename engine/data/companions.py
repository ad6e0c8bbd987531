"""Files that belong to an item by their names: control pictures and videos, further targets, masks.

Pictures of the item ``cat`` are ``cat.*`` and ``cat_<number>.*``, the plain one first, then by number. A file whose whole stem is
an item's name belongs to that item and to no other, so that ``img4_1.png`` is not taken for the first picture of ``img4``.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

_NUMBERED = re.compile(r"(.+)_(\d+)", re.DOTALL)


def base_and_number(stem: str) -> tuple[str, int] | None:
    """``cat_12`` -> ("cat", 12); None for a stem that does not end in a number."""
    found = _NUMBERED.fullmatch(stem)
    return None if found is None or len(found[2]) > 9 else (found[1], int(found[2]))


def pictures_by_name(folder: Path, names: Collection[str]) -> tuple[dict[str, tuple[Path, ...]], list[Path]]:
    """(item name -> its pictures in ``folder``, pictures that belong to none). Raises ``OSError``.

    Names with a subfolder (``trees/oak``) are looked for in the same subfolder here.
    """
    known = set(names)
    owned: dict[str, list[tuple[int, str, Path]]] = defaultdict(list)
    unused = []
    for relative, entry in _files(folder, known, IMAGE_EXTENSIONS):
        base = base_and_number(relative)
        if relative in known:
            owned[relative].append((-1, entry.name, entry))
        elif base is not None and base[0] in known:
            owned[base[0]].append((base[1], entry.name, entry))
        else:
            unused.append(entry)
    return {name: tuple(path for _, _, path in sorted(found)) for name, found in owned.items()}, unused


def videos_by_name(folder: Path, names: Mapping[str, str]) -> tuple[dict[str, Path], list[Path]]:
    """As ``pictures_by_name`` for one video each: the same file name, else a folder of frames, else another ending.

    ``names`` maps each item name to its file name.
    """
    candidates: dict[str, list[Path]] = defaultdict(list)
    unused = []
    for relative, entry in _files(folder, set(names), VIDEO_EXTENSIONS, folders=True):
        if relative in names:
            candidates[relative].append(entry)
        elif not entry.is_dir():
            unused.append(entry)
    chosen = {}
    for name, found in candidates.items():
        chosen[name] = min(found, key=lambda path: (path.name != names[name], not path.is_dir(), path.name))
    return chosen, unused


def _files(
    folder: Path, names: Iterable[str], extensions: tuple[str, ...], *, folders: bool = False
) -> Iterable[tuple[str, Path]]:
    """(name without ending, path) of the files in ``folder`` and in those of its subfolders that ``names`` stand in."""
    for parent in sorted({name.rpartition("/")[0] for name in names} | {""}):
        inside = folder / parent
        if parent and not inside.is_dir():
            continue
        prefix = f"{parent}/" if parent else ""
        for entry in sorted(os.listdir(inside)):
            stem, extension = os.path.splitext(entry)
            path = inside / entry
            if entry.startswith("."):
                continue
            if extension.lower() in extensions:
                yield prefix + stem, path
            elif folders and path.is_dir():
                yield prefix + entry, path


def split_targets(stems: Iterable[str], captioned: Collection[str]) -> dict[str, str]:
    """Further target -> the stem it belongs to: ``cat_0`` to ``cat`` when both are there and ``cat_0`` has no caption."""
    there = set(stems)
    found = {}
    for stem in there:
        base = base_and_number(stem)
        if base is not None and base[0] in there and stem not in captioned:
            found[stem] = base[0]
    return {stem: base for stem, base in found.items() if base not in found}
