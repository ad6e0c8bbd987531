"""The dataset examples of Musubi Tuner's documentation: they parse, and give as many items, clips and batches of the same sizes.

The keys and values are those of its page on dataset files; what they must come to is worked out here from the rules as its code
has them, by formulas of this file alone.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from engine.config.problems import ConfigError, UserError
from engine.data import read_dataset_config, scan
from engine.data.batches import BatchPlan
from engine.data.items import Item, Scan
from engine.families import FamilySpec, TaskSpec, get_family
from tests.golden.architectures import architecture

Size = tuple[int, int]
Clip = tuple[str, int, int]  # video, first frame, frames
PICTURES = {"image1": (320, 240), "image2": (240, 320), "image3": (96, 32), "image4": (300, 299), "image5": (320, 240)}
GENERAL = """
[general]
resolution = [960, 544]
caption_extension = ".txt"
batch_size = 1
enable_bucket = true
bucket_no_upscale = false
"""
WAN = (get_family("wan"), get_family("wan").task(None))


# -- the rules, written out


def bucket_of(size: Size, resolution: Size) -> Size:
    """The nearest aspect ratio among sizes of one area, in steps of 16."""
    area = resolution[0] * resolution[1]
    side = int(math.sqrt(area))
    sizes = set()
    width = side // 2 // 16 * 16
    while width < side + 16:
        height = area // width // 16 * 16
        sizes |= {(width, height), (height, width)}
        width += 16
    return min(sorted(sizes), key=lambda listed: abs(listed[0] / listed[1] - size[0] / size[1]))


def control_of(size: Size, resolution: Size) -> Size:
    """The size of a control picture that has an area of its own: five widths around the exact one."""
    area, ratio = resolution[0] * resolution[1], size[0] / size[1]
    exact = int(math.sqrt(area * ratio)) // 16 * 16
    tried = [(exact + 16 * step, area // (exact + 16 * step) // 16 * 16) for step in range(-2, 3)]
    return min(tried, key=lambda listed: abs(listed[0] / listed[1] - ratio))


def frames_left(frames: int, source_fps: float, fps: float) -> int:
    """How many are left when a position that grows by fps / source_fps keeps a frame at each new whole number."""
    kept, position, last = 0, 0.0, -1
    for _ in range(frames):
        if int(position) != last:
            kept, last = kept + 1, int(position)
        position += fps / source_fps
    return kept


def clips_of(name: str, frames: int, mode: str, lengths: Iterable[int], *, stride: int = 1, sample: int = 1, longest: int = 129) -> list[Clip]:  # fmt: skip
    """The clips of one video, lengths rounded down to 4n+1."""
    if mode == "full":
        return [(name, 0, (min(frames, longest) - 1) // 4 * 4 + 1)]
    clips = []
    for length in sorted({(length - 1) // 4 * 4 + 1 for length in lengths}):
        if length > frames:
            continue
        starts = {
            "head": [0],
            "chunk": [length * number for number in range(frames // length)],
            "slide": list(range(0, frames - length + 1, stride)),
            "uniform": [int(start) for start in np.linspace(0, frames - length, sample)],
        }[mode]
        clips += [(name, start, length) for start in starts]
    return clips


# -- media and what was found of them


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the examples say /path/to."""
    return tmp_path


def pictures(folder: Path, sizes: Mapping[str, Size], *, captions: bool = True, mode: str = "RGB") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        Image.new(mode, size).save(folder / f"{name}.png")
        if captions:
            (folder / f"{name}.txt").write_text(f"a caption for {name}", encoding="utf-8")


def videos(folder: Path, frames: Mapping[str, int], size: Size = (64, 48), *, captions: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    black = av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), np.uint8), format="rgb24")
    for name, count in frames.items():
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for _ in range(count):
                container.mux(stream.encode(black))
            container.mux(stream.encode())
        if captions:
            (folder / name).with_suffix(".txt").write_text(f"a caption for {name}", encoding="utf-8")


def lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    text = "\n".join(json.dumps(dict(row)) for row in rows)
    file.write_text(text.replace("/path/to", str(file.parent)), encoding="utf-8")


def read(text: str, root: Path, of: tuple[FamilySpec, TaskSpec] = WAN) -> Scan:
    """What the program finds for an example whose /path/to is ``root``."""
    file = root / "dataset.toml"
    file.write_text(text.replace("/path/to", str(root)), encoding="utf-8")
    return scan(read_dataset_config(file, base_dir=root, spec=of[0]), *of)


