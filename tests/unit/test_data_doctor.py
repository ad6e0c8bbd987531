"""``data doctor``: what it finds in a messy folder, what its fixes change, and that everything can be taken back."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from engine.config.problems import UserError
from engine.data import scan
from engine.data.finite import not_finite
from engine.data.likeness import alike, signature
from engine.data.tokens import estimate, open_counter
from engine.data.variants import with_variants
from engine.testing.tiny_tokenizers import write_qwen_tokenizer, write_umt5_tokenizer
from musubi_tui.cli.root import run
from musubi_tui.datasets.dataset_text import with_dataset_key
from musubi_tui.datasets.list_lines import removal, settled
from musubi_tui.datasets.mending import set_aside, shortened
from musubi_tui.datasets.opening import open_dataset, scan_opened
from musubi_tui.datasets.record import aside_folder, write_down
from tests.unit.test_data_scan import video


def scene(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """A picture of some shapes, another one for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(0, 255, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = rng.random(4)
        box = (x * width, y * height, (x + w / 2) * width, (y + h / 2) * height)
        draw.ellipse(box, fill=tuple(int(v) for v in rng.integers(0, 255, 3)))
    return image


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    pics, clips = tmp_path / "pics", tmp_path / "clips"
    pics.mkdir()
    clips.mkdir()
    for number in range(4):
        scene(number).save(pics / f"s{number}.png")
        (pics / f"s{number}.txt").write_text(f"ohwx drawing {number}\n", encoding="utf-8")
    scene(1).resize((200, 150)).save(pics / "copy.jpg", quality=60)
    (pics / "copy.txt").write_text("a copy", encoding="utf-8")
    Image.new("RGB", (300, 300), (10, 10, 10)).save(pics / "black.png")
    (pics / "black.txt").write_text("", encoding="utf-8")
    scene(9, 40, 30).save(pics / "tiny.png")
    (pics / "tiny.txt").write_text("ohwx tiny " + "word, " * 700, encoding="utf-8")
    buffer = io.BytesIO()
    scene(7).save(buffer, "jpeg")
    (pics / "cut.jpg").write_bytes(buffer.getvalue()[:-400])
    (pics / "cut.txt").write_text("ohwx cut", encoding="utf-8")
    scene(8).save(pics / "mute.png")
    video(clips / "fast.mp4", 40, fps=30)
    path = tmp_path / "dataset.toml"
    path.write_text(
        '# mine\n[general]\nresolution = [160, 120]\nenable_bucket = true\ncaption_extension = ".txt"\non_bad_item = "skip"\n'
        '[[datasets]]\nimage_directory = "pics"\ncache_directory = "cache"\n'
        '[[datasets]]\nvideo_directory = "clips"  # from the phone\ncache_directory = "cache2"\ntarget_frames = [9]\n',
        encoding="utf-8",
    )
    return path


def examine(path: Path, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0) -> dict[str, Any]:
    assert run(["data", "doctor", str(path), "--family", "wan", "--json", *more]) == code
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def found(document: dict[str, Any]) -> dict[str, list[str]]:
    return {finding["code"]: [Path(f["path"]).name for f in finding["files"]] for finding in document["findings"]}


def write_cache(path: Path, values: np.ndarray, dtype: str, *, broken: bool = False) -> None:
    data = values.tobytes()
    header = json.dumps(
        {"latents_1x2x2_x": {"dtype": dtype, "shape": list(values.shape), "data_offsets": [0, len(data)]}}
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + data[: -4 if broken else None])


# -- findings


def test_it_finds_what_a_scan_does_not_see(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = found(examine(messy, capsys, "--trigger", "ohwx"))
    assert told["corrupt"] == ["cut.jpg"]  # its header is whole: a scan takes it
    assert told["duplicates"] == ["copy.jpg", "s1.png"]
    assert told["blank"] == ["black.png"]
    assert told["low_resolution"] == ["tiny.png", "fast.mp4"]
    assert told["empty_caption"] == ["black.png"]
    assert told["missing_caption"] == ["mute.png"]
    assert told["long_caption"] == ["tiny.png"]
    assert told["trigger_word"] == ["copy.jpg", "fast.mp4"]
    assert told["frame_rate"] == ["fast.mp4"]


def test_the_best_of_a_group_is_kept(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = examine(messy, capsys)
    (group,) = [finding["files"] for finding in document["findings"] if finding["code"] == "duplicates"]
    assert {Path(entry["path"]).name: entry["keep"] for entry in group} == {"copy.jpg": False, "s1.png": True}
    assert document["decoded"] == 9
    assert document["videos"][0]["fps"] == 30
    assert document["trigger"]["captions"] == 8


def test_a_link_is_no_duplicate_and_what_it_leads_to_stays(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics = messy.parent / "pics"
    (pics / "z.png").symlink_to("s2.png")
    (pics / "y.jpg").symlink_to("copy.jpg")  # the worse one of two that look alike
    for name in ("z", "y"):
        (pics / f"{name}.txt").write_text("ohwx", encoding="utf-8")
    document = examine(messy, capsys)
    (group,) = [finding["files"] for finding in document["findings"] if finding["code"] == "duplicates"]
    assert {Path(entry["path"]).name: entry["keep"] for entry in group} == {"copy.jpg": True, "s1.png": True}
    assert run(["data", "doctor", str(messy), "--fix", "duplicates", "--yes"]) == 0
    assert all((pics / name).is_file() for name in ("s2.png", "z.png", "copy.jpg", "y.jpg", "s1.png"))


def test_nothing_outside_the_folder_is_moved(messy: Path) -> None:
    outside = messy.parent / "outside"
    outside.mkdir()
    scene(1).save(outside / "other.jpg")
    (messy.parent / "pics" / "more").symlink_to(outside)
    opened = open_dataset(messy, None)
    with pytest.raises(UserError, match="outside the dataset's folder"):
        set_aside(opened, messy.parent / "pics" / "more" / "other.jpg", 0, "duplicates")
    assert set_aside(opened, messy.parent / "pics" / "s1.png", 0, "duplicates")


def test_it_speaks_plainly(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "doctor", str(messy), "--family", "wan", "--trigger", "ohwx"]) == 0
    captured = capsys.readouterr()
    assert "near-duplicates: 1, in 1 group  [--fix duplicates]" in captured.out
    assert "'ohwx' in 6 of 8 captions" in captured.out
    assert "estimated: no tokenizer file is named" in captured.out
    assert "fast.mp4" in captured.out
    assert "To mend: --fix corrupt" in captured.err


def test_broken_files_that_stop_training_are_exit_code_2(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messy.write_text(messy.read_text().replace('on_bad_item = "skip"\n', ""))
    assert found(examine(messy, capsys, code=2))["corrupt"] == ["cut.jpg"]
    assert "corrupt" not in found(examine(messy, capsys, "--no-decode"))


def test_whatever_stops_training_is_said(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics = messy.parent / "pics"
    (pics / "s0.txt").write_bytes(b"\x89PNG\0\0\xff")
    (messy.parent / "list.jsonl").write_text("no record\n")
    text = messy.read_text().replace('on_bad_item = "skip"\n', "")
    messy.write_text(text + '[[datasets]]\nimage_jsonl_file = "list.jsonl"\ncache_directory = "cache3"\n')
    told = examine(messy, capsys, "--no-decode", code=2)
    assert {f["code"]: [f["severity"], f["fix"]] for f in told["findings"] if f["severity"] == "error"} == {
        "unusable": ["error", "unusable"],
        "list_line": ["error", "list_line"],
    }
    assert run(["data", "doctor", str(messy), "--family", "wan", "--no-decode"]) == 2
    out = capsys.readouterr().out
    assert "s0.png  the caption s0.txt is not text in utf-8" in out
    assert "list.jsonl:1  it is not JSON" in out
    fixed = examine(messy, capsys, "--no-decode", "--fix", "unusable", "--yes", code=2)
    assert not (pics / "s0.png").exists()
    assert [(one["code"], one["line"]) for one in fixed["still_in_the_way"]] == [("bad_line", 1)]
    assert run(["data", "doctor", str(messy), "--family", "wan", "--no-decode", "--fix", "unusable", "--yes"]) == 2
    told_after = capsys.readouterr().err
    assert "Still in the way of training: 1." in told_after
    assert "list.jsonl:1: it is not JSON" in told_after
    assert found(examine(messy, capsys, "--no-decode", code=2)).keys() >= {"list_line"}


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("F32", np.zeros(8, "<f4"), np.array([0, np.nan], "<f4")),
        ("F16", np.ones(8, "<f2"), np.array([np.inf, 1], "<f2")),
        ("F64", np.ones(8, "<f8"), np.array([-np.inf, 1], "<f8")),
        ("BF16", np.array([0x3F80, 0x7F7F, 0xFF7F], "<u2"), np.array([0x3F80, 0x7FC0, 0xFF80], "<u2")),
        ("F8_E4M3", np.array([0x7E, 0xFE, 0], "u1"), np.array([0x7F, 0xFF], "u1")),
        ("F8_E5M2", np.array([0x7B, 0xFB, 0], "u1"), np.array([0x7C, 0x7F], "u1")),
        ("I64", np.array([-1, 2], "<i8"), None),
    ],
)
def test_nan_in_caches_of_every_dtype(tmp_path: Path, dtype: str, good: np.ndarray, bad: np.ndarray | None) -> None:
    write_cache(tmp_path / "good.safetensors", good, dtype)
    assert not_finite(tmp_path / "good.safetensors") == {}
    if bad is not None:
        write_cache(tmp_path / "bad.safetensors", bad, dtype)
        assert not_finite(tmp_path / "bad.safetensors")["latents_1x2x2_x"] in (1, 2)


def test_caches_of_every_cut_and_caption_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pics").mkdir()
    scene(1, 320, 200).save(tmp_path / "pics/a.png")
    (tmp_path / "pics/a.txt").write_text("one\ntwo")
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(
        '[general]\nresolution = 96\ncaption_extension = ".txt"\nmultiple_captions = true\ncaption_dropout = 0.1\nflip = true\n'
        'random_crop = 2\n[[datasets]]\nimage_directory = "pics"\ncache_directory = "cache"\n'
    )
    opened = open_dataset(dataset, "wan")
    files = {path for item in with_variants(scan_opened(opened).items) for path in (item.latent_cache, item.text_cache)}
    assert len(files) == 4 + 3
    (tmp_path / "cache").mkdir()
    for path in files:
        write_cache(path, np.array([1, np.nan], "<f4"), "F32")
    told = found(examine(dataset, capsys, code=2))
    assert sorted(told["nan_cache"]) == sorted(path.name for path in files)
    examine(dataset, capsys, "--fix", "nan_cache", "--yes")
    assert not any(path.exists() for path in files)


def test_bad_caches_are_named_and_set_aside(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = messy.parent / "cache"
    write_cache(cache / "s0_0320x0240_wan.safetensors", np.array([np.nan], "<f4"), "F32")
    write_cache(cache / "s1_0320x0240_wan.safetensors", np.zeros(4, "<f4"), "F32", broken=True)
    write_cache(cache / "s2_0320x0240_wan.safetensors", np.zeros(4, "<f4"), "F32")
    told = found(examine(messy, capsys, code=2))
    assert told["nan_cache"] == ["s0_0320x0240_wan.safetensors"]
    assert told["damaged_cache"] == ["s1_0320x0240_wan.safetensors"]
    examine(messy, capsys, "--fix", "nan_cache", "--fix", "damaged_cache", "--yes")
    assert [path.name for path in cache.iterdir()] == ["s2_0320x0240_wan.safetensors"]
    assert len(list((messy.parent / "pics.set-aside").glob("*.safetensors"))) == 2


def test_a_folder_of_frames_is_looked_through(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = messy.parent / "clips" / "walk"
    frames.mkdir()
    for number in range(12):
        scene(100 + number, 160, 120).save(frames / f"{number:03}.png")
    frames.with_name("walk.txt").write_text("ohwx walk")
    assert "walk" not in found(examine(messy, capsys)).get("corrupt", [])
    assert run(["data", "show", str(messy), "walk", "--family", "wan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"][0]["bucket"]["frames"] == 9
    (frames / "007.png").write_bytes((frames / "007.png").read_bytes()[:-80])
    assert "walk" in found(examine(messy, capsys))["corrupt"]


def test_captions_keep_the_encoding_that_the_dataset_names(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messy.write_text(messy.read_text().replace("[general]\n", '[general]\ncaption_encoding = "cp932"\n'))
    file = messy.parent / "pics" / "s0.txt"
    file.write_bytes("墨絵の鷺".encode("cp932"))
    examine(messy, capsys, "--trigger", "鷺描", "--fix", "trigger_word", "--yes")
    assert file.read_bytes().decode("cp932") == "鷺描, 墨絵の鷺\n"
    run(["data", "doctor", str(messy), "--undo"])
    assert file.read_bytes() == "墨絵の鷺".encode("cp932")


# -- likeness


def test_copies_are_alike_and_other_pictures_are_not() -> None:
    pictures = [scene(seed) for seed in range(40)]
    first = pictures[0]
    graded = first.point(lambda value: min(255, round(value * 1.04)))
    buffer = io.BytesIO()
    first.resize((640, 480)).save(buffer, "jpeg", quality=50)
    copies = [graded, Image.open(buffer).convert("RGB"), first.resize((80, 60))]
    groups = alike([signature(picture) for picture in [*pictures, *copies]])
    assert groups == [[0, 40, 41, 42]]


def test_two_thousand_pictures_are_compared_within_seconds_in_little_memory() -> None:
    marks = [signature(scene(seed, 64, 48)) for seed in range(50)]
    many = [marks[index % 50] for index in range(2000)]
    assert [len(group) for group in alike(many)] == [40] * 50


# -- tokens


@pytest.mark.parametrize("write", [write_umt5_tokenizer, write_qwen_tokenizer])
def test_tokens_are_counted_by_the_file_that_is_named(
    messy: Path, capsys: pytest.CaptureFixture[str], write: Callable[..., int]
) -> None:
    write(messy.parent / "tok", ["ohwx tiny word", "a copy"], size=600)
    count = open_counter(messy.parent / "tok").count
    assert 0 < count("a copy") < count("a copy a copy")
    told = examine(messy, capsys, "--tokenizer", str(messy.parent / "tok"))
    assert told["tokens"]["exact"] is True
    assert next(f for f in told["findings"] if f["code"] == "long_caption")["fix"] == "long_caption"
    examine(messy, capsys, "--tokenizer", str(messy.parent / "tok"), "--fix", "long_caption", "--yes")
    assert count((messy.parent / "pics" / "tiny.txt").read_text().strip()) <= 512
    assert "long_caption" not in found(examine(messy, capsys, "--tokenizer", str(messy.parent / "tok")))


def test_estimates_are_near() -> None:
    assert estimate("") == 0
    assert 9 <= estimate("a photo of a red fox jumping over snow") <= 13
    assert 8 <= estimate("雪の上を跳ぶ赤い狐の写真") <= 12


def test_no_tokenizer_is_told(tmp_path: Path, messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    for place, said in ((tmp_path / "none", "there is no tokenizer"), (tmp_path / "tokenizer.json", "not a tokenizer")):
        assert run(["data", "doctor", str(messy), "--family", "wan", "--tokenizer", str(place)]) == 2
        assert said in capsys.readouterr().err


@given(st.text(max_size=300), st.integers(1, 40))
@settings(max_examples=60)
def test_a_shortened_caption_fits_and_is_a_beginning(text: str, limit: int) -> None:
    short = shortened(text, limit, lambda part: len(part.split()))
    assert len(short.split()) <= limit
    assert text.startswith(short)


# -- fixes


def test_without_yes_and_without_a_terminal_nothing_changes(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in messy.parent.rglob("*") if path.is_file()}
    assert run(["data", "doctor", str(messy), "--family", "wan", "--trigger", "ohwx", "--fix", "all"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("A preview; nothing is changed yet, and --yes applies it:\n")
    assert "set aside" in captured.out
    assert "caption of mute.png: (none) -> 'ohwx'" in captured.out
    assert "source_fps = 30" in captured.out
    assert "Nothing was changed" in captured.err
    assert {path: path.read_bytes() for path in messy.parent.rglob("*") if path.is_file()} == before


def test_all_fixes_and_back(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in messy.parent.rglob("*") if path.is_file()}
    examine(messy, capsys, "--trigger", "ohwx", "--fix", "all", "--yes")
    pics = messy.parent / "pics"
    assert not (pics / "cut.jpg").exists()
    assert not (pics / "copy.txt").exists()
    assert (pics / "mute.txt").read_text() == "ohwx\n"
    assert (messy.parent / "clips" / "fast.txt").exists() is False  # low resolution: it went aside with its video
    left = found(examine(messy, capsys, "--trigger", "ohwx"))
    assert left == {}
    assert run(["data", "doctor", str(messy), "--undo"]) == 0
    capsys.readouterr()
    after = {
        path: path.read_bytes() for path in messy.parent.rglob("*") if path.is_file() and "set-aside" not in str(path)
    }
    assert after == before
    assert run(["data", "doctor", str(messy), "--undo"]) == 2
    assert "nothing to take back" in capsys.readouterr().err


def test_source_fps_goes_into_the_right_table_and_nothing_else_moves(
    messy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = messy.read_text()
    examine(messy, capsys, "--fix", "frame_rate", "--yes")
    added = 'video_directory = "clips"  # from the phone\nsource_fps = 30\n'
    assert messy.read_text() == before.replace('video_directory = "clips"  # from the phone\n', added)
    assert "frame_rate" not in found(examine(messy, capsys))


def test_videos_of_several_rates_are_read_at_their_own(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(messy.parent / "clips" / "slow.mp4", 40, fps=16)
    before = messy.read_text()
    assert found(examine(messy, capsys))["frame_rate"] == ["fast.mp4"]  # the other counts in the fix alone
    examine(messy, capsys, "--fix", "frame_rate", "--yes")
    assert "# from the phone\nfps_from_file = true\n" in messy.read_text()
    assert "frame_rate" not in found(examine(messy, capsys))
    messy.write_text(before.replace("target_frames", "source_fps = 24\ntarget_frames"))
    told = examine(messy, capsys, "--fix", "frame_rate", "--yes")
    assert told["changes"] == []
    assert "several rates: 16, 30" in told["left"][0]


def test_a_video_with_too_few_frames_is_not_silenced_by_a_stated_rate(
    messy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = messy.parent / "clips"
    (clips / "fast.mp4").unlink()
    video(clips / "slow.mp4", 40, fps=12)
    before = messy.read_text()
    for said in ("", "source_fps = 12\n", "fps_from_file = true\n"):
        messy.write_text(before.replace("target_frames", f"{said}target_frames"))
        told = examine(messy, capsys)
        assert found(told)["slow_video"] == ["slow.mp4"]
        assert "frame_rate" not in found(told)
    examine(messy, capsys, "--fix", "slow_video", "--yes")
    assert sorted(path.name for path in (messy.parent / "clips.set-aside").rglob("slow.*")) == ["slow.mp4", "slow.txt"]
    assert run(["data", "doctor", str(messy), "--undo"]) == 0
    video(clips / "quick.mp4", 40, fps=30)
    messy.write_text(before)
    capsys.readouterr()
    examine(messy, capsys, "--fix", "frame_rate", "--yes")
    assert "fps_from_file = true" in messy.read_text()  # one source_fps would hold for the slow one too
    told = found(examine(messy, capsys))
    assert (told.get("frame_rate"), told["slow_video"]) == (None, ["slow.mp4"])


def test_an_edited_caption_is_not_overwritten_by_undo(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examine(messy, capsys, "--trigger", "ohwx", "--fix", "trigger_word", "--yes")
    copy = messy.parent / "pics" / "copy.txt"
    assert copy.read_text() == "ohwx, a copy\n"
    copy.write_text("mine now")
    assert run(["data", "doctor", str(messy), "--undo"]) == 2
    assert "changed since" in capsys.readouterr().err
    assert copy.read_text() == "mine now"


def listed_as(lines: list[str]) -> bytes:
    return "\r\n".join(lines).encode()


def test_a_list_keeps_its_files_and_its_other_lines(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics = messy.parent / "pics"
    listed = messy.parent / "list.jsonl"
    lines = ['{"image_path":"pics/s0.png",  "caption":"ohwx one", "mine": 1}', '{"image_path": "pics/copy.jpg", "caption": "二"}', '{"image_path": "pics/cut.jpg", "caption": "ohwx"}', '']  # fmt: skip
    listed.write_bytes("\r\n".join(lines).encode())
    messy.write_text(
        '[general]\nresolution=64\non_bad_item="skip"\n[[datasets]]\nimage_jsonl_file="list.jsonl"\ncache_directory="cache"\n'
    )
    told = examine(messy, capsys, "--trigger", "ohwx", "--fix", "all", "--yes")
    assert [change["lines"] for change in told["changes"] if change["kind"] == "lines"] == [[3]]
    assert (pics / "cut.jpg").exists()
    before = listed_as(lines)
    after = [lines[0], '{"image_path": "pics/copy.jpg", "caption": "ohwx, 二"}', ""]
    assert listed.read_bytes() == listed_as(after)
    assert run(["data", "doctor", str(messy), "--undo"]) == 0
    assert listed.read_bytes().splitlines()[2] == before.splitlines()[2]
    assert b"ohwx, " not in listed.read_bytes()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("nonsense", "There are: blank, cache_name_collision, corrupt"),
        ("caption_encoding", "there is no fix caption_encoding"),
        ("trigger_word", "--trigger WORD"),
    ],
)
def test_a_fix_that_cannot_be_applied_is_told(
    messy: Path, capsys: pytest.CaptureFixture[str], code: str, told: str
) -> None:
    assert run(["data", "doctor", str(messy), "--family", "wan", "--fix", code, "--yes"]) == 2
    assert told in capsys.readouterr().err


def test_a_fix_with_nothing_to_do_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(1).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a drawing")
    words = ["--trigger", "ohwx", "--fix", "duplicates", "--fix", "trigger_word", "--yes"]
    file = tmp_path / "set.toml"
    file.write_text(
        f'[[datasets]]\nimage_directory = "{tmp_path}"\ncaption_extension = ".txt"\ncache_directory = "{tmp_path}/c"\n'
    )
    assert run(["data", "doctor", str(file), "--family", "wan", *words]) == 0
    assert "nothing to do for duplicates" in capsys.readouterr().err
    assert (tmp_path / "a.txt").read_text().strip() == "ohwx, a drawing"


def test_an_unwritable_folder_is_told_before_anything_moves(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (messy.parent / "pics.set-aside").write_text("a file is in the way")
    assert run(["data", "doctor", str(messy), "--family", "wan", "--fix", "corrupt", "--yes"]) == 2
    assert "cannot be set aside here" in capsys.readouterr().err
    assert (messy.parent / "pics" / "cut.jpg").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[datasets]]\nvideo_directory = "a"\n', '[[datasets]]\nvideo_directory = "a"\nsource_fps = 30\n'),
        ('[[datasets]]\r\n  video_directory = "a"\r\n', '[[datasets]]\r\n  video_directory = "a"\r\n  source_fps = 30\r\n'),
        ('[[datasets]]\nsource_fps = 24.0 # phone\nvideo_directory = "a"', '[[datasets]]\nsource_fps = 30  # phone\nvideo_directory = "a"'),
        ('\ufeff[[datasets]]\nvideo_directory = "a"', '\ufeff[[datasets]]\nvideo_directory = "a"\nsource_fps = 30'),
    ],
)  # fmt: skip
def test_a_key_is_put_into_a_table(text: str, expected: str) -> None:
    assert with_dataset_key(text, 0, "source_fps", "30", Path("x.toml")) == expected


def test_a_table_on_one_line_is_left_to_the_person() -> None:
    from engine.config.problems import UserError

    with pytest.raises(UserError, match="cannot be put into this file"):
        with_dataset_key('datasets = [{video_directory = "a"}]\n', 0, "source_fps", "30", Path("x.toml"))


# -- show


def test_show_draws_the_picture_with_its_crop(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(3, 500, 340).save(messy.parent / "pics" / "wide.png")
    (messy.parent / "pics" / "wide.txt").write_text("a [red]wide[/red] one\x1b[2J\nsecond line")
    assert run(["data", "show", str(messy), "wide", "--family", "wan", "--width", "40"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "┆" in out
    assert "500x340 -> 160x112" in out
    assert "of the width" in out
    assert "a [red]wide[/red] one" in out
    assert "latents missing, text missing" in out


def test_show_json_and_what_is_left_out(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "show", str(messy), "s0.png", "--family", "wan", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["caption"] == "ohwx drawing 0"
    assert facts["parts"][0]["bucket"]["frames"] == 1
    assert facts["parts"][0]["latents"] == "missing"
    assert run(["data", "show", str(messy), "mute.png"]) == 0
    assert "is not trained: it has no caption file" in capsys.readouterr().out
    assert run(["data", "show", str(messy), "s9.png"]) == 2
    assert "Did you mean s" in capsys.readouterr().err
    shutil.rmtree(messy.parent / "clips")
    assert run(["data", "show", str(messy), "s0"]) == 0


def test_every_line_is_mended_where_lines_are_captions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(1).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a cat\n\nohwx asleep\nthe cat\n")
    file = tmp_path / "d.toml"
    file.write_text(
        '[general]\nresolution = 128\nenable_bucket = true\ncaption_extension = ".txt"\nmultiple_captions = true\n'
        '[[datasets]]\nimage_directory = "."\n'
    )
    examine(file, capsys, "--trigger", "ohwx", "--fix", "trigger_word", "--yes")
    assert (tmp_path / "a.txt").read_text() == "ohwx, a cat\n\nohwx asleep\nohwx, the cat\n"


def test_show_tells_what_belongs_to_an_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("control", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "control/a", "control/b_0", "masks/a", "masks/b"):
        scene(1).save(tmp_path / f"{name}.png")
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("a cat\nthe cat\n")
    file = tmp_path / "d.toml"
    file.write_text(
        '[general]\nresolution = 128\nenable_bucket = true\ncaption_extension = ".txt"\nmultiple_captions = true\n'
        "caption_dropout = 0.1\nvalidation_split = 1\nloss_weight = 0.5\n"
        '[[datasets]]\nimage_directory = "."\ncontrol_directory = "control"\nmask_directory = "masks"\n'
    )
    told = {}
    for name in ("a", "b"):
        assert run(["data", "show", str(file), name, "--json"]) == 0
        told[name] = json.loads(capsys.readouterr().out)
    held, trained = sorted(told, key=lambda name: not told[name]["held_out"])
    assert (told[held]["held_out"], told[trained]["held_out"]) == (True, False)
    assert told[trained]["captions"] == ["a cat", "the cat"]
    (control,) = told[trained]["controls"]
    assert control["bucket"] == {"width": 144, "height": 112}
    assert run(["data", "show", str(file), trained]) == 0
    out = capsys.readouterr().out
    for words in (
        "or        the cat",
        "no caption, in 10% of the draws",
        "320x240 -> 144x112",
        "masks",
        "weight    0.5",
    ):
        assert words in out
    assert run(["data", "show", str(file), held]) == 0
    assert "never trained" in capsys.readouterr().out


# -- captions, all of them


def small(folder: Path, general: str, source: str = 'image_directory = "."', *, captions: str = '".txt"') -> Path:
    """A dataset file beside its pictures."""
    file = folder / "d.toml"
    file.write_text(
        f"[general]\nresolution = 128\nenable_bucket = true\ncaption_extension = {captions}\n{general}\n"
        f'[[datasets]]\n{source}\ncache_directory = "cache"\n'
    )
    return file


@pytest.mark.parametrize("listed", [False, True])
def test_an_empty_caption_is_counted_although_a_trigger_word_is_put_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listed: bool
) -> None:
    texts = {"a": "", "b": "a cat", "c": "ohwx"}
    for number, (name, text) in enumerate(texts.items()):
        scene(number).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text)
    lines = [json.dumps({"image_path": f"{name}.png", "caption": text}) for name, text in texts.items()]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    source = 'image_jsonl_file = "list.jsonl"' if listed else 'image_directory = "."'
    file = small(tmp_path, 'trigger_word = "ohwx"', source)
    if listed:
        file.write_text(file.read_text().replace('caption_extension = ".txt"\n', ""))
    assert run(["data", "scan", str(file), "--family", "wan", "--json"]) == 0
    captured = capsys.readouterr()
    captions = json.loads(captured.out)["datasets"][0]["captions"]
    assert (captions["written"], captions["empty"]) == (2, 1)
    assert "1 caption is empty, such as that of a.png" in captured.err
    told = examine(file, capsys)
    assert found(told)["empty_caption"] == ["a.png"]
    assert told["trigger"] | {"words_in_most": 0} == {
        "captions": 3, "words_in_most": 0, "word": "ohwx", "held_by": 3, "expected": 3,
    }  # fmt: skip
    examine(file, capsys, "--fix", "empty_caption", "--yes")
    assert "empty_caption" not in found(examine(file, capsys))
    assert run(["data", "doctor", str(file), "--undo"]) == 0
    assert (tmp_path / "a.txt").read_text() == ""
    assert [json.loads(line)["caption"] for line in (tmp_path / "list.jsonl").read_text().splitlines()] == ["", "a cat", "ohwx"]  # fmt: skip


def test_every_caption_of_a_file_is_judged_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(1).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("ohwx, a cat")
    (tmp_path / "a.caption").write_text("a cat " + "asleep, " * 700)
    file = small(tmp_path, "", captions='[".txt", ".caption"]')
    told = examine(file, capsys, "--trigger", "ohwx")
    assert found(told)["trigger_word"] == found(told)["long_caption"] == ["a.png"]
    assert (told["trigger"]["held_by"], told["trigger"]["expected"], told["tokens"]["captions"]) == (1, 2, 2)
    examine(file, capsys, "--trigger", "ohwx", "--fix", "all", "--yes")
    text = (tmp_path / "a.caption").read_text()
    assert text.startswith("ohwx, a cat asleep")  # one fix goes on from what the other made
    assert estimate(text) <= 512 * 7 // 8
    assert found(examine(file, capsys, "--trigger", "ohwx")) == {}
    assert run(["data", "doctor", str(file), "--undo"]) == 0
    assert (tmp_path / "a.caption").read_text() == "a cat " + "asleep, " * 700
    assert (tmp_path / "a.txt").read_text() == "ohwx, a cat"


def test_the_trigger_word_is_kept_out_of_a_regularisation_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene(1).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a cat")
    file = small(tmp_path, "", 'image_directory = "."\nis_reg = true')
    assert "trigger_word" not in found(examine(file, capsys, "--trigger", "ohwx"))


def test_a_short_text_of_many_tokens_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_qwen_tokenizer(tmp_path / "tok", ["a cat"], size=300)
    scene(1).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("雪の上の狐" * 100, encoding="utf-8")  # 500 characters, about 1,500 bytes
    file = small(tmp_path, "")
    words = ("--tokenizer", str(tmp_path / "tok"))
    assert run(["data", "doctor", str(file), "--family", "qwen_image", "--json", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tokens"]["longest"] > 1024
    assert found(told)["long_caption"] == ["a.png"]


def test_the_resolution_that_enlarges_most_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(1, 128, 128).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a cat")
    for sizes in ("[[256, 256], [128, 128]]", "[[128, 128], [256, 256]]"):
        file = small(tmp_path, "")
        file.write_text(file.read_text().replace("resolution = 128", f"resolution = {sizes}"))
        (entry,) = [f["files"] for f in examine(file, capsys)["findings"] if f["code"] == "low_resolution"]
        assert "enlarged 2.0 times" in entry[0]["detail"]


# -- what goes aside


def test_what_lacks_something_is_set_aside_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "short.mp4", 3)
    video(tmp_path / "mute.mp4", 12)
    (tmp_path / "mute.txt").rename(tmp_path / "mutt.txt")
    (tmp_path / "walk").mkdir()
    scene(1, 64, 48).save(tmp_path / "walk" / "0.png")
    file = small(tmp_path, "", 'video_directory = "."\ntarget_frames = [9]')
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    told = found(examine(file, capsys, code=2))
    assert sorted(told["missing_caption"]) == ["mute.mp4", "walk"]
    assert told["unused_caption"] == ["mutt.txt"]
    assert told["too_short"] == ["short.mp4"]
    changes = examine(file, capsys, "--fix", "all", "--yes", code=2)["changes"]  # nothing is left to train
    assert sorted(Path(change["path"]).name for change in changes) == [
        "mute.mp4", "mutt.txt", "short.mp4", "short.txt", "walk",
    ]  # fmt: skip
    assert found(examine(file, capsys, code=2)) == {}
    assert run(["data", "doctor", str(file), "--undo"]) == 0
    assert before == {path for path in tmp_path.rglob("*") if path.is_file() and "set-aside" not in str(path)}


def test_captions_and_further_targets_go_with_their_picture(tmp_path: Path) -> None:
    for name in ("cat", "cat_0", "cat_1", "cat_9", "dog", "dog_0"):
        scene(1).save(tmp_path / f"{name}.png")
    for name in ("cat.txt", "cat.caption", "cat_9.txt", "dog.txt"):
        (tmp_path / name).write_text("x")
    scene(2).save(tmp_path / "dog.jpg")  # needs dog.txt too
    file = small(tmp_path, "", 'image_directory = "."\nmultiple_target = true', captions='[".txt", ".caption"]')
    opened = open_dataset(file, None)
    moved = {change.path.name for change in set_aside(opened, tmp_path / "cat.png", 0, "x")}
    assert moved == {"cat.png", "cat.txt", "cat.caption", "cat_0.png", "cat_1.png"}
    assert [change.path.name for change in set_aside(opened, tmp_path / "dog.png", 0, "x")] == ["dog.png"]


# -- fixes that are whole


def test_files_of_one_name_are_found_and_the_second_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pics = tmp_path / "pics"
    pics.mkdir()
    scene(1).save(pics / "dup.jpg")
    scene(2).save(pics / "dup.png")
    scene(3).save(pics / "other.png")
    for name in ("dup", "other"):
        (pics / f"{name}.txt").write_text("x")
    file = small(tmp_path, "", 'image_directory = "pics"')
    assert found(examine(file, capsys, code=2))["cache_name_collision"] == ["dup.png"]
    fixed = examine(file, capsys, "--fix", "all", "--yes")
    assert fixed["still_in_the_way"] == []
    assert [Path(change["path"]).name for change in fixed["changes"]] == [
        "dup.png"
    ]  # its caption is that of dup.jpg too
    assert found(examine(file, capsys)) == {}
    aside = tmp_path / "pics.set-aside"
    assert (aside / "dup.png").exists()
    assert run(["data", "doctor", str(file), "--undo"]) == 0
    assert not aside.exists()
    assert run(["data", "doctor", str(file), "--undo"]) == 2
    assert "there is nothing to take back" in capsys.readouterr().err


def test_lines_of_a_list_are_taken_out_and_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics = tmp_path / "pics"
    pics.mkdir()
    for number in range(3):
        scene(number).save(pics / f"{number}.png")
    (pics / "cut.png").write_bytes((pics / "0.png").read_bytes()[:200])
    lines = [
        '{"image_path": "pics/0.png", "caption": "zero"}',
        "{broken",
        '{"image_path": "pics/gone.png", "caption": "x"}',
        '{"image_path": "pics/1.png"}',
        "",
        '{"image_path": "pics/2.png", "caption": "two"}',
        '{"image_path": "pics/2.png", "caption": "two again"}',
        '{"image_path": "pics/cut.png", "caption": "cut"}',
    ]
    listed = tmp_path / "list.jsonl"
    listed.write_text("\n".join(lines))
    file = small(tmp_path, "", 'image_jsonl_file = "list.jsonl"')
    told = examine(file, capsys, code=2)
    assert {f["code"]: [one.get("line") for one in f["files"]] for f in told["findings"]} == {
        "corrupt": [8], "list_line": [2, 3], "cache_name_collision": [7], "missing_caption": [4],
    }  # fmt: skip
    assert run(["data", "doctor", str(file), "--fix", "all"]) == 2
    assert f"take lines 2, 3, 4, 7, 8 out of {listed}" in capsys.readouterr().out
    assert listed.read_text() == "\n".join(lines)
    fixed = examine(file, capsys, "--fix", "all", "--yes")
    assert [(change["kind"], change["lines"]) for change in fixed["changes"]] == [("lines", [2, 3, 4, 7, 8])]
    assert listed.read_text() == "\n".join([lines[0], "", lines[5]])
    assert found(examine(file, capsys)) == {}
    assert run(["data", "doctor", str(file), "--undo"]) == 0
    assert listed.read_text() == "\n".join(lines)
    capsys.readouterr()
    examine(file, capsys, "--fix", "list_line", "--yes", code=2)
    listed.write_text(listed.read_text() + "\n")
    assert run(["data", "doctor", str(file), "--undo"]) == 2
    assert "the list was changed since" in capsys.readouterr().err


def test_a_fix_that_died_half_way_is_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written down, not made: what ``kill -9`` between the two leaves."""
    scene(1).save(tmp_path / "a.png")
    listed = tmp_path / "list.jsonl"
    listed.write_text('{"image_path": "a.png", "caption": "x"}\n{broken\n')
    file = small(tmp_path, "", 'image_jsonl_file = "list.jsonl"')
    change = removal(listed, 0, "list_line", None, [2])
    write_down(aside_folder(open_dataset(file, None).config.datasets[0]), "batch", settled(change))
    assert run(["data", "doctor", str(file), "--undo"]) == 0
    assert listed.read_text() == '{"image_path": "a.png", "caption": "x"}\n{broken\n'
    assert not (tmp_path / "list.jsonl.set-aside").exists()


def test_a_shared_caption_goes_with_the_last_of_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("b.mp4", "b.mkv", "c.mp4"):
        video(clips / name, 3)
    video(clips / "c.mkv", 12)
    file = small(tmp_path, "", 'video_directory = "clips"\ntarget_frames = [9]')
    changes = examine(file, capsys, "--fix", "too_short", "--yes")["changes"]
    assert sorted(Path(change["path"]).name for change in changes) == ["b.mkv", "b.mp4", "b.txt", "c.mp4"]


def test_masks_in_which_nothing_counts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics, masks, clear = tmp_path / "pics", tmp_path / "masks", tmp_path / "clear"
    for folder in (pics, masks, clear):
        folder.mkdir()
    for name, weight in (("dark", 0), ("grey", 9)):
        scene(1).save(pics / f"{name}.png")
        (pics / f"{name}.txt").write_text("x")
        Image.new("L", scene(1).size, weight).save(masks / f"{name}.png")
        Image.merge("RGBA", (*scene(2).split(), Image.new("L", scene(2).size, weight))).save(clear / f"{name}.png")
        (clear / f"{name}.txt").write_text("x")
    file = small(
        tmp_path, "", f'image_directory = "{pics}"\nmask_directory = "{masks}"\ncache_directory = "{tmp_path}/c1"\n'
        f'[[datasets]]\nimage_directory = "{clear}"\nalpha_mask = true',
    )  # fmt: skip
    told = examine(file, capsys)
    assert found(told)["empty_mask"] == ["dark.png", "dark.png"]
    details = next(f["files"] for f in told["findings"] if f["code"] == "empty_mask")
    assert [one["detail"] for one in details] == ["its mask dark.png is all black", "all transparent"]
    opened = open_dataset(file, "wan")
    warned = [one.message for one in scan(opened.config, opened.spec, opened.task).warnings if one.code == "empty_mask"]
    (pics / "grey.png").unlink()
    (clear / "grey.png").unlink()
    with pytest.raises(UserError, match="every mask is empty"):
        scan(opened.config, opened.spec, opened.task)
    assert warned == [
        "1 item trains nothing: the mask is all black: dark.png.",
        "1 item trains nothing: the alpha channel is all transparent: dark.png.",
    ]


@pytest.mark.parametrize("ending", ["mkv", "mp4", "avi"])
def test_a_download_that_broke_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    whole = tmp_path / f"whole.{ending}"
    video(whole, 90, noise=True, options={"movflags": "faststart"} if ending == "mp4" else None)
    (tmp_path / "cut").mkdir()
    data = whole.read_bytes()
    (tmp_path / "cut" / f"half.{ending}").write_bytes(data[: int(len(data) * 0.6)])
    (tmp_path / "cut" / "half.txt").write_text("x")
    shutil.copy(whole, tmp_path / "cut" / f"whole.{ending}")
    (tmp_path / "cut" / "whole.txt").write_text("x")
    file = small(tmp_path, "", 'video_directory = "cut"\ntarget_frames = [9]')
    told = examine(file, capsys)
    (entry,) = next(f["files"] for f in told["findings"] if f["code"] == "cut_off")
    frames = int(re.search(r"(\d+) of 90 frames", entry["detail"])[1])  # type: ignore[index]
    assert 30 < frames < 70
    assert next(row["frames"] for row in told["videos"] if "half" in row["path"]) == frames
    assert run(["data", "scan", str(file)]) == 0
    assert f"half.{ending} ({frames} / 90)" in capsys.readouterr().err


def test_many_changes_are_counted_and_every_edit_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(25):
        video(clips / f"{number:02d}.mp4", 20, fps=30)
        (clips / f"{number:02d}.txt").write_text("")
    file = small(tmp_path, "", 'video_directory = "clips"\ntarget_frames = [9]')
    words = ["--fix", "frame_rate", "--fix", "empty_caption", "--trigger", "ohwx", "--no-decode"]
    assert run(["data", "doctor", str(file), "--family", "wan", *words]) == 0
    out = capsys.readouterr().out
    assert "+ source_fps = 30" in out
    assert "and 5 more; --json lists all" in out
    assert "In all: 25 captions written (empty_caption 25), the dataset file edited" in out


def test_a_file_that_a_list_needs_too_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics = tmp_path / "pics"
    pics.mkdir()
    for number, name in enumerate(("a", "b")):
        scene(number).save(pics / f"{name}.png")
    (tmp_path / "list.jsonl").write_text('{"image_path": "pics/a.png", "caption": "one"}\n')
    file = small(
        tmp_path, "", 'image_directory = "pics"\ncache_directory = "c1"\n[[datasets]]\nimage_jsonl_file = "list.jsonl"'
    )
    told = examine(file, capsys, "--fix", "missing_caption", "--yes")
    assert [Path(change["path"]).name for change in told["changes"]] == ["b.png"]
    (left,) = told["left"]
    assert "a.png stands in list.jsonl:1 too: it stays" in left


def test_videos_that_a_wrong_rate_makes_too_short_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "a.mp4", 30, fps=30)
    told = examine(small(tmp_path, "", 'video_directory = "."\ntarget_frames = [17]\nsource_fps = 60'), capsys, code=2)
    (finding,) = [one for one in told["findings"] if one["code"] == "too_short"]
    assert "Correct source_fps" in finding["advice"]
    assert "source_fps = 60" in finding["files"][0]["detail"]
