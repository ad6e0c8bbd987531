"""Taking runs off the list, the price of an hour, the order of the queue, runs compared by time and money, the hook that waits."""

from __future__ import annotations

import json
import os
import time

import pytest

from engine.config.problems import ConfigError, UserError
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Lease, Status
from engine.events.types import Hook, RunStart, Step
from musubi_tui.cli.root import run as musubi_tui
from musubi_tui.runs import comparing, queueing
from musubi_tui.runs.archiving import archive, archived_ids
from musubi_tui.runs.home import config_file, find_home
from musubi_tui.runs.pricing import known_price, parse_price, set_price
from musubi_tui.runs.queue import Entry, QueueFile
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.resuming import prepare_resume
from musubi_tui.runs.snapshot import snapshot


def make(name: str, state: str = "stopped", **facts: object) -> RunDirectory:
    run = RunDirectory.create(find_home().path, name)
    run.run_toml.write_text(f'kind = "train"\n[training]\nlearning_rate = {facts.pop("rate", 1e-4)}\n')
    Status(
        state=state, process=ProcessIdentity.of_this_process(), heartbeat=iso_time(time.time()), name=name, **facts
    ).write(run)  # type: ignore[arg-type]
    return run


def listed() -> dict[str, bool]:
    return {entry.summary.name: entry.archived for entry in Registry().runs()}


def test_an_archived_run_leaves_the_list_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    run, other = make("one"), make("two")
    assert musubi_tui(["runs", "archive", "one"]) == 0
    assert listed() == {"one": True, "two": False}
    capsys.readouterr()
    assert musubi_tui(["runs", "list"]) == 0
    told = capsys.readouterr()
    assert run.id not in told.out
    assert "1 archived" in told.err
    assert musubi_tui(["runs", "list", "--archived", "--json"]) == 0
    assert [(entry["id"], entry.get("archived")) for entry in json.loads(capsys.readouterr().out)] == [(other.id, None), (run.id, True)]  # fmt: skip
    os.remove(find_home().path / "index.sqlite")
    assert listed() == {"one": True, "two": False}  # no cache: a fact on disk
    assert musubi_tui(["runs", "unarchive", run.id]) == 0
    assert listed() == {"one": False, "two": False}


