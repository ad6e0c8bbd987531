"""A run whose folder is taken away while somebody looks at it, and what people write about one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.status import Status
from musubi_tui.runs.home import Home
from musubi_tui.tui.alerts import alerts
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.help import HelpScreen
from tests.tui.made_runs import still_machine
from tests.tui.screen_text import screen_text
from tests.unit.test_runs_notes import made


async def until(pilot: Pilot[Any], reached: Callable[[], bool]) -> None:
    """Wait until the app has come to that."""
    for _ in range(300):
        if reached():
            await pilot.pause()
            return
        await pilot.pause(0.02)
    raise AssertionError(screen_text(pilot.app))


def test_a_folder_that_was_moved_away_is_gone_not_queued(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "ink")
    Status("stopped", name="ink", step=20, max_steps=60).write(run)
    source = RunSource.live(run.path)
    assert source.view().state == "stopped"
    run.path.rename(tmp_path / "elsewhere")
    assert source.view().state == "gone"


def test_an_engine_whose_clock_is_behind_is_heard_all_the_same(tmp_path: Path) -> None:
    """Another machine's clock may be minutes away from ours: what tells is that its heartbeat moves."""
    run = RunDirectory.create(tmp_path, "ink")
    status = Status("running", ProcessIdentity("pod-7", "its boot", 7, "1"), name="ink")
    source = RunSource.live(run.path)
    told = []
    for seconds in range(3):
        replace(status, heartbeat=iso_time(time.time() - 3600 + 5 * seconds)).write(run)
        view = source.view()
        told.append((view.state, [alert.code for alert in alerts(view)]))
    assert told[1:] == [("running", []), ("running", [])]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_notes_headroom_and_a_filtered_log(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    still_machine(monkeypatch)
    run = made()
    app = MusubiApp(Home(run.path.parent.parent, "test", True), open_run=run.path)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "a spike" in screen_text(app))
        await pilot.press("slash", *"spike")
        assert "/spike 1/" in screen_text(app)
        await pilot.press("enter", "slash", *" !spike", "enter")
        assert "a spike" not in screen_text(app)
        await pilot.press("escape")
        assert "a spike" in screen_text(app)
        assert "!spike" not in screen_text(app)
        with run.engine_log.open("a") as file:
            file.write("a line that goes on and on " * 9 + "to its end\r\n")
        await until(pilot, lambda: "a line that goes on" in screen_text(app))
        assert "to its end" not in screen_text(app)
        await pilot.press("w")
        assert "to its end" in screen_text(app)
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.press(*"good")
        assert app.cli_twin() == f"musubi-tui runs note {run.id} good"
        await pilot.press("enter")
        await until(pilot, lambda: "note  1  good" in screen_text(app))
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "could be raised" in screen_text(app)
