"""Jobs: what it shows in every state, what its keys do to a run, and that nothing is drawn when nothing changes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.events.control import Ack, unanswered, write_ack
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Checkpoint, Progress, Warned
from musubi_tui.runs.home import Home
from musubi_tui.terminal_width import cells
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.numbers import wrapped
from musubi_tui.tui.runs_table import arranged, keeps
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.widgets.run_list import RunList
from tests.tui.made_runs import STORY, Made, home_with, make_run, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LANG", "C.UTF-8")
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    # a short path, the same wherever the test runs
    monkeypatch.setattr("musubi_tui.tui.widgets.run_card._home_short", lambda path: f"…/runs/{Path(path).name}")
    monkeypatch.setattr("musubi_tui.tui.screens.start.StartScreen._where", lambda self: "The run goes to a folder.")
    return home_with(tmp_path / "home", *STORY)


async def read(pilot: Pilot[Any]) -> None:
    """Wait until the first facts are on the screen."""
    app = pilot.app
    assert isinstance(app, MusubiApp)
    for _ in range(200):
        if app.has_read:
            break
        await pilot.pause(0.02)
    await pilot.pause()


async def until_true(pilot: Pilot[Any], reached: Callable[[], bool]) -> None:
    for _ in range(200):
        if reached():
            return
        await pilot.pause(0.03)
    raise AssertionError(f"not reached:\n{screen_text(pilot.app)}")


def run_named(home: Home, name: str) -> RunDirectory:
    return next(RunDirectory(path) for path in (home.path / "runs").iterdir() if path.name.startswith(name))


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_every_state_has_a_glyph_and_a_word(home: Home, size: tuple[int, int]) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        assert_snapshot(app, f"jobs-{size[0]}x{size[1]}")


@pytest.mark.parametrize("settings", [Settings(glyphs="ascii"), Settings(theme="mono")], ids=["ascii", "mono"])
async def test_ascii_and_mono(home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    if settings.theme:
        monkeypatch.setenv("NO_COLOR", "1")
    app = MusubiApp(home, settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        assert app.no_color is bool(settings.theme)
        assert_snapshot(app, "jobs-ascii" if settings.glyphs else "jobs-mono")
        if settings.glyphs:
            lines = screen_text(app).replace("浮世絵の猫と犬の", "")
            assert lines.replace("…", "").replace("°", "").isascii()


async def test_an_empty_home_says_how_to_fill_it(home: Home, tmp_path: Path) -> None:
    app = MusubiApp(Home(tmp_path / "empty", "test", True))
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        assert_snapshot(app, "jobs-empty-80x24")
        assert app.cli_twin() == "musubi-tui runs list"
        await pilot.press("s", "r", "p", "enter", "j")
        assert isinstance(app.screen, JobsScreen)


async def test_the_card_follows_the_cursor(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("j", "j", "j")
        await pilot.pause(0.3)
        assert "Use a smaller resolution." in screen_text(app)
        assert app.cli_twin() == "musubi-tui runs show mascot-20261120-230000"
        await pilot.press("end")
        assert app.screen.query_one(RunList).run.name == "paused-one"  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_a_cache_run_is_told_apart_and_counts_what_it_encoded(tmp_path: Path, size: tuple[int, int]) -> None:
    home = home_with(tmp_path / "home", Made("tiny-wan", "done", "20261122-080000", kind="cache"))
    run = run_named(home, "tiny-wan")
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    for event in (Progress("latents", 3, 24), Progress("latents", 24, 24), Progress("text", 12, 12)):
        sink.emit(event)
    sink.close()
    app = MusubiApp(home)
    async with app.run_test(size=size, notifications=True) as pilot:
        await read(pilot)
        listed = next(line for line in screen_text(app).splitlines() if "tiny-wan" in line and "done" in line)
        assert listed.split("││")[0].split().count("cache") == 1
        assert "cache run: 24/24 latents, 12/12 text" in screen_text(app)
        assert "no loss yet" not in screen_text(app)
        assert "step 0" not in screen_text(app)
        await pilot.press("r")
        assert "is a cache run" in next(notice.message for notice in app._notifications)


async def test_the_card_says_the_whole_of_what_needs_doing(tmp_path: Path) -> None:
    """At 80 columns the line broke off before it said what would be lost, and a mere note stood below it."""
    home = home_with(tmp_path / "home", Made("lost", "running", "20261122-080000", step=769, max_steps=6000, steps=2))
    run = run_named(home, "lost")
    status = Status.read(run)
    assert status is not None
    replace(status, heartbeat="2026-11-22T08:00:00.000Z").write(run)
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Warned("cached", "16 of 16 files are up to date.", ""))
    sink.close()
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        for _ in range(60):
            await pilot.pause(0.05)
            if "vanished" in screen_text(app):
                break
        card = " ".join(line.strip("│ ") for line in screen_text(app).splitlines()[12:])
        assert "vanished at step 769. r goes on from the start: no state was saved." in card
        assert "! note (last of 2): 16 of 16" in card  # there was room left


@pytest.mark.parametrize("width", [11, 12, 13, 20, 40, 76])
def test_japanese_fills_its_lines(width: int) -> None:
    text = "ステップ 62 でプロセスが消えました。r で最初から再開します（LoRA の状態なし）。"
    lines = wrapped(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cells(line) <= width for line in lines)
    assert all(cells(line) >= width - 5 for line in lines[:-1])  # a Latin word or a closing mark may move on
    assert not any(line[0] in "、。）" for line in lines)
    assert sum("LoRA" in line for line in lines) == 1
    assert wrapped("no Latin word is torn", 8) == ["no Latin", "word is", "torn"]


async def test_why_a_run_ends_is_not_cut_off(tmp_path: Path) -> None:
    reason = "the budget is spent: 20.30 of 20.00 (max_cost), as it was set"
    home = home_with(tmp_path / "home", Made("rich", "stopped", "20261122-080000", step=769, steps=2, reason=reason))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        for _ in range(60):
            await pilot.pause(0.05)
            if "769/10000" in screen_text(app):
                break
        assert f"│ {reason} " in screen_text(app)


async def test_runs_of_one_name_are_told_apart_by_when_they_were_made(tmp_path: Path) -> None:
    names = ("tiny-wan", "tiny-wan", "other", "a-name-too-long-for-the-time", "a-name-too-long-for-the-time")
    home = home_with(tmp_path / "home", *(Made(name, "done", f"2026112{n}-08150{n}", step=9) for n, name in enumerate(names)))  # fmt: skip
    make_run(home.path, Made("twice", "queued", "20261120-081501"))
    make_run(home.path, Made("twice", "queued", "20261120-081502"))  # as when several are put into the queue
    for size, first, second in (((80, 24), "tiny-wan 08:15", "tiny-wan 08:15"), ((100, 30), "tiny-wan 11-20 08:15", "tiny-wan 11-21 08:15")):  # fmt: skip
        app = MusubiApp(home)
        async with app.run_test(size=size) as pilot:
            await read(pilot)
            text = screen_text(app)
            assert f"  {first} " in text
            assert f"  {second} " in text
            assert "  other  " in text
            assert " 081501 " in text
            assert " 081502 " in text


async def test_starting_beside_a_run_that_works_is_pointed_out(home: Home) -> None:
    """Two trainings at once rarely fit into a card; the queue is a key away."""
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("n")
        await pilot.pause()
        words = " ".join(re.sub("[│╭╰╮╯─]", " ", screen_text(app)).split())
        assert "ink-style is running here: started now, both share the card's memory and time. tab puts this one behind it." in words  # fmt: skip
        await pilot.press("tab")
        await pilot.pause()
        assert "both share" not in screen_text(app)


async def test_scroll_bars_are_of_the_chosen_characters(tmp_path: Path) -> None:
    home = home_with(tmp_path / "home", *(Made(f"run-{n:02}", "done", "20261122-080000", step=9) for n in range(25)))
    for settings, blocks in ((Settings(), True), (Settings(glyphs="ascii"), False)):
        app = MusubiApp(home, settings=settings)
        async with app.run_test(size=(80, 24)) as pilot:
            await read(pilot)
            drawn = ""
            for _ in range(9):  # some of its places end within a cell
                await pilot.press("down", "down")
                await pilot.pause()
                drawn += "".join(line[-3:] for line in screen_text(app).splitlines()[1:12])
            assert any(char in drawn for char in "▁▂▃▄▅▆▇") is blocks


async def test_words_from_outside_are_text(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        assert "[red]not markup[/red]" in screen_text(app)


async def test_filter_and_sort(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("slash", *"qwen", "space", *"!failed")
        found = app.screen.query_one(RunList)
        assert [now.name for now in found.runs] == ["figurine"]
        await pilot.press("enter", "o", "escape")
        assert len(found.runs) == len(STORY)
        assert [now.name for now in found.runs][:2] == ["dance-v3", "figurine"]  # by name
        assert not app.screen.query("#filter")


async def test_a_filter_box_takes_letters_that_are_keys_elsewhere(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("slash", *"q2s")
        assert app.screen.query_one("#filter").value == "q2s"  # type: ignore[attr-defined]
        assert app.is_running


def test_filter_words(home: Home) -> None:
    from musubi_tui.runs.finding import list_runs
    from musubi_tui.runs.snapshot import brief

    runs = [brief(run) for run in list_runs([home.path])]
    assert [now.name for now in runs if keeps("paused|queued", now)] == ["dance-v3", "paused-one"]
    assert [now.name for now in arranged(runs, "", "loss")][-1] in ("dance-v3", "mascot")
    assert arranged(runs, "no-such-run", "recent") == ()


async def test_stop_asks_first_and_then_sends_one_command(home: Home) -> None:
    run = run_named(home, "ink-style")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("s")
        assert isinstance(app.screen, ConfirmScreen)
        assert_snapshot(app, "jobs-stop")
        question = app.screen.query_one("#text").query_one(Static)
        assert "It takes about 10 s, by estimate: no state was saved yet." in str(question.render())
        await pilot.press("escape")
        sink = EventSink(run.events, run.steps_idx, attempt=1)
        sink.emit(Checkpoint(path=str(run.state), kind="state", step=4300, seconds=20.0))
        sink.close()
        await until_true(pilot, lambda: app.view.detail.now.stop_measured)  # type: ignore[union-attr]
        await pilot.press("s")
        assert "It takes about 24 s." in str(app.screen.query_one("#text").query_one(Static).render())
        await pilot.press("escape")
        assert unanswered(run) == []
        await pilot.press("X", "s")  # after the next save
        await pilot.pause(0.2)
        (command,) = unanswered(run)
        assert (command.command, command.arguments) == ("stop", {"when": "save"})
        assert app.cli_twin() == f"musubi-tui runs stop {run.id} --when save"  # what was just done
        await pilot.press("j")
        assert app.cli_twin().startswith("musubi-tui runs show dance-v3")
        await pilot.press("k")
        await pilot.press("p")  # locked until there is an answer
        await pilot.pause(0.1)
        assert len(unanswered(run)) == 1
        assert "waiting for the engine" in screen_text(app)
        write_ack(run, Ack(command.id, "stop", "accepted"))
        await pilot.pause(0.4)
        assert "waiting for the engine" not in screen_text(app)
        assert [notice.message for notice in app._notifications][-1] == "stop: accepted"


async def test_pause_goes_on_with_a_paused_run(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("end", "p")
        await pilot.pause(0.2)
        (command,) = unanswered(run_named(home, "paused-one"))
        assert command.command == "resume"


async def test_a_run_that_ended_cannot_be_paused_and_the_app_says_so(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("j", "j", "p")
        assert [notice.message for notice in app._notifications] == [
            "figurine is not running (done): there is nothing to control."
        ]


async def test_a_run_that_was_deleted_by_hand_is_shown_as_such(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        shutil.rmtree(run_named(home, "figurine").path)
        found = app.screen.query_one(RunList)
        for _ in range(60):
            await pilot.pause(0.1)
            if found.runs[2].state == "gone":
                break
        assert (found.runs[2].name, found.runs[2].state) == ("figurine", "gone")
        assert re.search(r"figurine .* \? gone", screen_text(app))


async def test_resume_launches_the_engine(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []

    def launch(run: RunDirectory, **options: object) -> Any:
        launched.append(run.id)
        raise OSError("not here")

    monkeypatch.setattr("musubi_tui.tui.steering.launch", launch)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("end", "up", "r")
        await pilot.pause(0.3)
        assert launched == [run_named(home, "浮世絵").id]
        assert [notice.message for notice in app._notifications] == ["not here"]


async def test_new_shows_what_is_wrong_with_a_preset(home: Home, tmp_path: Path) -> None:
    preset = tmp_path / "wrong.toml"
    preset.write_text("family = 'wan'\nlearning_rat = 1\n", encoding="utf-8")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        before = sorted((home.path / "runs").iterdir())
        await pilot.press("n")
        app.screen.query_one(Input).value = str(preset)
        assert app.cli_twin() == f"musubi-tui train {preset} --detach"
        await pilot.press("enter")
        for _ in range(100):
            await pilot.pause(0.05)
            if "learning_rat" in screen_text(app).replace(str(preset), ""):
                break
        assert "learning_rate" in screen_text(app)
        assert sorted((home.path / "runs").iterdir()) == before


async def test_nothing_is_drawn_when_nothing_changes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musubi_tui.tui.reading.READ_SECONDS", 0.02)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.pause(0.2)
        found = app.screen.query_one(RunList)
        drawn: list[int] = []
        original = found.render_line
        monkeypatch.setattr(found, "render_line", lambda y: drawn.append(y) or original(y))
        await pilot.pause(0.3)
        assert drawn == []
        run = run_named(home, "ink-style")
        status = Status.read(run)
        assert status is not None
        values = json.loads(run.status.read_text())
        run.status.write_text(json.dumps(values | {"step": 4400}))
        await pilot.pause(0.3)
        assert drawn
        assert set(drawn) == {0}
        assert re.search(r"ink-style .* 44%", screen_text(app))


async def test_a_thousand_runs_are_a_list_like_any_other(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        found = app.screen.query_one(RunList)
        app.reader.stop()  # the reader would show the six of the home again
        runs = [replace(now, run_dir=f"{number}-{now.run_dir}") for number in range(200) for now in found.runs]
        found.show(tuple(runs), app.glyphs)
        await pilot.press("end")
        await pilot.pause()
        assert found.cursor == 1199
        assert found.scroll_offset.y > 1000
        await pilot.press("pageup")
        assert found.cursor < 1199
