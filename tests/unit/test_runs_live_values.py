"""What holds in a run that goes on, what people write for it, and a budget that is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Control, RunStart
from musubi_tui.runs.live_values import live_values, spent_limit, written_value


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path, "ink")
    run.run_toml.write_text(
        'kind = "train"\n[train]\nmax_train_steps = 2000\nlearning_rate = 1e-4\n[run]\nmax_cost = 20.0\nmax_hours = 8\n'
    )
    return run


def test_what_was_said_last_holds(run: RunDirectory) -> None:
    assert live_values(run) == {"learning_rate_factor": 1.0, "max_train_steps": 2000, "max_cost": 20.0, "max_hours": 8}

    def told(key: str, value: object, result: str = "done") -> Control:
        return Control(command="set", result=result, arguments={"key": key, "value": value})

    sink = EventSink(run.events, run.steps_idx, attempt=1)
    for event in (
        RunStart(attempt=1), told("max_cost", 30), told("learning_rate_factor", 0.5), told("max_hours", "off"),
        told("max_train_steps", 1, "refused"), RunStart(attempt=2),
    ):  # fmt: skip
        sink.emit(event)
    sink.close()
    (run.attempts / "2.toml").write_text("attempt = 2\n[set]\nmax_cost = 45\n")
    assert live_values(run) == {"learning_rate_factor": 0.5, "max_train_steps": 2000, "max_cost": 45}


def test_a_limit_that_is_spent(run: RunDirectory) -> None:
    Status("stopped", seconds=3600.0, cost=19.0).write(run)
    assert spent_limit(run) is None
    Status("stopped", seconds=3600.0, cost=20.5).write(run)
    assert spent_limit(run) == ("max_cost", 20.0, "the budget is spent: 20.50 of 20.00 (max_cost)")
    assert spent_limit(run, {"max_cost": 21}) is None
    Status("stopped", seconds=8 * 3600.0, cost=20.5).write(run)
    assert spent_limit(run, {"max_cost": "off"}) == ("max_hours", 8.0, "the budget is spent: 8 of 8 hours (max_hours)")
    Status("stopped", seconds=1.0).write(run)  # nobody knew a price
    assert spent_limit(run) is None


def test_prompts_may_come_from_a_file(tmp_path: Path) -> None:
    """The engine takes lines: a path that it was sent would itself become the prompt of all previews."""
    file = tmp_path / "more.txt"
    file.write_text("\ufeff# what to look at\na heron --w 512\n\n  墨絵\n", encoding="utf-8")
    assert written_value("sample_prompts", str(file)) == "a heron --w 512\n墨絵"
    assert written_value("sample_prompts", "a heron, 7.5") == "a heron, 7.5"
    with pytest.raises(UserError, match=r"nowhere\.txt cannot be read: there is no such file"):
        written_value("sample_prompts", "nowhere.txt")
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="it is not UTF-8"):
        written_value("sample_prompts", str(file))
    assert written_value("max_train_steps", "4000") == 4000
