"""Lists of a dataset, as its commands tell of them: always with ``list.jsonl:12``, each line with its reason, and nothing that floods the screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.config.spelling import named, readable
from musubi_tui.cli.root import run
from tests.unit.test_data_scan import picture, video
from tests.unit.test_data_scan import run as scanned


def write_list(folder: Path, *lines: dict[str, Any] | str, more: str = "") -> Path:
    """A list of pictures with its dataset file, which is returned; texts are written as they are."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "list.jsonl").write_text(text + "\n", encoding="utf-8")
    path = folder / "dataset.toml"
    path.write_text(
        f'[[datasets]]\nimage_jsonl_file = "list.jsonl"\ncache_directory = "cache"\nresolution = 64\n{more}\n'
    )
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Everything a command writes."""
    run(["data", *map(str, arguments)])
    captured = capsys.readouterr()
    return captured.out + captured.err


def document(capsys: pytest.CaptureFixture[str], command: str, dataset: Path) -> Any:
    """What a command says with ``--json``."""
    run(["data", command, str(dataset), "--json"])
    return json.loads(capsys.readouterr().out)


def lines_of(entries: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(entry["code"], entry["line"]) for entry in entries]


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png", caption=None)
    picture(tmp_path / "b.png", caption=None)
    return write_list(
        tmp_path,
        {"image_path": "a.png", "caption": "ay"},
        {"image_path": "gone.png", "caption": "x"},
        {"image_path": "b.png"},
        {"image_path": "a.png", "caption": "ay"},
        "{broken",
        {"image_path": "other.png", "caption": "x"},
    )


def test_json_tells_list_and_line_in_their_order(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("scan", "buckets"):
        entries = document(capsys, command, messy)["datasets"][0]["skipped"]
        assert lines_of(entries) == [
            ("no_such_file", 2), ("missing_caption", 3), ("duplicate", 4), ("bad_line", 5), ("no_such_file", 6),
        ]  # fmt: skip
        assert {entry["list"] for entry in entries} == {str(messy.with_name("list.jsonl"))}


def test_a_path_that_is_not_there_is_told_once_in_what_stops_training(
    messy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = document(capsys, "scan", messy)["errors"][0]["message"]
    assert message == f"there is no {messy.with_name('gone.png')}."


def test_json_of_a_scan_holds_what_stops_training_and_what_is_doubtful(
    messy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "scan", messy)
    assert lines_of(found["errors"]) == [("no_such_file", 2), ("bad_line", 5), ("no_such_file", 6)]
    assert found["warnings"] == []


def test_every_command_names_each_line(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("scan", "buckets", "doctor"):
        out = told(capsys, command, messy)
        for place in ("gone.png (list.jsonl:2)", "b.png (list.jsonl:3)", "list.jsonl:5", "other.png (list.jsonl:6)"):
            assert place in out, (command, place)
    for word in ("b.png", "list.jsonl:3", str(messy.with_name("list.jsonl:3"))):
        assert "b.png (list.jsonl:3) is not trained: it has no caption." in told(capsys, "show", messy, word)
    assert "caption   ay" in told(capsys, "show", messy, "list.jsonl:1")
    assert "no item" in told(capsys, "show", messy, "list.jsonl:0")


def test_what_is_found_about_trained_items_of_a_list_has_their_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png", 16, 16, caption=None)
    dataset = write_list(
        tmp_path,
        {"image_path": "b.png", "caption": "x"},
        "",
        {"image_path": "a.png", "caption": ""},
        more="flip = true",
    )
    for more in ("flip = true", ""):  # items one by one, and in columns
        dataset.write_text(dataset.read_text().replace("flip = true", more))
        findings = {one["code"]: one["files"] for one in document(capsys, "doctor", dataset)["findings"]}
        assert [(Path(one["path"]).name, one["line"]) for one in findings["low_resolution"]] == [
            ("a.png", 3),
            ("b.png", 1),
        ]
        assert [one["line"] for one in findings["empty_caption"]] == [3]
    assert "a.png (list.jsonl:3)  16x16, enlarged" in told(capsys, "doctor", dataset)


def test_advice_knows_what_the_dataset_does_with_broken_files(messy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, "scan", messy)
    assert 'correct or remove them; on_bad_item = "skip" trains without them' in out
    messy.write_text(messy.read_text() + 'on_bad_item = "skip"\n')
    out = told(capsys, "scan", messy)
    assert 'correct or remove them; they are left out, as on_bad_item = "skip" asks' in out
    assert "trains without them" not in out


def test_twenty_of_each_reason_are_told_and_where_the_rest_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "a.png", caption=None)
    lines = [{"image_path": "a.png", "caption": f"text {number}"} for number in range(30)]
    dataset = write_list(tmp_path, *lines, *["{broken"] * 25)
    out = told(capsys, "scan", dataset)
    assert "list.jsonl:50: it is not JSON" in out
    assert "list.jsonl:51" not in out
    assert "and 5 more; --json lists all" in out
    assert "(lines 1 and 21 of list.jsonl)" in out
    assert "(lines 1 and 22 of list.jsonl)" not in out
    assert f"9 more of these. `musubi-tui data scan {dataset} --json` lists all." in out
    codes = [error["code"] for error in document(capsys, "scan", dataset)["errors"]]
    assert (codes.count("cache_name_collision"), codes.count("bad_line")) == (29, 25)


def test_long_names_are_shown_short_and_stand_whole_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "long" * 50 + "-tail.png"
    dataset = write_list(tmp_path, {"image_path": name, "caption": "x"})
    for command in ("scan", "buckets"):
        out = told(capsys, command, dataset)
        assert "long" * 25 not in out, command
        assert "…" in out
        assert "-tail.png (list.jsonl:1)" in out
        assert document(capsys, command, dataset)["datasets"][0]["skipped"][0]["path"] == str(tmp_path / name)


def test_names_of_files_for_eyes() -> None:
    assert named("/a/b/cat.png") == "cat.png"
    assert named("/a/b/cat.png", "/l/list.jsonl", 3) == "cat.png (list.jsonl:3)"
    assert named("/l/list.jsonl", "/l/list.jsonl", 3) == "list.jsonl:3"
    deep = "/".join(["", *["folder"] * 30, "cat.png"])
    assert named(deep, whole=True) == deep  # a deep path is no long name
    assert readable(f"{'word ' * 30}ends") == f"{'word ' * 30}ends"
    assert len(readable(f"there is no /a/{'x' * 300}.png.")) < 110


def test_what_a_line_leads_to_is_told_as_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png", caption=None)
    video(tmp_path / "v.mp4", 3)
    (tmp_path / "dead.png").symlink_to("nowhere.png")
    (tmp_path / "dir.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    dataset = write_list(
        tmp_path,
        {"image_path": "dead.png", "caption": "x"},
        {"image_path": "dir.png", "caption": "x"},
        {"image_path": "pipe.png", "caption": "x"},
        {"image_path": "v.mp4", "caption": "x"},
        {"image_path": "~no_such_user/a.png", "caption": "x"},
        {"image_path": "a.png", "image_path_1": "gone.png", "caption": "x"},
        {"image_path": "a.png", "mask_path": "gone.png", "caption": "x"},
        {"image_path": "a.png", "control_path": "gone.png", "caption": "x"},
        {"image_path": 7, "caption": "x"},
        {"image_path": "a.png", "caption": ["x", None]},
        more="multiple_target = true",
    )
    entries = document(capsys, "scan", dataset)["datasets"][0]["skipped"]
    assert [(entry["line"], entry["code"], entry["reason"].replace(f"{tmp_path}/", "")) for entry in entries] == [
        (1, "broken_link", "it is a link to a file that is not there: dead.png -> nowhere.png."),
        (2, "unreadable_image", "it is a folder, not a file."),
        (3, "unreadable_image", "it is a pipe or a device, not a file."),
        (4, "unsupported_type", "it is a video: videos belong in a list of their own, video_jsonl_file."),
        (5, "no_such_file", "there is no ~no_such_user/a.png."),
        (6, "no_such_file", "its target gone.png is not there."),
        (7, "no_such_file", "its mask gone.png is not there."),
        (8, "no_such_file", "its control gone.png is not there."),
        (9, "bad_line", "image_path must be a path in quotes, and is 7."),
        (10, "bad_line", 'caption must be a text in quotes, or a list of them, and is ["x", null].'),
    ]


def test_a_pipe_is_waited_for_neither_as_a_list_nor_as_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_list(tmp_path)
    (tmp_path / "list.jsonl").unlink()
    os.mkfifo(tmp_path / "list.jsonl")
    assert "it is a pipe or a device, not a list." in told(capsys, "buckets", dataset)
    os.mkfifo(tmp_path / "pipe.mp4")
    dataset.write_text('[[datasets]]\nvideo_directory = "."\ntarget_frames = [1]\ncache_directory = "cache"\n')
    assert "it is a pipe or a device, not a file." in told(capsys, "buckets", dataset)


def test_a_file_key_that_is_mistyped_is_named_with_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.png", caption=None)
    for key in ("Image_Path", "video_path", "file_name"):
        dataset = write_list(tmp_path, {key: "a.png", "caption": "x"})
        out = told(capsys, "scan", dataset)
        assert f"list.jsonl:1: it has no image_path, but {key!r}." in out
        assert "Did you mean image_path?" in out


def test_an_empty_caption_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png", caption=None)
    dataset = write_list(tmp_path, {"image_path": "b.png", "caption": " "}, {"image_path": "a.png", "caption": ""})
    (warning,) = document(capsys, "scan", dataset)["warnings"]
    assert (warning["code"], warning["line"]) == ("empty_caption", 1)
    assert warning["message"] == "2 captions are empty, such as that of b.png."


def test_captions_of_one_file_on_several_lines_are_joined(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"{number}.png", caption=None)
    lines = [{"image_path": f"{number % 3}.png", "caption": f"c{number}"} for number in range(9)]
    write_list(tmp_path, *lines)
    entry = {"image_jsonl_file": "list.jsonl", "cache_directory": "cache", "multiple_captions": True}
    found = scanned(tmp_path, entry)
    assert [[text.caption for text in item.texts] for item in found.items] == [
        ["c0", "c3", "c6"], ["c1", "c4", "c7"], ["c2", "c5", "c8"],
    ]  # fmt: skip
    assert [item.line for item in found.items] == [1, 2, 3]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses file names that are not UTF-8")
def test_a_name_that_is_no_utf8_is_spelled_the_same_everywhere_and_a_shell_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9p\xf4t")
    folder.mkdir()
    picture(folder / "a.png", caption=None)
    picture(tmp_path / "plain.png").rename(tmp_path / os.fsdecode(b"caf\xe9 1.png"))
    dataset = tmp_path / "dataset.toml"
    dataset.write_text('[[datasets]]\nimage_directory = "."\nrecursive = true\ncaption_extension = ".txt"\n')
    for command in ("scan", "buckets", "doctor"):
        assert "$'caf\\xe9 1.png': its name" in told(capsys, command, dataset).replace("'  its", "': its")
    entry = next(one for one in document(capsys, "scan", dataset)["datasets"][0]["skipped"] if "caf" in one["path"])
    assert entry["path"] == f"{tmp_path}/$'caf\\xe9 1.png'"
    listed = subprocess.run(["bash", "-c", f"ls {entry['path']}"], capture_output=True, check=True)
    assert listed.stdout == os.fsencode(tmp_path) + b"/caf\xe9 1.png\n"
    errors = document(capsys, "scan", dataset)["errors"]
    assert f"{tmp_path}/$'caf\\xe9 1.png'" in [error["file"] for error in errors]
    assert f"{tmp_path}/$'d\\xe9p\\xf4t'/a.png" in [error["file"] for error in errors]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "column 2: a key in double quotes is missing"),
        ('{"image_path": "C:\\data\\a.png"}', "a backslash must be written twice"),
        ('{"image_path": "a.png" "caption": "x"}', "column 24: a comma or the closing bracket is missing"),
        ('{"image_path": "a.png", "caption": "x}', "a text has no closing quote"),
        ('{"image_path": "a.png", "caption": }', "a value is missing"),
        ('{"image_path": "a.png", "caption": "a\tb"}', "a text holds a tab or another control character"),
        ('{"image_path": "a.png", "caption": "x"}, {"image_path": "b.png"}', "something follows the closing brace"),
    ],
)
def test_what_keeps_a_line_from_being_json_is_told_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    (entry,) = document(capsys, "scan", write_list(tmp_path, line))["datasets"][0]["skipped"]
    assert (entry["code"], entry["line"]) == ("bad_line", 1)
    assert reason in entry["reason"]


def test_a_backslash_that_json_took_for_a_line_end_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [r'{"image_path": "C:\\new.png", "caption": "x"}', r'{"image_path": "C:\new.png", "caption": "x"}']
    dataset = write_list(tmp_path, *lines)
    first, second = document(capsys, "scan", dataset)["datasets"][0]["skipped"]
    assert "twice" not in first["reason"]
    assert "a backslash is written twice" in second["reason"]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_document_is_told_once_and_not_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], indent: int | None
) -> None:
    lines = [{"image_path": f"{number}.png", "caption": "x"} for number in range(9)]
    found = document(capsys, "scan", write_list(tmp_path, json.dumps(lines, indent=indent)))
    (entry,) = found["datasets"][0]["skipped"]
    assert entry["code"] == "not_a_list"
    assert "one object in each line" in entry["reason"]
    assert [error["code"] for error in found["errors"]] == ["not_a_list"]


def test_the_doctor_says_how_captions_of_a_list_are_written_and_names_those_in_another_case(
    messy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 'Write "caption" into these lines. The fix takes the lines out of the list' in told(capsys, "doctor", messy)
    folder = tmp_path / "pics"
    folder.mkdir()
    picture(folder / "a.png")
    picture(folder / "UPPER.png", caption=None)
    (folder / "UPPER.TXT").write_text("x")
    messy.write_text('[[datasets]]\nimage_directory = "pics"\ncaption_extension = ".txt"\n')
    out = told(capsys, "doctor", messy)
    assert "UPPER.png  its caption should be UPPER.txt, and UPPER.TXT is there." in out
    assert "Nothing wrong" not in out


@pytest.mark.parametrize(
    ("key", "name", "told_as"),
    [
        (
            "image_jsonl_file",
            "pics",
            "the dataset's list is a folder: {}. If it is meant, write image_directory instead.",
        ),
        (
            "video_directory",
            "list.jsonl",
            "the dataset's folder is a file: {}. If it is meant, write video_jsonl_file instead.",
        ),
    ],
)
def test_a_list_in_the_place_of_a_folder_is_told_with_the_key_that_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, name: str, told_as: str
) -> None:
    dataset = write_list(tmp_path)
    (tmp_path / "pics").mkdir()
    dataset.write_text(f'[[datasets]]\n{key} = "{name}"\ncache_directory = "cache"\n')
    assert told_as.format(tmp_path / name) in told(capsys, "scan", dataset)
