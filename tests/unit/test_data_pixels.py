"""Buckets, scaling and decoding: properties for random sizes, and real files of every colour mode and rotation."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.config.problems import UserError
from engine.data import Bucket, Item, read_dataset_config, read_pixels, scan
from engine.data.buckets import BucketRule, bucket_list
from engine.data.clip_reading import read_clips
from engine.data.control_pictures import control_bucket
from engine.data.dataset_spec import DatasetSpec
from engine.data.frames import FrameTimes, count_kept, cut_clips, kept_frames
from engine.data.index import ScanIndex
from engine.data.media import clip_info
from engine.data.pixels import read_image
from engine.data.provenance import latent_settings
from engine.data.resize import average_area, resize_to_bucket, scaled_size
from engine.data.variants import with_variants
from tests.unit.test_data_scan import WAN, run, turn_in_header, video

side = st.integers(1, 6000)


@settings(max_examples=200, deadline=None)
@given(width=side, height=side, size=st.tuples(st.integers(32, 2048), st.integers(32, 2048)), small=st.booleans())
def test_buckets_are_multiples_of_the_step_within_the_area(
    width: int, height: int, size: tuple[int, int], small: bool
) -> None:
    rule = BucketRule(size, 16, True, small)
    chosen = rule.choose(width, height)
    assert chosen[0] % 16 == chosen[1] % 16 == 0
    assert chosen[0] * chosen[1] <= size[0] * size[1]
    if small and width * height <= size[0] * size[1]:
        assert chosen == (width // 16 * 16, height // 16 * 16)
        return
    assert min(chosen) >= 16
    wanted = width / height
    ratios = [entry[0] / entry[1] for entry in bucket_list(*size, 16)]
    nearest = min(range(len(ratios)), key=lambda index: abs(ratios[index] - wanted))
    assert bucket_list(*size, 16)[nearest] == chosen


@settings(max_examples=200, deadline=None)
@given(
    width=side,
    height=side,
    size=st.tuples(st.integers(64, 2048), st.integers(64, 2048)),
    step=st.sampled_from([8, 16, 32]),
    bounds=st.tuples(st.integers(16, 512), st.integers(0, 1500)),
    small=st.booleans(),
)
def test_bounds_hold_for_every_picture(
    width: int, height: int, size: tuple[int, int], step: int, bounds: tuple[int, int], small: bool
) -> None:
    shortest, longest = bounds[0], bounds[0] + bounds[1]
    fitting = bucket_list(*size, step, shortest, longest)
    assert fitting == tuple(b for b in bucket_list(*size, step) if min(b) >= shortest and max(b) <= longest)
    if fitting:
        chosen = BucketRule(size, step, True, small, shortest, longest).choose(width, height)
        assert shortest <= min(chosen) <= max(chosen) <= longest
        assert chosen[0] % step == chosen[1] % step == 0
        assert chosen[0] * chosen[1] <= size[0] * size[1]


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)),
    budget=st.tuples(st.integers(64, 2048), st.integers(64, 2048)),
    keep=st.booleans(),
    limit=st.booleans(),
)
def test_control_pictures_fill_whole_steps_within_their_area(
    size: tuple[int, int], budget: tuple[int, int], keep: bool, limit: bool
) -> None:
    dataset = DatasetSpec(
        index=0,
        kind="image",
        cache_directory=Path("/c"),
        no_resize_control=keep,
        control_resolution=budget if limit else None,
    )
    chosen = control_bucket(dataset, (64, 48), size, 16)
    assert chosen[0] % 16 == chosen[1] % 16 == 0
    if limit:
        assert chosen[0] * chosen[1] <= budget[0] * budget[1]
    if keep:
        assert (chosen[0] <= size[0] and chosen[1] <= size[1]) or limit
    if not keep and not limit:
        assert chosen == (64, 48)


@settings(max_examples=200, deadline=None)
@given(width=side, height=side, bucket=st.tuples(st.integers(1, 128), st.integers(1, 128)))
def test_the_crop_lies_inside_the_scaled_picture(width: int, height: int, bucket: tuple[int, int]) -> None:
    scaled = scaled_size((width, height), bucket)
    assert scaled[0] >= bucket[0]
    assert scaled[1] >= bucket[1]
    assert scaled[0] == bucket[0] or scaled[1] == bucket[1]


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), bucket=st.tuples(st.integers(1, 64), st.integers(1, 64)))
def test_a_plain_picture_stays_plain(width: int, height: int, bucket: tuple[int, int]) -> None:
    fitted = resize_to_bucket(np.full((height, width, 3), (10, 120, 250), np.uint8), bucket)
    assert fitted.shape == (bucket[1], bucket[0], 3)
    assert (fitted == (10, 120, 250)).all()


def test_averaging_keeps_the_mean_and_equals_block_means() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    blocks = pixels.reshape(40, 3, 30, 3, 3).mean(axis=(1, 3))
    assert np.abs(average_area(pixels, (30, 40)) - blocks).max() <= 0.5 + 1e-6
    assert abs(average_area(pixels, (37, 53)).mean() - pixels.mean()) < 0.1


def _exact_average(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mean over the area each new pixel covers, edge pixels by the fraction inside: plain sums, the oracle."""
    result = pixels.astype(np.float64)
    for axis, target in ((0, size[1]), (1, size[0])):
        source = pixels.shape[axis]
        edges = np.arange(target + 1) * source / target
        cells = np.arange(source)
        shares = np.clip(np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells), 0, None)
        result = np.moveaxis(np.tensordot(shares * target / source, result, (1, axis)), 0, axis)
    return result


