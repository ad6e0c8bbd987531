"""Scanning folders and lists: what is trained, what is not and why, and what must stop a run before it starts."""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from engine.config.problems import UserError
from engine.data import media, read_dataset_config, read_pixels, scan
from engine.data.items import Scan
from engine.data.pictures import read_image
from engine.families import get_family
from tests.unit.without_rights import open_folder as open_folder
from tests.unit.without_rights import permissions_hold

WAN = get_family("wan")


def picture(path: Path, width: int = 64, height: int = 48, caption: str | None = "a picture") -> Path:
    Image.effect_noise((width, height), 60).convert("RGB").save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption + "\n", encoding="utf-8")
    return path


def turn_in_header(path: Path) -> None:
    """Write a quarter turn clockwise for showing into an mp4's track header, as a phone does."""
    data = bytearray(path.read_bytes())
    identity = b"".join(n.to_bytes(4, "big") for n in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    where = data.index(identity, data.index(b"tkhd"))
    turned = (0, 0x10000, 0, 0x100000000 - 0x10000, 0, 0, 0x200000, 0, 0x40000000)
    data[where : where + 36] = b"".join(n.to_bytes(4, "big") for n in turned)
    path.write_bytes(data)


def video(
    path: Path,
    frames: int,
    *,
    fps: int = 16,
    width: int = 64,
    height: int = 48,
    noise: bool = False,
    options: Mapping[str, str] | None = None,
    times: Sequence[int] = (),
) -> Path:
    """A video with its caption; ``times`` are those of its frames in milliseconds."""
    generator = np.random.default_rng(1)
    with av.open(str(path), "w", options=dict(options or {})) as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(len(times) or frames):
            pixels = np.full((height, width, 3), min(255, index * 8), np.uint8)
            if noise:
                pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path.with_suffix(".txt").write_text(path.stem, encoding="utf-8")
    return path


def run(folder: Path, entry: Mapping[str, Any], *, strict: bool = True, **general: Any) -> Scan:
    tables = {
        "general": {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt", **general},
        "datasets": [entry],
    }
    config = read_dataset_config(tables, base_dir=folder, spec=WAN)
    return scan(config, WAN, WAN.task(None), strict=strict)


def codes(found: Scan) -> dict[str, str]:
    return {skipped.path.name: skipped.code for skipped in found.skipped}


def test_pictures_in_sorted_order_with_names_of_the_reference(tmp_path: Path) -> None:
    for name in ("b_2.PNG", "a.jpg", "ねこ と 犬.webp"):
        picture(tmp_path / name, 100, 50)
    seen: list[tuple[int, int]] = []
    config = read_dataset_config(
        {"datasets": [{"image_directory": "."}], "general": {"caption_extension": ".txt"}},
        base_dir=tmp_path,
        spec=WAN,
    )
    found = scan(config, WAN, WAN.task(None), progress=lambda done, total: seen.append((done, total)))
    assert [item.id for item in found.items] == ["0:a", "0:b_2", "0:ねこ と 犬"]
    assert found.items[1].latent_cache.name == "b_2_0100x0050_wan.safetensors"
    assert found.items[1].text_cache.name == "b_2_wan_te.safetensors"
    assert found.items[0].caption == "a picture"
    assert seen[-1] == (3, 3)


def test_everything_that_is_left_out_has_a_reason(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    picture(tmp_path / "no_caption.png", caption=None)
    picture(tmp_path / ".hidden.png")
    picture(tmp_path / "tiny.png", 10, 40)
    picture(tmp_path / "old.gif", caption=None)
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "zero.txt").write_text("x")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "text.txt").write_text("x")
    picture(tmp_path / "bytes.png").with_suffix(".txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\xff")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "loop.txt").write_text("x")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")  # no caption would help it
    found = run(tmp_path, {"image_directory": "."}, strict=False, bucket_no_upscale=True)
    assert [item.name for item in found.items] == ["good"]
    assert codes(found) == {
        "no_caption.png": "missing_caption",
        ".hidden.png": "hidden_file",
        "tiny.png": "too_small",
        "old.gif": "unsupported_type",
        "zero.png": "unreadable_image",
        "text.jpg": "unreadable_image",
        "bytes.png": "caption_not_utf8",
        "loop.png": "broken_link",
        "dangling.png": "broken_link",
    }
    with pytest.raises(UserError) as caught:
        run(tmp_path, {"image_directory": "."})
    assert {Path(p.file).name for p in caught.value.problems} == {
        "zero.png",
        "text.jpg",
        "bytes.png",
        "loop.png",
        "dangling.png",
    }
    assert run(tmp_path, {"image_directory": "."}, on_bad_item="skip").items


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses file names that are not UTF-8")
def test_hostile_names_and_sizes(tmp_path: Path) -> None:
    for name in ("-rf.png", "two\nlines.png", "$(x) 'q'.png"):
        picture(tmp_path / name)
    broken_name = os.fsdecode(b"caf\xe9.png")
    picture(tmp_path / "plain.png").rename(tmp_path / broken_name)
    small = picture(tmp_path / "bomb.png").read_bytes()
    size = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + small[24:29]
    (tmp_path / "bomb.png").write_bytes(small[:12] + size + zlib.crc32(size).to_bytes(4, "big") + small[33:])
    found = run(tmp_path, {"image_directory": "."}, strict=False)
    assert [item.name for item in found.items] == ["$(x) 'q'", "-rf", "two\nlines"]
    assert codes(found) == {broken_name: "name_not_utf8", "bomb.png": "unreadable_image"}
    assert "more pixels" in next(skipped.reason for skipped in found.skipped if skipped.code == "unreadable_image")


