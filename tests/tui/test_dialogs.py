"""Dialogs under quick hands: several keys at once, as key repeat and a paste send them, answer once and never end the app."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from textual.app import App
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

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
from musubi_tui.tui.screens.wizard import WizardScreen
from tests.tui.made_runs import still_machine

CHOICES = (Choice("yes", "y", "yes"), Choice("no", "n", "no"))
DIALOGS: dict[str, tuple[Callable[[], Screen[Any]], str, Any]] = {
    "confirm": (lambda: ConfirmScreen("Delete?", "It goes.", CHOICES, "rm "), "y", "yes"),
    "confirm, left": (lambda: ConfirmScreen("Delete?", "It goes.", CHOICES, "rm "), "escape", None),
    "jump": (lambda: JumpScreen({"a": Static("panel")}), "x", None),
    "go": (lambda: GoScreen(top=False), "j", "jobs"),
    "list": (lambda: ListScreen("Which?", [Answer("one", "1"), Answer("two", "2")]), "enter", "one"),
    "path": (lambda: PathScreen("Where?", "here", Path("/")), "enter", "here"),
    "tune": (lambda: TuneScreen("musubi-tui runs tune last "), "enter", ("learning_rate_factor", 0.5)),
    "tune, left": (lambda: TuneScreen("musubi-tui runs tune last "), "escape", None),
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