@settings(max_examples=40, deadline=None)
@given(
    source=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    share=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)),
    seed=st.integers(0, 99),
)
def test_averaging_is_within_one_grey_level_of_the_plain_sums(
    source: tuple[int, int], share: tuple[float, float], seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*source, 3), dtype=np.uint8)
    size = max(1, int(source[1] * share[1])), max(1, int(source[0] * share[0]))
    assert np.abs(average_area(pixels, size) - _exact_average(pixels, size)).max() <= 1


def test_a_line_of_pixels_is_not_made_gigabytes_and_looks_the_same() -> None:
    import tracemalloc

    thin = np.random.default_rng(3).integers(0, 256, (2, 30_000, 3), dtype=np.uint8)
    tracemalloc.start()
    fitted = resize_to_bucket(thin, (64, 48))
    assert tracemalloc.get_traced_memory()[1] < 50_000_000  # the whole picture at 48 pixels' height would be 100 MB
    tracemalloc.stop()
    assert fitted.shape == (48, 64, 3)
    narrow = np.ascontiguousarray(thin[:, 14_000:14_060])
    whole = resize_to_bucket(narrow, (64, 96))
    cut = resize_to_bucket(narrow, (64, 80))  # scaled 40 times, the whole picture is 37 times the bucket
    plain = np.asarray(Image.fromarray(narrow).resize((2400, 80), Image.Resampling.LANCZOS))[:, 1168:1232]
    assert np.abs(cut.astype(int) - plain).max() <= 1
    assert whole.shape == (96, 64, 3)


