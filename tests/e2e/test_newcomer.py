"""A newcomer with keys only: from an empty home to a started run on the tiny model, through the app's wizard."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.events.rundir import RunDirectory
from engine.events.status import Status
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.jobs import JobsScreen
from tests.e2e.preloaded import Preloaded
from tests.tui.test_wizard_screen import settled


async def test_keys_only(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny set lies in the working directory, as `musubi-tui models tiny` leaves it; nothing but Enter is needed."""
    tiny("wan")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    home = Home(tmp_path / "home of runs", "test", True)
    app = MusubiApp(home)
    begin, pressed = time.monotonic(), 0
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("n", "enter")  # Jobs, then: nothing written, so the wizard asks
        asked = []
        screen = await settled(pilot)
        while screen._question is not None and screen._question.id != "then":
            asked.append(screen._question.id)
            await pilot.press("enter")
            pressed += 1
            screen = await settled(pilot)
        assert screen._question is not None
        assert screen._question.default == "smoke"
        await pilot.press("enter")
        for _ in range(600):
            if isinstance(app.screen, JobsScreen):
                break
            await pilot.pause(0.05)
        assert isinstance(app.screen, JobsScreen)
        (folder,) = (home.path / "runs").iterdir()
        run = RunDirectory(folder)
        status = Status.read(run)
        assert status is not None
        assert status.state in ("starting", "running")
    seconds = time.monotonic() - begin
    assert asked[0] == "goal"
    assert pressed < 20
    assert seconds < 120
    for _ in range(2400):  # it goes on without the app, to its end
        status = Status.read(run)
        if status is not None and status.ended:
            break
        time.sleep(0.1)
    assert status is not None
    assert status.state == "done", run.engine_log.read_text()
    assert status.step == 5
    assert list(run.output.rglob("*.png")), "the early preview"
    assert list(run.output.glob("*.safetensors"))


def test_first_preset_page(tmp_path: Path, repository: Path, shell: Preloaded) -> None:
    """docs/first-preset.md followed word for word."""
    text = (repository / "docs" / "first-preset.md").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert script.count("musubi-tui") >= 6
    done = shell.script(script, tmp_path, {**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "It fits" in done.stderr
    assert "It works. The whole run" in done.stderr
    shown = done.stdout[done.stdout.rindex("state") :]
    assert re.search(r"running|starting|done", shown)
    runs = list((Path(os.environ["MUSUBI_TUI_HOME"]) / "runs").iterdir())
    assert len(runs) == 2
