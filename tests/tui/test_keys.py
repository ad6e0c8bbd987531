"""Keys that a person moves: every action can be moved, wrong names are told with their line, and the hints on the screen follow."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

import musubi_tui.tui
from engine.config.problems import ConfigError
from musubi_tui.runs.home import Home, config_file
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.explain import TOPICS
from musubi_tui.tui.keymap import PLACES, can_be_sent, check_keys, hinted, known_bindings, nearest_key
from musubi_tui.tui.modes import MODES
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.data.editor import CaptionEditor
from musubi_tui.tui.screens.data.fixing import FixScreen
from musubi_tui.tui.screens.data.opening import OpenScreen
from musubi_tui.tui.screens.data.words import WordsScreen
from musubi_tui.tui.screens.explain import ExplainScreen
from musubi_tui.tui.screens.go import GoScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.jump import JumpScreen
from musubi_tui.tui.screens.picture import PictureScreen
from musubi_tui.tui.screens.preset.diff import DiffScreen
from musubi_tui.tui.screens.preset.history import HistoryScreen
from musubi_tui.tui.screens.run import RunScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.screens.wizard import WizardScreen
from musubi_tui.tui.settings import Settings, read_settings
from musubi_tui.tui.widgets.chart import LossChart
from musubi_tui.tui.widgets.picture import Gallery
from tests.tui.made_runs import STORY, home_with, make_run, still_machine
from tests.tui.screen_text import SNAPSHOTS, screen_text
from tests.tui.test_data_screen import Here, folder, opened  # noqa: F401  # a fixture
from tests.tui.test_data_screen import until as until_met
from tests.tui.test_jobs import read
from tests.tui.test_overlays import every_binding, two_pictures
from tests.tui.test_preset_screen import editing, ink  # noqa: F401  # a fixture

# One action of each place on another key. Places that are within reach of each other have keys of their own.
MOVED = {
    "app.help": "f2", "jobs.filter": "f3", "start.close": "f4", "compare.add": "f3", "run.log": "f3", "picture.close": "f4",
    "wizard.leave": "f3", "preset.diff": "f3", "picker.find": "f5", "diff.close": "f4", "history.close": "f4", "text.edit": "f5",
    "data.caption": "f3", "open.close": "f4", "fix.close": "f4", "words.close": "f4", "caption.leave": "f4", "warnings.files": "f5",
    "ask.close": "f4", "help.close": "f4", "explain.close": "f4", "go.close": "f4", "jump.close": "f4", "small.quit": "f4", "dialog.help": "f6",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setattr("musubi_tui.tui.screens.data.screen.Scanning", Here)
    monkeypatch.setattr("musubi_tui.tui.screens.preset.checking.Checking.CHECKS", False)
    for variable in ("SSH_CONNECTION", "TMUX", "VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    return home_with(tmp_path / "home", STORY[0], STORY[2])


@pytest.fixture
async def pilot(home: Home) -> AsyncIterator[Pilot[Any]]:
    app = MusubiApp(home, settings=Settings(keys=MOVED))
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        yield pilot


async def shown(pilot: Pilot[Any], kind: type[Screen[Any]]) -> None:
    await until_met(pilot, lambda: isinstance(pilot.app.screen, kind))


def test_every_action_of_the_app_can_be_moved() -> None:
    known = known_bindings()
    assert {str(binding.id) for _, binding in every_binding()} == set(known)
    assert {name.partition(".")[0] for name in MOVED} == set(PLACES)
    check_keys(MOVED)
    check_keys({name: "f9" for name in known if name.startswith(("ask.close", "run.note"))})


async def test_moved_keys_of_jobs_and_of_what_lies_over_it(pilot: Pilot[Any]) -> None:
    app = pilot.app
    await pilot.press("slash")
    assert not app.screen.query("#filter")
    await pilot.press("f3")
    assert app.screen.query("#filter")
    await pilot.press("escape")
    for open_it, kind in (
        ("n", StartScreen), ("f2", HelpScreen), ("I", ExplainScreen), ("g", GoScreen), ("ctrl+o", JumpScreen), ("dollar_sign", AskScreen),
    ):  # fmt: skip
        await pilot.press(open_it)
        assert isinstance(app.screen, kind)
        if kind is AskScreen:
            await pilot.press("f6")
            assert isinstance(app.screen, HelpScreen)
            await pilot.press("f4")
            assert isinstance(app.screen, kind)
        await pilot.press("f4")
        assert isinstance(app.screen, JobsScreen), kind
    app.push_screen(PictureScreen(two_pictures(), 1, Gallery()))
    await pilot.press("f4")
    assert isinstance(app.screen, JobsScreen)
    await pilot.press("n", "enter")
    await shown(pilot, WizardScreen)
    await until_met(pilot, lambda: not app.screen._busy and app.screen._question is not None)
    await pilot.press("f3")
    assert isinstance(app.screen, JobsScreen)
    await pilot.resize_terminal(60, 20)
    await pilot.press("f4")
    assert not app.is_running


async def test_moved_keys_of_run_and_compare(pilot: Pilot[Any]) -> None:
    app = pilot.app
    await pilot.press("space", "space", "C")
    await until_met(pilot, lambda: app.current_mode == "compare")
    await pilot.press("f3")
    await until_met(pilot, lambda: app.current_mode == "jobs")
    await pilot.press("enter")
    await shown(pilot, RunScreen)
    await pilot.press("f3")
    assert app.screen.query_one(LossChart).logarithmic


async def test_moved_keys_of_data(pilot: Pilot[Any], folder: Path) -> None:  # noqa: F811
    app = pilot.app
    found = await opened(pilot)
    await pilot.press("f3")
    await until_met(pilot, lambda: bool(found.query(CaptionEditor)))
    await pilot.press("f4")
    await until_met(pilot, lambda: not found.query(CaptionEditor))
    for open_it, kind in (("o", OpenScreen), ("F", FixScreen), ("s", WordsScreen)):
        await pilot.press(open_it)
        await shown(pilot, kind)
        await pilot.press("f4")
        assert app.screen is found, kind
    await pilot.pause()
    found.query_one("#warnings").focus()
    await until_met(pilot, lambda: "f5 its files" in screen_text(app))
    found.query_one("#items").focus()
    await until_met(pilot, lambda: "tab here" in screen_text(app))
    found.query_one("#warnings").focus()
    await until_met(pilot, lambda: "f5 its files" in screen_text(app))
    await pilot.press("f5")
    await until_met(pilot, lambda: len(found.rows) < len(found.board.rows))  # type: ignore[union-attr]


async def test_moved_keys_of_the_preset_editor(home: Home, ink: Path) -> None:  # noqa: F811
    async with editing(home, ink, keys=MOVED) as editor:
        for open_it, kind in (("f3", DiffScreen), ("H", HistoryScreen)):
            await editor.press(open_it)
            await editor.until(lambda kind=kind: isinstance(editor.app.screen, kind))
            assert "f4 close" in editor.text
            await editor.press("f4")
            assert editor.app.screen is editor.screen
        await editor.press("T")
        assert "f5 edit the text" in editor.text
        await editor.press("f5")
        assert editor.screen.text_is_edited
        await editor.press("escape", "escape", "o")
        await editor.until(lambda: "f5 words or a path" in editor.text)
        await editor.press("f5")
        assert editor.app.focused.id == "where"


# Hints


def words(app: MusubiApp) -> str:
    """What the screen says, without its line breaks."""
    return " ".join(screen_text(app).replace("│", " ").split())


async def test_hints_follow_the_keys(home: Home) -> None:
    make_run(home.path, STORY[1])
    make_run(home.path, STORY[4])
    keys = {
        "jobs.filter": "f3", "jobs.new": "f4", "jobs.resume": "f5", "jobs.earlier": "comma", "run.log": "f6", "run.wrap": "W", "app.zoom": "f10",
        "run.sample": "ctrl+t", "run.left": "(", "ask.close": "f9", "help.close": "ctrl+x",
    }  # fmt: skip
    app = MusubiApp(home, settings=Settings(keys=keys))
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        assert "runs  f3 filter  o sort" in screen_text(app)
        await pilot.press("question_mark")
        assert "^x close" in screen_text(app)
        await pilot.press("ctrl+x", "dollar_sign")
        assert "f9 closes" in screen_text(app)
        await pilot.press("f9", "f1")
        assert "f4 starts one, , and J change the order" in words(app)
        await pilot.press("escape", "enter")
        await shown(pilot, RunScreen)
        await until_met(pilot, lambda: "lr" in screen_text(app))
        text = screen_text(app)
        assert "f6 log" in text
        assert "(→ cursor" in text
        assert "W wrap  y copy  f10 zoom" in text
    app = MusubiApp(Home(home.path / "empty", "test", True), settings=Settings(keys=keys))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        assert "No runs yet. f4 starts one" in screen_text(app)
        await pilot.press("4")
        assert "start one on Jobs with f4" in words(app)
        app.tell("Change it, then start it with {jobs.new}; {this} and {not.known} stay.")
        await pilot.pause()
        assert (
            next(iter(app._notifications)).message == "Change it, then start it with f4; {this} and {not.known} stay."
        )


def test_every_action_that_a_text_names_is_one(home: Home) -> None:
    texts = [mode.about for mode in MODES]
    texts += [part for topic in TOPICS.values() for part in (topic.source, topic.good, topic.change)]
    app = MusubiApp(home)
    assert [text for text in texts if "{" in hinted(app, text)] == []
    assert any("{" in text for text in texts)


# Wrong maps


def test_an_action_that_is_not_there_clashes_with_nothing() -> None:
    assert [key for key, _, _ in told('[keys]\n"run.nonsense" = "x"\n')] == ["keys.run.nonsense"]


def told(text: str) -> list[tuple[str, int, str]]:
    """(key, line, fix) of everything that is wrong with a config file of this text."""
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_keys(read_settings().keys)
    assert all(problem.file == str(config_file()) for problem in caught.value.problems)
    return [(problem.key, problem.line, problem.fix) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("F7", "f7"), ("spacebar", "space"), ("esc", "escape"), ("Ctrl+S", "ctrl+s"), ("C-s", "ctrl+s"), ("ctrl-s", "ctrl+s"), ("shift+a", "A"),
        ("Enter", "enter"), ("return", "enter"), ("page-up", "pageup"), ("question", "question_mark"), ("ctrl+S", "ctrl+s"), ("f99", "f9"),
    ],
)  # fmt: skip
def test_a_key_that_no_terminal_sends_is_answered_with_the_nearest(written: str, meant: str) -> None:
    assert nearest_key(written) == meant
    found = told(f'[app]\n\n[keys]\n"jobs.sort" = "f8"\n"jobs.pause" = "f7,{written}"\n')
    assert found == [("keys.jobs.pause", 5, f"Did you mean {meant!r}?")]


@pytest.mark.parametrize("name", ["a", "A", "é", "$", "dollar_sign", "f12", "shift+f5", "ctrl+t", "shift+up", "space", "full_stop", "delete"])  # fmt: skip
def test_keys_that_a_terminal_sends(name: str) -> None:
    assert can_be_sent(name)


def test_other_mistakes_name_their_line() -> None:
    assert told('[keys]\n"jobs.puase" = "f9"') == [("keys.jobs.puase", 2, "Did you mean 'jobs.pause'?")]
    assert told('[keys]\n"ask.clsoe" = "f9"') == [("keys.ask.clsoe", 2, "Did you mean 'ask.close'?")]
    assert told('[keys]\n"jobs.pause" = ""') == [("keys.jobs.pause", 2, "")]
    assert told('[keys]\n\n"jobs.pause" = "o"\n"help.close" = "o"') == [("keys.jobs.pause", 3, "Move one of them.")]
    assert told('[keys]\n"jobs.pause" = "$"') == [("keys.jobs.pause", 2, "Move one of them.")]  # the price has it
    assert told('[keys]\njobs.pause = "f9"') == [("keys.jobs", 2, 'Put the id in quotes: "jobs.pause" = …')]
    assert told('[keys]\n"dialog.copy_twin" = "escape"')[0][0] == "keys.dialog.copy_twin"  # every dialog closes by it
    assert told('[keys]\n"jobs.pause" = "q"') == [("keys.jobs.pause", 2, "Move one of them.")]
    check_keys({"preset.explain": "f9"})  # the others that f1 has by design keep it
    check_keys({"ask.down": "z", "help.close": "q"})  # no key of the app reaches a dialog
    with pytest.raises(ConfigError, match=r"config\.toml:2: there is no theme"):
        told_theme()


def told_theme() -> MusubiApp:
    config_file().write_text('[app]\ntheme = "none-such"\n', encoding="utf-8")
    return MusubiApp(Home(Path("/nonexistent"), "", True), settings=read_settings())


def test_no_text_of_the_app_names_an_action_that_is_none_and_none_is_shown_by_its_id() -> None:
    known = known_bindings()
    mention = re.compile(r"\{([a-z]+\.[a-z_]+)\}")
    named = {}
    for file in sorted(Path(musubi_tui.tui.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named |= dict.fromkeys(mention.findall(node.value), file.name)
    assert len(named) > 40
    assert {name: file for name, file in named.items() if name not in known} == {}
    for file in SNAPSHOTS.glob("*.txt"):
        assert not [name for name in mention.findall(file.read_text(encoding="utf-8")) if name in known], file.name
