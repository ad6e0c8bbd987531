"""Before the first step: does every item have cache files, with all that the model is given, and do they fit together? Headers only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.cache_files import CacheHeader, DamagedCache, batch_key, read_header, stored_shapes
from engine.data.changes import another_size
from engine.data.items import Item
from engine.families.family import FamilySpec

Shapes = dict[str, tuple[int, ...]]
_ANY = -1  # a side that may differ from file to file


def check_caches(items: Sequence[Item], spec: FamilySpec) -> list[Problem]:
    """Everything that would stop training at some later step, each with the file's name; empty when all is well.

    Tensors that this model is not given, as caches of other tasks hold, are not looked at: they are not read either.
    """
    problems: list[Problem] = []
    text = {path: _shapes(path, problems) for path in dict.fromkeys(item.text_cache for item in items)}
    for item in {item.latent_cache: item for item in items}.values():
        found = _shapes(item.latent_cache, problems)
        if found is None:
            continue
        if "latents" not in found:
            problems.append(_incomplete(item.latent_cache, ["latents"]))
        elif found["latents"] not in stored_shapes(spec.latent_shape(*item.bucket)):
            problems.append(_wrong_size(item, found["latents"], spec))
    whole: dict[Path, Shapes] = {}
    for path, shapes in text.items():
        if shapes is None:
            continue
        lacking = sorted(set(spec.text_tensors) - set(shapes))
        if lacking:
            problems.append(_incomplete(path, lacking))
        else:
            whole[path] = shapes
    return problems + _odd_ones(whole, spec.text_tensors)


def _shapes(path: Path, problems: list[Problem]) -> Shapes | None:
    """Shapes of a file's tensors by batch name; of ragged ones the first side is the file's own."""
    try:
        header: CacheHeader = read_header(path)
    except FileNotFoundError:
        message = say("this cache file is missing.", "キャッシュファイルがありません。")
        fix = say("Run `musubi-tui cache PRESET` again.", "`musubi-tui cache PRESET` を実行し直してください。")
        problems.append(Problem("missing_cache", message, fix, str(path)))
        return None
    except (DamagedCache, OSError) as error:
        message = say(f"this cache file cannot be read: {error}", f"キャッシュファイルを読めません: {error}")
        problems.append(Problem("damaged_cache", message, _make_again(), str(path)))
        return None
    shapes: Shapes = {}
    for name, (_, shape) in header.tensors.items():
        key, ragged = batch_key(name)
        shapes[key] = (_ANY, *shape[1:]) if ragged else shape
    return shapes


def _wrong_size(item: Item, found: tuple[int, ...], spec: FamilySpec) -> Problem:
    changed = another_size(found, spec, *item.bucket)
    return Problem(
        "wrong_cache_size",
        say(f"this cache file does not fit: {changed}.", f"このキャッシュは合いません: {changed}。"),
        say(
            "Run `musubi-tui cache PRESET` again, or set the dataset back to what it was.",
            "`musubi-tui cache PRESET` を実行し直すか、データセットの設定を元に戻してください。",
        ),
        str(item.latent_cache),
    )


def _incomplete(path: Path, lacking: Sequence[str]) -> Problem:
    names = ", ".join(lacking)
    message = say(f"it holds no {names}, which the model needs.", f"モデルに必要な {names} が入っていません。")
    return Problem("incomplete_cache", message, _make_again(), str(path))


def _odd_ones(files: Mapping[Path, Shapes], names: Collection[str]) -> list[Problem]:
    """Text caches whose tensors differ in shape from the most frequent one: one model takes them all."""
    problems = []
    for key in sorted(names):
        shapes = {path: found[key] for path, found in files.items()}
        usual = Counter(shapes.values()).most_common(1)[0][0] if shapes else ()
        for path, shape in shapes.items():
            if shape != usual:
                message = say(
                    f"{key} is {_times(shape)} here and {_times(usual)} in the others.",
                    f"{key} が {_times(shape)} で、他のファイル ({_times(usual)}) と違います。",
                )
                problems.append(Problem("mixed_caches", message, _make_again(), str(path)))
    return problems


def _make_again() -> str:
    return say(
        "Delete it and run `musubi-tui cache PRESET` again.",
        "削除して `musubi-tui cache PRESET` を実行し直してください。",
    )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join("n" if side == _ANY else str(side) for side in shape) or "-"