def test_captions_with_marks_and_empty_ones_are_read_and_said(tmp_path: Path) -> None:
    picture(tmp_path / "a.png").with_suffix(".txt").write_bytes(b"\xef\xbb\xbf one\ntwo \n")
    picture(tmp_path / "b.png").with_suffix(".txt").write_bytes("ねこ".encode("utf-16"))
    picture(tmp_path / "c.png", caption="  ")
    found = run(tmp_path, {"image_directory": "."})
    assert [item.caption for item in found.items] == ["one\ntwo", "ねこ", ""]
    assert {w.code for w in found.warnings} == {"byte_order_mark", "empty_caption"}


def test_nothing_to_train_says_why_with_counts(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    picture(tmp_path / "a.png", caption=None)
    with pytest.raises(UserError, match=r"no caption \(1\)"):
        run(tmp_path, {"image_directory": "."})
    with pytest.raises(UserError, match="no_such"):
        run(tmp_path, {"image_directory": "no_such"})
    (tmp_path / "a.png").rename(tmp_path / "sub" / "a.png")
    with pytest.raises(UserError, match="1 subfolder is not read"):
        run(tmp_path, {"image_directory": "."})


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.jpg", 80, 80)
    with pytest.raises(UserError) as caught:
        run(tmp_path, {"image_directory": "."})
    (problem,) = caught.value.problems
    assert problem.code == "cache_name_collision"
    assert "a.png" in problem.message
    assert "a.jpg" in problem.message


def test_exif_orientation_turns_the_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (128, 32)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.txt").write_text("x")
    (item,) = run(tmp_path, {"image_directory": "."}).items
    assert (item.width, item.height) == (32, 128)
    assert item.bucket == (32, 128, 1)


def test_lists_of_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption=None)
    picture(tmp_path / "b.png", caption=None)
    lines = [
        {"image_path": str(tmp_path / "b.png"), "caption": " bee "},
        {"image_path": "a.png", "caption": "ay"},
        {"image_path": "a.png", "caption": "ay"},
        {"image_path": "gone.png", "caption": "x"},
        {"caption": "x"},
        {"image_path": "a.png", "image_path_1": "b.png", "caption": "x"},
        {"image_path": "a.png", "control_path": 7, "caption": "x"},
        {"image_path": "b.png"},
        {"image_path": "b.png", "caption": "\ud800"},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n{broken\n\n"
    (tmp_path / "list.jsonl").write_text(text)
    entry = {"image_jsonl_file": "list.jsonl", "cache_directory": "cache"}
    found = run(tmp_path, entry, strict=False)
    assert [(item.name, item.caption) for item in found.items] == [("a", "ay"), ("b", "bee")]
    assert sorted(skipped.code for skipped in found.skipped) == sorted(
        ["duplicate", "no_such_file", "missing_caption", *["bad_line"] * 5]
    )
    assert found.items[0].latent_cache.parent == tmp_path / "cache"


def test_clips_by_head(tmp_path: Path) -> None:
    video(tmp_path / "long one.mp4", 40)
    video(tmp_path / "mid.mkv", 12)
    video(tmp_path / "short.mp4", 3)
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 100)
    (tmp_path / "bad.txt").write_text("x")
    entry = {"video_directory": ".", "target_frames": [5, 17]}
    found = run(tmp_path, entry, strict=False)
    assert [item.id for item in found.items] == ["0:long one@00000-005", "0:long one@00000-017", "0:mid@00000-005"]
    assert found.items[1].latent_cache.name == "long one_00000-017_0064x0064_wan.safetensors"
    assert codes(found) == {"short.mp4": "too_short", "bad.mp4": "unreadable_clip"}
    assert "short_clips" in {warning.code for warning in found.warnings}


def test_bucket_settings_hold_for_clips_too(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 5)
    (item,) = run(tmp_path, {"video_directory": ".", "target_frames": [5]}, enable_bucket=False).items
    assert item.bucket == (64, 64, 5)


def _rates(found: Scan) -> dict[str, str]:
    return {warning.code: warning.message for warning in found.warnings if warning.code in ("frame_rate", "slow_video")}


def test_frame_rate_is_converted_or_warned_about(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 30, fps=30)
    entry: dict[str, Any] = {"video_directory": ".", "target_frames": [17]}
    assert "motion will be slower" in _rates(run(tmp_path, entry)).pop("frame_rate")
    video(tmp_path / "b.mp4", 30, fps=12)
    told = _rates(run(tmp_path, entry))
    assert ("30 fps (1)" in told["frame_rate"], "12 fps" in told["frame_rate"]) == (True, False)
    assert "12 fps (1)" in told["slow_video"]
    assert not _rates(run(tmp_path, {**entry, "target_frames": [1]}))  # stills do not move
    (tmp_path / "b.mp4").unlink()
    found = run(tmp_path, {**entry, "source_fps": 30}, strict=False)
    assert codes(found) == {"a.mp4": "too_short"}  # its rate is right: only shorter clips help
    assert codes(run(tmp_path, {**entry, "source_fps": 60}, strict=False)) == {"a.mp4": "too_short_after_fps"}
    assert found.skipped[0].reason == (
        "of its 30 frames at 30 fps, 16 are left at 16 fps because source_fps = 30 is written, and the shortest clip needs 17."
    )
    (warning,) = (
        one
        for one in run(tmp_path, {**entry, "target_frames": [1, 9], "source_fps": 60}).warnings
        if one.code == "frame_rate"
    )
    assert warning.fix == "Write source_fps = 30, or fps_from_file = true instead."


def test_every_video_may_have_its_own_rate(tmp_path: Path) -> None:
    video(tmp_path / "fast.mp4", 64, fps=32)
    video(tmp_path / "right.mp4", 32, fps=16)
    video(tmp_path / "slow.mp4", 16, fps=8)
    found = run(tmp_path, {"video_directory": ".", "frame_extraction": "full", "fps_from_file": True})
    frames = {item.name: (item.bucket.frames, item.source_fps) for item in found.items}
    assert frames == {"fast": (29, 32.0), "right": (29, 16.0), "slow": (13, 8.0)}  # 4n+1 of 32, 32 and 16
    assert _rates(found).keys() == {"slow_video"}
    assert "8 fps (1)" in _rates(found)["slow_video"]
    assert "32" not in _rates(found)["slow_video"]


def test_a_stated_rate_below_the_models_does_not_hide_that_motion_is_too_fast(tmp_path: Path) -> None:
    for name in ("a", "b"):
        video(tmp_path / f"{name}.mp4", 30, fps=12)
    entry: dict[str, Any] = {"video_directory": ".", "target_frames": [9]}
    for said in ({}, {"source_fps": 12}, {"fps_from_file": True}, {"source_fps": 15}):
        told = _rates(run(tmp_path, {**entry, **said}))
        assert told.keys() == {"slow_video"}, said
        assert "12 fps (2)" in told["slow_video"]
        assert "up to 1.33 times too fast" in told["slow_video"]
    assert _rates(run(tmp_path, {**entry, "source_fps": 30})).keys() == {"frame_rate"}  # drops frames of them too
    frames = tmp_path / "walk"
    frames.mkdir()
    for number in range(20):
        picture(frames / f"{number:02}.png", caption=None)
    (tmp_path / "walk.txt").write_text("walking")
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "b.mp4").unlink()
    assert not _rates(run(tmp_path, entry))  # they state no rate
    assert "12 fps (1)" in _rates(run(tmp_path, {**entry, "source_fps": 12}))["slow_video"]
    assert not _rates(run(tmp_path, {**entry, "source_fps": 16}))