def test_a_cut_lies_where_it_is_asked_for_and_can_be_mirrored(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    path = tmp_path / "ramp.png"
    item = Item("0:a", 0, "a", path, "", 120, 40, "image", 0, Bucket(40, 40), path, path, 1, 1)
    left, centre, right = (read_pixels(replace(item, crop=(x, 0.5)))[0, 0, :, 0] for x in (0.0, 0.5, 1.0))
    assert (left[0], centre[0], right[-1]) == (0, 80, 238)
    mirrored = read_pixels(replace(item, flip=True))[0, 0, :, 0]
    assert list(mirrored) == list(centre[::-1])


@settings(max_examples=100, deadline=None)
@given(source=st.floats(1, 240), target=st.floats(1, 60), frames=st.integers(0, 400))
def test_frames_are_dropped_and_never_repeated(source: float, target: float, frames: int) -> None:
    kept = list(islice(kept_frames(source, target), 200))
    assert kept[0] == 0
    assert all(a < b for a, b in pairwise(kept))
    count = count_kept(frames, source, target)
    assert count <= frames
    if source <= target:
        assert count == frames


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(["head", "chunk", "slide", "uniform", "full"]),
    frames=st.integers(0, 300),
    lengths=st.lists(st.integers(0, 20).map(lambda n: 4 * n + 1), min_size=1, max_size=3, unique=True),
    stride=st.integers(1, 40),
    sample=st.integers(1, 6),
)
def test_clips_lie_inside_the_video(mode: str, frames: int, lengths: list[int], stride: int, sample: int) -> None:
    clips = cut_clips(mode, frames, tuple(lengths), stride=stride, sample=sample, longest=129, frame_stride=4)
    assert len(set(clips)) == len(clips)
    for start, length in clips:
        assert 0 <= start <= start + length <= frames
        assert length % 4 == 1


# -- real files


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    if mode == "I;16":
        Image.fromarray(np.full((20, 30), 200 * 256 + 17, np.uint16)).save(path)
    else:
        Image.new("RGB", (30, 20), (200, 200, 200)).convert(mode).save(path)
    pixels = read_image(path)
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    tolerance = {"1": 60, "P": 4}.get(mode, 0)  # black and white dots; the nearest colour of the web palette
    assert abs(float(pixels.mean()) - 200) <= tolerance


def test_cmyk_alpha_and_orientation(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "c.jpg")
    assert np.abs(read_image(tmp_path / "c.jpg").mean((0, 1)) - (255, 0, 0)).max() < 8
    Image.new("RGBA", (16, 16), (10, 200, 30, 0)).save(tmp_path / "t.png")
    assert (read_image(tmp_path / "t.png") == (10, 200, 30)).all()  # the alpha is dropped, the colour stays
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held on its side: the top row of the file is the right edge
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:8] = 255
    Image.fromarray(picture).save(tmp_path / "e.png", exif=exif)
    upright = read_image(tmp_path / "e.png")
    assert upright.shape == (32, 16, 3)
    assert upright[:, 8:].min() == 255
    assert upright[:, :8].max() == 0


def item_of(path: Path, bucket: Bucket, **changes: object) -> Item:
    kind = "image" if path.suffix in (".png", ".jpg") else "clip"
    item = Item("0:a", 0, path.stem, path, "", 64, 48, kind, 0, bucket, path, path, repeats=1, batch_size=1)  # type: ignore[arg-type]
    return replace(item, **changes)  # type: ignore[arg-type]


def test_a_truncated_picture_is_named(tmp_path: Path) -> None:
    Image.effect_noise((64, 48), 60).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError) as caught:
        read_pixels(item_of(tmp_path / "a.png", Bucket(64, 48)))
    assert caught.value.problems[0].code == "unreadable_image"
    assert caught.value.problems[0].file.endswith("a.png")


def grey(pixels: np.ndarray) -> list[int]:
    return [round(float(frame.mean()) / 8) for frame in pixels]  # the test videos brighten by 8 per frame


