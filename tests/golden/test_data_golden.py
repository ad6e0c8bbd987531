"""The dataset room against tables recorded from Musubi Tuner 0.3.4: all of each table, but for what docs/golden.md lists."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import read_dataset_config, scan
from engine.data.batches import BatchPlan, batch_numbers, shuffle_dataset, shuffled_levels
from engine.data.buckets import BucketRule, bucket_list, control_size
from engine.data.clip_reading import read_clips
from engine.data.dataset_config import check_dataset_config
from engine.data.items import Bucket, Item, Scan
from engine.data.resize import resize_to_bucket
from engine.families import get_family
from engine.train.timesteps import TimestepSettings, draw_timesteps
from tests.golden.architectures import UNBUILT, architecture, built
from tests.golden.recorded import DATA, Ledger, Recorded, differences, leaves, recorded

# -- nothing hides


def test_every_recorded_file_is_read_by_a_test() -> None:
    tests = Path(__file__).parents[1]
    sources = "\n".join(file.read_text(encoding="utf-8") for file in tests.rglob("*.py"))
    files = [*DATA.glob("*.*"), *(DATA / "configs").iterdir()]
    named = [path.name if path.suffix == ".json" else path.stem for path in files]
    assert [name for name in named if name not in sources] == []


def test_a_value_that_no_test_reads_is_found() -> None:
    table = {"a": {"b": [1, 2], "c": [{"d": 1}, {"d": 2}]}, "e": {}}
    unread = set(leaves(table))
    assert unread == {"a.b", "a.c.0.d", "a.c.1.d", "e"}
    look = Recorded(table, "", unread)
    assert look["a"]["c"][1]["d"] == 2
    assert unread == {"a.b", "a.c.0.d", "e"}
    assert look["a"] == table["a"]
    assert unread == {"e"}


def test_every_difference_has_its_reason() -> None:
    for table, rows in differences().items():
        for entry, row in rows.items():
            here, reason = row.split(" | ")
            assert here, (table, entry)
            assert len(reason) > 20, (table, entry)


# -- dataset files

# What Musubi Tuner refuses too, and the code it is refused with here; its message ends in the address of the key.
REFUSED = {
    "resolution_3": "wrong_type",
    "resolution_str": "wrong_type",
    "bad_bool": "wrong_type",
    "batch_str": "wrong_type",
    "frames_int": "wrong_type",
    "unknown_key": "unknown_key",
    "debug_flag_in_toml": "unknown_key",
    "unknown_general": "misplaced_key",
    "image_key_in_video": "misplaced_key",
    "both_dirs": "conflicting_keys",
}
REFUSED_HERE = {  # what passes there
    "no_datasets": ("no_datasets", "datasets"),
    "empty": ("no_datasets", "datasets"),
    "batch_true": ("wrong_type", "batch_size"),
    "bad_extraction": ("wrong_type", "frame_extraction"),
}
TAKEN_HERE = {  # what is an error there
    "fps_int": ("source_fps", 30.0),
    "resolution_float": ("resolution", (512, 512)),
    "old_flux_key": ("no_resize_control", True),
    "old_qwen_key": ("no_resize_control", True),
}


def test_dataset_files_resolve_as_recorded() -> None:
    with recorded("dataset_config.json") as table:
        for name in table:
            case = table[name]
            written = case["config"].plain() if case["config"] else {}
            config, problems = check_dataset_config(written, base_dir=Path("/"), spec=get_family("wan"))
            errors = [(problem.code, problem.key) for problem in problems if problem.severity == "error"]
            if name in REFUSED_HERE:
                assert table.differs(name)
                assert all(dataset.plain() for dataset in case["datasets"])  # read, and what came of the mistake there
                assert errors == [REFUSED_HERE[name]]
            elif name in TAKEN_HERE:
                assert table.differs(name)
                assert config is not None, problems
                key, value = TAKEN_HERE[name]
                assert getattr(config.datasets[0], key) == value
                assert case["message"].endswith(f"['{next(reversed(written['datasets'][0]))}']")
            elif "error" in case:
                key = re.findall(r"\['(\w+)'\]", case["message"])[-1]
                if table.differs(name):
                    key = "video_directory"
                assert errors == [(REFUSED[name], key)], name
            else:
                assert config is not None, problems
                assert len(config.datasets) == len(case["datasets"])
                for ours, dataset in zip(config.datasets, case["datasets"], strict=True):
                    assert (ours.kind == "image") == dataset["image"]
                    _same_values(ours, dataset["params"], table, name)


def _same_values(ours: Any, params: Recorded, table: Ledger, name: str) -> None:
    for key in params:
        if key in ("debug_dataset", "architecture"):
            continue
        value = params[key]
        got = getattr(ours, key)
        if key == "cache_directory" and value is None:
            assert table.differs("cache_directory unset")
            assert got == ours.directory
        elif isinstance(got, Path):
            assert str(got) == value, (name, key)
        else:
            assert (list(got) if isinstance(got, tuple) else got) == value, (name, key)


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


# -- buckets


def test_buckets_and_sizes_of_controls() -> None:
    with recorded("buckets.json") as table:
        sizes = table["sizes"]
        for case in table["lists"]:
            step, resolution = _step_and_resolution(case)
            assert [list(entry) for entry in bucket_list(*resolution, step)] == table["lists"][case]
            chosen = table["selection"][case]
            for source, larger, as_is in zip(sizes, chosen["upscale"], chosen["no_upscale"], strict=True):
                assert list(BucketRule(resolution, step, True, False).choose(*source)) == larger
                assert list(BucketRule(resolution, step, True, True).choose(*source)) == as_is
            fixed = BucketRule(resolution, step, False, False)
            assert {fixed.choose(*source) for source in sizes} == {tuple(chosen["no_bucket"])}
        for case in table["calc"]:
            step, resolution = _step_and_resolution(case)
            for source, size in zip(sizes, table["calc"][case], strict=True):
                if isinstance(size, str):
                    assert table.differs("a line of pixels as control")
                    assert min(control_size(*source, resolution, step)) >= step
                else:
                    assert list(control_size(*source, resolution, step)) == size
        _names_and_steps(table)


def _step_and_resolution(case: str) -> tuple[int, tuple[int, int]]:
    steps, size = case.split("/")
    width, height = map(int, size.split("x"))
    return int(steps.removeprefix("steps")), (width, height)


def _names_and_steps(table: Ledger) -> None:
    """The bucket step, the id in file names and the name in headers of every architecture."""
    ids = {name: short for name, short in table["architectures"].plain().items() if not name.endswith("_FULL")}
    assert set(ids.values()) == set(table["steps"]) == set(built()) | UNBUILT
    for name, cache_id in ids.items():
        spec, task = architecture(cache_id)
        assert table.differs(f"family {cache_id}") == (cache_id in UNBUILT)
        assert spec.pixel_step == table["steps"][cache_id]
        assert task.architecture == table["architectures"][f"{name}_FULL"]


# -- frames


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of frames as they were recorded from: ``v60`` has 60 of them, each as bright as its number."""
    root = tmp_path_factory.mktemp("frames")
    for count in {case["frames"] for case in json.loads((DATA / "frame_extraction.json").read_text())["extraction"]}:
        (root / f"v{count}").mkdir()
        for number in range(count):
            Image.new("RGB", (64, 64), (number,) * 3).save(root / f"v{count}" / f"{number:03d}.png")
        (root / f"v{count}.jsonl").write_text(json.dumps({"video_path": f"v{count}", "caption": "x"}))
    return root