def test_pictures_and_videos_without_permission(open_folder: Path) -> None:
    picture(open_folder / "a.png")
    video(open_folder / "b.mp4", 9)
    entries = ({"image_directory": "."}, {"video_directory": ".", "target_frames": [5]})
    assert all(run(open_folder, entry).items for entry in entries)
    (open_folder / "a.png").chmod(0)
    (open_folder / "b.mp4").chmod(0)
    with permissions_hold():
        pictures, clips = (run(open_folder, entry, strict=False) for entry in entries)
    assert codes(pictures) == {"a.png": "unreadable_image", "b.mp4": "unsupported_type"}
    assert codes(clips) == {"a.png": "unsupported_type", "b.mp4": "unreadable_clip"}


def test_a_download_that_broke_off_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    for name, options in (("front.mp4", {"movflags": "faststart"}), ("one.avi", {}), ("two.mkv", {})):
        path = video(tmp_path / name, 60, noise=True, options=options)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
    entry: dict[str, Any] = {"video_directory": ".", "frame_extraction": "full", "max_frames": 99}
    found = run(tmp_path, entry)
    assert all(21 <= item.bucket.frames <= 40 for item in found.items)
    assert len(found.items) == 3
    for item in found.items:
        assert read_pixels(item).shape[0] == item.bucket.frames
    (warning,) = [warning for warning in found.warnings if warning.code == "cut_off"]
    assert "front.mp4" in warning.message
    assert "/ 60" in warning.message
    (tmp_path / "behind.mp4").write_bytes(video(tmp_path / "x.mp4", 60, noise=True).read_bytes()[:20_000])
    (tmp_path / "behind.txt").write_text("x")
    assert codes(run(tmp_path, entry, strict=False)) == {"behind.mp4": "unreadable_clip"}