def sizes_of(items: Iterable[Item]) -> dict[str, Size]:
    return {item.name: item.bucket[:2] for item in items}


def clips_in(items: Iterable[Item]) -> list[Clip]:
    return [(item.name, item.start, item.bucket.frames) for item in items]


def batches(items: Iterable[Item]) -> int:
    """Batches of an epoch: each bucket of each dataset by itself, the last one may be short."""
    groups: Counter[Any] = Counter()
    batch_size = {}
    for item in items:
        key = item.dataset, item.bucket, tuple(control.bucket for control in item.controls)
        groups[key] += item.repeats
        batch_size[key] = item.batch_size
    return sum(math.ceil(count / batch_size[key]) for key, count in groups.items())


# -- pictures


@pytest.mark.parametrize("repeats", [1, 2])
def test_pictures_with_caption_files(root: Path, repeats: int) -> None:
    """Twenty pictures with num_repeats = 2 are forty; here five are five or ten."""
    pictures(root / "image_dir", PICTURES)
    found = read(
        f"""{GENERAL}
        [[datasets]]
        image_directory = "/path/to/image_dir"
        cache_directory = "/path/to/cache_directory"
        num_repeats = {repeats}
        """,
        root,
    )
    assert sizes_of(found.items) == {name: bucket_of(size, (960, 544)) for name, size in PICTURES.items()}
    assert {item.caption for item in found.items} == {f"a caption for {name}" for name in PICTURES}
    plan = BatchPlan(found.items, seed=1)
    assert sum(map(len, plan.epoch(1))) == len(PICTURES) * repeats
    assert plan.batches_per_epoch == batches(found.items)


def test_pictures_of_a_list(root: Path) -> None:
    pictures(root, {name: PICTURES[name] for name in ("image1", "image2")}, captions=False)
    lines(
        root / "metadata.jsonl",
        [{"image_path": f"/path/to/image{n}.png", "caption": f"A caption for image{n}"} for n in (1, 2)],
    )
    found = read(
        """
        [general]
        resolution = [960, 544]
        batch_size = 1
        enable_bucket = true
        bucket_no_upscale = false

        [[datasets]]
        image_jsonl_file = "/path/to/metadata.jsonl"
        cache_directory = "/path/to/cache_directory"
        num_repeats = 1
        """,
        root,
    )
    assert sizes_of(found.items) == {name: bucket_of(PICTURES[name], (960, 544)) for name in ("image1", "image2")}
    assert [item.caption for item in found.items] == ["A caption for image1", "A caption for image2"]


LAYERED = (get_family("qwen_image"), get_family("qwen_image").task("layered"))


@pytest.mark.parametrize("listed", [False, True], ids=["folder", "list"])
def test_layers(root: Path, listed: bool) -> None:
    """A picture with its layers is one item, from a folder (numbers from 1 or from 0) and from a list."""
    layers = {"image1": ["image1_1", "image1_2"], "image2": ["image2_0", "image2_1"]}
    pictures(root / "image_dir", dict.fromkeys(layers, (320, 240)))
    pictures(root / "image_dir", dict.fromkeys(chain(*layers.values()), (320, 240)), captions=False, mode="RGBA")
    lines(
        root / "metadata.jsonl",
        [
            {f"image_path_{n}": f"/path/to/image_dir/{one}.png" for n, one in enumerate([name, *parts])}
            | {"caption": name}
            for name, parts in layers.items()
        ],
    )
    source = 'image_jsonl_file = "/path/to/metadata.jsonl"' if listed else 'image_directory = "/path/to/image_dir"'
    found = read(
        f"""{GENERAL}
        [[datasets]]
        {source}
        cache_directory = "/path/to/cache_directory"
        multiple_target = true
        """,
        root,
        LAYERED,
    )
    assert {item.name: [path.stem for path in item.targets] for item in found.items} == layers
    assert set(sizes_of(found.items).values()) == {bucket_of((320, 240), (960, 544))}


# -- videos