def test_the_winner_of_a_comparison_is_marked_and_its_notes_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = make("one"), make("two")
    assert musubi_tui(["runs", "winner", "one", "--over", "two"]) == 0
    assert musubi_tui(["runs", "winner", "two", "--over", "one", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": second.id, "winner": True}
    assert musubi_tui(["runs", "list", "--json"]) == 0
    assert [(entry["id"], entry.get("winner")) for entry in json.loads(capsys.readouterr().out)] == [(second.id, True), (first.id, None)]  # fmt: skip
    assert musubi_tui(["runs", "list"]) == 0
    assert ", winner" in capsys.readouterr().out
    assert [note["text"] for note in snapshot(second).notes] == [f"winner over {first.id}"]
    assert musubi_tui(["runs", "winner", "two", "--undo"]) == 0
    assert not any(entry.winner for entry in Registry().runs())
    assert snapshot(second).notes[-1]["text"] == "not the winner any more"  # the last note is what the card shows
    assert snapshot(first).notes[-1]["text"] == f"not the winner any more: {second.id} is"
    assert musubi_tui(["runs", "winner", "one"]) == 0
    assert musubi_tui(["runs", "rm", "one", "--yes"]) == 0
    make("three")
    assert not list((find_home().path / "runs" / ".winners").iterdir())


def test_what_runs_cannot_be_hidden_and_what_goes_on_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    run = make("one", "running")
    assert musubi_tui(["runs", "archive", "one"]) == 2
    assert "runs stop" in capsys.readouterr().err
    stopped = make("two")
    archive(stopped)
    prepare_resume(stopped, {})
    assert not archived_ids(stopped.path.parent)
    archive(stopped)
    Status(state="running", process=ProcessIdentity.of_this_process(), heartbeat=iso_time(time.time())).write(stopped)
    assert not any(listed().values())
    assert run.exists()


def test_a_deleted_run_leaves_no_mark() -> None:
    run = make("one")
    archive(run)
    assert musubi_tui(["runs", "rm", run.id, "--yes"]) == 0
    assert not archived_ids(run.path.parent)


@pytest.mark.parametrize(
    ("text", "price"),
    [("2.49", 2.49), (" $2,49/h", 2.49), ("0", 0.0), ("300円", None), ("-1", None), ("nan", None), ("", None)],
)
def test_prices_as_people_write_them(text: str, price: float | None) -> None:
    if price is None:
        with pytest.raises(UserError):
            parse_price(text)
    else:
        assert parse_price(text) == price


def test_the_price_is_kept_beside_everything_else_in_the_config_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert known_price() is None
    config_file().parent.mkdir(parents=True, exist_ok=True)
    text = '# mine\n[app]\ntheme = "nord" # dark\n'
    config_file().write_text(text)
    assert musubi_tui(["runs", "price", "2.49"]) == 0
    assert config_file().read_text() == "price_per_hour = 2.49\n" + text
    set_price(3)
    assert config_file().read_text() == "price_per_hour = 3\n" + text
    assert musubi_tui(["runs", "price", "--json"]) == 0
    assert '"price_per_hour": 3' in capsys.readouterr().out
    assert musubi_tui(["runs", "price", "none"]) == 0
    assert config_file().read_text() == text
    config_file().write_text("[app\n")
    with pytest.raises(ConfigError):
        set_price(1)
    assert config_file().read_text() == "[app\n"


def test_the_environment_speaks_for_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    set_price(1.0)
    monkeypatch.setenv("MUSUBI_TUI_PRICE_PER_HOUR", "4")
    known = known_price()
    assert known is not None
    assert (known.per_hour, known.source) == (4.0, "MUSUBI_TUI_PRICE_PER_HOUR")


def test_waiting_entries_move_by_places() -> None:
    file = QueueFile(find_home().path)
    runs = [make(name, "queued") for name in ("a", "b", "c")]
    for run in runs:
        queueing.add(file, Entry(0, file.host, str(run.path)))

    def order() -> str:
        return "".join(entry.run.id[0] for entry in file.read().waiting())

    assert queueing.shift(file, runs[2].id, -1)[1] == 2
    assert order() == "acb"
    assert queueing.shift(file, runs[0].id, -1)[1] == 1
    assert queueing.shift(file, runs[0].id, 5)[1] == 3
    assert order() == "cba"
    with pytest.raises(UserError):
        queueing.shift(file, "nobody", 1)


def with_steps(run: RunDirectory, seconds: float, count: int, loss: float) -> None:
    from unittest.mock import patch

    clock = iter(1_000_000.0 + seconds * step for step in range(10 * count))
    with patch("engine.events.sink.time.time", lambda: next(clock)):
        sink = EventSink(run.events, run.steps_idx, attempt=1)
        sink.emit(RunStart(1, 0, {}))
        for step in range(1, count + 1):
            sink.emit(Step(step=step, epoch=1, loss=loss, lr=(1e-3,), step_s=seconds))
        sink.close()


def test_runs_are_laid_over_each_other_by_step_time_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = make("slow", "done", price=2.0, max_steps=100), make("fast", "done", rate=5e-5, max_steps=100)
    with_steps(slow, 4.0, 100, 0.2)
    with_steps(fast, 1.0, 100, 0.1)
    runs = comparing.compare_runs([slow, fast])
    assert comparing.setting_rows(runs) == [("learning_rate", ["0.0001", "5e-05"])]
    assert [run.time[-1] for run in runs] == pytest.approx([400, 100])
    assert [value for _, value in comparing.aligned(runs, "step", 4)][-1] == pytest.approx([0.2, 0.1], abs=1e-4)
    by_time = comparing.aligned(runs, "time", 5)
    assert by_time[0][1] == pytest.approx([0.2, 0.1], abs=1e-4)
    assert by_time[-1][1][1] is None  # the fast one was done long before
    assert runs[1].x("cost") is None
    assert comparing.read_compared(fast, price=3.6).x("cost")[-1] == pytest.approx(0.1)  # type: ignore[index]
    assert musubi_tui(["runs", "compare", "slow", "fast", "--by", "time", "--points", "2"]) == 0
    assert "loss @ 3.3 min" in capsys.readouterr().out
    assert musubi_tui(["runs", "compare", "slow", "fast", "--by", "beauty"]) == 2
    fast.run_toml.write_text("a = = 1")
    assert musubi_tui(["runs", "compare", "slow", "fast"]) == 2


def test_by_cost_needs_a_price(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a1", "b1"):
        with_steps(make(name), 1.0, 5, 0.1)
    assert musubi_tui(["runs", "compare", "a1", "b1", "--by", "cost"]) == 2
    assert "runs price" in capsys.readouterr().err


def test_the_hook_that_waits_is_in_the_snapshot() -> None:
    run = make("one", "done")
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(1, 0, {}))
    sink.emit(Hook("on_finish", "waiting", 30.0))
    sink.close()
    hook = snapshot(run).hook
    assert hook is not None
    assert (hook["name"], hook["state"]) == ("on_finish", "waiting")
    assert iso_time(time.time()) < hook["until"] < iso_time(time.time() + 31)
    assert Lease.read(run) is None
