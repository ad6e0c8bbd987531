"""What the loss is drawn over: images, hours and money count what repeated steps cost, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.events.lines import Record
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.types import RunEnd, RunStart, Step
from musubi_tui.tui import run_source
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import Fold, RunView
from musubi_tui.tui.widgets.axis import AXES, Axis

REPLAY = Path(__file__).parent.parent / "data" / "replay" / "interrupted.jsonl"


def fold(price: float | None, *timed) -> RunView:
    folded = Fold("x")
    for place, (t, event) in enumerate(timed):
        folded.feed(Record(place, t, event))
    if folded.start is not None:
        assert folded.start.price == price
    return folded.view()


def two_attempts(price: float | None) -> RunView:
    def step(number):
        return Step(step=number, epoch=(number - 1) // 4 + 1, loss=0.1, items=("a", "b"), lr=(1e-4, 1e-3))

    return fold(
        price,
        (0.0, RunStart(1, 0, {}, "", price)),
        *((100.0 * number, step(number)) for number in range(1, 6)),
        (520.0, RunEnd("preempted", "")),
        (9000.0, RunStart(2, 3, {}, "", price)),  # steps 4 and 5 are done again, after two hours of nothing
        *((8700.0 + 100.0 * number, step(number)) for number in range(4, 9)),
    )


def test_hours_and_money_leave_out_what_nobody_worked_and_count_what_was_done_twice():
    view = two_attempts(36.0)
    assert view.steps.step.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert view.steps.worked.tolist() == [100, 200, 300, 620, 720, 820, 920, 1020]
    cost = Axis.of("cost", view)
    assert [cost.value(place) for place in (0, 3, 7)] == pytest.approx([1.0, 6.2, 10.2])
    assert cost.value(7) == pytest.approx(view.cost)
    assert cost.text(cost.value(7)) == "$10.20"
    assert Axis.of("time", view).text(3600.0 + 65) == "1:01:05"


def test_without_a_price_money_is_hours_and_says_so():
    axis = Axis.of("cost", two_attempts(None))
    assert (axis.name, axis.missing) == ("time", "no price known")


def test_images_are_the_items_of_all_steps_that_count():
    view = two_attempts(None)
    assert view.steps.images.tolist() == [2, 4, 6, 8, 10, 12, 14, 16]
    assert fold(None, (1.0, Step(step=10, loss=0.1, items=("a",) * 4, merged=10))).steps.images.tolist() == [40]


@pytest.mark.parametrize("name", AXES)
def test_a_place_is_found_again_on_every_axis(name):
    view = RunSource.replay(REPLAY).view()
    axis = Axis.of(name, view)
    values = [axis.value(place) for place in range(len(view.steps))]
    assert values == sorted(values)
    for place in (0, 57, 130, 199):
        assert axis.place(axis.value(place) + 1e-9) == place
        assert axis.of_step(view.steps, float(view.steps.step[place])) == pytest.approx(axis.value(place))
    low, high = axis.full()
    assert low <= values[0]
    assert high >= values[-1]
    assert 2 <= len(axis.ticks(low, high, 72)) <= 9
    places = axis.buckets(low, high, 144)
    assert (places[0], places[-1]) == (0, 200)


def test_further_groups_of_learning_rates_are_kept():
    view = fold(
        None,
        (1.0, Step(step=1, lr=(1.0,))),
        (2.0, Step(step=2, lr=(1.0, 16.0, None))),
        (3.0, Step(step=3, lr=(0.5, 8.0, 2.0))),
    )
    assert view.steps.lr.tolist() == [1.0, 1.0, 0.5]
    assert view.steps.groups[0].tolist()[1:] == [16.0, 8.0]


def test_a_run_opened_through_its_index_has_the_same_axes(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path, "long")
    run.run_toml.write_text('kind = "train"\n')
    for attempt, (first, last) in enumerate(((1, 60), (41, 90)), 1):
        sink = EventSink(run.events, run.steps_idx, attempt=attempt)
        sink.emit(RunStart(attempt, first - 1, {}, "", 3.6))
        for step in range(first, last + 1):
            sink.emit(Step(step=step, epoch=1, loss=0.1, items=("a", "b", "c")))
        sink.close()
    whole = RunSource.live(run.path).view()
    monkeypatch.setattr(run_source, "_LONG_RUN", 10)
    monkeypatch.setattr(run_source, "_RECENT_BYTES", 1000)
    quick = RunSource.live(run.path).view()
    assert quick.steps.images.tolist() == whole.steps.images.tolist() == [3 * step for step in range(1, 91)]
    assert quick.steps.worked.tolist() == pytest.approx(whole.steps.worked.tolist(), abs=0.2)
