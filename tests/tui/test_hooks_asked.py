"""Commands that a preset brings along: the app shows them and asks, wherever a run starts or goes on, and does as it was told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.events.rundir import RunDirectory
from musubi_tui.runs.allowing import allowed
from musubi_tui.runs.home import Home, config_file
from musubi_tui.runs.queue import QueueFile
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.start import StartScreen
from tests.tui.made_runs import make_run
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.tui.test_jobs import read
from tests.tui.test_jobs_actions import DONE, STOPPED, home, until  # noqa: F401 - a fixture
from tests.unit.test_queue import PRESET, preset  # noqa: F401 - a fixture

STOP_POD = 'on_finish = ["runpodctl", "stop", "pod", "a b\\u001b[31m"]\n'


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """(run, plan of its hooks) of every engine that was started."""
    found: list[tuple[str, dict[str, Any]]] = []

    def launch(run: RunDirectory, *, hooks: dict[str, str], **options: object) -> Any:
        found.append((run.id, json.loads(hooks.get("MUSUBI_TUI_HOOKS", "{}"))))
        raise OSError("not here")

    monkeypatch.setattr("musubi_tui.tui.steering.launch", launch)
    return found


async def enter_preset(pilot: Pilot[Any], file: Path, *keys: str) -> None:
    """Into the dialog that starts a run."""
    await pilot.press("n", *keys)
    pilot.app.screen.query_one(Input).value = str(file)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))


async def test_a_start_shows_the_commands_and_runs_only_what_was_allowed(
    home: Home,  # noqa: F811
    preset: Path,  # noqa: F811
    launched: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset.write_text(STOP_POD + 'on_error = ["notify"]\n' + PRESET)
    monkeypatch.chdir(preset.parent)
    monkeypatch.setattr("musubi_tui.tui.screens.start.StartScreen._where", lambda self: "The run goes to a folder.")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        before = set((home.path / "runs").iterdir())
        await enter_preset(pilot, Path("preset.toml"))
        for size in ((160, 48), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.25)
            assert_snapshot(app, f"hooks-asked-{size[0]}x{size[1]}")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        assert (launched, set((home.path / "runs").iterdir())) == ([], before)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: len(launched) == 1)
        plan = launched[0][1]
        assert (plan["on_finish"], plan["on_error"]) == (["runpodctl", "stop", "pod", "a b\x1b[31m"], ["notify"])
        await until(pilot, lambda: "not here" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("n")
        await until(pilot, lambda: len(launched) == 2)
        assert "on_finish" not in launched[1][1]


async def test_a_long_command_is_shown_whole_and_leaves_the_answers_in_sight(
    home: Home,  # noqa: F811
    preset: Path,  # noqa: F811
) -> None:
    preset.write_text(f'on_finish = ["sh", "-c", "{"true; " * 400} the-end"]\n' + PRESET)
    config_file().parent.mkdir(parents=True)
    config_file().write_text('on_finish = ["mine"]\n')
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await enter_preset(pilot, preset)
        text = screen_text(app)
        assert "y  go on, and let them run" in text
        assert "n  go on without them; config.toml's own do" in text
        assert "the-end" not in text
        await pilot.press("end")
        await until(pilot, lambda: "the-end" in screen_text(app))


async def test_what_waits_in_the_queue_keeps_what_was_allowed(
    home: Home,  # noqa: F811
    preset: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("musubi_tui.runs.queueing.ensure_supervisor", lambda file: None)
    preset.write_text(STOP_POD + PRESET)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        for answer in "yn":
            await enter_preset(pilot, preset, "tab")
            assert "musubi-tui queue add" in screen_text(app)
            await pilot.press(answer)
            await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        yes, no = (entry.run for entry in QueueFile(home.path).read().waiting())
        assert (list(allowed(yes)), allowed(no)) == (["on_finish"], {})


async def test_a_run_that_goes_on_asks_too(
    home: Home,  # noqa: F811
    launched: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("musubi_tui.runs.resuming._check_values", lambda run, step, changes: None)
    stop = '\n[run]\non_finish = ["runpodctl", "stop", "pod"]\n'
    for made in (DONE, STOPPED):
        toml = home.path / "runs" / f"{made.name}-{made.stamp}" / "run.toml"
        toml.write_text(toml.read_text() + stop)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("end", "r", "r")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "on_finish: runpodctl stop pod" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        assert launched == []
        for answer, plan in (("y", {"on_finish": ["runpodctl", "stop", "pod"]}), ("n", {})):
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            await pilot.press(answer)
            await until(pilot, lambda plan=plan: launched and launched[-1][1] == plan)  # type: ignore[misc]
            await until(pilot, lambda: not app.screen._waiting)  # type: ignore[attr-defined]
        await pilot.press("home", "r")  # done: trained further
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        assert "--allow-hooks --set max_train_steps" in app.cli_twin()
        await pilot.press("enter")
        await until(pilot, lambda: launched[-1][0].startswith("figurine"))
        assert launched[-1][1] == {"on_finish": ["runpodctl", "stop", "pod"]}


async def test_a_paused_run_goes_on_without_a_question(
    home: Home,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.tui.made_runs import Made

    run = make_run(home.path, Made("resting", "paused", "20261122-000000", step=5, steps=5, alive=True))
    run.run_toml.write_text('kind = "train"\n[run]\non_finish = ["x"]\n')
    sent: list[str] = []
    monkeypatch.setattr("musubi_tui.tui.steering.steer", lambda run_dir, command: sent.append(command) or command)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("home", "r")
        await until(pilot, lambda: sent == ["resume"])
