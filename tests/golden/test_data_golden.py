"""The dataset room against tables recorded from Musubi Tuner 0.3.4: every difference is listed here with its reason."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.batches import BatchPlan, _shuffle_dataset
from engine.data.buckets import BucketRule, bucket_list, control_size
from engine.data.cache_files import (
    batch_key,
    clip_latent_name,
    image_latent_name,
    parse_latent_name,
    read_header,
    text_name,
)
from engine.data.dataset_config import check_dataset_config
from engine.data.frames import count_kept, cut_clips, kept_frames
from engine.data.items import Bucket, Item
from engine.data.resize import resize_to_bucket
from engine.families import get_family

DATA = Path(__file__).parent / "data"


def table(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


# -- dataset files

# Cases that Musubi Tuner takes and we refuse, or the other way round.
DIFFERENCES = {
    "no_datasets": ("no_datasets", "training nothing is a mistake; it is said before anything starts"),
    "empty": ("no_datasets", "as above"),
    "batch_true": ("wrong_type", "true is no number of items; there it passes because Python's bool is an int"),
    "bad_extraction": ("wrong_type", "there the wrong word is found only after models are loaded"),
    "fps_int": (None, "30 and 30.0 mean the same"),
    "resolution_float": (None, "64.0 and 64 mean the same"),
    "old_flux_key": (None, "read as no_resize_control, as Musubi Tuner's own loader does one step earlier"),
    "old_qwen_key": (None, "as above"),
}


@pytest.mark.parametrize("name", sorted(table("dataset_config.json")))
def test_dataset_files_resolve_as_recorded(name: str) -> None:
    case = table("dataset_config.json")[name]
    config, problems = check_dataset_config(case["config"], base_dir=Path("/"), spec=get_family("wan"))
    errors = [problem.code for problem in problems if problem.severity == "error"]
    if name in DIFFERENCES and DIFFERENCES[name][0] is not None:
        assert set(errors) == {DIFFERENCES[name][0]}
        return
    if "error" in case and name not in DIFFERENCES:
        assert errors
        return
    assert config is not None, problems
    if name == "resolution_float":
        assert all(isinstance(side, int) for side in config.datasets[0].resolution)
        return
    if name in DIFFERENCES:
        meant = {"fps_int": ("source_fps", 30.0)}.get(name, ("no_resize_control", True))
        assert getattr(config.datasets[0], meant[0]) == meant[1]
        return
    assert len(config.datasets) == len(case["datasets"])
    for ours, recorded in zip(config.datasets, case["datasets"], strict=True):
        assert (ours.kind == "image") == recorded["image"]
        for key, value in recorded["params"].items():
            if key in ("debug_dataset", "architecture"):
                continue  # of the program, not of the file
            got = getattr(ours, key)
            if key == "cache_directory" and value is None:
                assert got == ours.directory  # resolved here, there later
            elif isinstance(got, Path):
                assert str(got) == value
            else:
                assert (list(got) if isinstance(got, tuple) else got) == value, key


# -- buckets

BUCKETS = table("buckets.json")


@pytest.mark.parametrize("case", sorted(BUCKETS["lists"]))
def test_bucket_lists_and_choices(case: str) -> None:
    steps, size = case.split("/")
    step, (width, height) = int(steps.removeprefix("steps")), map(int, size.split("x"))
    assert [list(entry) for entry in bucket_list(width, height, step)] == BUCKETS["lists"][case]
    chosen = BUCKETS["selection"][case]
    for source, larger, as_is in zip(BUCKETS["sizes"], chosen["upscale"], chosen["no_upscale"], strict=True):
        assert list(BucketRule((width, height), step, True, False).choose(*source)) == larger
        assert list(BucketRule((width, height), step, True, True).choose(*source)) == as_is
    assert list(BucketRule((width, height), step, False, False).choose(300, 200)) == chosen["no_bucket"]


@pytest.mark.parametrize("case", sorted(BUCKETS["calc"]))
def test_sizes_of_control_pictures(case: str) -> None:
    steps, size = case.split("/")
    step, (width, height) = int(steps.removeprefix("steps")), map(int, size.split("x"))
    for source, recorded in zip(BUCKETS["sizes"], BUCKETS["calc"][case], strict=True):
        got = control_size(*source, (width, height), step)
        if isinstance(recorded, str):  # there a line of pixels ends in "division by zero"
            assert min(got) >= step
        else:
            assert list(got) == recorded


@pytest.mark.parametrize(
    ("name", "family", "datasets"),
    [("edit_dataset", "qwen_image", 1), ("video_dataset", "wan", 4), ("framepack_one_frame_dataset", None, 1)],
)
def test_dataset_files_as_people_write_them(name: str, family: str | None, datasets: int) -> None:
    """Every idiom once, with comments; paths in them do not exist, so they are read and not scanned."""
    file = DATA / "configs" / f"{name}.toml"
    spec = None if family is None else get_family(family)
    config, problems = check_dataset_config(file, base_dir=file.parent, spec=spec)
    assert config is not None, problems
    assert len(config.datasets) == datasets
    again, _ = check_dataset_config(config.document(), base_dir=Path("/elsewhere"), spec=spec)
    assert again is not None
    assert again.datasets == config.datasets


# -- frames

FPS = {"wan": 16.0, "hv": 24.0, "fp": 30.0, "hv15": 24.0, "k5": 24.0}


def test_frame_extraction_and_rates() -> None:
    for case in table("frame_extraction.json")["extraction"]:
        fps, mode = FPS[case["arch"]], case["frame_extraction"]
        got = cut_clips(
            mode,
            count_kept(case["frames"], case["source_fps"], fps),
            tuple(case["target_frames_effective"]),
            stride=case.get("frame_stride", 1),
            sample=case.get("frame_sample", 1),
            longest=case.get("max_frames", 129),
            frame_stride=4,
        )
        recorded = [(int(clip["cache"].split("_")[1][:5]), clip["n"]) for clip in case["clips"]]
        if mode == "uniform":
            recorded = list(dict.fromkeys(recorded))  # equal starts overwrite each other's file there; here once
        if mode == "head" and case["source_fps"] and case["source_fps"] < fps:
            assert recorded == []  # the recorded bug: the limit counts target-rate positions, and the clip is dropped
            assert got == [(0, length) for length in case["target_frames_effective"]]
            continue
        assert got == recorded, case
        for clip in case["clips"]:
            frames = clip.get("source_index") or range(clip["first"], clip["last"] + 1)
            start = int(clip["cache"].split("_")[1][:5])
            assert list(islice(kept_frames(case["source_fps"], fps), start, start + clip["n"])) == list(frames)


def test_resize_and_crop_within_one_grey_level() -> None:
    y, x = np.mgrid[0:48, 0:64]
    source = np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1).clip(0, 255).astype(np.uint8)
    for case in table("frame_extraction.json")["resize"]:
        fitted = resize_to_bucket(source, tuple(case["bucket_wh"]))
        assert list(fitted.shape) == case["shape"]
        for rows, recorded in ((fitted[0], "row0"), (fitted[-1], "rowlast"), (fitted[:, 0], "col0")):
            assert np.abs(rows.astype(int) - np.array(case[recorded])).max() <= 1
        assert np.abs(fitted.mean((0, 1)) - case["mean"]).max() <= 1


# -- order

GROUPS = {(304, 208): "a", (256, 256): "b", (208, 304): "c"}


def _item(name: str, size: tuple[int, int]) -> Item:
    path = Path(f"/{name}.png")
    bucket = Bucket(*size)
    return Item(f"0:{name}", 0, name, path, "", *size, "image", 0, bucket, path, path, repeats=1, batch_size=2)


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("epoch", [1, 2])
def test_batch_order(seed: int, epoch: int) -> None:
    import random

    recorded = table("batch_order.json")[f"seed{seed}_epoch{epoch}"]
    sizes = {(304, 208): 5, (256, 256): 3, (208, 304): 1}
    items = [_item(f"{GROUPS[size]}{n}", size) for size, count in sizes.items() for n in range(count)]
    groups = [((Bucket(*size), ()), [i for i, item in enumerate(items) if item.bucket[:2] == size]) for size in sizes]
    order = _shuffle_dataset(groups, 2, random.Random(seed + epoch))
    assert [[list(bucket[:2]), number] for (bucket, _), number in order] == recorded["batch_indices"]
    shuffled = {f"{b.width}x{b.height}": [items[i].name for i in members] for (b, _), members in groups}
    assert shuffled == recorded["buckets"]

    plan = BatchPlan(items, seed=seed, numerics="musubi")
    plan._dataset_seed = lambda epoch: seed + epoch  # type: ignore[method-assign]  # the table seeds without the common draw
    names = [[items[index].name for index in batch] for batch in plan.epoch(epoch)]
    assert names == [recorded["buckets"][f"{w}x{h}"][2 * n : 2 * n + 2] for (w, h), n in recorded["batch_indices"]]


# -- cache files

ARCHITECTURES = {"wan_img": "wan", "wan_vid": "wan", "qwen": "qi", "flux": "fk", "hv_img": "hv", "hv_vid": "hv"}


def test_cache_names_are_taken_apart_and_put_together() -> None:
    for group, files in table("cache_files.json").items():
        for name, entry in files.items() if group in ARCHITECTURES else ():
            cache_id, metadata = ARCHITECTURES[group], entry["metadata"]
            if name.endswith("_te.safetensors"):
                stem = name.removesuffix(f"_{cache_id}_te.safetensors")
                assert text_name(stem, cache_id) == name
                continue
            clip = "frame_count" in metadata
            parsed = parse_latent_name(name, cache_id, clip=clip)
            assert parsed is not None
            assert (parsed.width, parsed.height) == (int(metadata["width"]), int(metadata["height"]))
            if clip:
                bucket = Bucket(parsed.width, parsed.height, parsed.frames)
                assert parsed.frames == int(metadata["frame_count"])
                assert clip_latent_name(parsed.stem, parsed.start, bucket, cache_id) == name
            else:
                assert image_latent_name(parsed.stem, parsed.width, parsed.height, cache_id) == name


def test_tensor_names_become_batch_keys() -> None:
    keys = {
        batch_key(tensor)
        for files in table("cache_files.json").values()
        for entry in files.values()
        for tensor in entry["tensors"]
    }
    assert {
        ("latents", False),
        ("latents_control_0", False),
        ("latents_image", False),
        ("latents_clean_2x", False),
    } <= keys
    assert {("t5", True), ("vl_embed", True), ("llm", False), ("llm_mask", False), ("clipL_mask", False)} <= keys
    assert not [key for key, _ in keys if any(word in key for word in ("bfloat16", "float32", "varlen", "int64"))]


def test_recorded_headers_are_read_without_tensors() -> None:
    for path in sorted((DATA / "cache").glob("*.safetensors")):
        group, name = path.name.split("__")
        recorded = table("cache_files.json")[group][name]
        header = read_header(path)
        assert dict(header.metadata) == recorded["metadata"]
        found = {tensor: [dtype, list(shape)] for tensor, (dtype, shape) in header.tensors.items()}
        assert found == recorded["tensors"]
