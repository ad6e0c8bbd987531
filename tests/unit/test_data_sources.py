"""What belongs to an item: subfolders, captions of any encoding, control pictures and videos, targets, folders of frames."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.config.problems import UserError
from engine.data import read_dataset_config, read_pixels, scan
from engine.data.captions import WrongCaption, read_caption, shuffled_tags, with_trigger
from engine.data.inventory import content_problems
from engine.data.items import Scan
from engine.data.looking import look_at_video
from engine.data.masks import read_mask
from engine.data.pictures import read_image
from engine.data.resize import resize_to_bucket
from engine.data.task_needs import unmet_needs
from engine.families import get_family
from musubi_tui.datasets.captions import caption_place
from musubi_tui.datasets.cells import draw_file
from tests.unit.test_data_scan import codes, picture, run, video

WAN, QWEN = get_family("wan"), get_family("qwen_image")


def warned(found: Scan) -> set[str]:
    return {warning.code for warning in found.warnings}


# -- subfolders


def test_subfolders_are_read_when_asked_and_keep_their_names(tmp_path: Path) -> None:
    for folder in ("", "trees", "trees/old", ".thumbnails"):
        (tmp_path / folder).mkdir(exist_ok=True)
        picture(tmp_path / folder / "oak.png")
    (tmp_path / "trees" / "back").symlink_to(tmp_path)
    entry: dict[str, Any] = {"image_directory": ".", "cache_directory": "cache"}
    assert [item.id for item in run(tmp_path, entry).items] == ["0:oak"]
    found = run(tmp_path, {**entry, "recursive": True})
    assert [item.id for item in found.items] == ["0:oak", "0:trees/oak", "0:trees/old/oak"]
    assert found.items[2].latent_cache == tmp_path / "cache/trees/old/oak_0064x0048_wan.safetensors"
    assert found.items[2].text_cache == tmp_path / "cache/trees/old/oak_wan_te.safetensors"


def test_controls_and_masks_inside_the_folder_are_not_trained(tmp_path: Path) -> None:
    for folder in ("sub", "control/sub", "masks/sub"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "sub/b"):
        for folder in ("", "control/", "masks/"):
            picture(tmp_path / f"{folder}{name}.png")
    entry = {"image_directory": ".", "control_directory": "control", "mask_directory": "masks", "recursive": True}
    found = run(tmp_path, entry)
    assert [item.name for item in found.items] == ["a", "sub/b"]
    assert [item.controls[0].path for item in found.items] == [
        tmp_path / "control/a.png",
        tmp_path / "control/sub/b.png",
    ]
    assert [item.mask for item in found.items] == [tmp_path / "masks/a.png", tmp_path / "masks/sub/b.png"]


def test_a_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    walk = tmp_path / "walk"
    walk.mkdir()
    for number in range(7):
        picture(walk / f"{number:03d}.png", caption=None)
    (tmp_path / "walk.txt").write_text("walking")
    (tmp_path / "no caption").mkdir()
    picture(tmp_path / "no caption" / "0.png", caption=None)
    (item,) = run(tmp_path, {"video_directory": ".", "target_frames": [5]}).items
    assert (item.id, item.caption, item.bucket) == ("0:walk@00000-005", "walking", (64, 64, 5))
    assert item.latent_cache.name == "walk_00000-005_0064x0064_wan.safetensors"
    pixels = read_pixels(item)
    assert pixels.shape == (5, 64, 64, 3)
    assert np.array_equal(pixels[3], resize_to_bucket(read_image(walk / "003.png"), (64, 64)))

    (tmp_path / "list.jsonl").write_text(json.dumps({"video_path": "walk", "caption": "x"}))
    listed = {"video_jsonl_file": "list.jsonl", "cache_directory": "cache", "target_frames": [5]}
    assert [item.id for item in run(tmp_path, listed).items] == ["0:walk@00000-005"]

    picture(walk / "004.png", 80, 48, caption=None)
    with pytest.raises(UserError, match=r"004\.png is 80x48"):
        read_pixels(item)


def test_folders_of_frames_without_a_caption_are_left_out_by_name(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 9)
    for folder in ("walk", "run/more", "poster"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(3):
            picture(tmp_path / folder / f"{number}.png", caption=None)
    video(tmp_path / "poster" / "b.mp4", 9)
    entry: dict[str, Any] = {"video_directory": "."}
    found = run(tmp_path, entry)
    assert codes(found) == {"walk": "missing_caption"}
    assert found.skipped[0].reason == "it holds 3 frames and has no caption file walk.txt."
    assert {one.message for one in found.warnings} == {"1 subfolder is not read, such as poster."}
    below = run(tmp_path, {**entry, "recursive": True})
    left_out = dict.fromkeys(("0.png", "1.png", "2.png"), "unsupported_type")  # beside a video
    assert codes(below) == {"walk": "missing_caption", "more": "missing_caption", **left_out}
    assert [item.name for item in below.items] == ["a", "poster/b"]
    tables = {"general": {"resolution": 64}, "datasets": [entry]}
    (without,) = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None)).skipped
    assert "caption_extension is not set" in without.reason
    (tmp_path / "walk.txt").write_text("walking")
    assert [item.name for item in run(tmp_path, entry).items] == ["a", "walk"]


def test_subfolders_that_are_not_read_are_told_once_unless_they_hold_nothing(tmp_path: Path) -> None:
    for folder in ("b", "c/deep", "empty", "control", ".hidden", "own", "64x64"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "b/a", "c/deep/a", "control/a", ".hidden/a", "own/a"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "64x64" / "a_0064x0048_wan.safetensors").write_bytes(b"")
    tables: dict[str, Any] = {
        "general": {"resolution": 64, "caption_extension": ".txt"},
        "datasets": [{"image_directory": ".", "control_directory": "control"}, {"image_directory": "own"}],
    }
    found = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None), strict=False)
    (warning,) = [one for one in found.warnings if one.code == "unread_subfolders"]
    assert warning.message == "2 subfolders are not read, such as b."
    assert "recursive = true" in warning.fix


def test_captions_of_nothing_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "._a.txt").write_text("of another system")
    found = run(tmp_path, {"image_directory": "."}, strict=False)
    assert [path.name for path, _ in found.unused_captions] == ["b.txt"]
    (warning,) = found.warnings
    assert (warning.code, warning.message) == (
        "unused_caption",
        "1 caption file belongs to no picture or video, such as b.txt.",
    )
    assert codes(found) == {"c.png": "missing_caption"}
    several = run(tmp_path, {"image_directory": "."}, strict=False, caption_extension=[".txt", "_old.txt"])
    assert len(several.unused_captions) == 1


def test_what_another_dataset_reads_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "stills").mkdir()
    (tmp_path / "walk").mkdir()
    picture(tmp_path / "stills" / "a.png")
    picture(tmp_path / "walk" / "0.png", caption=None)
    (tmp_path / "walk.txt").write_text("walking")
    video(tmp_path / "b.mp4", 9)
    picture(tmp_path / "c.png")
    tables: dict[str, Any] = {
        "general": {"resolution": 64, "caption_extension": ".txt"},
        "datasets": [
            {"video_directory": ".", "cache_directory": "x"},
            {"image_directory": "stills"},
            {"image_directory": ".", "cache_directory": "y"},
        ],
    }
    found = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None))
    assert [item.name for item in found.items] == ["b", "walk", "a", "c"]
    assert {one.message for one in found.warnings if one.code in ("unread_subfolders", "unused_caption")} == {
        "1 subfolder is not read, such as walk."
    }
    assert codes(found).keys() == {"b.mp4", "c.png"}


# -- captions


@pytest.mark.parametrize(
    ("text", "encoding", "read_as"),
    [
        ("猫が窓辺に座っている", "cp932", "cp932"),
        ("猫が窓辺に座っている", "euc_jp", "euc_jp"),
        ("一个女孩坐在椅子上", "gb18030", "gb18030"),
        ("café noir", "latin-1", "cp1252"),
        ("Ein Bär, übergroß", "cp1252", "cp1252"),
        ("it’s “raining”", "cp1252", "cp1252"),
        ("a cat sleeps", "utf-16-le", "utf-16-le"),
        ("a cat sleeps", "utf-16-be", "utf-16-be"),
    ],
)
def test_captions_that_are_not_utf8_are_recognised_and_told(
    tmp_path: Path, text: str, encoding: str, read_as: str
) -> None:
    picture(tmp_path / "a.png").with_suffix(".txt").write_bytes(text.encode(encoding))
    found = run(tmp_path, {"image_directory": "."})
    assert found.items[0].caption == text
    (warning,) = found.warnings
    assert warning.code == "caption_encoding"
    assert read_as in warning.message
    assert "a.txt" in warning.message
    (named,) = run(tmp_path, {"image_directory": "."}, caption_encoding=encoding).items
    assert named.caption == text


LIST = (
    '{"image_path": "a.png", "caption": "猫が窓辺に座っている"}\r\n\r\n{"image_path": "猫.png", "caption": "a cat"}\r\n'
)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (LIST.encode(), ""),
        (LIST.encode("utf-8-sig"), "byte_order_mark"),
        (LIST.encode("utf-16"), "byte_order_mark"),
        (b"\xfe\xff" + LIST.encode("utf-16-be"), "byte_order_mark"),
        (LIST.encode("cp932"), "list_encoding"),
        (LIST.encode("euc_jp"), "list_encoding"),
        (LIST.encode("utf-16-le"), "list_encoding"),
        (LIST.encode("utf-16-be"), "list_encoding"),
    ],
    ids=["utf-8", "mark", "utf-16", "utf-16-be-mark", "cp932", "euc_jp", "utf-16-le", "utf-16-be"],
)
def test_a_list_of_any_encoding_is_read_with_a_notice_and_edited_in_it(tmp_path: Path, data: bytes, told: str) -> None:
    for name in ("a", "猫"):
        picture(tmp_path / f"{name}.png", caption=None)
    (tmp_path / "list.jsonl").write_bytes(data)
    entry = {"image_jsonl_file": "list.jsonl", "cache_directory": "cache"}
    found = run(tmp_path, entry)
    assert {item.path.name: item.caption for item in found.items} == {
        "a.png": "猫が窓辺に座っている",
        "猫.png": "a cat",
    }
    assert [warning.code for warning in found.warnings] == ([told] if told else [])
    tables = {"datasets": [entry]}
    (dataset,) = read_dataset_config(tables, base_dir=tmp_path, spec=WAN).datasets
    place = caption_place(dataset, tmp_path / "猫.png")
    assert place.read() == "a cat"
    place.write("a fox 🦊")
    assert run(tmp_path, entry).items[1].caption == "a fox 🦊"
    place.write("a cat")
    assert (tmp_path / "list.jsonl").read_bytes() == data


def test_the_encoding_that_is_named_reads_a_list_that_is_not_utf8(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption=None)
    entry = {"image_jsonl_file": "list.jsonl", "cache_directory": "cache", "caption_encoding": "big5"}
    for encoding in ("big5", "utf-8"):
        (tmp_path / "list.jsonl").write_bytes('{"image_path": "a.png", "caption": "貓在窗邊"}'.encode(encoding))
        assert run(tmp_path, entry).items[0].caption == "貓在窗邊"
    lines = [f'{{"image_path": "a.png", "caption": "{text}"}}' for text in ("猫が窓辺に座っている", "犬が走る")]
    (tmp_path / "list.jsonl").write_bytes(lines[0].encode() + b"\n" + lines[1].encode("cp932"))
    found = run(tmp_path, entry, strict=False)
    assert [item.caption for item in found.items] == ["猫が窓辺に座っている"]  # the list is UTF-8, and one line is not
    assert [(skipped.code, skipped.reason) for skipped in found.skipped] == [("list_not_utf8", "it is not UTF-8.")]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=40))
def test_any_bytes_are_a_caption_or_a_reason(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "caption.txt"
    path.write_bytes(data)
    try:
        told = read_caption(path).text
    except WrongCaption as error:
        told = str(error)
    told.encode("utf-8")


def test_line_ends_of_every_system_are_one(tmp_path: Path) -> None:
    for name, data in (("a", b"one\r\ntwo\r\n"), ("b", b"one\rtwo"), ("c", b"one\ntwo\n\n")):
        picture(tmp_path / f"{name}.png").with_suffix(".txt").write_bytes(data)
    assert {item.caption for item in run(tmp_path, {"image_directory": "."}).items} == {"one\ntwo"}


def test_a_huge_file_is_no_caption(tmp_path: Path) -> None:
    picture(tmp_path / "a.png").with_suffix(".txt").write_bytes(b"x" * 2_000_000)
    found = run(tmp_path, {"image_directory": "."}, strict=False)
    assert codes(found) == {"a.png": "caption_not_utf8"}


def test_the_trigger_word_is_put_in_once() -> None:
    assert with_trigger("a cat", "ohwx") == "ohwx, a cat"
    assert with_trigger("photo of OHWX cat", "ohwx") == "photo of OHWX cat"
    assert with_trigger("ohwxy", "ohwx") == "ohwx, ohwxy"
    assert with_trigger("[trigger] and [trigger]", "sks man") == "sks man and sks man"
    assert with_trigger("", "ohwx") == "ohwx"


def test_tags_are_shuffled_behind_those_that_stay() -> None:
    orders = shuffled_tags("ohwx, a, b, c, d", 5, keep=2)
    assert len(set(orders)) == 5
    assert all(order.startswith("ohwx, a, ") for order in orders)
    assert all(sorted(order.split(", ")) == ["a", "b", "c", "d", "ohwx"] for order in orders)
    assert orders == shuffled_tags("ohwx, a, b, c, d", 5, keep=2)
    assert shuffled_tags("one sentence", 5, keep=0) == []
    assert shuffled_tags("a, b", 5, keep=0) == ["b, a"]


@pytest.mark.parametrize(
    ("caption", "trigger", "first"),
    [
        ("ohwx man, red, tall, old", "ohwx", "ohwx man"),
        ("OHWX, red, tall, old", "ohwx", "OHWX"),
        ("ohwx, the man, red, tall, old", "ohwx, the man", "ohwx, the man"),
        ("1girl, red, tall, ohwx, old", "ohwx", "ohwx"),
        ("ohwxy, red, tall, old", "ohwx", "ohwx"),
        (" ,, Ohwx  , red, tall, old", "ohwx", "Ohwx"),
    ],
)
@pytest.mark.parametrize("keep", [0, 1, 2])
def test_the_tag_with_the_trigger_comes_first(
    tmp_path: Path, caption: str, trigger: str, first: str, keep: int
) -> None:
    picture(tmp_path / "a.png", caption=caption)
    found = run(tmp_path, {"image_directory": "."}, trigger_word=trigger, tag_shuffle=4, keep_tags=keep)
    written, *orders = [text.caption for text in found.items[0].texts]
    assert orders
    tags = sorted(tag.strip() for tag in written.split(",") if tag.strip())
    for order in orders:
        assert order.startswith(f"{first}, ")
        assert sorted(order.split(", ")) == tags
    if keep == 2 and caption.startswith("1girl"):
        assert all(order.startswith("ohwx, 1girl, red, ") for order in orders)


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be", "utf-8"])
def test_every_byte_order_mark_is_known(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffa cat 猫".encode(encoding))
    read = read_caption(tmp_path / "a.txt")
    assert (read.text, read.notice) == ("a cat 猫", "bom")


@pytest.mark.parametrize(
    ("data", "encoding"), [("\ufeffa\0b".encode("utf-16-le"), None), ("\ufeffa\0".encode(), None), (b"a\0b", "utf-8")]
)
def test_a_nul_character_is_no_caption(tmp_path: Path, data: bytes, encoding: str | None) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(WrongCaption, match="NUL"):
        read_caption(tmp_path / "a.txt", encoding)


def test_several_captions_each_with_a_cache_of_its_own(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption="a cat\n\nthe cat sleeps")
    picture(tmp_path / "b.png", caption="a dog")
    (tmp_path / "b.caption").write_text("tags, dog")
    found = run(
        tmp_path,
        {"image_directory": "."},
        multiple_captions=True,
        caption_extension=[".txt", ".caption"],
        trigger_word="ohwx",
        caption_dropout=0.25,
    )
    first, second = found.items
    assert [text.caption for text in first.texts] == ["ohwx, a cat", "ohwx, the cat sleeps"]
    assert [text.caption for text in second.texts] == ["ohwx, a dog", "ohwx, tags, dog"]
    names = [text.cache.name for item in found.items for text in item.texts]
    assert len(set(names)) == 4
    assert names[0] == "a_wan_te.safetensors"
    assert not names[1].endswith("_te.safetensors")  # Musubi Tuner must not take it for the item's own
    assert first.no_text is not None
    assert first.no_text == second.no_text
    assert first.no_text.caption == ""


def test_regularisation_sets_keep_their_captions(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption="a person")
    entry = {"image_directory": ".", "is_reg": True, "loss_weight": 0.5}
    (item,) = run(tmp_path, entry, trigger_word="ohwx", caption_dropout=0.5).items
    assert (item.caption, item.caption_dropout, item.loss_weight, item.is_reg) == ("a person", 0.0, 0.5, True)


# -- controls and targets


def test_control_pictures_by_name_and_number(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    for name in ("img4", "img4_1", "none"):
        picture(tmp_path / f"{name}.png", 64, 64)
    for name in ("img4_10", "img4_2", "img4", "img4_1", "other"):
        picture(tmp_path / "control" / f"{name}.png", 100, 50, caption=None)
    entry: dict[str, Any] = {"image_directory": ".", "control_directory": "control"}
    found = run(tmp_path, entry, strict=False)
    names = {item.name: [control.path.name for control in item.controls] for item in found.items}
    assert names == {"img4": ["img4.png", "img4_2.png", "img4_10.png"], "img4_1": ["img4_1.png"]}
    assert codes(found) == {"none.png": "missing_control"}
    assert "unused_controls" in warned(found)
    assert found.items[0].controls[0][1:] == (100, 50, (64, 64))  # the target's bucket
    with pytest.raises(UserError, match="no control picture"):
        run(tmp_path, entry)
    sizes = {
        (("no_resize_control", True),): (96, 48),
        (("control_resolution", 128),): (176, 80),
        (("no_resize_control", True), ("control_resolution", 128)): (96, 48),
        (("no_resize_control", True), ("control_resolution", 48)): (64, 32),
    }
    for keys, size in sizes.items():
        item = run(tmp_path, {**entry, **dict(keys)}, on_bad_item="skip").items[0]
        assert item.controls[0].bucket == size, keys


def test_controls_of_lists_and_of_one_frame_training(tmp_path: Path) -> None:
    for name in ("a", "c0", "c1", "c2"):
        picture(tmp_path / f"{name}.png", caption=None)
    lines = [
        {"image_path": "a.png", "caption": "x", "control_path_1": "c1.png", "control_path_0": "c0.png"},
        {"image_path": "c2.png", "caption": "y", "control_path": "c0.png"},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    entry: dict[str, Any] = {"image_jsonl_file": "list.jsonl", "cache_directory": "cache"}
    found = run(tmp_path, entry)
    assert [[control.path.name for control in item.controls] for item in found.items] == [
        ["c0.png", "c1.png"],
        ["c0.png"],
    ]
    found = run(tmp_path, {**entry, "fp_1f_clean_indices": [0, 10]}, strict=False)
    assert [item.name for item in found.items] == ["a"]
    assert codes(found) == {"c2.png": "missing_control"}
    found = run(tmp_path, {**entry, "fp_1f_clean_indices": [0]})
    assert [len(item.controls) for item in found.items] == [1, 1]
    assert "surplus_controls" in warned(found)


def test_control_videos(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    for name in ("a", "b", "c"):
        video(tmp_path / f"{name}.mp4", 9)
    video(tmp_path / "control" / "a.mkv", 4)
    video(tmp_path / "control" / "a.mp4", 4)
    (tmp_path / "control" / "b").mkdir()
    picture(tmp_path / "control" / "b" / "0.png")
    entry = {"video_directory": ".", "control_directory": "control", "target_frames": [5]}
    found = run(tmp_path, entry, strict=False)
    assert {item.name: item.controls[0].path.name for item in found.items} == {"a": "a.mp4", "b": "b"}
    assert codes(found) == {"c.mp4": "missing_control"}


def test_several_targets(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    for name in ("a_1", "a_0", "b_0", "b_1", "c_0"):
        picture(tmp_path / f"{name}.png", caption=None)
    found = run(tmp_path, {"image_directory": ".", "multiple_target": True}, strict=False)
    assert {item.name: [path.name for path in item.targets] for item in found.items} == {
        "a": ["a_0.png", "a_1.png"],
        "b": ["b_0.png", "b_1.png"],
    }
    assert codes(found) == {"c.png": "target_count"}


def test_a_task_that_takes_no_controls_says_so_and_where(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    picture(tmp_path / "a.png", 64, 64)
    picture(tmp_path / "control" / "a.png", 64, 64, caption=None)
    file = tmp_path / "d.toml"
    file.write_text(
        '[general]\nresolution = 64\ncaption_extension = ".txt"\n'
        '[[datasets]]\nimage_directory = "."\ncontrol_directory = "control"\nfp_1f_target_index = 1\n'
    )
    for spec in (WAN, QWEN):
        config = read_dataset_config(file, base_dir=tmp_path, spec=spec)
        found = scan(config, spec, spec.task(None))
        assert len(found.items[0].controls) == 1
        unmet = unmet_needs(config, found.items, spec, spec.task(None))
        assert [(p.code, p.line) for p in unmet] == [("task_without_control_images", 6), ("task_without_one_frame", 7)]
        assert {p.code for p in unmet} <= {p.code for p in content_problems(config, spec, spec.task(None), models=())}
    file.write_text(file.read_text().replace("fp_1f_target_index = 1", "fp_latent_window_size = 5"))
    config = read_dataset_config(file, base_dir=tmp_path, spec=WAN)
    assert [p.code for p in unmet_needs(config, (), WAN, None)] == ["task_without_control_images"]
    assert [(p.code, p.line) for p in config.warnings] == [("no_effect", 7)]  # harmless, and not passed over
    file.write_text(file.read_text().replace("fp_latent_window_size = 5", "fp_1f_target_index = 1"))
    edit = QWEN.task("edit-2509")
    config = read_dataset_config(file, base_dir=tmp_path, spec=QWEN)
    assert [p.code for p in unmet_needs(config, (), QWEN, edit)] == ["task_without_one_frame"]


@pytest.mark.parametrize("key", ["control_directory", "mask_directory"])
@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_missing_folder_of_companions_never_trains_without_them(tmp_path: Path, key: str, policy: str) -> None:
    picture(tmp_path / "a.png")
    file = tmp_path / "d.toml"
    file.write_text(
        f'[[datasets]]\nimage_directory = "."\n{key} = "nowhere"\non_bad_item = "{policy}"\nresolution = 64\n'
    )
    found = scan(read_dataset_config(file, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None), strict=False)
    assert not found.items
    assert [(problem.code, problem.line, problem.key) for problem in found.errors] == [("missing_file", 3, key)]


def test_a_recursive_dataset_and_one_inside_it_need_caches_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    picture(tmp_path / "a.png")
    picture(tmp_path / "sub" / "b.png")
    datasets: list[dict[str, Any]] = [{"image_directory": ".", "recursive": True}, {"image_directory": "sub"}]
    tables = {"general": {"resolution": 64, "caption_extension": ".txt"}, "datasets": datasets}
    with pytest.raises(UserError, match="datasets 1 and 2 would share the cache folder"):
        scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None))
    datasets[0]["cache_directory"] = "cache"
    assert len(scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None)).items) == 3


# -- sizes and what is held out


def test_several_resolutions_have_a_cache_each_and_one_text(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 200, 100)
    picture(tmp_path / "b.png", 40, 40)
    entry = {"image_directory": ".", "cache_directory": "cache", "resolution": [[64, 64], [128, 128]]}
    found = run(tmp_path, entry, bucket_no_upscale=True)
    assert [(item.id, item.bucket[:2]) for item in found.items] == [
        ("0:a~64x64", (80, 48)),
        ("0:a~128x128", (160, 96)),
        ("0:b~64x64", (32, 32)),
    ]
    assert "same_size" in warned(found)
    assert len({item.latent_cache for item in found.items}) == 3
    assert {item.text_cache.name for item in found.items} == {"a_wan_te.safetensors", "b_wan_te.safetensors"}
    again = read_dataset_config({"datasets": [entry]}, base_dir=tmp_path, spec=WAN)
    assert read_dataset_config(again.document(), base_dir=tmp_path, spec=WAN).datasets == again.datasets


def test_buckets_within_bounds(tmp_path: Path) -> None:
    picture(tmp_path / "wide.png", 400, 50)
    picture(tmp_path / "small.png", 64, 32)
    found = run(tmp_path, {"image_directory": "."}, resolution=128, min_bucket_size=96, max_bucket_size=176)
    assert [item.bucket[:2] for item in found.items] == [(160, 96), (160, 96)]
    own = run(tmp_path, {"image_directory": "."}, resolution=128, min_bucket_size=64, bucket_no_upscale=True)
    assert all(min(item.bucket[:2]) >= 64 for item in own.items)
    with pytest.raises(UserError, match="no bucket of 128x128"):
        run(tmp_path, {"image_directory": "."}, resolution=128, min_bucket_size=144)


def test_held_out_files_are_never_trained_and_stay_the_same(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / f"{number}.png")
    found = run(tmp_path, {"image_directory": ".", "validation_split": 3})
    assert (len(found.items), len(found.held_out)) == (7, 3)
    held = {item.name for item in found.held_out}
    assert not held & {item.name for item in found.items}
    assert {item.name for item in run(tmp_path, {"image_directory": ".", "validation_split": 0.3}).held_out} == held
    picture(tmp_path / "new.png")
    more = run(tmp_path, {"image_directory": ".", "validation_split": 4})
    assert len(held & {item.name for item in more.held_out}) >= 3
    assert len(run(tmp_path, {"image_directory": ".", "validation_split": 99}).items) == 1


def test_keys_that_find_nothing_to_work_on_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption="one sentence, and its end")
    entry = {"image_directory": "."}
    assert warned(run(tmp_path, entry, tag_shuffle=3)) == set()
    assert warned(run(tmp_path, entry, tag_shuffle=3, keep_tags=1)) == {"no_tags"}
    assert warned(run(tmp_path, entry, validation_split=0.5)) == {"few_held_out"}
    picture(tmp_path / "b.png")
    assert warned(run(tmp_path, entry, validation_split=0.5)) == set()
    found = run(tmp_path, entry, validation_split=2)
    assert (len(found.items), warned(found)) == (1, {"few_held_out"})


def test_clips_of_a_held_out_video_are_held_out_together(tmp_path: Path) -> None:
    for name in "abc":
        video(tmp_path / f"{name}.mp4", 20)
    entry = {"video_directory": ".", "target_frames": [5], "frame_extraction": "chunk", "validation_split": 1}
    found = run(tmp_path, entry)
    assert (len(found.items), len(found.held_out)) == (8, 4)
    assert len({item.name for item in found.held_out}) == 1


# -- masks


def test_masks_are_found_by_name_and_must_lie_on_the_picture(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png", 96, 64)
    picture(tmp_path / "masks" / "a.png", 48, 32, caption=None)
    picture(tmp_path / "masks" / "b.png", 64, 64, caption=None)
    found = run(tmp_path, {"image_directory": ".", "mask_directory": "masks"}, strict=False)
    assert [(item.name, item.mask) for item in found.items] == [("a", tmp_path / "masks" / "a.png")]
    assert codes(found) == {"b.png": "mask_size", "c.png": "missing_mask"}


def test_alpha_is_the_mask_where_there_is_one(tmp_path: Path) -> None:
    picture(tmp_path / "plain.png", 64, 64)
    half = np.zeros((64, 64, 4), np.uint8)
    half[:, :32] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    (tmp_path / "half.txt").write_text("x")
    found = run(tmp_path, {"image_directory": ".", "alpha_mask": True})
    assert [item.mask for item in found.items] == [tmp_path / "half.png", None]
    assert "no_alpha" in warned(found)
    mask = read_mask(found.items[0], (8, 8))
    assert mask.tolist() == [[1.0] * 4 + [0.0] * 4] * 8
    assert read_mask(replace(found.items[0], flip=True), (8, 8)).tolist() == [[0.0] * 4 + [1.0] * 4] * 8
    assert read_mask(found.items[1], (2, 3)).tolist() == [[1.0] * 3] * 2


def test_looking_closer_at_a_folder_of_frames(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    for number in range(5):
        picture(tmp_path / "walk" / f"{number}.png", caption=None)
    whole = look_at_video(tmp_path / "walk")
    assert (whole.problem, whole.frames) == ("", 5)
    assert whole.signature is not None
    assert draw_file(tmp_path / "walk", 20, 10, crop=None, clip=True, colour=False).rows
    (tmp_path / "walk" / "3.png").write_bytes((tmp_path / "walk" / "3.png").read_bytes()[:200])
    assert "3.png" in look_at_video(tmp_path / "walk").problem


def test_a_pipe_as_caption_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(WrongCaption, match="is a pipe or a device: a text file must stand there"):
        read_caption(tmp_path / "a.txt")