def test_videos_with_caption_files_two_ways(root: Path) -> None:
    """By head from 30 frames per second to Wan's 16, and whole."""
    first, second = {"video1.mp4": 90, "video2.mp4": 50, "video3.mp4": 20}, {"long1.mp4": 60, "long2.mp4": 20}
    videos(root / "video_dir", first)
    videos(root / "video_dir2", second)
    found = read(
        f"""{GENERAL}
        [[datasets]]
        video_directory = "/path/to/video_dir"
        cache_directory = "/path/to/cache_directory"
        target_frames = [1, 25, 45]
        frame_extraction = "head"
        source_fps = 30.0

        [[datasets]]
        video_directory = "/path/to/video_dir2"
        cache_directory = "/path/to/cache_directory2"
        frame_extraction = "full"
        max_frames = 45
        """,
        root,
    )
    left = {name: frames_left(frames, 30.0, 16.0) for name, frames in first.items()}
    assert left == {"video1.mp4": 48, "video2.mp4": 27, "video3.mp4": 11}
    expected = [
        clip for name, frames in left.items() for clip in clips_of(Path(name).stem, frames, "head", [1, 25, 45])
    ]
    expected += [clip for name, n in second.items() for clip in clips_of(Path(name).stem, n, "full", (), longest=45)]
    assert clips_in(found.items) == expected
    assert len(expected) == 3 + 2 + 1 + 2
    assert {item.bucket[:2] for item in found.items} == {bucket_of((64, 48), (960, 544))}
    assert BatchPlan(found.items, seed=1).batches_per_epoch == batches(found.items) == 8


def test_one_list_of_videos_for_two_datasets(root: Path) -> None:
    """One of the videos is a folder of pictures. ``frame_stride`` without "slide" has no effect, and that is said."""
    videos(root, {"video1.mp4": 90}, captions=False)
    pictures(root / "video2", {f"{n:03d}": (64, 48) for n in range(50)}, captions=False)
    rows = [{"video_path": f"/path/to/{name}", "caption": f"A caption for {name}"} for name in ("video1.mp4", "video2")]
    lines(root / "metadata.jsonl", rows)
    found = read(
        """
        [general]
        resolution = [960, 544]
        batch_size = 1
        enable_bucket = true
        bucket_no_upscale = false

        [[datasets]]
        video_jsonl_file = "/path/to/metadata.jsonl"
        target_frames = [1, 25, 45]
        frame_extraction = "head"
        cache_directory = "/path/to/cache_directory_head"
        source_fps = 30.0

        [[datasets]]
        video_jsonl_file = "/path/to/metadata.jsonl"
        target_frames = [1]
        frame_stride = 10
        cache_directory = "/path/to/cache_directory_stride"
        """,
        root,
    )
    head = [clip for name, n in (("video1", 48), ("video2", 27)) for clip in clips_of(name, n, "head", [1, 25, 45])]
    assert clips_in(found.items) == [*head, ("video1", 0, 1), ("video2", 0, 1)]


EXTRACTIONS = {  # of a video of 40 frames, as the page draws it
    "head": ('target_frames = [1, 13, 25]\nframe_extraction = "head"', {1: [0], 13: [0], 25: [0]}),
    "chunk": ('target_frames = [13, 25]\nframe_extraction = "chunk"', {13: [0, 13, 26], 25: [0]}),
    "slide": (
        'target_frames = [1, 13, 25]\nframe_extraction = "slide"\nframe_stride = 10',
        {1: [0, 10, 20, 30], 13: [0, 10, 20], 25: [0, 10]},
    ),
    "uniform": (
        'target_frames = [1, 13, 25]\nframe_extraction = "uniform"\nframe_sample = 4',
        {1: [0, 13, 26, 39], 13: [0, 9, 18, 27], 25: [0, 5, 10, 15]},
    ),
}


@pytest.mark.parametrize("mode", EXTRACTIONS)
def test_the_drawn_extractions(root: Path, mode: str) -> None:
    videos(root / "video_dir", {"video1.mp4": 40})
    keys, drawn = EXTRACTIONS[mode]
    found = read(f'{GENERAL}\n[[datasets]]\nvideo_directory = "/path/to/video_dir"\n{keys}', root)
    assert clips_in(found.items) == [("video1", start, length) for length, starts in drawn.items() for start in starts]
    assert clips_in(found.items) == clips_of("video1", 40, mode, drawn, stride=10, sample=4)


