"""The chart: any numbers give a picture of the asked size, spikes survive, and nothing that is not finite moves the scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.types import Step
from musubi_tui.runs.snapshot import moving_average
from musubi_tui.tui.glyphs import ASCII, UNICODE
from musubi_tui.tui.run_series import GrowingSteps, Smoother, reduce
from musubi_tui.tui.widgets.bars import course, labelled, stacked
from musubi_tui.tui.widgets.chart import small_curve
from musubi_tui.tui.widgets.lines import fit, justify, width_of
from musubi_tui.tui.widgets.plot import Canvas, Scale, number

ANY = st.floats(allow_nan=True, allow_infinity=True)
NASTY = [
    [],
    [0.5],
    [0.5] * 9,
    [math.nan] * 5,
    [math.inf, -math.inf],
    [1e308, -1e308],
    [1e-320, 1.0],
    [0.0, -1.0],
    [3e38],
]


def text_of(lines):
    return ["".join(text for text, _ in line) for line in lines]


def check_picture(values, log):
    y = np.array(values, np.float64)
    x = np.arange(len(y), dtype=np.float64)
    shape = reduce(x, y, 0.0, max(1.0, float(len(y))), 40)
    scale = Scale.of(y, log=log)
    assert math.isfinite(scale.low)
    assert math.isfinite(scale.high)
    assert scale.low < scale.high
    canvas = Canvas(20, 5)
    canvas.band("raw", scale, shape.low, shape.high)
    canvas.curve("ema", scale, shape.last)
    for lines in (canvas.lines(), canvas.lines(ascii_only=True)):
        assert [len(line) for line in text_of(lines)] == [20] * 5
    assert all(ord(char) < 128 for line in text_of(canvas.lines(ascii_only=True)) for char in line)
    assert all(width_of(line) == 30 for line in small_curve(x, y, 30, 4))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", NASTY, ids=str)
def test_nasty_numbers_give_a_picture(values, log):
    check_picture(values, log)


@settings(max_examples=80, deadline=None)
@given(st.lists(ANY, max_size=60), st.booleans())
def test_any_numbers_give_a_picture(values, log):
    check_picture(values, log)


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=80), st.integers(1, 50))
def test_no_extreme_is_lost_by_reducing(values, columns):
    y = np.array(values)
    shape = reduce(np.arange(len(y)), y, 0, max(1, len(y) - 1), columns)
    finite = y[np.isfinite(y)]
    if len(finite):
        assert np.nanmax(shape.high) == finite.max()
        assert np.nanmin(shape.low) == finite.min()
    else:
        assert np.isnan(shape.high).all()


@settings(max_examples=60, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers(5, 9))
def test_a_label_keeps_its_width(value, width):
    assert len(number(value, width)) <= width + 1


def test_a_spike_in_a_million_steps_is_seen():
    y = np.full(1_000_000, 0.1)
    y[123_456] = 9.0
    shape = reduce(np.arange(len(y)), y, 0, len(y), 140)
    assert np.nanmax(shape.high) == 9.0
    assert np.count_nonzero(shape.high > 1) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 2.0) | st.just(math.nan), min_size=1, max_size=700), st.integers(1, 300))
def test_the_average_is_the_one_of_runs_show_however_it_arrives(losses, piece):
    steps, smoother = GrowingSteps(), Smoother(0.98)
    for place, loss in enumerate(losses):
        steps.append(Step(step=place + 1, loss=None if math.isnan(loss) else loss), float(place))
        if place % piece == 0:
            smoother.of(steps.view())
    smooth = smoother.of(steps.view())
    expected = moving_average(losses)
    assert len(smooth) == len(losses)
    assert np.isnan(smooth[-1]) if expected is None else smooth[-1] == pytest.approx(expected, rel=1e-4)


def test_a_view_stays_what_it_was_while_steps_are_added_and_voided():
    steps = GrowingSteps()
    for step in range(1, 2001):
        steps.append(Step(step=step, loss=float(step)), 0.0)
    before = steps.view()
    steps.cut_after(1000)
    steps.append(Step(step=1001, loss=-1.0), 0.0)
    assert (len(before), before.loss[1000]) == (2000, 1001.0)
    assert (len(steps.view()), steps.view().loss[-1]) == (1001, -1.0)
    assert steps.view().generation != before.generation


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_bars_keep_their_width(glyphs):
    assert width_of(stacked([(5, "weights"), (3, "adapter"), (9, "other")], 10, 30, glyphs)) == 30
    assert width_of(stacked([], 0, 30, glyphs)) == 30
    assert width_of(labelled([("data", 0.1), ("fwd", 0.4)], 0.5, 30, glyphs)) == 30
    assert len(course(np.arange(5), np.array([1.0, math.nan, 2, 3, 1]), 12, glyphs)) == 12
    assert len(course(np.arange(0), np.arange(0), 12, glyphs)) == 12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab漢字é ", max_size=8), max_size=5), st.integers(0, 30), st.integers(1, 30))
def test_lines_fit_exactly_whatever_is_wide(words, right, width):
    line = [(word, "") for word in words]
    assert width_of(fit(line, width)) == width
    assert width_of(justify(line, [("x" * right, "")], width)) == width