def test_clips_of_folders_of_frames(frames: Path) -> None:
    """From the words of the dataset file to the pixels of every clip."""
    with recorded("frame_extraction.json") as table:
        for case in table["extraction"]:
            found = _scanned(case, frames)
            clips = case["clips"]
            if not clips:
                if found.items:
                    _slow_source(case, found, table)
                else:
                    assert [skipped.code for skipped in found.skipped] == ["too_short"]
                continue
            names = [clip["cache"] for clip in clips]
            if case["frame_extraction"] == "uniform" and len(set(names)) < len(names):
                assert table.differs("uniform with equal starts")
            assert [item.latent_cache.name for item in found.items] == list(dict.fromkeys(names)), case
            pixels = {item.latent_cache.name: (item, pixels) for item, pixels in read_clips(found.items)}
            for clip in clips:
                _same_clip(clip, *pixels[clip["cache"]], case["arch"], table)
        assert table["fps"] == []
        for case in table["resize"]:
            _same_resize(case)


def _scanned(case: Recorded, frames: Path) -> Scan:
    spec, task = architecture(case["arch"])
    entry = {"video_jsonl_file": f"v{case['frames']}.jsonl", "cache_directory": f"cache/{case['frames']}"}
    for key in ("frame_extraction", "target_frames", "source_fps", "frame_stride", "frame_sample", "max_frames"):
        if case.get(key) is not None:
            entry[key] = case[key]
    tables = {"general": {"resolution": 64, "enable_bucket": True}, "datasets": [entry]}
    config = read_dataset_config(tables, base_dir=frames, spec=spec)
    assert list(config.datasets[0].target_frames) == case["target_frames_effective"]
    return scan(config, spec, task, strict=False)