def test_a_variable_frame_rate_is_told(tmp_path: Path) -> None:
    video(tmp_path / "steady.mkv", 20)
    video(tmp_path / "phone.mp4", 20, times=[0, 60, 140, 200, 310, 340, 400, 520, 600, 640])
    found = run(tmp_path, {"video_directory": ".", "target_frames": [5]})
    (warning,) = [warning for warning in found.warnings if warning.code == "variable_frame_rate"]
    assert warning.message.startswith("1 video has a variable frame rate")
    assert "phone.mp4" in warning.message
    assert "fps_from_file" in warning.fix


def test_jpeg_xl_is_read_turned_upright_and_complained_of_when_damaged(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl", reason="needs pillow-jxl-plugin (musubi-tui[jxl])")
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    upright, sideways = Image.Exif(), Image.Exif()
    sideways[0x0112] = 6  # a quarter turn
    for name, exif in (("a", upright), ("turned", sideways)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.jxl", lossless=True, exif=exif.tobytes())
        (tmp_path / f"{name}.txt").write_text("x")
    (tmp_path / "cut.jxl").write_bytes((tmp_path / "a.jxl").read_bytes()[:900])
    (tmp_path / "cut.txt").write_text("x")
    found = run(tmp_path, {"image_directory": "."}, strict=False)
    assert [(item.name, item.width, item.height) for item in found.items] == [("a", 128, 96), ("turned", 96, 128)]
    assert codes(found) == {"cut.jxl": "unreadable_image"}
    assert (read_image(tmp_path / "a.jxl") == pixels).all()
    assert (read_image(tmp_path / "turned.jxl") == np.rot90(pixels, -1)).all()


def test_jpeg_xl_says_which_plug_in_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "_reads_jxl", lambda: False)
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bytes(20))
    (tmp_path / "a.txt").write_text("x")
    found = run(tmp_path, {"image_directory": "."}, strict=False)
    assert codes(found) == {"a.jxl": "unreadable_image"}
    assert "pillow-jxl-plugin" in found.skipped[0].reason
