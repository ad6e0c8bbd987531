"""When a run has ended: its command counts down on every screen and one key cancels it; one key brings home what was made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from engine.events.control import Ack, unanswered, write_ack
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Lease, Status
from engine.events.types import Checkpoint, Hook
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.run import RunScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.settings import Settings
from tests.tui.made_runs import Made, make_run
from tests.tui.screen_text import screen_text
from tests.tui.test_jobs import read, run_named
from tests.tui.test_jobs_actions import home, told, until  # noqa: F401 - a fixture

ALIVE = Made("ink-style", "running", "20261122-081500", step=4312, steps=300, alive=True)


@pytest.fixture
def waiting(home: Home) -> Iterator[RunDirectory]:  # noqa: F811
    """A run that is done, whose command waits."""
    run = run_named(home, "figurine")
    status = Status.read(run)
    assert status is not None
    replace(status, ended=iso_time(time.time()), process=ProcessIdentity.of_this_process()).write(run)
    lease = Lease.acquire(run)
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Hook("on_finish", "waiting", 300.0))
    sink.close()
    yield run
    lease.release(run)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_the_countdown_stands_on_the_run_screen_and_one_key_cancels_it(
    home: Home,  # noqa: F811
    waiting: RunDirectory,
    size: tuple[int, int],
) -> None:
    app = MusubiApp(home, open_run=waiting.path)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and bool(app.view.hooks))
        await until(pilot, lambda: "! on_finish 5 min: ^g cancels" in "".join(screen_text(app).splitlines()[:3]))
        await pilot.press("ctrl+g")
        await until(pilot, lambda: [one.command for one in unanswered(waiting)] == ["cancel_hooks"])


async def test_the_same_key_works_in_other_modes_and_in_dialogs_and_is_called_as_it_was_moved(
    home: Home,  # noqa: F811
    waiting: RunDirectory,
) -> None:
    app = MusubiApp(home, settings=Settings(keys={"app.cancel_hook": "f8"}))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await until(pilot, lambda: "f8 cancels" in screen_text(app))
        for number, keys in enumerate((("n",), ("escape", "2"), ("3",), ("5",)), 1):
            await pilot.press(*keys)
            await pilot.pause(0.1)
            if number == 1:
                assert isinstance(app.screen, StartScreen)
            await pilot.press("f8")
            await until(pilot, lambda: len(unanswered(waiting)) == 1)
            (command,) = unanswered(waiting)
            write_ack(waiting, Ack(command.id, "cancel_hooks", "refused", f"for number {number}"))
            await until(pilot, lambda number=number: f"number {number}" in " ".join(told(app)))  # type: ignore[misc]
            await until(pilot, lambda: not app.cancelling)


async def test_of_several_that_wait_a_person_chooses(home: Home, waiting: RunDirectory) -> None:  # noqa: F811
    other = run_named(home, "mascot")
    status = Status.read(other)
    assert status is not None
    replace(status, ended=iso_time(time.time()), process=ProcessIdentity.of_this_process()).write(other)
    lease = Lease.acquire(other)
    sink = EventSink(other.events, other.steps_idx, attempt=1)
    sink.emit(Hook("on_error", "waiting", 300.0))
    sink.close()
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await until(pilot, lambda: len(app.view.hooks) == 2)
        await pilot.press("2", "ctrl+g")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        place = next(n for n, hook in enumerate(app.view.hooks, 1) if hook.run_dir == str(other.path))
        assert f"{place}  on_error: mascot" in screen_text(app)
        await pilot.press(str(place))
        await until(pilot, lambda: len(unanswered(other)) == 1)
        assert unanswered(waiting) == []
    lease.release(other)


async def test_the_run_screen_tells_the_cards_and_the_run_that_works(home: Home) -> None:  # noqa: F811
    make_run(home.path, ALIVE)
    app = MusubiApp(home, open_run=run_named(home, "mascot").path)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await until(pilot, lambda: "H200 97% 71°C 412W   local" in screen_text(app).splitlines()[0])
        for size in ((160, 48), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "▸ ink-style 43% 1h56" in screen_text(app).splitlines()[2])
        assert "local" in screen_text(app).splitlines()[0]


async def test_one_key_copies_the_line_that_brings_it_home_and_shows_it_whole(
    home: Home,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = run_named(home, "figurine")
    lora = run.output / "figurine.safetensors"
    lora.parent.mkdir(parents=True, exist_ok=True)
    lora.write_bytes(b"x")
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Checkpoint(path=str(lora), kind="lora", bytes=1, step=3000))
    sink.close()
    monkeypatch.setenv("RUNPOD_PUBLIC_IP", "203.0.113.7")
    monkeypatch.setenv("RUNPOD_TCP_PORT_22", "12034")
    monkeypatch.setattr("musubi_tui.tui.screens.run.head._elsewhere", lambda: True)
    copied: list[str] = []
    monkeypatch.setattr("musubi_tui.tui.app.MusubiApp.copy", lambda app, text, tell=True: copied.append(text))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await until(pilot, lambda: "H copies the line that brings it home" in screen_text(app))
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "rsync -av --progress -e 'ssh -p 12034'" in copied[-1]
        assert f"@203.0.113.7:{lora}" in copied[-1]
        shown = str(app.screen.query_one("#text").query_one(Static).render())
        assert copied[-1] in shown
        assert "scp -r -P 12034" in shown
        await pilot.press("s")
        await until(pilot, lambda: copied[-1].startswith("scp -r -P 12034"))
        app.open_run(Path(run.path))
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await until(pilot, lambda: "H brings it home" in screen_text(app).splitlines()[2])
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert copied[-1].startswith("rsync")
        await pilot.press("escape", "1", "end", "H")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen) or len(copied) == 3)
        assert len(copied) == 3  # mascot has made nothing