def _slow_source(case: Recorded, found: Scan, table: Ledger) -> None:
    """Musubi Tuner drops a clip whose rate is below the model's: it counts positions where it should count frames."""
    assert table.differs("head with a rate below the model's")
    assert case["frame_extraction"] == "head"
    assert case["source_fps"] < architecture(case["arch"])[0].fps
    assert [(item.start, item.bucket.frames) for item in found.items] == [
        (0, n) for n in case["target_frames_effective"]
    ]


def _same_clip(clip: Recorded, item: Item, pixels: np.ndarray[Any, Any], arch: str, table: Ledger) -> None:
    shown = [int(frame[0, 0, 0]) for frame in pixels]
    assert [int(frame.min()) for frame in pixels] == [int(frame.max()) for frame in pixels] == shown
    assert len(shown) == item.bucket.frames == clip["n"]
    assert (shown[0], shown[-1]) == (clip["first"], clip["last"])
    assert (shown == list(range(shown[0], shown[-1] + 1))) == clip["contiguous"]
    if "source_index" in clip:
        assert shown == clip["source_index"]
    *bucket, window = clip["bucket"] if arch == "fp" else [*clip["bucket"], None]
    assert list(item.bucket) == bucket
    assert (window is not None) == (arch == "fp" and table.differs("the window of FramePack in bucket keys"))


def _same_resize(case: Recorded) -> None:
    """Scaled and cut in the centre, to within one grey level."""
    assert case["src"] == "48x64 rgb: r=4x g=5y b=2(x+y)"
    y, x = np.mgrid[0:48, 0:64]
    source = np.stack([4 * x, 5 * y, 2 * (x + y)], axis=-1).clip(0, 255).astype(np.uint8)
    fitted = resize_to_bucket(source, tuple(case["bucket_wh"]))
    assert list(fitted.shape) == case["shape"]
    for rows, border in ((fitted[0], "row0"), (fitted[-1], "rowlast"), (fitted[:, 0], "col0")):
        assert np.abs(rows.astype(int) - np.array(case[border])).max() <= 1
    assert np.abs(fitted.mean((0, 1)) - case["mean"]).max() <= 1


# -- order

GROUPS = {(304, 208): "a", (256, 256): "b", (208, 304): "c"}


def _item(name: str, bucket: Bucket, *, kind: Literal["image", "clip"] = "image", batch_size: int = 2) -> Item:
    path = Path(f"/{name}")
    size = bucket[:2]
    return Item(f"0:{name}", 0, name, path, "", *size, kind, 0, bucket, path, path, repeats=1, batch_size=batch_size)


def test_batch_order() -> None:
    """The table seeds each shuffle with seed + epoch; the plan's seed, drawn from the user's as there, is tested below."""
    sizes = {(304, 208): 5, (256, 256): 3, (208, 304): 1}
    items = [_item(f"{GROUPS[size]}{n}", Bucket(*size)) for size, count in sizes.items() for n in range(count)]
    with recorded("batch_order.json") as table:
        for case in table:
            seed, epoch = map(int, re.findall(r"\d+", case))
            groups = [((Bucket(*s), ()), [i for i, item in enumerate(items) if item.bucket[:2] == s]) for s in sizes]
            order, generator = batch_numbers(groups, 2), random.Random(seed + epoch)
            shuffle_dataset(groups, order, generator)
            assert [[list(bucket[:2]), number] for (bucket, _), number in order] == table[case]["batch_indices"]
            shuffled = {f"{b.width}x{b.height}": [items[i].name for i in members] for (b, _), members in groups}
            assert shuffled == table[case]["buckets"]
            levels = shuffled_levels(2 * len(order), 4, generator)
            assert [levels[2 * n : 2 * n + 2] for n in range(len(order))] == table[case]["timestep_pool"]