def test_the_drawn_full_extraction(root: Path) -> None:
    """The page says that 35 frames are trimmed to 31; the code, there and here, takes 29, the next 4n+1."""
    videos(root / "video_dir", {"video1.mp4": 20, "video2.mp4": 25, "video3.mp4": 35})
    entry = 'video_directory = "/path/to/video_dir"\nframe_extraction = "full"\nmax_frames = 31'
    found = read(f"{GENERAL}\n[[datasets]]\n{entry}", root)
    assert clips_in(found.items) == [("video1", 0, 17), ("video2", 0, 25), ("video3", 0, 29)]


# -- controls

EDIT = (get_family("qwen_image"), get_family("qwen_image").task("edit-2509"))
KONTEXT = architecture("fk")
CONTROLS: dict[str, Size] = {"image1": (512, 512), "image2": (100, 300), "image3": (1600, 900)}


@pytest.mark.parametrize(
    ("keys", "size"),
    [
        ("", lambda target, control: bucket_of(target, (960, 544))),
        ("no_resize_control = false\ncontrol_resolution = [1024, 1024]", lambda target, control: control_of(control, (1024, 1024))),
        ("qwen_image_edit_control_resolution = [1024, 1024]", lambda target, control: control_of(control, (1024, 1024))),
        ("no_resize_control = true", lambda target, control: (control[0] // 16 * 16, control[1] // 16 * 16)),
        ("qwen_image_edit_no_resize_control = true", lambda target, control: (control[0] // 16 * 16, control[1] // 16 * 16)),
        ("flux_kontext_no_resize_control = true", lambda target, control: (control[0] // 16 * 16, control[1] // 16 * 16)),
        (
            "no_resize_control = true\ncontrol_resolution = [1024, 1024]",
            lambda target, control: control_of(control, (1024, 1024))
            if control[0] * control[1] > 1024 * 1024
            else (control[0] // 16 * 16, control[1] // 16 * 16),
        ),
    ],
    ids=["as the target", "own area", "own area, old key", "own size", "own size, old key", "own size, Kontext's key", "both"],
)  # fmt: skip
def test_one_control_picture_each(root: Path, keys: str, size: Any) -> None:
    """Counted and measured, although neither task is trained yet."""
    targets = {name: PICTURES[name] for name in CONTROLS}
    pictures(root / "image_dir", targets)
    pictures(root / "control_dir", CONTROLS, captions=False)
    text = f"""{GENERAL}
[[datasets]]
image_directory = "/path/to/image_dir"
control_directory = "/path/to/control_dir"
{keys}
"""
    for task in (EDIT, KONTEXT):
        found = read(text, root, task)
        assert sizes_of(found.items) == {name: bucket_of(target, (960, 544)) for name, target in targets.items()}
        for item in found.items:
            assert [control.bucket for control in item.controls] == [size(targets[item.name], CONTROLS[item.name])]
        assert BatchPlan(found.items, seed=1).batches_per_epoch == batches(found.items)


@pytest.mark.parametrize("listed", [False, True], ids=["folder", "list"])
def test_several_control_pictures(root: Path, listed: bool) -> None:
    """Numbered by one digit or four, or by name in a list; two sizes of controls are two batches."""
    controls: dict[str, dict[str, Size]] = {
        "image1": {"image1_0": (512, 512), "image1_1": (320, 240)},
        "image5": {"image5_0000": (512, 512), "image5_0001": (320, 240)},
        "image2": {"image2_0": (512, 512)},
    }
    pictures(root / "image_dir", {name: PICTURES[name] for name in controls})
    for sizes in controls.values():
        pictures(root / "control_dir", sizes, captions=False)
    rows = []
    for name, sizes in controls.items():
        given = {f"control_path_{n}": f"/path/to/control_dir/{one}.png" for n, one in enumerate(sizes)}
        if len(given) == 1:
            given = {"control_path": given["control_path_0"]}
        rows.append({"image_path": f"/path/to/image_dir/{name}.png", **given, "caption": f"A caption for {name}"})
    lines(root / "metadata.jsonl", rows)
    source = 'image_directory = "/path/to/image_dir"\ncontrol_directory = "/path/to/control_dir"'
    if listed:
        source = 'image_jsonl_file = "/path/to/metadata.jsonl"\ncache_directory = "/path/to/cache_directory"'
    text = f"{GENERAL}\n[[datasets]]\n{source}\nno_resize_control = true\n"
    found = read(text.replace("batch_size = 1", "batch_size = 2"), root, EDIT)
    got = {item.name: {control.path.stem: control.bucket for control in item.controls} for item in found.items}
    assert got == {
        name: {one: (w // 16 * 16, h // 16 * 16) for one, (w, h) in sizes.items()} for name, sizes in controls.items()
    }
    assert BatchPlan(found.items, seed=1).batches_per_epoch == batches(found.items) == 2


@pytest.mark.parametrize("listed", [False, True], ids=["folder", "list"])
def test_control_videos(root: Path, listed: bool) -> None:
    """By the same name, by another ending, as a folder of pictures."""
    spec = get_family("wan")
    videos(root / "video_dir", {"video1.mp4": 50, "video2.mp4": 30, "video3.mp4": 20})
    videos(root / "control_dir", {"video1.mp4": 50, "video2.mov": 30}, captions=False)
    pictures(root / "control_dir" / "video3", {f"{n:02d}": (64, 48) for n in range(20)}, captions=False)
    given = {"video1": "video1.mp4", "video2": "video2.mov", "video3": "video3"}
    lines(
        root / "metadata.jsonl",
        [
            {
                "video_path": f"/path/to/video_dir/{name}.mp4",
                "control_path": f"/path/to/control_dir/{control}",
                "caption": name,
            }
            for name, control in given.items()
        ],
    )
    source = 'video_directory = "/path/to/video_dir"\ncontrol_directory = "/path/to/control_dir"'
    if listed:
        source = 'video_jsonl_file = "/path/to/metadata.jsonl"'
    text = f"""{GENERAL}
[[datasets]]
{source}
cache_directory = "/path/to/cache_directory"
target_frames = [1, 25, 45]
frame_extraction = "head"
"""
    found = read(text, root, (spec, spec.task("t2v-14B-FC")))
    frames = {"video1": 50, "video2": 30, "video3": 20}
    assert clips_in(found.items) == [
        clip for name, n in frames.items() for clip in clips_of(name, n, "head", [1, 25, 45])
    ]
    for item in found.items:
        assert [control.path.name for control in item.controls] == [given[item.name]]
        assert [control.bucket for control in item.controls] == [item.bucket[:2]]


# -- FramePack


def test_sections(root: Path) -> None:
    videos(root / "video_dir", {"video1.mp4": 80})
    text = f"""{GENERAL}
[[datasets]]
video_directory = "/path/to/video_dir"
frame_extraction = "full"
fp_latent_window_size = 9
"""
    assert clips_in(read(text, root, architecture("fp")).items) == [("video1", 0, 77)]


@pytest.mark.parametrize(
    ("clean", "target", "no_post"),
    [([0], 9, False), ([0, 1], 9, False), ([0, 10], 1, True), ([0, 2], 1, False)],
    ids=["one frame", "1f-mc", "kisekaeichi", "a frame between, of Wan"],
)
def test_one_frame_training(root: Path, clean: list[int], target: int, no_post: bool) -> None:
    """As many control pictures as there are positions; more are left out, fewer are an error there and here."""
    pictures(root / "image_dir", {"image1": (320, 240)})
    pictures(root / "control_dir", {f"image1_{n}": (300, 400) for n in range(2)}, captions=False)
    text = f"""{GENERAL}
[[datasets]]
image_directory = "/path/to/image_dir"
control_directory = "/path/to/control_dir"
fp_1f_clean_indices = {clean}
fp_1f_target_index = {target}
fp_1f_no_post = {str(no_post).lower()}
"""
    of = WAN if clean == [0, 2] else architecture("fp")
    (item,) = read(text, root, of).items
    with pytest.raises(UserError, match="3 are needed"):
        read(text.replace(str(clean), "[0, 1, 10]"), root, of)
    assert [control.path.stem for control in item.controls] == [f"image1_{n}" for n in range(len(clean))]
    assert item.bucket[:2] == bucket_of((320, 240), (960, 544))


# -- everything at once

SPECIFICATION = """
[general]
resolution = [960, 544]
caption_extension = ".txt"
batch_size = 1
num_repeats = 1
enable_bucket = true
bucket_no_upscale = false

[[datasets]]
image_directory = "/path/to/image_dir"
caption_extension = ".txt"
resolution = [960, 544]
batch_size = 4
num_repeats = 1
enable_bucket = false
bucket_no_upscale = true
cache_directory = "/path/to/cache_directory"
control_directory = "/path/to/control_dir"

[[datasets]]
image_jsonl_file = "/path/to/metadata.jsonl"
resolution = [960, 544]
cache_directory = "/path/to/cache_directory2"

[[datasets]]
video_directory = "/path/to/video_dir"
caption_extension = ".txt"
resolution = [960, 544]
target_frames = [1, 25, 79]
frame_extraction = "head"
frame_stride = 1
frame_sample = 4
max_frames = 129

[[datasets]]
video_jsonl_file = "/path/to/videos.jsonl"
target_frames = [1, 79]
cache_directory = "/path/to/cache_directory4"
"""


def everything(root: Path) -> None:
    pictures(root / "image_dir", PICTURES)
    pictures(root / "control_dir", dict.fromkeys(PICTURES, (512, 512)), captions=False)
    pictures(root / "more", {"other1": (200, 100), "other2": (100, 200)}, captions=False)
    lines(root / "metadata.jsonl", [{"image_path": f"/path/to/more/other{n}.png", "caption": "x"} for n in (1, 2)])
    videos(root / "video_dir", {"video1.mp4": 80, "video2.mp4": 30})
    lines(root / "videos.jsonl", [{"video_path": "/path/to/video_dir/video1.mp4", "caption": "y"}])


def test_the_specification(root: Path) -> None:
    """Four datasets, each overriding what stands in [general]. Clips of 79 frames become 77."""
    everything(root)
    found = read(SPECIFICATION, root)
    of = [[item for item in found.items if item.dataset == index] for index in range(4)]
    assert sizes_of(of[0]) == dict.fromkeys(PICTURES, (960, 544))
    assert [control.bucket for item in of[0] for control in item.controls] == [(960, 544)] * 5
    assert sizes_of(of[1]) == {
        f"other{n}": bucket_of(size, (960, 544)) for n, size in ((1, (200, 100)), (2, (100, 200)))
    }
    videos_of = {"video1": 80, "video2": 30}
    assert clips_in(of[2]) == [clip for name, n in videos_of.items() for clip in clips_of(name, n, "head", [1, 25, 79])]
    assert clips_in(of[3]) == clips_of("video1", 80, "head", [1, 79]) == [("video1", 0, 1), ("video1", 0, 77)]
    counts = Counter(
        item.dataset for batch in BatchPlan(found.items, seed=1).epoch(1) for item in [found.items[batch[0]]]
    )
    assert counts == {0: 2, 1: 2, 2: 5, 3: 2}  # five pictures in fours, everything else one by one
    assert batches(found.items) == 11


def test_the_specification_as_it_is_printed(root: Path) -> None:
    """There three datasets stand with one cache directory, which is refused: by Musubi Tuner, whose page says so, and here."""
    everything(root)
    printed = SPECIFICATION.replace("cache_directory2", "cache_directory").replace(
        "cache_directory4", "cache_directory"
    )
    with pytest.raises(ConfigError) as caught:
        read(printed, root)
    assert [problem.code for problem in caught.value.problems] == ["shared_cache_directory"] * 2


def test_each_dataset_at_its_own_resolution(root: Path) -> None:
    pictures(root / "image_dir", PICTURES)
    pictures(root / "image_dir2", PICTURES)
    text = f"""{GENERAL}
[[datasets]]
image_directory = "/path/to/image_dir"
[[datasets]]
image_directory = "/path/to/image_dir2"
resolution = [512, 512]
bucket_no_upscale = true
batch_size = 2
num_repeats = 3
"""
    assert tomllib.loads(text)["datasets"][1]["resolution"] == [512, 512]
    found = read(text, root)
    first, second = ([item for item in found.items if item.dataset == index] for index in range(2))
    assert sizes_of(first) == {name: bucket_of(size, (960, 544)) for name, size in PICTURES.items()}
    as_is = {name: (w // 16 * 16, h // 16 * 16) for name, (w, h) in PICTURES.items()}
    assert sizes_of(second) == as_is  # all are smaller than 512x512, so they keep their sizes
    plan = BatchPlan(found.items, seed=1)
    # By pairs: 3 each of three sizes of their own, and image1 and image5 together.
    assert plan.batches_per_epoch == batches(found.items) == 5 + 2 * 3 + 3
    assert sum(map(len, plan.epoch(1))) == 5 + 15
