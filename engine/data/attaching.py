"""Give the items of a folder what belongs to them by name: further targets, controls, masks. An item that lacks its own is left out
with the reason; where a whole folder of them cannot be read, no item is trained without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.companions import base_and_number, pictures_by_name, videos_by_name
from engine.data.dataset_spec import DatasetSpec
from engine.data.listing import Listing


def attach_targets(
    dataset: DatasetSpec, listing: Listing, extras: Mapping[str, str], paths: Mapping[str, Path]
) -> None:
    """Give each item its further targets; all items must have equally many."""
    of: dict[str, list[str]] = {}
    for extra, base in extras.items():
        of.setdefault(base, []).append(extra)
    counts = Counter(len(of.get(source.name, ())) for source in listing.sources)
    usual = counts.most_common(1)[0][0] if counts else 0
    sources = []
    for source in listing.sources:
        own = sorted(of.get(source.name, ()), key=lambda name: (base_and_number(name) or (name, 0))[1])
        if len(own) != usual:
            reason = say(
                f"it has {len(own)} further targets, and most items have {usual}.",
                f"追加の目標画像が {len(own)} 枚で、他の項目 ({usual} 枚) と違います。",
            )
            listing.skip(dataset, source.path, "target_count", reason, broken=True)
            continue
        sources.append(source._replace(targets=tuple(paths[name] for name in own)))
    listing.sources = sources


def attach_controls(dataset: DatasetSpec, listing: Listing, folder: Path) -> None:
    """Give each item its control pictures, or its control video."""
    sources = listing.sources
    try:
        if dataset.kind == "image":
            found, unused = pictures_by_name(folder, [source.name for source in sources])
        else:
            videos, unused = videos_by_name(folder, {source.name: source.path.name for source in sources})
            found = {name: (path,) for name, path in videos.items()}
    except OSError as error:
        _lose(listing, "control_directory", folder, error)
        return
    listing.sources = []
    for source in sources:
        if source.name in found:
            listing.sources.append(source._replace(controls=found[source.name]))
        else:
            what = say("picture", "画像") if dataset.kind == "image" else say("video", "動画")
            reason = say(f"it has no control {what} in {folder}.", f"{folder} に対応する制御{what}がありません。")
            listing.skip(dataset, source.path, "missing_control", reason, broken=True)
    if unused:
        message = say(
            f"{counted(len(unused), 'file')} in {folder} {'belongs' if len(unused) == 1 else 'belong'} to no item, such as {unused[0].name}.",
            f"{folder} の {len(unused)} 個のファイルはどの項目にも対応しません ({unused[0].name} など)。",
        )
        listing.warnings.append(Problem("unused_controls", message, file=str(unused[0]), severity="warning"))


def attach_masks(dataset: DatasetSpec, listing: Listing, folder: Path) -> None:
    """Give each item its mask."""
    sources = listing.sources
    try:
        found, _ = pictures_by_name(folder, [source.name for source in sources])
    except OSError as error:
        _lose(listing, "mask_directory", folder, error)
        return
    listing.sources = []
    for source in sources:
        masks = [path for path in found.get(source.name, ()) if path.stem == Path(source.name).name]
        if masks:
            listing.sources.append(source._replace(mask=masks[0]))
        else:
            reason = say(f"it has no mask in {folder}.", f"{folder} に対応するマスクがありません。")
            listing.skip(dataset, source.path, "missing_mask", reason, broken=True)


def _lose(listing: Listing, key: str, folder: Path, error: OSError) -> None:
    """A whole folder of companions is missing: no item may be trained without them."""
    listing.sources = []
    listing.unreadable[key] = say(
        f"{key} cannot be read: {folder}: {error.strerror}.", f"{key} を読めません: {folder}: {error.strerror}"
    )