def test_seed_order_and_levels_of_a_real_run() -> None:
    """All steps of a run with seed 42, seven pictures and eighteen clips: each batch is one of ours, with its noise levels.

    Which batch comes when was decided by torch's data loader; what is in it follows from the seed alone.
    """
    with recorded("timestep_buckets.json") as table:
        run = table["run"]
        assert (run["name"], run["timestep_sampling"]) == ("wan_train_tsbuckets", "shift")
        batches = []
        for group, size in run["batch_sizes"].plain().items():
            items = [_item(name, bucket, kind=kind, batch_size=size) for name, kind, bucket in _latent_files(group)]
            plan = BatchPlan(items, seed=run["seed"], numerics="musubi", timestep_buckets=run["num_timestep_buckets"])
            for step in range(plan.batches_per_epoch):
                shape = get_family("wan").latent_shape(*items[plan.at(step)[2][0]].bucket)
                batches.append(([len(plan.at(step)[2]), *shape], plan.quantiles(step)))
        first = run["first_batch"]
        assert first["latents"][:-1] == run["latent_shapes"][0]
        assert first["timesteps"] in [pytest.approx(levels) for _, levels in batches if len(levels) == 1]
        settings = TimestepSettings("shift", shift=run["discrete_flow_shift"], numerics="musubi")
        for shape, told in zip(run["latent_shapes"], run["timesteps"], strict=True):
            fitting = [torch.tensor(levels) for found, levels in batches if found == shape]
            ours = [draw_timesteps(settings, shape, levels).model for levels in fitting]
            assert any(torch.allclose(levels, torch.tensor(told), rtol=0, atol=0.01) for levels in ours), shape
        for case in table["sampling"]:
            _same_levels(table["sampling"][case], table["sampling"]["uniform_buckets8"]["noise_coef16"])
        for case in table["pairs_exchanged_in_epoch_2"]:
            pair = table["pairs_exchanged_in_epoch_2"][case]
            items = [_item(name, Bucket(192, 128)) for name in "ab"]
            plan = BatchPlan(items, seed=pair["seed"], numerics="musubi")
            assert (plan.epoch(1)[0] == plan.epoch(2)[0][::-1]) == pair["exchanged"]


def _latent_files(group: str) -> Iterator[tuple[str, Literal["image", "clip"], Bucket]]:
    """Names, kinds and buckets of the items of a recorded cache folder, in order."""
    files = json.loads((DATA / "cache_files.json").read_text(encoding="utf-8"))[group]
    for name in sorted(name for name in files if not name.endswith("_te.safetensors")):
        ((_, (_, shape)),) = files[name]["tensors"].items()
        clip = "frame_count" in files[name]["metadata"]
        yield name, "clip" if clip else "image", Bucket(8 * shape[3], 8 * shape[2], 4 * (shape[1] - 1) + 1)


def _same_levels(case: Recorded, quantiles: list[float]) -> None:
    args = case["args"]
    assert (args["num_timestep_buckets"], args["scheduler_shift"]) == (8, args["discrete_flow_shift"])
    settings = TimestepSettings(args["timestep_sampling"], shift=args["discrete_flow_shift"], numerics="musubi")
    drawn = draw_timesteps(settings, [16, 1, 1, *args["latent_hw"]], torch.tensor(quantiles))
    torch.testing.assert_close(drawn.model, torch.tensor(case["timesteps16"]), rtol=0, atol=2e-3)
    torch.testing.assert_close(drawn.t, torch.tensor(case["noise_coef16"]), rtol=0, atol=2e-6)


@pytest.mark.parametrize("numerics", ["exact", "musubi"])
def test_an_epoch_is_the_same_however_it_is_come_to(numerics: Literal["exact", "musubi"]) -> None:
    items = [_item(name, Bucket(192, 128)) for name in "abcdefg"]

    def plan() -> BatchPlan:
        return BatchPlan(items, seed=3, numerics=numerics, timestep_buckets=4)

    through = plan()
    steps = [(through.at(step), through.quantiles(step)) for step in range(5 * through.batches_per_epoch)]
    back = plan()
    assert [(back.at(s), back.quantiles(s)) for s in reversed(range(len(steps)))] == steps[::-1]
    assert [(plan().at(step), plan().quantiles(step)) for step in (9, 17)] == [steps[9], steps[17]]
