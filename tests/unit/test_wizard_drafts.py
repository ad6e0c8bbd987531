"""Walks through the wizard that were left half-way: kept, offered, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config.problems import UserError
from engine.events.process import process_start
from musubi_tui.presets.wizard import drafts
from musubi_tui.presets.wizard.session import Session
from tests.unit.wizard_set import around, session, write_models, write_pictures

# -- walks that were left half-way


def left_at(tmp_path: Path, question: str, **answers: str) -> Session:
    """A walk that its process left at this question (the process is ours: to the next walk it looks like one that ended)."""
    wizard = session(tmp_path)
    wizard.remember()
    while wizard.question.id != question:  # type: ignore[union-attr]
        wizard.answer(answers.get(wizard.question.id, ""))  # type: ignore[union-attr]
    return wizard


def test_a_walk_left_half_way_is_offered_and_goes_on_where_it_was(tmp_path: Path) -> None:
    left = left_at(tmp_path, "prompts", goal="style", trigger="inkwash", card="RTX 4090", price="0.69", steps="1234")
    again = Session(around(tmp_path / "elsewhere"))
    again.remember()
    question = again.question
    assert question is not None
    assert question.id == "draft"
    assert "inkwash" in question.choices[0].note
    assert question.choices[-1].value == "new"
    again.answer("")
    assert again.question.id == "prompts"  # type: ignore[union-attr]
    assert again.flow.answers == left.flow.answers
    assert again.flow.typed == left.flow.typed
    assert again.around.cwd == tmp_path / "work"
    while again.question is not None:
        again.answer("")
    again.write()
    third = Session(around(tmp_path))
    third.remember()
    assert third.question.id == "goal", "a finished walk is forgotten"  # type: ignore[union-attr]


def test_what_does_not_hold_any_more_is_asked_again_and_the_rest_is_proposed(tmp_path: Path) -> None:
    left_at(tmp_path, "prompts", steps="1234", trigger="bella_cat")
    for picture in (tmp_path / "work" / "bella").iterdir():
        picture.unlink()
    (tmp_path / "work" / "bella").rmdir()
    write_pictures(tmp_path / "work" / "luna")
    again = Session(around(tmp_path))
    again.remember()
    again.answer("1")
    assert again.question.id == "data"  # type: ignore[union-attr]
    again.answer("luna")
    assert again.question.default == "bella_cat"  # type: ignore[union-attr]
    while again.question.id != "steps":  # type: ignore[union-attr]
        again.answer("")
    assert again.question.default == 1234  # type: ignore[union-attr]


def test_drafts_that_are_damaged_in_use_or_empty_are_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_at(tmp_path, "goal")  # nothing answered
    left_at(tmp_path, "data")
    folder = drafts._folder()
    (kept,) = folder.iterdir()
    (folder / "torn.json").write_text(kept.read_text()[:40])
    assert [one.name for one in drafts.kept()] == [kept.stem]
    record = json.loads(kept.read_text())
    init = {**record["process"], "pid": 1, "started": process_start(1)}
    kept.write_text(json.dumps({**record, "process": init}))
    assert drafts.kept() == []  # another process that is alive is in it
    kept.write_text(json.dumps({**record, "answers": {"goal": "style", "model": "gone/t2v", "data": 5}}))
    again = Session(around(tmp_path))
    again.remember()
    assert again.question.id == "goal"  # type: ignore[union-attr]
    kept.write_text(json.dumps({**record, "process": init}))
    for _ in range(12):
        drafts.keep(drafts.new_draft(tmp_path))
    assert len(drafts.kept()) == 8
    assert kept.exists()


def test_a_download_that_was_broken_off_goes_on_with_the_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path / "work" / "models", only=("dit",))
    write_pictures(tmp_path / "work" / "bella")
    calls = []

    def fetch(wanted: object, folder: Path, tell: object) -> list[Path]:
        calls.append(folder)
        if len(calls) == 1:
            raise UserError.of("hub_unreachable", "The line is cut.")
        write_models(folder)
        return []

    monkeypatch.setattr("musubi_tui.presets.wizard.downloading.look_up", lambda slots: slots)
    monkeypatch.setattr("musubi_tui.presets.wizard.downloading.fetch", fetch)
    wizard = Session(around(tmp_path))
    wizard.remember()
    for text in ("", "", "download"):
        wizard.answer(text)
    told = wizard.question.shown("big disk")  # type: ignore[union-attr]
    assert "2 files, 11.9 GB" in told[0]
    assert "GB are free there" in told[-1]
    assert wizard.question.shown("a\0b") == told[:-1]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="cut"):
        wizard.answer("big disk")
    again = Session(around(tmp_path))
    again.remember()
    again.answer("")
    assert again.question.id == "models_folder"  # type: ignore[union-attr]
    again.answer("")
    assert calls == [tmp_path / "work" / "big disk"] * 2
    assert again.missing() == []
    assert again.question.id == "data"  # type: ignore[union-attr]
