"""Curves as text, smoothing without a false start, and what two runs have apart."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from engine.config import load_config, write_run_toml
from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import RunStart, Step
from musubi_tui.cli import plot as plots
from musubi_tui.cli.runs import app
from musubi_tui.runs.home import find_home

cli = CliRunner()
PRESET = 'family = "wan"\ndit = "a.safetensors"\nnetwork_dim = {rank}\n[[datasets]]\nimage_directory = "p"\nresolution = 64\n'


@pytest.fixture
def two_runs(tmp_path):
    made = []
    for rank in (8, 16):
        preset = tmp_path / f"r{rank}.toml"
        preset.write_text(PRESET.format(rank=rank))
        run = RunDirectory.create(find_home().path, f"r{rank}")
        write_run_toml(load_config(preset).config, run.run_toml, kind="train", stages=("train",))
        sink = EventSink(run.events, run.steps_idx, attempt=1)
        sink.emit(RunStart(1, 0, {}))
        for step in range(1, 41):
            loss = math.nan if step == 7 else 2.0 / step
            sink.emit(Step(step=step, epoch=1, loss=loss, lr=(1e-3,), grad_norm=0.5, step_s=0.1, data_s=0.0))
        sink.close()
        made.append(run)
    return made


def test_a_curve_is_text_of_the_asked_size_without_colour_codes_in_a_pipe(two_runs):
    done = cli.invoke(app, ["plot", two_runs[0].id, "--width", "60", "--height", "12"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.rstrip("\n").splitlines()
    assert len(lines) == 12
    assert max(len(line) for line in lines) <= 60
    assert "\x1b" not in done.stdout
    assert "loss (EMA 0.95)" in done.stdout
    assert "step" in lines[-1]


def test_curves_are_told_apart_without_colour_and_caching_is_none_of_them(two_runs):
    lines = cli.invoke(app, ["plot", *(run.id for run in two_runs), "--width", "100"]).stdout.splitlines()
    assert [
        next(line for line in lines if run.id in line).count(f"{letter * 2} {run.id}")
        for run, letter in zip(two_runs, "AB")
    ] == [1, 1]
    assert not any("\u2801" <= char <= "\u28ff" for char in "".join(lines))
    cached = RunDirectory.create(find_home().path, "r16")
    Status("done", kind="cache", name="r16").write(cached)
    curve = json.loads(cli.invoke(app, ["plot", "last", "r16", "--json"]).stdout)
    assert curve[0]["id"] in {run.id for run in two_runs}
    assert curve[1]["id"] == two_runs[1].id
    with pytest.raises(UserError, match="cache run"):
        plots.plot([cached.id])


def test_several_runs_are_named_and_json_has_the_numbers(two_runs):
    names = [run.id for run in two_runs]
    assert all(name in cli.invoke(app, ["plot", *names, "--raw", "--log", "--width", "100"]).stdout for name in names)
    curves = json.loads(cli.invoke(app, ["plot", *names, "--raw", "--json"]).stdout)
    assert [curve["id"] for curve in curves] == names
    assert curves[0]["steps"] == [step for step in range(1, 41) if step != 7]
    assert curves[0]["values"][0] == pytest.approx(2.0)


def test_compare_shows_what_differs_and_only_that(two_runs):
    names = [run.id for run in two_runs]
    told = json.loads(cli.invoke(app, ["compare", *names, "--json"]).stdout)
    assert told["different"]["network_dim"] == ["8", "16"]
    assert "learning_rate" not in told["different"]
    table = cli.invoke(app, ["compare", *names]).stdout
    assert "network_dim" in table
    assert "learning_rate" not in table


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plot", "last", "--what", "beauty"], "--what knows loss, lr"),
        (["compare", "last"], "two runs or more"),
        (["plot", "nobody"], "nobody"),
    ],
)
def test_wrong_questions_get_an_answer(words, says, two_runs):
    refused = cli.invoke(app, words).exception
    assert isinstance(refused, UserError)
    assert says in str(refused)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_the_average_stays_within_what_it_averages(values):
    result = plots.smoothed(values)
    assert len(result) == len(values)
    assert result[0] == pytest.approx(values[0])
    assert min(values) - 1e-3 <= min(result) <= max(result) <= max(values) + 1e-3


@pytest.mark.parametrize("what", list(plots.QUANTITIES))
def test_a_damaged_index_costs_no_curve(two_runs, what):
    words = ["plot", two_runs[0].id, "--what", what, "--json"]
    (whole,) = json.loads(cli.invoke(app, words).stdout)
    two_runs[0].steps_idx.write_text("[]")
    (curve,) = json.loads(cli.invoke(app, words).stdout)
    assert curve["steps"] == whole["steps"]
    assert curve["values"] == pytest.approx(whole["values"])
