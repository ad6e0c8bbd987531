"""Money: the price of an hour, what a run has cost and will cost, the limit that stops it, and the line that brings files home."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.attempt import Attempt
from engine.budget import LIMITS, SMALLEST, Budget, price_of, with_limits_kept
from engine.config import Config
from engine.config.problems import ConfigError
from engine.events import Checkpoint, Plan, RunDirectory, Status, Step
from engine.events.control import send
from engine.events.process import host_name
from engine.events.sink import EventSink
from engine.events.types import Control, RunStart
from engine.job import Job
from musubi_tui.cli.root import run as main
from musubi_tui.runs import addresses
from musubi_tui.runs.fetching import copy_line, fetch_line, is_away
from musubi_tui.runs.money import money, money_range
from musubi_tui.runs.snapshot import brief, snapshot
from tests.unit.test_job_commands import answer, wait_until


def config(**values: object) -> Config:
    return Config.of({"family": "wan", "task": "t2v-1.3B", "device": "cpu", "max_train_steps": 50, **values})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "paid")


def test_the_price_is_the_presets_else_the_environments() -> None:
    assert price_of(config(price_per_hour=2.0), {"MUSUBI_TUI_PRICE_PER_HOUR": "3"}) == 2.0
    assert price_of(config(), {"MUSUBI_TUI_PRICE_PER_HOUR": "3.5"}) == 3.5
    assert price_of(config(), {"MUSUBI_TUI_PRICE_PER_HOUR": "cheap"}) is None
    assert price_of(config(), {}) is None


def test_a_budget_says_why_it_stops() -> None:
    budget = Budget(max_cost=5.0, max_hours=2.0)
    assert budget.spent(3600, 4.99) == ""
    assert "max_cost" in budget.spent(3600, 5.0)
    assert "max_hours" in budget.spent(7200, None)
    assert budget.changed("max_cost", "off").spent(3600, 100.0) == ""
    with pytest.raises(ValueError, match="max_hours"):
        budget.changed("max_hours", "soon")


def test_money_goes_on_counting_while_paused_and_over_attempts_but_not_between_them(run: RunDirectory) -> None:
    job = Job(Attempt(run), config(price_per_hour=3600.0))  # one per second
    job._paused = True
    time.sleep(0.5)
    job.finish("stopped")
    first = Status.read(run)
    assert first is not None
    assert first.cost == pytest.approx(first.seconds, rel=0.05)
    assert 0.5 <= first.seconds < 3
    time.sleep(0.3)
    again = Job(Attempt(run), config(price_per_hour=7200.0))
    time.sleep(0.2)
    again.finish("stopped")
    second = Status.read(run)
    assert second is not None
    assert second.seconds - first.seconds == pytest.approx(0.25, abs=0.2)
    assert second.cost - first.cost == pytest.approx(2 * (second.seconds - first.seconds), rel=0.05)
    assert brief(run).cost == pytest.approx(second.cost, rel=1e-4)


def test_projected_money_and_the_bound_of_a_safe_stop_are_shown(run: RunDirectory) -> None:
    job = Job(Attempt(run), config(price_per_hour=36.0))
    for step in range(1, 11):
        job.events.emit(Step(step=step, loss=0.5, step_s=2.0))
    job.set_step(10, 50)
    wait_until(lambda: brief(run).max_steps == 50 and brief(run).cost is not None)
    assert snapshot(run).stop_seconds is None  # nobody told a size
    job.events.emit(Plan(adapter=100_000_000, optimizer=200_000_000))
    job.events.flush()
    now = snapshot(run)
    assert now.stop_seconds == pytest.approx(2.0 + 3.5 + 1.5)  # a step, and both files to a slow disk
    assert not now.stop_measured
    job.events.emit(Checkpoint(path=str(run.state), kind="state", seconds=1.5, step=10))
    for dialect in ("ink", "ink.comfy"):
        path = f"/o/{dialect}.safetensors"
        job.events.emit(Checkpoint(path=path, kind="lora", bytes=100_000_000, seconds=0.25, step=10))
    job.events.flush()
    now = snapshot(run)
    assert now.cost_total == pytest.approx(now.cost + 40 * 2.0 * 36 / 3600, rel=0.01)
    assert now.stop_seconds == pytest.approx(2.0 + 1.5 + 0.5)
    assert now.stop_measured
    job.finish("done")
    ended = snapshot(run)
    assert (ended.cost_total, ended.price_per_hour) == (None, 36.0)


def test_a_spent_budget_asks_for_a_stop_that_says_so(run: RunDirectory) -> None:
    job = Job(Attempt(run), config(price_per_hour=3600.0, max_cost=0.6))
    wait_until(lambda: job.stop_requested)
    assert job.stop_requested is not None
    assert (job.stop_requested.reason, job.stop_requested.when) == ("stopped", "now")
    assert "max_cost" in job.stop_requested.explanation
    job.finish("stopped", job.stop_requested.explanation)
    assert "budget_spent" in [warning["code"] for warning in snapshot(run).warnings]


def test_a_budget_can_be_raised_while_the_run_goes_on(run: RunDirectory) -> None:
    job = Job(Attempt(run), config(price_per_hour=3600.0, max_cost=3.0))
    assert answer(run, send(run, "set", {"key": "max_cost", "value": 100})).result == "done"
    assert answer(run, send(run, "set", {"key": "max_hours", "value": "soon"})).result == "refused"
    assert job.stop_requested is None
    job.finish("done")


def test_a_limit_in_money_without_a_price_is_told(run: RunDirectory) -> None:
    Job(Attempt(run), config(max_cost=1.0)).finish("done")
    assert [warning["code"] for warning in snapshot(run).warnings] == ["no_price"]


def test_the_line_home_names_the_providers_address(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = run.output / "my ink.safetensors"
    lora.write_bytes(b"x")
    Job(Attempt(run), config()).finish("done")
    now = replace(snapshot(run), outputs=({"kind": "lora", "path": str(lora), "step": 1},), name="ink", host="pod")
    runpod = {"RUNPOD_PUBLIC_IP": "203.0.113.7", "RUNPOD_TCP_PORT_22": "12034"}
    line = fetch_line(now, runpod)
    assert "'ssh -p 12034'" in line
    assert "@203.0.113.7:" in line
    assert line.endswith("./ink/")
    assert " -P 12034 " in copy_line(now, runpod)
    vast = {"PUBLIC_IPADDR": "203.0.113.8", "VAST_TCP_PORT_22": "4022"}
    assert "@203.0.113.8:" in fetch_line(now, vast)
    assert "@pod:" in fetch_line(now, {})
    assert is_away(now, {})  # it lies on another host
    here = replace(now, host=host_name())
    assert is_away(here, runpod)
    assert is_away(here, {"SSH_CONNECTION": "192.0.2.1 5 192.0.2.2 22"})
    monkeypatch.setattr("musubi_tui.runs.fetching._CONTAINERS", ())
    assert not is_away(here, {})
    assert fetch_line(replace(now, outputs=()), {}) == ""


def test_the_line_home_is_right_in_a_shell_without_the_providers_variables(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = run.output / "ink.safetensors"
    lora.write_bytes(b"x")
    Job(Attempt(run), config()).finish("done")
    now = replace(snapshot(run), outputs=({"kind": "lora", "path": str(lora), "step": 1},))
    first = tmp_path / "environ"
    first.write_bytes(b"PATH=/bin\0RUNPOD_PUBLIC_IP=203.0.113.7\0RUNPOD_TCP_PORT_22=12034\0HF_TOKEN=hf_secret\0")
    monkeypatch.setattr("musubi_tui.runs.addresses.FIRST_PROCESS", first)
    assert addresses.provider_environment().get("HF_TOKEN") != "hf_secret"  # nothing but addresses is taken over
    assert "@203.0.113.7:" in fetch_line(now)
    assert is_away(now)
    addresses.note_address(run)  # as every start does
    first.unlink()  # a person who may not read it
    assert "'ssh -p 12034'" in fetch_line(now)
    assert f"@{host_name()}:" in fetch_line(replace(now, run_dir=str(tmp_path)))
    assert "@other:" in fetch_line(replace(now, host="other"))  # noted elsewhere, started there since
    (run.path / "ssh.json").write_text('{"of": 1}')
    assert f"@{host_name()}:" in fetch_line(now)


def test_a_limit_that_was_set_while_running_stays_when_the_run_is_resumed(run: RunDirectory) -> None:
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    for event in (
        RunStart(1, 0, {}),
        Control("a", "set", "done", "", {"key": "max_cost", "value": "5"}),
        Control("b", "set", "refused", "", {"key": "max_cost", "value": "6"}),
        Control("c", "set", "done", "", {"key": "max_hours", "value": 2}),
        Control("d", "set", "done", "", {"key": "learning_rate_factor", "value": 0.5}),
        RunStart(2, 0, {}),
        Control("e", "set", "done", "", {"key": "max_hours", "value": "off"}),
    ):
        sink.emit(event)
    assert sink.close()
    kept = with_limits_kept(run, {2: {"max_cost": 7.0, "seed": 1}})
    assert kept == {1: {"max_cost": 5.0, "max_hours": 2.0}, 2: {"max_cost": 7.0, "seed": 1, "max_hours": None}}


def test_live_limits_are_held_to_the_schemas_smallest() -> None:
    for key in LIMITS:
        smallest = SMALLEST[key]
        assert Budget().changed(key, smallest) == Budget(**{key: smallest})
        config(**{key: smallest, "price_per_hour": 1.0})
        with pytest.raises(ConfigError, match=key):
            config(**{key: smallest / 2, "price_per_hour": 1.0})
        with pytest.raises(ValueError, match=key):
            Budget().changed(key, smallest / 2)


def test_money_has_the_sign_of_its_currency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert money(4.806) == "$4.81"
    assert main(["runs", "price", "€2.49"]) == 0
    assert "€2.49 per hour" in capsys.readouterr().err
    assert money(4.806) == "€4.81"
    assert money_range(0.2, 0.55) == "€0.20–0.55"
    assert money_range(0.2, 0.2) == "€0.20"
    assert main(["runs", "price", "3"]) == 0  # the sign stays
    file = tmp_path / "musubi-tui" / "config.toml"
    assert file.read_text() == 'price_per_hour = 3.0\ncurrency = "€"\n'
    file.write_text("currency = 5\n")
    assert money(1) == "$1.00"
