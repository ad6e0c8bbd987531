"""Control files: what is obeyed, what is refused, and that nobody can steer by a link."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.events.control import (
    LIVE_KEYS,
    SIZE_LIMIT,
    Ack,
    read_ack,
    send,
    unanswered,
    wait_for_ack,
    write_ack,
)
from engine.events.rundir import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "run")


def test_a_command_arrives_and_its_answer_returns(run: RunDirectory) -> None:
    first = send(run, "save")
    second = send(run, "sample", {"prompts": ["a heron", "靄"]})
    assert unanswered(run) == [first, second]
    assert {stat.S_IMODE(path.stat().st_mode) for path in run.control.iterdir()} == {0o600}
    assert wait_for_ack(run, first, timeout=0) is None
    write_ack(run, Ack(first.id, "save", "done", "saved"))
    assert wait_for_ack(run, first) == Ack(first.id, "save", "done", "saved")
    assert unanswered(run) == [second]


@pytest.mark.parametrize(
    "values",
    [
        {"command": "explode"}, {}, {"command": "stop", "when": "yesterday"}, {"command": "set", "key": "lr"},
        {"command": "set", "key": 3, "value": 1}, {"command": "sample", "prompts": "text"}, {"command": "sample", "prompts": [1]},
    ],
)  # fmt: skip
def test_words_that_make_no_command_say_why(run: RunDirectory, values: dict[str, Any]) -> None:
    (run.control / "x.json").write_text(json.dumps(values))
    (command,) = unanswered(run)
    assert command.error


@pytest.mark.parametrize("text", ["", "[1]", "{", "\x00", "[" * 5000])
def test_damaged_files_are_refused(run: RunDirectory, text: str) -> None:
    (run.control / "x.json").write_text(text)
    (command,) = unanswered(run)
    assert command.error


def test_links_pipes_folders_and_large_files_are_refused(run: RunDirectory, tmp_path: Path) -> None:
    target = tmp_path / "target.json"
    target.write_text('{"command": "stop"}')
    (run.control / "a.json").symlink_to(target)
    (run.control / "b.json").symlink_to(tmp_path / "nowhere")
    os.link(target, run.control / "c.json")
    os.mkfifo(run.control / "d.json")
    (run.control / "e.json").mkdir()
    (run.control / "f.json").write_text('{"command": "stop", "x": "' + "x" * SIZE_LIMIT + '"}')
    commands = unanswered(run)
    assert [command.id for command in commands] == list("abcdef")
    assert all(command.error for command in commands)


def test_a_file_of_another_user_is_refused(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    send(run, "stop")
    monkeypatch.setattr("engine.events.control.os.geteuid", lambda: os.getuid() + 1)
    (command,) = unanswered(run)
    assert command.error


@pytest.mark.parametrize("name", ["../x.json", ".x.json", "x.txt", "x.json.tmp", "x.ack.json", "a b.json", "é.json"])
def test_other_names_are_not_looked_at(run: RunDirectory, name: str) -> None:
    (run.control / name).write_text('{"command": "stop"}')
    assert unanswered(run) == []


def test_a_damaged_answer_is_none(run: RunDirectory) -> None:
    (run.control / "x.ack.json").write_text("{")
    assert read_ack(run, "x") is None


def test_the_loop_knows_the_same_live_values() -> None:
    source = Path(__file__).parents[2] / "engine" / "train" / "live.py"
    readers = source.read_text("utf-8").partition("_READERS:")[2]
    of_the_loop = [key for key in LIVE_KEYS if key not in ("max_cost", "max_hours")]  # the job itself keeps the budget
    assert all(f'"{key}":' in readers for key in of_the_loop)
    assert readers.count('":') == len(of_the_loop)
