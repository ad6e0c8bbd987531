"""What a dataset says of its lists and captions: with the line, in words that fit, and nothing silently."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data import read_dataset_config
from engine.data.captions import guessed_encoding
from engine.data.items import Scan
from engine.data.reasons import look_command, reason_of, told_together
from tests.unit.test_data_scan import WAN, picture, run

# -- lists


def listed(tmp_path: Path, *lines: str) -> Scan:
    (tmp_path / "list.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return run(tmp_path, {"image_jsonl_file": "list.jsonl", "cache_directory": "cache"}, strict=False)


def test_what_is_wrong_in_a_list_is_told_with_its_line(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png", caption=None)
    (tmp_path / "zero.png").touch()
    found = listed(
        tmp_path,
        '{"image_path": "a.png", "caption": "one"}',
        '{"image_path": "gone.png", "caption": "x"}',
        '{"image_path": "b.png"}',
        "{broken",
        "",
        '{"image_path": "a.png", "caption": "one"}',
        '{"image_path": "zero.png", "caption": "x"}',
    )
    assert [(skipped.code, skipped.line) for skipped in sorted(found.skipped, key=lambda one: one.line)] == [
        ("no_such_file", 2), ("missing_caption", 3), ("bad_line", 4), ("duplicate", 6), ("unreadable_image", 7),
    ]  # fmt: skip
    reasons = {skipped.line: skipped.reason for skipped in found.skipped}
    assert reasons[2] == f"there is no {tmp_path / 'gone.png'}."
    assert reasons[6] == "line 1 lists it already."
    stopping = {error.line: error for error in found.errors}
    assert sorted(stopping) == [2, 4, 7]
    assert all(error.file == str(tmp_path / "list.jsonl") for error in found.errors)
    assert stopping[2].fix.startswith("Correct the path, or remove this line, or set on_bad_item")
    assert stopping[4].fix.startswith("Correct or remove this line, or")
    assert stopping[7].fix.startswith("Repair it, or remove this line, or")
    assert str(tmp_path / "zero.png") in stopping[7].message


def test_a_run_tells_in_one_sentence_what_it_does_not_train(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", caption=None)
    lines = ['{"image_path": "a.png", "caption": "one"}', '{"image_path": "gone.png", "caption": "x"}']
    found = listed(tmp_path, *lines)
    tables = {"datasets": [{"image_jsonl_file": "list.jsonl", "cache_directory": "cache"}]}
    rooms = read_dataset_config(tables, base_dir=tmp_path, spec=WAN).datasets
    assert told_together(rooms, found.skipped) == (
        f"1 is not trained: gone.png (list.jsonl:2): there is no {tmp_path / 'gone.png'}."
    )
    found = listed(tmp_path, *lines, *lines[1:] * 3, '{"image_path": "a.png"}')
    assert (
        told_together(rooms, found.skipped) == "5 are not trained: listed twice (3), no such file (1), no caption (1)."
    )


def test_a_command_that_is_hinted_at_can_be_typed_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "my set.toml"
    file.write_text('[[datasets]]\nimage_directory = "."\nresolution = 64\ncaption_extension = ".txt"\n')
    alone = read_dataset_config(file, base_dir=tmp_path, spec=None)
    assert look_command(alone.typed) == f"musubi-tui data scan '{file}'"
    for_wan = read_dataset_config(file, base_dir=tmp_path, spec=WAN)
    assert look_command(for_wan.typed, "show", "-a b") == f"musubi-tui data show '{file}' --family wan -- '-a b'"
    in_preset = read_dataset_config(
        {"datasets": [{"image_directory": "."}]}, base_dir=tmp_path, spec=WAN, file="p.toml"
    )
    assert look_command(in_preset.typed) == "musubi-tui data scan p.toml"  # it names its family itself


def test_captions_that_contradict_are_told_with_both_lines(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    picture(tmp_path / "pics" / "a.png", caption=None)
    found = listed(
        tmp_path,
        '{"image_path": "pics/a.png", "caption": "one"}',
        '{"image_path": "pics/../pics/a.png", "caption": "two"}',
    )
    (error,) = found.errors
    assert (error.code, error.line) == ("cache_name_collision", 2)
    assert "stands twice" in error.message
    assert "lines 1 and 2 of list.jsonl" in error.message
    assert ".." not in error.message


def test_paths_of_a_list_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me").mkdir()
    picture(tmp_path / "me" / "a.png", caption=None)
    picture(tmp_path / "~odd.png", caption=None)
    found = listed(tmp_path, '{"image_path": "~/a.png", "caption": "x"}', '{"image_path": "~odd.png", "caption": "y"}')
    assert {item.path for item in found.items} == {tmp_path / "me" / "a.png", tmp_path / "~odd.png"}


def test_keys_of_a_list_that_mean_nothing_are_told_once(tmp_path: Path) -> None:
    for number in range(5):
        picture(tmp_path / f"{number}.png", caption=None)
    lines = [
        f'{{"image_path": "{number}.png", "caption": "x", "width": 3, "source": "web", "Caption_2": "y"}}'
        for number in range(4)
    ]
    found = listed(tmp_path, *lines, '{"image_path": "4.png", "captoin": "y", "control_path_0": "0.png"}')
    told = [
        (warning.line, warning.message, warning.fix) for warning in found.warnings if warning.code == "unknown_list_key"
    ]
    assert told == [
        (1, "'Caption_2' means nothing in a list (4 lines).", "Did you mean caption?"),
        (5, "'captoin' means nothing in a list (1 line).", "Did you mean caption?"),
        (1, "keys that mean nothing here are ignored: source, width.", ""),
    ]
    assert found.skipped[0].reason == "it has no caption, but 'captoin'."


# -- captions that are not what they should be


def test_a_caption_that_is_no_file_is_told_as_what_it_is(tmp_path: Path) -> None:
    for name in ("fold", "dead", "UPPER", "none"):
        picture(tmp_path / f"{name}.png", caption=None)
    (tmp_path / "fold.txt").mkdir()
    (tmp_path / "dead.txt").symlink_to("nowhere")
    (tmp_path / "UPPER.TXT").write_text("x")
    found = run(tmp_path, {"image_directory": ".", "cache_directory": "cache"}, strict=False)
    told = {skipped.path.name: (skipped.code, skipped.reason) for skipped in found.skipped}
    assert told == {
        "fold.png": ("unreadable_caption", "its caption fold.txt is a folder: a text file must stand there."),
        "dead.png": ("unreadable_caption", "its caption dead.txt is a link to a file that is not there."),
        "UPPER.png": ("caption_case", "its caption should be UPPER.txt, and UPPER.TXT is there."),
        "none.png": ("missing_caption", "it has no caption file none.txt."),
    }


@pytest.mark.parametrize("text", ["猫", "犬", "猫, cat", "1girl, 夜", "ねこ", "日", "道\n"])
def test_short_japanese_captions_of_windows_are_read_as_such(text: str) -> None:
    assert guessed_encoding(text.encode("cp932")) == "cp932"


@pytest.mark.parametrize(
    "text", ["“Hello world", "cat’s tail", "a – b", "l’été", "costs €5", "dog—cat", "“École", "Œuvre", "naïve"]
)
def test_western_captions_are_not_taken_for_japanese(text: str) -> None:
    assert guessed_encoding(text.encode("cp1252")) == "cp1252"


@pytest.mark.parametrize(
    ("code", "room", "word"),
    [
        ("missing_caption", {"kind": "image", "list": ""}, "text file of the same name"),
        ("missing_caption", {"kind": "image", "list": "/l.jsonl"}, "into these lines"),
        ("missing_caption", {"kind": "clip", "list": ""}, "folders of frames"),
        ("no_such_file", {"kind": "clip", "list": "/l.jsonl"}, "folder of the list"),
        ("too_small", {"kind": "clip", "list": ""}, "larger videos"),
    ],
)
def test_advice_fits_the_dataset(code: str, room: dict[str, str], word: str) -> None:
    assert word in reason_of(code, room).advice


def test_a_caption_in_doubt_is_read_as_the_others_of_its_folder(tmp_path: Path) -> None:
    texts = {"a": "白い猫が座っている", "b": "日, 本", "c": "l’étés à la plage", "d": "刀", "e": "夜空、星"}
    western = {"c"}
    for name, text in texts.items():
        picture(tmp_path / f"{name}.png", caption=None)
        (tmp_path / f"{name}.txt").write_bytes(text.encode("cp1252" if name in western else "cp932"))
    found = run(tmp_path, {"image_directory": ".", "cache_directory": "cache"})
    assert {item.name: item.caption for item in found.items} == texts
    told = {warning.message for warning in found.warnings if warning.code == "caption_encoding"}
    assert told == {
        "4 captions are not UTF-8 and read as cp932, such as a.txt.",
        "1 caption is not UTF-8 and read as cp1252, such as c.txt.",
    }
    for name in "ade":  # nothing Japanese beside it any more
        (tmp_path / f"{name}.txt").write_text(texts[name], encoding="utf-8")
    found = run(tmp_path, {"image_directory": ".", "cache_directory": "cache"}, strict=False)
    assert {item.name: item.caption for item in found.items if item.name in "be"} == {"b": "“ú, –{", "e": "夜空、星"}
