"""What goes with a file when it is moved out of a dataset: its captions, and the further targets that are part of it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from engine.data import DatasetSpec
from engine.data.companions import split_targets
from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, is_folder


def belongings(dataset: DatasetSpec, path: Path, going: Collection[Path] = ()) -> list[Path]:
    """The files that belong to ``path`` alone. A caption that another file of its name needs stays, unless that is ``going`` too."""
    extensions = dataset.caption_extensions or ((dataset.caption_extension,) if dataset.caption_extension else ())
    media = VIDEO_EXTENSIONS if dataset.kind == "clip" else IMAGE_EXTENSIONS
    if path.suffix.lower() not in media and not is_folder(path):
        return []
    stem = path.name if is_folder(path) else path.stem
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:  # moving the file itself will say so
        return []
    stems = {name: Path(name).stem for name in names if Path(name).suffix.lower() in media}
    if any(other == stem and name != path.name and path.with_name(name) not in going for name, other in stems.items()):
        return []
    found = [path.with_name(stem + extension) for extension in extensions if stem + extension in names]
    if dataset.multiple_target:
        captioned = {other for other in stems.values() if any(other + extension in names for extension in extensions)}
        further = {target for target, base in split_targets(stems.values(), captioned).items() if base == stem}
        found += [path.with_name(name) for name, other in stems.items() if other in further]
    return [file for file in found if not is_folder(file)]