def test_clips_take_the_frames_they_say(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", 30)
    assert grey(read_pixels(item_of(path, Bucket(32, 32, 5)))) == [0, 1, 2, 3, 4]
    assert grey(read_pixels(item_of(path, Bucket(32, 32, 5), start=7))) == [7, 8, 9, 10, 11]
    converted = item_of(path, Bucket(64, 48, 5), source_fps=30.0, target_fps=16.0)
    assert grey(read_pixels(converted)) == [0, 2, 4, 6, 8]
    with pytest.raises(UserError, match="ends after 30 of the 33"):
        read_pixels(item_of(path, Bucket(32, 32, 33)))


PHONE = [0, 20, 40, 140, 200, 300, 310, 400, 520, 600]  # when its frames are shown, in milliseconds


def test_frames_of_a_variable_rate_are_chosen_by_when_they_are_shown(tmp_path: Path) -> None:
    video(tmp_path / "phone.mp4", 0, fps=30, times=PHONE)
    entry: dict[str, Any] = {"video_directory": ".", "target_frames": [1, 5], "source_fps": 30, "cache_directory": "c"}
    os.utime(tmp_path / "phone.mp4", (5, 5))
    tables = {"general": {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt"}, "datasets": [entry]}
    config = read_dataset_config(tables, base_dir=tmp_path, spec=WAN)
    for _ in range(2):  # read, and remembered
        with ScanIndex(tmp_path / "memory") as index:
            found = scan(config, WAN, WAN.task(None), index=index)
    # A sixteenth of a second is 62.5 ms: 20, 40 and 310 ms begin no new one, and none is repeated where 120 ms pass.
    assert {item.shown for item in found.items} == {(0, 3, 4, 5, 7, 8, 9)}
    still, clip = found.items
    assert grey(read_pixels(clip)) == [0, 3, 4, 5, 7]
    assert grey(read_pixels(still)) == [0]
    assert [problem.code for problem in found.warnings if "phone.mp4" in problem.message] == ["frames_by_time"]
    by_number = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN, numerics="musubi"), WAN, WAN.task(None))
    assert grey(read_pixels(by_number.items[1])) == [0, 2, 4, 6, 8]
    assert [problem.code for problem in by_number.warnings if "phone" in problem.message] == ["variable_frame_rate"]
    by_time, counted = (latent_settings(item, {}) for item in (clip, by_number.items[1]))
    assert by_time.pop("frames") == [0, 3, 4, 5, 7]  # so that one way's caches are not taken for the other's
    assert by_time == counted


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.sampled_from([16.0, 24.0, 30.0]))
def test_each_kept_frame_is_the_first_in_its_moment(steps: list[int], target: float) -> None:
    times = FrameTimes(tuple(accumulate(steps)), Fraction(1, 1000))
    moments = [math.floor(Fraction(2 * (tick - steps[0]) + 1, 2000) * Fraction(target)) for tick in times.ticks]
    assert times.kept(target) == tuple(sorted(moments.index(moment) for moment in set(moments)))


@pytest.mark.parametrize("rate", [1, 15, 24, 25, 30, 50, 60, 120])
def test_a_constant_rate_is_none_however_its_times_are_rounded(rate: int) -> None:
    for ticks in (1000, 90_000, rate, 600):
        times = FrameTimes(tuple(round(index * ticks / rate) for index in range(300)), Fraction(1, ticks))
        assert not times.vary
        assert FrameTimes(times.ticks[:100] + times.ticks[110:], times.base).vary  # ten frames are missing


def test_rotated_videos_stand_upright(tmp_path: Path) -> None:
    """A phone writes the rotation into the track header's matrix; here a quarter turn clockwise for showing."""
    path = video(tmp_path / "a.mp4", 2, width=64, height=32)
    turn_in_header(path)
    info = clip_info(path)
    assert (info.width, info.height, info.frames) == (32, 64, 2)
    assert read_pixels(item_of(path, Bucket(32, 64, 2))).shape == (2, 64, 32, 3)


def test_cuts_of_one_video_are_made_in_one_pass(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 9, width=96, noise=True)
    entry = {"video_directory": ".", "target_frames": [5], "frame_extraction": "slide", "frame_stride": 2}
    found = run(tmp_path, {**entry, "flip": True, "random_crop": 3})
    items = list(with_variants(found.items))
    assert len({item.latent_cache for item in items}) == len(items) == 3 * 3 * 2
    together = {item.latent_cache: pixels for item, pixels in read_clips(items)}
    for item in items:
        assert np.array_equal(together[item.latent_cache], read_pixels(item))
    by_view = {(item.start, item.crop, item.flip): together[item.latent_cache] for item in items}
    for (start, crop, flip), pixels in by_view.items():
        assert np.array_equal(by_view[start, crop, not flip], pixels[:, :, ::-1])
