"""The wizard's data page: pictures that are not there yet, and captions for what has none."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from engine.config import check_config
from engine.config.problems import UserError
from musubi_tui.cli.root import run
from musubi_tui.presets.wizard.session import Session
from tests.unit.wizard_set import around, session, write_models, write_pictures

# -- pictures that are not there yet


@pytest.mark.parametrize(("goal", "name", "key"), [("character", "pictures", "image_directory"), ("motion", "clips", "video_directory")])  # fmt: skip
def test_without_pictures_near_by_a_folder_is_named_and_nothing_is_started(tmp_path: Path, goal: str, name: str, key: str) -> None:  # fmt: skip
    write_models(tmp_path / "work" / "models")
    wizard = Session(around(tmp_path))
    wizard.answer(goal)
    last = wizard.question
    while wizard.question is not None:
        last = wizard.question
        wizard.answer("")
    assert last is not None
    assert last.default == "write"
    assert {choice.value for choice in last.choices if not choice.unavailable} == {"write", "form"}
    assert any("Still to do: put your files into" in line for line in last.lines)
    written = wizard.write()
    dataset = tomllib.loads(written.dataset.read_text())
    assert dataset["datasets"][0][key] == str(tmp_path / "work" / name)
    assert "TO DO" in written.dataset.read_text()
    assert [problem.code for problem in check_config(written.preset) if problem.severity == "error"], "no launch"
    write_pictures(tmp_path / "work" / name)
    if goal == "character":
        assert not [problem for problem in check_config(written.preset) if problem.severity == "error"]


def test_links_that_lead_back_are_not_offered_as_further_folders(tmp_path: Path) -> None:
    write_pictures(tmp_path / "work" / "mine", 2, 1)
    (tmp_path / "work" / "mine" / "loop").symlink_to(tmp_path / "work" / "mine")
    (tmp_path / "work" / "also").symlink_to(tmp_path / "work" / "mine")
    assert around(tmp_path).likely_folders() == [tmp_path / "work" / "mine"]


def test_a_minus_puts_the_pictures_off_and_a_wrong_folder_does_not(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    while wizard.flow.question.id != "data":  # type: ignore[union-attr]
        wizard.answer("")
    with pytest.raises(UserError, match="there is no folder"):
        wizard.answer("pictures")  # others are near by: this is a slip of the pen
    wizard.answer("-")
    assert wizard.flow.answers["data"] == str(tmp_path / "work" / "pictures")


# -- captions


def at_captions(tmp_path: Path, names: tuple[str, ...] = ("red_car-at night 01", "IMG_2044"), word: str = "bella") -> Session:  # fmt: skip
    write_models(tmp_path / "work" / "models")
    folder = tmp_path / "work" / "mine"
    write_pictures(folder, len(names) + 1, 1)
    for number, name in enumerate(names, 1):
        (folder / f"{number}.png").rename(folder / f"{name}.png")
    wizard = Session(around(tmp_path))
    while wizard.flow.question.id != "trigger":  # type: ignore[union-attr]
        wizard.answer("")
    wizard.answer(word)
    wizard.answer("write")
    return wizard


def test_missing_captions_are_shown_written_and_taken_back(tmp_path: Path) -> None:
    wizard = at_captions(tmp_path)
    folder = tmp_path / "work" / "mine"
    question = wizard.question
    assert question is not None
    assert question.default == "a picture of bella"
    shown = "\n".join(question.shown("bella, {name}"))
    assert "red_car-at night 01.txt  bella, red car at night" in shown
    assert "IMG_2044.txt  bella\n" in shown + "\n"
    wizard.answer("bella, {name}")
    while wizard.question is not None:
        last = wizard.question
        wizard.answer("")
    assert any("2 captions will be written" in line for line in last.lines)
    assert len(list(folder.glob("*.txt"))) == 1, "nothing is written before the end"
    (folder / "IMG_2044.txt").write_text("somebody was faster")
    written = wizard.write()
    assert written.captions == 1
    texts = {path.name: path.read_text() for path in folder.glob("*.txt")}
    assert texts == {"0.txt": "a bird", "IMG_2044.txt": "somebody was faster", "red_car-at night 01.txt": "bella, red car at night\n"}  # fmt: skip
    assert check_config(written.preset) == []
    assert tomllib.loads(written.dataset.read_text())["general"]["caption_extension"] == ".txt"
    assert run(["data", "doctor", str(written.dataset), "--family", "wan", "--undo"]) == 0
    assert sorted(path.name for path in folder.glob("*.txt")) == ["0.txt", "IMG_2044.txt"]


@pytest.mark.parametrize(
    ("goal", "names", "word", "proposed"),
    [
        ("character", ("IMG_1", "DSC0002"), "bella", "a picture of bella"),
        ("style", ("IMG_1", "0002"), "inkwash", "a picture in the style of inkwash"),
        ("style", ("IMG_1", "0002"), "-", "a picture"),
        ("character", ("cat on a mat", "dog_at_sea"), "bella", "bella, {name}"),
        ("character", ("cat on a mat", "dog_at_sea"), "-", "{name}"),
    ],
)
def test_the_sentence_that_is_proposed(tmp_path: Path, goal: str, names: tuple[str, ...], word: str, proposed: str) -> None:  # fmt: skip
    wizard = at_captions(tmp_path, names, word)
    wizard.flow.answers["goal"] = goal
    question = wizard.question
    assert question is not None
    assert question.default == proposed
    with pytest.raises(UserError, match="one line"):
        wizard.answer("x" * 2000)


def test_captions_are_not_offered_where_they_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path / "work" / "models")
    write_pictures(tmp_path / "work" / "mine", 3, 0)
    monkeypatch.setattr("musubi_tui.presets.wizard.captions.os.access", lambda *_: False)
    wizard = Session(around(tmp_path))
    while wizard.flow.question.id != "captions":  # type: ignore[union-attr]
        wizard.answer("")
    with pytest.raises(UserError, match="cannot be written"):
        wizard.answer("write")
