"""Money: each attempt at its own price, and the same amount on Jobs, on the run screen, in `runs watch`, `show` and `compare`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.events.lines import Record, encode_line, iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import RunEnd, RunStart, Step
from musubi_tui.cli.root import run as musubi_tui
from musubi_tui.runs.comparing import read_compared
from musubi_tui.runs.costs import Bill
from musubi_tui.runs.pricing import set_price
from musubi_tui.runs.telling import Story, vitals_line
from musubi_tui.tui import run_source
from musubi_tui.tui.glyphs import UNICODE
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.runs_reader import RunsReader
from musubi_tui.tui.runs_table import money
from musubi_tui.tui.screens.run.panels import header
from musubi_tui.tui.widgets.axis import Axis

FIRST, SECOND = 36.0, 7.2  # per hour: a cent a second, and a fifth of it


def records(first: float | None, second: float | None) -> list[Record]:
    """Two attempts with an hour of nothing between them."""
    told: list[tuple[float, object]] = [(0.0, RunStart(1, 0, {"max_train_steps": 20}, "H100", first))]
    told += [(10.0 * step, Step(step=step, epoch=1, loss=0.1, step_s=10.0)) for step in range(1, 11)]
    told += [(100.0, RunEnd("preempted", "")), (3700.0, RunStart(2, 10, {"max_train_steps": 20}, "H100", second))]
    told += [(3600.0 + 10.0 * step, Step(step=step, epoch=1, loss=0.1, step_s=10.0)) for step in range(11, 16)]
    return [Record(place, t, event) for place, (t, event) in enumerate(told)]  # type: ignore[arg-type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(tmp_path))
    monkeypatch.delenv("MUSUBI_TUI_PRICE_PER_HOUR", raising=False)
    return tmp_path


def made(home: Path, first: float | None, second: float | None, cost: float | None) -> RunDirectory:
    """The run on disk, ended; status.json as its engine leaves it."""
    run = RunDirectory(home / "runs" / "ink-20261121-080000")
    run.path.mkdir(parents=True)
    run.run_toml.write_text('kind = "train"\n')
    for attempt in (1, 2):
        sink = EventSink(run.events, run.steps_idx, attempt=attempt)
        sink.close()
    run.events.write_bytes(b"".join(encode_line(one.seq, one.t, one.event) for one in records(first, second)))
    run.steps_idx.unlink(missing_ok=True)
    Status("stopped", ProcessIdentity.of_this_process(), iso_time(time.time()), "", 2, 15, 20, 0, "", "x", "y", "ink", "wan",
           seconds=150.0, price=second, cost=cost).write(run)  # fmt: skip
    return run


def amounts(run: RunDirectory, home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What each place shows."""
    (now,) = RunsReader(home).view().runs
    view = RunSource.live(run.path).view()
    head = "".join(text for text, _ in header(view, 100, UNICODE)[0])
    capsys.readouterr()
    assert musubi_tui(["runs", "show", run.id]) == 0
    shown = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("cost"))
    compared = read_compared(run, price=None).x("cost")
    return {
        "jobs": money(now),
        "run": head.split()[-1],
        "show": shown.split()[1],
        "compare": "" if compared is None else f"${compared[-1]:.2f}",
    }


def test_every_place_counts_each_attempt_at_its_own_price(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(home, FIRST, SECOND, 1.10)
    assert amounts(run, home, capsys) == dict.fromkeys(("jobs", "run", "show", "compare"), "$1.10")
    story = Story()
    for record in records(FIRST, SECOND):
        story.feed(record)
    assert vitals_line(story) == "$1.10"


def test_a_price_that_is_told_afterwards_counts_everywhere_and_is_marked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(home, None, None, None)
    source = RunSource.live(run.path)
    assert source.view().cost is None
    set_price(FIRST)
    assert (source.view().cost, source.view().bill.guessed) == (1.5, True)  # also where it is open already
    found = amounts(run, home, capsys)
    assert (found["jobs"], found["run"], found["show"]) == ("~$1.50", "~$1.50", "~$1.50")
    x = read_compared(run, price=FIRST).x("cost")
    assert x is not None
    assert x[-1] == pytest.approx(1.5)
    story = Story(today=FIRST)
    for record in records(None, None):
        story.feed(record)
    assert vitals_line(story) == "~$1.50"


def test_a_price_of_today_changes_nothing_that_was_counted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(home, None, SECOND, 0.10)  # the first attempt was for free, as the engine has it
    set_price(FIRST)
    assert amounts(run, home, capsys) == dict.fromkeys(("jobs", "run", "show", "compare"), "$0.10")


def test_the_axis_of_money_bends_where_the_price_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(home, FIRST, SECOND, 1.10)
    for long in (10**6, 5):
        monkeypatch.setattr(run_source, "_LONG_RUN", long)
        monkeypatch.setattr(run_source, "_RECENT_BYTES", 200)
        view = RunSource.live(run.path).view()
        axis = Axis.of("cost", view)
        values = [axis.value(place) for place in range(15)]
        expected = [0.1 * step for step in range(1, 11)] + [1.0 + 0.02 * step for step in range(1, 6)]
        assert values == pytest.approx(expected, abs=0.101)  # an index counts from the first step on
        assert [axis.place(value + 1e-9) for value in values] == list(range(15))
        low, high = axis.full()
        places = axis.buckets(low, high, 40)
        assert (places[0], places[-1]) == (0, 15)


def test_a_bill() -> None:
    bill = Bill.of([(0.0, FIRST), (100.0, None), (150.0, SECOND)])
    assert [bill.cost(seconds) for seconds in (0, 50, 100, 150, 200)] == pytest.approx([0, 0.5, 1, 1, 1.1])
    assert bill.column(np.array([50.0, 125.0, 200.0])).tolist() == pytest.approx([0.5, 1.0, 1.1])
    assert Bill().cost(5) is None
    assert Bill.of([(0.0, None)], today=FIRST).cost(50) == pytest.approx(0.5)
    assert not Bill.of([(0.0, None), (5.0, FIRST)], today=SECOND).guessed
    assert replace(bill).rate is None
