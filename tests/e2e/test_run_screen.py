"""The run screen on a real tiny run: followed live, paused, changed, sampled and stopped by keys."""

from __future__ import annotations

import asyncio
import time

from textual.app import App

from engine.events.types import Control, Step
from musubi_tui.tui.glyphs import UNICODE
from musubi_tui.tui.screens.run import RunScreen, RunSource
from tests.e2e.engine_child import new_run, of_type, start

LONG = {"max_train_steps": "2000", "validation_items": "2", "validate_every_n_steps": "10", "save_every_n_steps": "20"}


async def test_a_real_run_is_watched_and_steered_by_keys(tiny):
    run = new_run(tiny("wan") / "preset.toml", LONG)
    child = start(run)
    screen = RunScreen(RunSource.live(run.path))

    class Shown(App[None]):
        glyphs = UNICODE

        def on_mount(self) -> None:
            self.push_screen(screen)

    async def until(reached, seconds=40.0):
        deadline = time.monotonic() + seconds
        while screen.view is None or not reached(screen.view):
            assert time.monotonic() < deadline, (screen.view, run.engine_log.read_text()[-800:])
            await asyncio.sleep(0.05)

    app = Shown()
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda view: view.step >= 5)
        await pilot.press("p")
        await until(lambda view: view.state == "paused")
        await pilot.press("t")
        await pilot.pause()
        await pilot.press("home", "shift+end", "0", ".", "5", "enter")
        await pilot.press("p")
        await until(lambda view: view.state == "running")
        held = screen.view.step
        await until(lambda view: view.step > held + 2)
        await pilot.press("n", "c")
        await until(lambda view: view.pictures and view.saved)
        await pilot.press("X")
        await pilot.pause()
        await pilot.press("n")
        await until(lambda view: view.state == "stopped")
        assert "all blocks resident (4), no swap" in screen.query_one("#swap").plain()
        assert " planned " in screen.query_one("#memory").plain()
        assert " target " in screen.query_one("#bins").plain()
        assert not run.viewer.exists()  # nothing is streamed: nobody asks for single blocks
        assert screen.view.host is None or screen.view.host.ram_total
    assert child.wait() == 0
    steps = [step.step for step in of_type(run, Step)]
    assert screen.view.steps.step.tolist() == steps
    answers = {(event.command, event.result) for event in of_type(run, Control)}
    assert {("pause", "accepted"), ("resume", "done"), ("stop", "accepted")} <= answers
    assert [event.arguments for event in of_type(run, Control) if event.command == "set"] == [
        {"key": "learning_rate_factor", "value": 0.5}
    ]
