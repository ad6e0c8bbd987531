"""The chart: any numbers give a picture of the asked size, spikes survive, and nothing that is not finite moves the scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.types import Step
from musubi_tui.runs.pyramid import BLOCK, Blocks, Smoother, buckets, find, reduce, shape
from musubi_tui.runs.series import GrowingSteps
from musubi_tui.runs.snapshot import moving_average
from musubi_tui.tui.glyphs import ASCII, UNICODE
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
    assert all(width_of(line) == 30 for line in small_curve(x, [(y, None, "ema")], 30, 4))


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
            smoother.at(steps.view().loss, 0, np.array([place]))
    smooth = smoother.at(steps.view().loss, 0, np.arange(len(losses)))
    expected = moving_average(losses)
    assert len(smooth) == len(losses)
    np.testing.assert_allclose(Smoother(0.98).every(steps.view().loss, 0), smooth, rtol=1e-5)
    assert np.isnan(smooth[-1]) if expected is None else smooth[-1] == pytest.approx(expected, rel=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 90), st.sampled_from([0.0, 0.3, 1.0]), st.booleans())
def test_blocks_show_what_looking_at_every_number_shows(seed, columns, gaps, uneven):
    random = np.random.default_rng(seed)
    y = random.normal(size=40_000 + seed % 300).astype(np.float32)
    y[random.random(len(y)) < gaps] = np.nan
    x = np.sort(random.exponential(size=len(y)) ** 4) if uneven else np.arange(len(y))
    start, stop = x[random.integers(0, 300)], x[-random.integers(1, 300)]
    places = buckets(x, float(start), float(stop), columns)
    quick, slow = shape(y, Blocks.none().grown(y), places), shape(y, Blocks.none(), places)
    for name in ("low", "high", "last"):
        np.testing.assert_array_equal(getattr(quick, name), getattr(slow, name))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), max_size=40), st.floats(-60, 60) | st.just(math.inf), st.booleans())
def test_whole_numbers_are_found_like_any(values, wanted, right):
    x = np.array(sorted(values), np.int64)
    assert find(x, wanted, right=right) == np.searchsorted(x.astype(float), wanted, side="right" if right else "left")


def test_every_average_of_a_long_run_is_the_one_at_its_place():
    random = np.random.default_rng(5)
    y = random.random(40_000).astype(np.float32)
    y[20_000:20_400] = np.nan
    places = random.integers(0, len(y), 500)
    np.testing.assert_allclose(Smoother(0.99).every(y, 0)[places], Smoother(0.99).at(y, 0, places), rtol=1e-5)


def test_blocks_grow_behind_what_was_handed_out_and_the_average_starts_anew_with_another_past():
    y = np.ones(BLOCK * 3, np.float32)
    first = Blocks.none().grown(y[: BLOCK * 2 + 5])
    second = first.grown(y)
    assert (len(first.low), len(second.low)) == (2, 3)
    smoother = Smoother(0.98)
    assert smoother.at(y, 0, np.array([300]))[0] == pytest.approx(1)
    y[:200] = 5
    assert smoother.at(y, 1, np.array([150]))[0] == pytest.approx(5)


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
