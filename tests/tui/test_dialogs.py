"""Dialogs under quick hands: several keys at once, as key repeat and a paste send them, answer once and never end the app."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from textual.app import App
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

import musubi_tui.tui.screens as screens
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.screens.dialog import AnswersOnce
from musubi_tui.tui.screens.go import GoScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.jump import JumpScreen
from musubi_tui.tui.screens.preset.ask import Answer, ListScreen, PathScreen
from musubi_tui.tui.screens.run.tune import TuneScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.screens.wizard import WizardScreen
from tests.tui.made_runs import still_machine
from tests.tui.screen_text import screen_text

CHOICES = (Choice("yes", "y", "yes"), Choice("no", "n", "no"))
DIALOGS: dict[str, tuple[Callable[[], Screen[Any]], str, Any]] = {
    "confirm": (lambda: ConfirmScreen("Delete?", "It goes.", CHOICES, "rm "), "y", "yes"),
    "confirm, left": (lambda: ConfirmScreen("Delete?", "It goes.", CHOICES, "rm "), "escape", None),
    "jump": (lambda: JumpScreen({"a": Static("panel")}), "x", None),
    "go": (lambda: GoScreen(top=False), "j", "jobs"),
    "list": (lambda: ListScreen("Which?", [Answer("one", "1"), Answer("two", "2")]), "enter", "one"),
    "path": (lambda: PathScreen("Where?", "here", Path("/")), "enter", "here"),
    "tune": (lambda: TuneScreen("musubi-tui runs tune last ", {}), "enter", ("learning_rate_factor", 0.5)),
    "tune, left": (lambda: TuneScreen("musubi-tui runs tune last ", {}), "escape", None),
    "ask": (lambda: AskScreen("Note", "", lambda text: text, lambda text: text, value="x"), "escape", None),
    "help": (lambda: HelpScreen([("text", "words")]), "escape", None),
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MusubiApp:
    still_machine(monkeypatch)
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    return MusubiApp(Home(tmp_path / "home", "test", True))


def at_once(app: App[Any], key: str, times: int) -> None:
    """Keys that are all there before the first one is looked at."""
    for _ in range(times):
        app.post_message(Key(key, key if len(key) == 1 else None))


@pytest.mark.parametrize("name", DIALOGS)
async def test_keys_at_once_answer_once(app: MusubiApp, name: str) -> None:
    make, key, expected = DIALOGS[name]
    answers: list[Any] = []
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        beneath = app.screen
        app.push_screen(make(), answers.append)
        await pilot.pause(0.05)
        at_once(app, key, 4)
        await pilot.pause(0.1)
        assert answers == [expected]
        assert app.screen is beneath


async def test_leaving_the_wizard_twice(app: MusubiApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        beneath = app.screen
        wizard = WizardScreen()
        app.push_screen(wizard)
        await pilot.pause(0.1)
        wizard.action_leave()
        wizard.action_leave()
        await pilot.pause(0.1)
        assert app.screen is beneath


async def test_an_answer_under_another_screen_waits_for_it(app: MusubiApp) -> None:
    answers: list[Any] = []
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        beneath, below = app.screen, ConfirmScreen("Delete?", "It goes.", CHOICES, "rm ")
        app.push_screen(below, answers.append)
        await pilot.pause()
        app.push_screen(HelpScreen([("text", "words")]))
        await pilot.pause()
        below.dismiss("yes")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        assert answers == []
        await pilot.press("escape")
        await pilot.pause(0.05)
        assert answers == ["yes"]
        assert app.screen is beneath


def test_every_dialog_answers_once() -> None:
    found = []
    for module in walk_packages(screens.__path__, screens.__name__ + "."):
        for kind in vars(import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, ModalScreen) and kind.__module__.startswith("musubi_tui"):
                assert issubclass(kind, AnswersOnce), kind
                found.append(kind)
    assert len(found) > 10


# The app's keys in a dialog

TWINS: dict[str, tuple[Callable[[], Screen[Any]], str]] = {
    "confirm": (lambda: ConfirmScreen("Stop?", "It goes.", CHOICES, "musubi-tui x --when "), "musubi-tui x --when yes"),
    "confirm, two commands": (lambda: ConfirmScreen("Start?", "", CHOICES, "a p\nb p", complete=True), "a p"),
    "list": (
        lambda: ListScreen("Which?", [Answer("one", "1")]),
        "musubi-tui runs list",
    ),  # it does nothing: that of Jobs below
    "tune": (lambda: TuneScreen("musubi-tui runs set last ", {}), "musubi-tui runs set last learning_rate_factor=0.5"),
    "ask": (lambda: AskScreen("Note", "", lambda text: text, lambda text: f"note {text}", value="x"), "note x"),
    "start": (lambda: StartScreen(Home(Path("/"), "test", True)), "musubi-tui train PRESET --detach"),
}


@pytest.mark.parametrize("name", TWINS)
async def test_the_command_is_copied_and_the_keys_are_told_in_a_dialog(
    app: MusubiApp, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr("musubi_tui.tui.app.copy_locally", lambda text: copied.append(text) or "")
    make, expected = TWINS[name]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.push_screen(make())
        await pilot.pause(0.1)
        dialog, field = app.screen, app.focused if isinstance(app.focused, Input) else None
        before = field.value if field is not None else ""
        await pilot.press("ctrl+y")
        await pilot.press("Y")
        await pilot.pause(0.1)
        assert copied == [expected] * (1 if field is not None else 2)
        if field is not None:
            assert field.value in (f"{before}Y", "Y")  # in a field it is a letter
        assert app.screen is dialog
        await pilot.press("f1")
        await pilot.pause(0.1)
        assert isinstance(app.screen, HelpScreen)
        assert "dialog.copy_twin" in screen_text(app)
        if "confirm" in name:
            assert re.search(r"y +yes", screen_text(app))
        await pilot.press("f1")
        await pilot.pause(0.1)
        assert app.screen is dialog
        if field is None:
            await pilot.press("question_mark")
            await pilot.pause(0.1)
            assert isinstance(app.screen, HelpScreen)


async def test_a_question_without_a_command_says_so(app: MusubiApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musubi_tui.tui.app.copy_locally", lambda text: pytest.fail(text))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        app.push_screen(ConfirmScreen("Which?", "", CHOICES, ""))
        await pilot.pause()
        await pilot.press("Y")
        assert [notice.message for notice in app._notifications] == ["No command does this."]
