"""What lies in a dataset, told in numbers: kinds, sizes, captions, frame rates, what is left out. The document of ``data scan``."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from engine.config.language import say
from engine.data.dataset_spec import DatasetConfig, DatasetSpec
from engine.data.extras import extras_of
from engine.data.items import Item, Scan, Skipped, path_text
from engine.data.media import ClipInfo, UnreadableMedia, clip_info, frame_files, is_folder
from engine.data.summary import printable, skipped_entry

Measure = Callable[[Path], ClipInfo]


def survey(config: DatasetConfig, scan: Scan, *, measure: Measure = clip_info) -> dict[str, Any]:
    """``{"datasets": […], "total": {"files", "items", "bytes", "held_out", "held_out_items", "skipped", "broken"}, "errors": […], "warnings": […]}``; headers only.

    ``files`` and ``held_out`` are files, ``items`` are what is trained in an epoch, ``held_out_items`` what may be validated.
    """
    items: dict[int, list[Item]] = defaultdict(list)
    for item in scan.items:
        items[item.dataset].append(item)
    skipped: dict[int, list[Skipped]] = defaultdict(list)
    for entry in scan.skipped:
        skipped[entry.dataset].append(entry)
    held_out: dict[int, list[Item]] = defaultdict(list)
    for item in scan.held_out:
        held_out[item.dataset].append(item)
    rooms = [
        _dataset(dataset, scan, items[dataset.index], held_out[dataset.index], skipped[dataset.index], measure)
        for dataset in config.datasets
    ]
    total = {name: sum(room[name] for room in rooms) for name in ("files", "items", "bytes")}
    return {
        "datasets": rooms,
        "total": {
            **total,
            "held_out": sum(room["extras"].get("held_out", 0) for room in rooms),
            "held_out_items": len(scan.held_out),
            "skipped": len(scan.skipped),
            "broken": sum(entry.broken for entry in scan.skipped),
        },
        "errors": [problem.as_json() for problem in scan.errors],
        "warnings": [problem.as_json() for problem in (*config.warnings, *scan.warnings)],
    }


def _dataset(
    dataset: DatasetSpec,
    scan: Scan,
    items: Sequence[Item],
    held_out: Sequence[Item],
    skipped: Sequence[Skipped],
    measure: Measure,
) -> dict[str, Any]:
    first = {path_text(item, "path"): item for item in items}  # a file of several clips stands once
    source = dataset.directory or dataset.jsonl
    told: dict[str, Any] = {
        "name": printable(Path(dataset.name)),
        "kind": dataset.kind,
        "on_bad_item": dataset.on_bad_item,
        "source": "" if source is None else printable(source),
        "list": "" if dataset.jsonl is None else printable(dataset.jsonl),
        "files": len(first),
        "items": sum(item.repeats for item in items),
        "repeats": dataset.num_repeats,
        "bytes": sum(map(_size, first)),
        "from_caches": any(item.cached_only for item in items),
        "extensions": _counted(map(_extension, first))
        if dataset.kind == "image"
        else _counted(say("folder", "フォルダ") if is_folder(Path(path)) else _extension(path) for path in first),
        "size": _range([(item.width, item.height) for item in first.values()]),
        "captions": _captions(dataset, first, scan),
        "skipped": [skipped_entry(entry) for entry in skipped],
        "skipped_by_code": _counted(entry.code for entry in skipped),
        "extras": extras_of(dataset, items, held_out),
        "others": _others(
            dataset, {*first, *(str(entry.path) for entry in skipped), *_companions((*items, *held_out))}
        ),
    }
    if dataset.kind == "clip":
        there = [Path(path) for path, item in first.items() if not item.cached_only]
        told["videos"] = _videos(there, None if dataset.fps_from_file else dataset.source_fps, measure)
    return told


def _companions(items: Sequence[Item]) -> set[str]:
    """What belongs to items beside their own files, and the files that are held out."""
    found = {path_text(item, "path") for item in items}
    for item in items:
        if item.targets or item.controls:
            found |= {str(path) for path in (*item.targets, *(control.path for control in item.controls))}
    return found


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _size(path: str) -> int:
    try:
        if not _extension(path) and is_folder(Path(path)):
            return sum(file.stat().st_size for file in frame_files(Path(path)))
        return os.stat(path).st_size
    except OSError:  # gone since it was listed: the next scan says so
        return 0


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0])))


def _range(sizes: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
    """Smallest, middle and largest size by area."""
    if not sizes:
        return None
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "smallest": list(ordered[0]),
        "median": list(ordered[len(ordered) // 2]),
        "largest": list(ordered[-1]),
        "different": len(set(sizes)),
    }


def _captions(dataset: DatasetSpec, items: Mapping[str, Item], scan: Scan) -> dict[str, Any]:
    """``empty`` counts files with an empty caption as written: a trigger word does not make it a caption."""
    empty = {path for path, index in scan.empty_captions if index == dataset.index}
    lengths = [len(item.caption) for path, item in items.items() if item.caption and path not in empty]
    return {
        "extension": dataset.caption_extension,
        "written": len(lengths),
        "empty": len(items) - len(lengths),
        "characters": {"shortest": min(lengths), "median": round(median(lengths)), "longest": max(lengths)}
        if lengths
        else None,
        "unused": sum(index == dataset.index for _, index in scan.unused_captions),
    }


def _videos(paths: Sequence[Path], stated: float | None, measure: Measure) -> dict[str, Any] | None:
    """``fps`` counts the videos that state a rate; those that do not, as folders of frames, count as ``stated`` where it is written."""
    found = []
    for path in paths:
        try:
            found.append(measure(path))
        except UnreadableMedia:  # broken since it was listed
            continue
    if not found:
        return None
    frames = sorted(info.frames for info in found)
    seconds = sorted(info.frames / info.fps for info in found if info.fps)
    return {
        "fps": {
            f"{rate:g}": count
            for rate, count in sorted(Counter(round(info.fps, 2) for info in found if info.fps).items())
        },
        "without_fps": sum(not info.fps for info in found),
        "stated_fps": stated,
        "frames": {"shortest": frames[0], "median": frames[len(frames) // 2], "longest": frames[-1]},
        "seconds": {"shortest": round(seconds[0], 2), "longest": round(seconds[-1], 2), "total": round(sum(seconds), 1)}
        if seconds
        else None,
    }


def _others(dataset: DatasetSpec, told: set[str]) -> dict[str, Any]:
    """What else lies in the folder: files by extension that are neither media nor captions nor caches, and subfolders."""
    folder = dataset.directory
    extensions: Counter[str] = Counter()
    folders = 0
    try:
        listed = [] if folder is None else list(os.scandir(folder))
    except OSError:  # the scan said so
        listed = []
    if listed:
        named = {path.rpartition("/")[2] for path in told}
        mine = {".safetensors", ".old", (dataset.caption_extension or "").lower()}
        for entry in listed:
            if entry.name not in named:
                extension = os.path.splitext(entry.name)[1].lower()
                if entry.is_dir(follow_symlinks=False):
                    folders += 1
                elif extension not in mine:
                    extensions[extension or entry.name] += 1
    return {"files": _counted(extensions.elements()), "folders": folders}


def first_examples(skipped: Sequence[Mapping[str, Any]], code: str, most: int) -> list[Mapping[str, Any]]:
    """The first files that were left out for this reason."""
    return [entry for entry in skipped if entry["code"] == code][:most]
