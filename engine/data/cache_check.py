"""Before the first step: does every item have cache files, and do those of one batch fit together? Headers only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.cache_files import CacheHeader, DamagedCache, batch_key, read_header, stored_shapes
from engine.data.items import Item
from engine.families.family import FamilySpec

Shapes = dict[str, tuple[int, ...]]


def check_caches(items: Sequence[Item], spec: FamilySpec) -> list[Problem]:
    """Everything that would stop training at some later step, each with the file's name; empty when all is well."""
    problems: list[Problem] = []
    groups: dict[tuple[int, tuple[int, int, int]], list[tuple[Path, Shapes]]] = defaultdict(list)
    text_shapes: dict[Path, Shapes | None] = {}
    for item in items:
        latents = _stacked_shapes(item.latent_cache, problems)
        if item.text_cache not in text_shapes:
            text_shapes[item.text_cache] = _stacked_shapes(item.text_cache, problems)
        text = text_shapes[item.text_cache]
        if latents is None or text is None:
            continue
        expected = spec.latent_shape(*item.bucket)
        if latents.get("latents") not in stored_shapes(expected):
            problems.append(_wrong_size(item, latents.get("latents")))
            continue
        latents["latents"] = expected  # both ways of storing a picture make one batch
        groups[item.dataset, item.bucket].append((item.latent_cache, latents))
        groups[item.dataset, item.bucket].append((item.text_cache, text))
    for members in groups.values():
        problems += _odd_ones(members)
    return problems


def _stacked_shapes(path: Path, problems: list[Problem]) -> Shapes | None:
    """Shapes of the tensors that are stacked into a batch; ragged ones are not, and may differ."""
    try:
        header: CacheHeader = read_header(path)
    except FileNotFoundError:
        message = say("this cache file is missing.", "キャッシュファイルがありません。")
        fix = say("Run musubi-tui cache again.", "musubi-tui cache を実行してください。")
        problems.append(Problem("missing_cache", message, fix, str(path)))
        return None
    except (DamagedCache, OSError) as error:
        message = say(f"this cache file cannot be read: {error}", f"キャッシュファイルを読めません: {error}")
        fix = say("Delete it and run musubi-tui cache again.", "削除して musubi-tui cache を実行してください。")
        problems.append(Problem("damaged_cache", message, fix, str(path)))
        return None
    shapes: Shapes = {}
    for name, (_, shape) in header.tensors.items():
        key, ragged = batch_key(name)
        if not ragged:
            shapes[key] = shape
    return shapes


def _wrong_size(item: Item, found: tuple[int, ...] | None) -> Problem:
    bucket = "x".join(map(str, item.bucket))
    return Problem(
        "wrong_cache_size",
        say(
            f"its latents are {_times(found)}, which is not what {bucket} (width x height x frames) gives.",
            f"潜在の形 {_times(found)} が {bucket} (幅x高さxフレーム) と合いません。",
        ),
        say(
            "The resolution changed since: run musubi-tui cache again.",
            "解像度が変わっています。musubi-tui cache を実行してください。",
        ),
        str(item.latent_cache),
    )


def _odd_ones(members: list[tuple[Path, Shapes]]) -> list[Problem]:
    """Files of one bucket whose other tensors differ in shape from the most frequent one."""
    problems = []
    keys = sorted({key for _, shapes in members for key in shapes})
    for key in keys:
        shapes = {path: found[key] for path, found in members if key in found}
        usual, _ = Counter(shapes.values()).most_common(1)[0]
        for path, shape in shapes.items():
            if shape != usual:
                message = say(
                    f"{key} is {_times(shape)} here and {_times(usual)} in the others of its bucket.",
                    f"{key} が {_times(shape)} で、同じバケットの他のファイル ({_times(usual)}) と違います。",
                )
                fix = say("Run musubi-tui cache again.", "musubi-tui cache を実行してください。")
                problems.append(Problem("mixed_caches", message, fix, str(path)))
    return problems


def _times(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape else "-"
