"""The wizard on the screen: pages at both sizes, going back, explaining, wrong answers, downloads, and files at the end."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from musubi_tui.presets.wizard import session as sessions
from musubi_tui.presets.wizard.session import Session
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.wizard import WizardScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.widgets.run_list import RunList
from tests.tui.made_runs import STORY, home_with, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.unit.wizard_set import around, session, write_models, write_pictures


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MusubiApp:
    still_machine(monkeypatch)
    monkeypatch.setenv("LANG", "C.UTF-8")
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    return MusubiApp(Home(tmp_path / "runs-home", "test", True))


async def settled(pilot: Pilot[Any]) -> WizardScreen:
    """The wizard, when it has looked and asks something."""
    for _ in range(400):
        screen = pilot.app.screen
        if isinstance(screen, WizardScreen) and not screen._busy:
            await pilot.pause()
            return screen
        await pilot.pause(0.02)
    raise TimeoutError


async def press(pilot: Pilot[Any], *keys: str) -> WizardScreen:
    """Press keys one after the other, waiting for each question."""
    for key in keys:
        await pilot.press(key)
        await settled(pilot)
    return await settled(pilot)


async def at(pilot: Pilot[Any], question: str) -> WizardScreen:
    """Go on with defaults until this question stands there."""
    screen = await settled(pilot)
    for _ in range(20):
        if screen._question is not None and screen._question.id == question:
            return screen
        screen = await press(pilot, "enter")
    raise TimeoutError


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_pages(app: MusubiApp, tmp_path: Path, size: tuple[int, int]) -> None:
    wizard = session(tmp_path)
    mark = f"{size[0]}x{size[1]}"
    async with app.run_test(size=size) as pilot:
        app.push_screen(WizardScreen(wizard))
        await settled(pilot)
        assert_snapshot(app, f"wizard-goal-{mark}")
        await at(pilot, "trigger")
        assert_snapshot(app, f"wizard-data-{mark}")
        await at(pilot, "fit")
        assert_snapshot(app, f"wizard-fit-{mark}")
        await at(pilot, "steps")
        assert_snapshot(app, f"wizard-length-{mark}")


async def test_a_click_answers(app: MusubiApp, tmp_path: Path) -> None:
    wizard = session(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(wizard))
        await settled(pilot)
        await pilot.click("#choices", offset=(6, 1))
        await settled(pilot)
        assert "so far: a style" in screen_text(app)


async def test_mono_and_ascii(app: MusubiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    plain = MusubiApp(app.home, settings=Settings(glyphs="ascii", theme="mono"))
    async with plain.run_test(size=(80, 24)) as pilot:
        plain.push_screen(WizardScreen(session(tmp_path)))
        await at(pilot, "card")
        await press(pilot, "w")
        assert_snapshot(plain, "wizard-mono")


async def test_n_and_enter_open_it_and_escape_leaves(
    app: MusubiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musubi_tui.tui.screens.wizard.Session", lambda: session(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("n")
        await pilot.pause()
        assert "With nothing written enter opens the wizard" in screen_text(app)
        await pilot.press("enter")
        await settled(pilot)
        assert "What shall the model learn?" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, JobsScreen)


async def test_why_back_and_wrong_answers(app: MusubiApp, tmp_path: Path) -> None:
    wizard = session(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(wizard))
        await settled(pilot)
        assert "small file beside the big model" not in screen_text(app)
        await pilot.press("w")
        await pilot.pause()
        assert "small file beside the big model" in screen_text(app).replace("\n", " ")
        screen = await press(pilot, "down", "enter")
        assert wizard.flow.answers["goal"] == "style"
        screen = await press(pilot, "escape")
        assert screen.query_one(OptionList).highlighted == 1  # the answer that was given
        screen = await at(pilot, "steps")
        field = screen.query_one(Input)
        field.value = "many"
        screen = await press(pilot, "enter")
        assert "no number of steps" in screen_text(app)
        assert wizard.flow.question.id == "steps"  # type: ignore[union-attr]
        field.value = "w"  # a letter in a field is a letter
        await pilot.press("w")
        assert field.value == "ww"
        field.value = "40"
        screen = await press(pilot, "enter")
        assert screen._question is not None
        assert screen._question.id == "prompts"
        assert "40 steps" in screen_text(app)


async def test_a_mistyped_folder_stays_and_explanations_are_whole(app: MusubiApp, tmp_path: Path) -> None:
    for number in range(6):
        write_pictures(tmp_path / "work" / f"set{number}", 1)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(session(tmp_path)))
        await at(pilot, "files")
        before = screen_text(app)
        await pilot.press("z", "w")
        await pilot.pause()
        text = screen_text(app)
        assert before.splitlines()[4] in text, "z does nothing here"
        assert "names do not matter." in " ".join(text.replace("│", "").split())
        screen = await at(pilot, "data")
        field = screen.query_one(Input)
        field.value = "/nowhere/bela"
        await press(pilot, "enter")
        assert "there is no folder /nowhere/bela" in screen_text(app)
        assert field.value == "/nowhere/bela"
        assert "Nothing that is in the folder is changed." in " ".join(screen_text(app).replace("│", "").split())


async def test_writing_only(app: MusubiApp, tmp_path: Path) -> None:
    wizard = session(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(wizard))
        await at(pilot, "then")
        assert "character LoRA on Wan 2.1 text to video, 1.3B: 4 pictures" in screen_text(app)
        await pilot.press("down", "down", "enter")
        for _ in range(200):
            if isinstance(app.screen, JobsScreen):
                break
            await pilot.pause(0.02)
        assert isinstance(app.screen, JobsScreen)
    assert (tmp_path / "work" / "bella-lora" / "v1" / "preset.toml").is_file()


async def test_the_run_of_the_wizard_is_under_the_cursor(
    app: MusubiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home_with(app.home.path, *STORY[:3])
    launched = []

    class Running:
        def poll(self) -> None:
            """It goes on."""

    monkeypatch.setattr("musubi_tui.tui.steering.launch", lambda run, **_: launched.append(run.path) or Running())
    monkeypatch.setattr("musubi_tui.tui.steering._launched", [])
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(200):
            if app.has_read:
                break
            await pilot.pause(0.02)
        await pilot.press("end")  # an older run
        app.push_screen(WizardScreen(session(tmp_path)))
        await at(pilot, "then")
        await pilot.press("down", "enter")
        for _ in range(400):
            if isinstance(app.screen, JobsScreen) and len(app.screen.query_one(RunList).runs) == 4:
                break
            await pilot.pause(0.02)
        await pilot.pause()
        assert isinstance(app.screen, JobsScreen)
        assert app.screen.chosen is not None
        assert [Path(app.screen.chosen.run_dir)] == launched


async def test_the_full_form_opens_what_was_written(app: MusubiApp, tmp_path: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(session(tmp_path)))
        await at(pilot, "then")
        await pilot.press("down", "down", "down", "enter")
        for _ in range(400):
            if app.current_mode == "preset" and "preset.toml" in screen_text(app):
                break
            await pilot.pause(0.02)
        assert app.current_mode == "preset"
        assert "preset.toml" in screen_text(app)


async def test_e_takes_the_defaults_and_opens_the_form(app: MusubiApp, tmp_path: Path) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(session(tmp_path)))
        screen = await at(pilot, "trigger")
        await pilot.press("e")  # a letter in a field
        assert screen.query_one(Input).value == "bellae"
        await at(pilot, "card")
        await pilot.press("e")
        for _ in range(400):
            if app.current_mode == "preset" and "preset.toml" in screen_text(app):
                break
            await pilot.pause(0.02)
        assert app.current_mode == "preset"
    assert 'output_name = "bellae"' in (tmp_path / "work" / "bellae" / "v1" / "preset.toml").read_text()


async def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_lost(app: MusubiApp, tmp_path: Path) -> None:
    wizard = session(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(wizard))
        await at(pilot, "folder")
        screen = app.screen
        (tmp_path / "closed").mkdir(mode=0o700)
        (tmp_path / "closed" / "v").write_text("")
        screen.query_one(Input).value = str(tmp_path / "closed" / "v" / "below")
        await press(pilot, "enter")
        await pilot.press("down", "down", "enter")
        for _ in range(200):
            if "cannot be written" in screen_text(app):
                break
            await pilot.pause(0.02)
        assert "cannot be written" in screen_text(app)
        assert wizard.flow.answers["steps"] > 0
        await press(pilot, "escape")
        assert wizard.flow.question.id == "folder"  # type: ignore[union-attr]


async def test_a_download_tells_how_far_it_is_and_may_fail(
    app: MusubiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.config.problems import UserError

    write_models(tmp_path / "work" / "models", only=("dit",))
    write_pictures(tmp_path / "work" / "bella")
    wizard = Session(around(tmp_path))
    calls = []

    def fetch(wanted: Any, folder: Path, tell: Any) -> list[Path]:
        calls.append(folder)
        tell("Wan2.1_VAE.pth", 50, 100)
        if len(calls) == 1:
            raise UserError.of("hub_unreachable", "The line is cut.")
        write_models(folder)
        return []

    monkeypatch.setattr(sessions.downloading, "look_up", lambda slots: slots)
    monkeypatch.setattr(sessions.downloading, "fetch", fetch)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(wizard))
        await at(pilot, "files")
        assert "missing: Wan2.1_VAE.pth" in screen_text(app)
        screen = await press(pilot, "down", "enter")
        assert screen._question is not None
        assert screen._question.id == "models_folder"
        screen = await press(pilot, "enter")
        assert "The line is cut." in screen_text(app)
        screen = await press(pilot, "enter")
        assert screen._question is not None
        assert screen._question.id == "data"
        assert wizard.missing() == []
        assert len(calls) == 2


async def test_answers_are_kept_and_offered(app: MusubiApp, tmp_path: Path) -> None:
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.push_screen(WizardScreen(session(tmp_path)))
        await at(pilot, "steps")
        app.screen.query_one(Input).value = "321"
        await press(pilot, "enter")
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "Your answers are kept" in screen_text(app)
        await pilot.press("ctrl+g")  # q is a letter in a field
        await pilot.pause()
        assert not isinstance(app.screen, WizardScreen)
        again = Session(around(tmp_path))
        app.push_screen(WizardScreen(again))
        await settled(pilot)
        assert "You left half-way" in screen_text(app)
        screen = await press(pilot, "enter")
        assert screen._question is not None
        assert screen._question.id == "prompts"
        assert again.flow.answers["steps"] == 321
        await pilot.press("ctrl+g")
        await pilot.pause()
        app.push_screen(WizardScreen(Session(around(tmp_path))))
        await settled(pilot)
        await press(pilot, "down", "enter")
        assert "What shall the model learn?" in screen_text(app)


async def test_captions_are_seen_while_they_are_typed(app: MusubiApp, tmp_path: Path) -> None:
    write_models(tmp_path / "work" / "models")
    write_pictures(tmp_path / "work" / "bella", 2, 0)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(WizardScreen(Session(around(tmp_path))))
        screen = await at(pilot, "captions")
        assert_snapshot(app, "wizard-captions-80x24")
        await press(pilot, "up", "enter")
        assert_snapshot(app, "wizard-sentence-80x24")
        screen.query_one(Input).value = "bella on a wall"
        await pilot.pause()
        assert "1.txt  bella on a wall" in screen_text(app)


async def test_a_download_is_stopped_by_escape_and_goes_on_with_enter(
    app: MusubiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_models(tmp_path / "work" / "models", only=("dit",))
    write_pictures(tmp_path / "work" / "bella")
    slow = threading.Event()

    def fetch(wanted: Any, folder: Path, tell: Any) -> list[Path]:
        for megabytes in range(1, 2000):
            tell("Wan2.1_VAE.pth", megabytes * 10**6, 2000 * 10**6)
            if slow.is_set():
                break
            time.sleep(0.01)
        write_models(folder)
        return []

    monkeypatch.setattr(sessions.downloading, "look_up", lambda slots: slots)
    monkeypatch.setattr(sessions.downloading, "fetch", fetch)
    async with app.run_test(size=(80, 24)) as pilot:
        wizard = Session(around(tmp_path))
        app.push_screen(WizardScreen(wizard))
        await at(pilot, "files")
        await press(pilot, "down", "enter")
        await pilot.press("enter")
        for _ in range(200):
            if "MB/s" in screen_text(app):
                break
            await pilot.pause(0.02)
        assert "Downloading Wan2.1_VAE.pth" in screen_text(app)
        assert "/ 2.0 GB" in screen_text(app)
        await pilot.press("escape")
        await settled(pilot)
        assert "The download was stopped" in screen_text(app)
        assert wizard.question.id == "models_folder"  # type: ignore[union-attr]
        slow.set()
        screen = await press(pilot, "enter")
        assert screen._question is not None
        assert screen._question.id == "data"
