"""Compare: what it shows at both sizes, without colour and in ASCII, and what its keys do."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from PIL import Image
from textual.pilot import Pilot

from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import RunStart, Sample, Step, Validation
from musubi_tui.runs.home import Home
from musubi_tui.runs.winning import winner_ids
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.numbers import count
from musubi_tui.tui.screens.compare import CompareScreen
from musubi_tui.tui.screens.compare_table import shared
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.picture import PictureScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.widgets.run_card import RunCard
from tests.tui.made_runs import still_machine
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.tui.test_jobs import read

RUNS = (
    ("inkstyle", 32, 1e-4, 1.2, 1.0, 2.0),
    ("ink-r16", 16, 1e-4, 1.0, 1.15, 2.0),
    ("ink-prodigy", 32, 1.0, 2.4, 0.95, None),
)


def make(home: Path, number: int, count: int = 500, *, samples: bool = False) -> RunDirectory:
    name, rank, rate, seconds, level, price = RUNS[number]
    run = RunDirectory(home / "runs" / f"{name}-2026112{number}-080000")
    run.path.mkdir(parents=True)
    run.run_toml.write_text(
        f'kind = "train"\n[network]\nnetwork_dim = {rank}\n[training]\nlearning_rate = {rate}\nmixed_precision = "bf16"\n'
    )
    cost = None if price is None else 500 * seconds * price / 3600
    Status(state="done", name=name, family="wan", step=500, max_steps=500, started="2026-11-21T08:00:00Z", ended="2026-11-21T09:00:00Z",
           seconds=500 * seconds, price=price, cost=cost).write(run)  # fmt: skip
    clock = iter(1_790_000_000 + seconds * step for step in range(5000))
    with patch("engine.events.sink.time.time", lambda: next(clock)):
        sink = EventSink(run.events, run.steps_idx, attempt=1)
        sink.emit(RunStart(1, 0, {"max_train_steps": 500}))
        for step in range(1, count + 1):
            loss = level * (0.08 + 0.16 * math.exp(-step / 80))
            sink.emit(Step(step=step, epoch=1, loss=loss, lr=(1e-4,), step_s=seconds))
            if step % 100 == 0:
                sink.emit(Validation(step=step, loss=loss * 1.05, base=1.0))
        if samples:
            for step in (100, 300):
                for place, prompt in enumerate(("a heron in ink", "a fox, 水墨画")):
                    path = run.output / f"{step:06}_{place:02}.png"
                    path.parent.mkdir(exist_ok=True)
                    Image.new("RGB", (48, 32), (40 * number, step // 2, 90 * place)).save(path)
                    sink.emit(Sample(path=str(path), prompt=prompt, seed=42, step=step))
        sink.close()
    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    for number in range(3):
        make(tmp_path / "home", number)
    return Home(tmp_path / "home", "test", True)


async def compared(pilot: Pilot[Any]) -> CompareScreen:
    await read(pilot)
    await pilot.press("space", "space", "space", "C")
    for _ in range(100):
        await pilot.pause(0.03)
        if isinstance(pilot.app.screen, CompareScreen) and pilot.app.screen.runs:
            break
    await pilot.pause(0.1)
    assert isinstance(pilot.app.screen, CompareScreen)
    return pilot.app.screen


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_three_runs_side_by_side(home: Home, size: tuple[int, int]) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await compared(pilot)
        assert_snapshot(app, f"compare-{size[0]}x{size[1]}")


@pytest.mark.parametrize("settings", [Settings(glyphs="ascii"), Settings(theme="mono")], ids=["ascii", "mono"])
async def test_runs_can_be_told_apart_without_colour(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if settings.theme:
        monkeypatch.setenv("NO_COLOR", "1")
    app = MusubiApp(home, settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot)
        assert_snapshot(app, "compare-ascii" if settings.glyphs else "compare-mono")
        text = screen_text(app)
        if settings.glyphs:
            assert text.replace("°", "").isascii()
        plot = text[text.index("aligned by") : text.rindex("cursor")]
        assert all(plot.count(letter) > 1 for letter in "ABC")  # in the legend and on the curve


async def test_axes_cursor_validation_and_settings(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await compared(pilot)
        assert [run.now.name for run in screen.runs] == ["ink-prodigy", "ink-r16", "inkstyle"]  # as they were marked
        await pilot.press("x")
        assert app.cli_twin().endswith("--by time")
        await pilot.press("x")
        assert screen.overlay.axis == "cost"
        assert screen.overlay.runs[0].at("cost", 0.1) is None  # nobody knew a price for it
        await pilot.press("x", "L", "left", "shift+left")
        assert "@ 4" in screen_text(app)
        assert "log" in screen_text(app)
        await pilot.press("v")
        assert "validation" in screen_text(app)
        assert "mixed_precision" not in screen_text(app)
        await pilot.press("equals_sign")
        assert "mixed_precision" in screen_text(app)
        assert app.cli_twin().endswith("--all")
        await pilot.press("a")
        assert isinstance(app.screen, JobsScreen)


async def shown(pilot: Pilot[Any], count: int) -> CompareScreen:
    """Compare with so many runs in its table."""
    for _ in range(200):
        await pilot.pause(0.03)
        screen = pilot.app.screen
        if isinstance(screen, CompareScreen) and len(screen.runs) == count:
            break
    await pilot.pause()
    assert isinstance(pilot.app.screen, CompareScreen)
    assert len(pilot.app.screen.runs) == count
    return pilot.app.screen


async def test_the_comparison_is_there_again_and_so_are_the_marks(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("space", "space", "5")  # no C: two marks are a comparison
        await shown(pilot, 2)
        await pilot.press("1", "5")
        await shown(pilot, 2)
    again = MusubiApp(home)
    async with again.run_test(size=(80, 24)) as pilot:  # it opens on Compare, where it was left
        screen = await shown(pilot, 2)
        assert [run.now.name for run in screen.runs] == ["ink-prodigy", "ink-r16"]
        await pilot.press("1")
        assert screen_text(again).count("│ * ink-") == 2
        shutil.rmtree(home.path / "runs" / "ink-r16-20261121-080000")
        again.reader.look()
        await pilot.press("5")
        for _ in range(100):
            await pilot.pause(0.03)
            if "Nothing to compare" in screen_text(again):
                break
        assert "Nothing to compare" in screen_text(again)


async def test_the_run_under_the_cursor_is_taken_out(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await compared(pilot)
        assert "▸A ink-prodigy" in screen_text(app)
        await pilot.press("right_square_bracket")
        assert "▸B ink-r16" in screen_text(app)
        await pilot.press("r")
        screen = await shown(pilot, 2)
        assert [run.now.name for run in screen.runs] == ["ink-prodigy", "inkstyle"]
        assert len(app.remembered.marked) == 2
        await pilot.press("r")
        assert [notice.message for notice in app._notifications][-1].startswith("Two runs are the least")
        screen.table.focus()
        await pilot.press("left", "left")
        assert screen.table.chosen == 0
        await pilot.click("#settings", offset=(32, 0))
        assert screen.chosen is not None
        assert screen.chosen.name == "inkstyle"


async def test_the_winner_is_marked_everywhere(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await compared(pilot)

        async def told(text: str) -> None:
            for _ in range(100):
                await pilot.pause(0.03)
                if text in screen_text(app):
                    return
            raise AssertionError(screen_text(app))

        await pilot.press("right_square_bracket", "w")
        await told("picked                         winner")
        await pilot.press("right_square_bracket", "w")
        await told("picked                                     winner")
        assert winner_ids(home.path / "runs") == {"inkstyle-20261120-080000"}
        await pilot.press("M")
        assert "come with Tools (6)" in [notice.message for notice in app._notifications][-1]
        await pilot.press("1")
        await told("│ * inkstyle")
        await pilot.press("G", "space")  # a mark of the comparison hides nothing for long
        await told("│ w inkstyle")
        assert "note at 500: winner over ink-prodigy-20261122-080000" in app.screen.query_one(RunCard).plain()
        await pilot.press("space", "5")
        await shown(pilot, 3)
        await pilot.press("w")
        for _ in range(100):
            await pilot.pause(0.03)
            if not winner_ids(home.path / "runs"):
                break
        assert winner_ids(home.path / "runs") == set()


async def test_the_settings_are_filtered(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await compared(pilot)
        await pilot.press("equals_sign", "slash", *"rank|dim")
        text = screen_text(app)
        assert "network_dim" in text
        assert "learning_rate" not in text
        assert "/ 1 of " in text
        await pilot.press("enter", "escape")
        assert "learning_rate" in screen_text(app)
        assert not app.screen.query("#filter")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_a_million_steps_are_never_half_a_number(home: Home, size: tuple[int, int]) -> None:
    for run in (home.path / "runs").iterdir():
        status = Status.read(RunDirectory(run))
        assert status is not None
        replace(status, step=987654, max_steps=1000000).write(RunDirectory(run))
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await compared(pilot)
        (line,) = [line for line in screen_text(app).splitlines() if line.startswith("│ step")]
        assert line.count("987654/1000000") == 3


def test_columns_share_the_room() -> None:
    assert shared(60, [10, 20, 10]) == [10, 20, 10]
    assert shared(30, [4, 40, 4]) == [4, 22, 4]
    assert shared(30, [40, 40, 4]) == [13, 13, 4]
    assert [count(number) for number in (500, 9999, 98765, 999499, 999999, 1000000, 2500000)] == ["500", "9999", "98.8k", "999k", "1M", "1M", "2.5M"]  # fmt: skip


@pytest.mark.parametrize("look", ["80x24", "160x48", "mono"])
async def test_an_empty_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    still_machine(monkeypatch)
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    make(tmp_path / "home", 0)
    app = MusubiApp(Home(tmp_path / "home", "test", True))
    async with app.run_test(size=(160, 48) if look == "160x48" else (80, 24)) as pilot:
        await read(pilot)
        await pilot.press("space", "5")
        await pilot.pause(0.1)
        assert_snapshot(app, f"compare-empty-{look}")


async def test_nothing_to_compare_says_how_to(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("5")
        await pilot.pause(0.1)
        assert "mark two runs or more with space" in screen_text(app)
        await pilot.press("x", "L", "left", "y", "1", "C")
        assert [notice.message for notice in app._notifications][-1] == "Mark two runs or more with space."
        await pilot.press("space", "C")  # one mark and the run under the cursor are two
        await pilot.pause(0.3)
        assert isinstance(app.screen, CompareScreen)
        assert len(app.remembered.compared) == 2


async def test_a_run_that_cannot_be_read_is_told(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        (home.path / "runs" / "inkstyle-20261120-080000" / "run.toml").write_text("a = = b")
        await pilot.press("space", "space", "space", "C")
        await pilot.pause(0.5)
        assert "cannot be read" in [notice.message for notice in app._notifications][-1]


async def test_a_curve_that_ends_early_has_its_letter_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still_machine(monkeypatch)
    make(tmp_path / "home", 0)
    make(tmp_path / "home", 1, count=12)
    app = MusubiApp(Home(tmp_path / "home", "test", True))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await compared(pilot)
        assert [run.now.name for run in screen.runs] == ["ink-r16", "inkstyle"]
        text = screen_text(app)
        assert text[text.index("aligned by") : text.rindex("cursor")].count("A") == 2  # in the legend and on the curve


@pytest.mark.parametrize("look", ["80x24", "160x48", "mono"])
async def test_samples_of_one_prompt_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    still_machine(monkeypatch)
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    for number in range(3):
        make(tmp_path / "home", number, samples=number != 1)
    app = MusubiApp(Home(tmp_path / "home", "test", True))
    async with app.run_test(size=(160, 48) if look == "160x48" else (80, 24)) as pilot:
        screen = await compared(pilot)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert_snapshot(app, f"compare-samples-{look}")
        assert ("▀" in screen_text(app)) is (look != "mono")
        assert "1/2 a heron in ink  seed 42" in screen.matrix.title
        assert screen.matrix.plain().count("step 300") == 2
        assert "none of this prompt" in screen.matrix.plain()
        screen.overlay.cursor = 200.0
        await pilot.press("left")
        assert screen.matrix.plain().count("step 100") == 2
        screen.matrix.focus()
        await pilot.press("down")
        assert "2/2 a fox, 水墨画" in screen.matrix.title
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, PictureScreen)
        assert [picture.prompt[:13] for picture in app.screen.pictures] == ["A ink-prodigy", "C inkstyle: a"]
        await pilot.press("escape")
