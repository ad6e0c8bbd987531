"""What lies over every screen: explanations, jumping, going to, the palette; every key of every screen; what is shown again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget

import musubi_tui.tui.screens
import musubi_tui.tui.widgets
from engine.planner.lines import Suggestion
from musubi_tui.runs.headroom import Headroom, headroom_lines
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.commands import MusubiCommands
from musubi_tui.tui.explain import PANELS, TOPICS, topics_of
from musubi_tui.tui.keymap import PLACES, forbidden, known_bindings
from musubi_tui.tui.remembered import Remembered, keep, recall, state_file
from musubi_tui.tui.run_view import Picture
from musubi_tui.tui.runs_table import columns
from musubi_tui.tui.screens.compare import CompareScreen
from musubi_tui.tui.screens.explain import ExplainScreen, panel_name
from musubi_tui.tui.screens.go import LETTERS, GoScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.jump import JumpScreen
from musubi_tui.tui.screens.picture import PictureScreen
from musubi_tui.tui.screens.run import RunScreen
from musubi_tui.tui.screens.run.tune import TuneScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.twins import LOOKING, TWINS, twin_of
from musubi_tui.tui.widgets.picture import Gallery
from musubi_tui.tui.widgets.run_list import RunList
from tests.tui.made_runs import STORY, home_with, still_machine
from tests.tui.screen_text import assert_snapshot, assert_text, screen_text
from tests.tui.test_jobs import read

REPLAY = "tests/data/replay/interrupted.jsonl"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setattr("musubi_tui.tui.widgets.run_card._home_short", lambda path: f"…/runs/{Path(path).name}")
    monkeypatch.setenv("TZ", "UTC")
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    return home_with(tmp_path / "home", *STORY[:3])


# Explanations


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_f1_explains_the_focused_panel(home: Home, size: tuple[int, int]) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        await pilot.press("f1")
        assert isinstance(app.screen, ExplainScreen)
        assert_snapshot(app, f"explain-{size[0]}x{size[1]}")
        await pilot.press("f1")
        await pilot.press("tab", "I")
        assert "the run's card" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, JobsScreen)


async def test_the_column_under_the_mouse_comes_first(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        found = app.screen.query_one(RunList)
        await pilot.hover(offset=(found.region.right - 3, found.region.y + 1))
        await pilot.press("f1")
        first = app.screen.query(".title").first()
        assert first.visual.plain == "cost"  # type: ignore[attr-defined]


async def test_every_panel_and_every_column_is_explained(home: Home) -> None:
    assert {f"column.{column.id}" for column in columns(200)} <= set(PANELS["jobs.list"])
    assert {name for names in PANELS.values() for name in names} == set(TOPICS)
    app = MusubiApp(home, replay=Path(REPLAY))
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause(0.5)
        assert isinstance(app.screen, RunScreen)
        unexplained = [panel for panel in app.screen.focus_chain if not panel_name("run", panel)]
        assert unexplained == []
        await pilot.press("1")
        await read(pilot)
        assert [panel for panel in app.screen.focus_chain if not panel_name("jobs", panel)] == []
        app.remember(compared=tuple(now.run_dir for now in app.view.runs[:2]))
        await pilot.press("5")
        await pilot.pause(0.1)
        assert isinstance(app.screen, CompareScreen)
        assert [panel for panel in app.screen.focus_chain if not panel_name("compare", panel)] == []


def test_explanations_exist_in_both_languages() -> None:
    program = "import json;from musubi_tui.tui.explain import TOPICS;print(json.dumps({k: [t.title, t.source, t.good, t.change] for k, t in TOPICS.items()}))"
    found = {}
    for language in ("en", "ja"):
        environment = {**os.environ, "MUSUBI_TUI_LANG": language}
        found[language] = json.loads(subprocess.check_output([sys.executable, "-c", program], env=environment))
    for name, texts in found["en"].items():
        assert all(len(text) > 3 for text in texts[1:]), name
        assert not re.search("[ぁ-ん]", "".join(texts)), name
        assert all(re.search("[ぁ-んァ-ン一-龥]", text) for text in found["ja"][name][1:]), name
    assert topics_of("nobody.knows") == []


# Going places


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_jumping_to_a_panel(home: Home, size: tuple[int, int]) -> None:
    app = MusubiApp(home, replay=Path(REPLAY))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.5)
        await pilot.press("ctrl+o")
        assert isinstance(app.screen, JumpScreen)
        letters = app.screen._targets
        assert len(letters) == (3 if size[0] == 80 else 10)
        await pilot.press(list(letters)[-1])
        assert app.focused is letters[list(letters)[-1]]
        await pilot.press("1")
        await read(pilot)
        await pilot.press("ctrl+o")
        assert_snapshot(app, f"jump-{size[0]}x{size[1]}")
        await pilot.press("9")  # on no panel
        assert isinstance(app.screen, JobsScreen)
        await pilot.press("ctrl+o")
        (letter,) = [letter for letter, panel in app.screen._targets.items() if panel.id == "card"]
        await pilot.press(letter)
        assert app.focused is not None
        assert app.focused.id == "card"


async def test_a_click_on_a_letter_goes_there(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        card = app.screen.query_one("#card").region
        await pilot.press("ctrl+o")
        await pilot.click(offset=(card.x + 1, card.y))
        assert app.focused is not None
        assert app.focused.id == "card"


async def test_the_strip_goes_to_modes_and_to_the_top(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("G", "g")
        assert isinstance(app.screen, GoScreen)
        assert_snapshot(app, "go-80x24")
        await pilot.press("g")
        assert app.screen.query_one(RunList).cursor == 0
        for letter, mode in LETTERS.items():
            await pilot.press("g", letter)
            await pilot.pause(0.1)
            assert app.current_mode == mode
        await pilot.press("g", "j", "g", "escape", "g", "9")
        assert isinstance(app.screen, JobsScreen)


# Keys


def every_binding() -> Iterator[tuple[str, Binding]]:
    """(the class that has it, the binding) of every screen, every widget and the app."""
    seen = set()
    modules = [import_module("musubi_tui.tui.app")]
    for package in (musubi_tui.tui.screens, musubi_tui.tui.widgets):
        modules += [import_module(info.name) for info in walk_packages(package.__path__, f"{package.__name__}.")]
    for module in modules:
        for thing in vars(module).values():
            ours = isinstance(thing, type) and thing.__module__.startswith("musubi_tui")
            if ours and issubclass(thing, (Screen, Widget, MusubiApp)) and thing not in seen:
                seen.add(thing)
                for binding in vars(thing).get("BINDINGS", ()):
                    assert isinstance(binding, Binding), thing
                    yield thing.__name__, binding


def test_every_key_of_every_screen_has_an_id_a_text_and_may_be_pressed() -> None:
    found = list(every_binding())
    assert len(found) > 60
    assert [(owner, binding) for owner, binding in found if not binding.description or not binding.id] == []
    pressed = [(owner, one) for owner, binding in found for one in binding.key.split(",")]
    assert [pair for pair in pressed if forbidden(pair[1])] == []
    # Terminals and desktops keep F keys for themselves: never the only way, but for F1, which is a habit.
    for owner, binding in found:
        others = [one for one in binding.key.split(",") if one == "f1" or not re.fullmatch(r"f\d+", one)]
        assert others, (owner, binding)
    everywhere = {one for owner, one in pressed if owner == "MusubiApp"}
    for owner in {owner for owner, _ in pressed}:
        mine = [one for name, one in pressed if name == owner]
        assert len(mine) == len(set(mine)), f"{owner} binds a key twice"
    for owner, binding in found:
        if owner in ("JobsScreen", "RunList", "CompareScreen", "RunScreen"):
            assert not everywhere & set(binding.key.split(",")), binding
    together = [one for owner, one in pressed if owner in ("JobsScreen", "RunList")]
    assert len(together) == len(set(together)), "the list and its screen bind the same key"
    ids = [
        binding.id
        for owner, binding in found
        if binding.id
        and not binding.id.startswith("ask.")
        and not (owner == "Dialog" and binding.id.startswith("app."))
    ]  # several dialogs ask, and what may be cancelled everywhere may be cancelled in all of them
    assert len(ids) == len(set(ids))
    assert {str(name).partition(".")[0] for name in ids} | {"ask"} == set(PLACES)


def test_no_key_that_people_have_learnt_goes_dead() -> None:
    """``keys.txt`` lists action and key; a key may be added, but one that is there stays (or its line is removed on purpose)."""
    path = Path(__file__).parent / "snapshots" / "keys.txt"
    now = {f"{name} {one}" for name, keys in known_bindings().items() for one in keys.split(",")}
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text("\n".join(sorted(now)) + "\n", encoding="utf-8")
    assert set(path.read_text(encoding="utf-8").splitlines()) - now == set()


def test_every_action_has_a_twin_or_only_looks_around() -> None:
    for name in known_bindings(("app", "jobs", "compare")):
        if name.removeprefix("app.") not in LETTERS.values():
            assert (name in TWINS) is not (name in LOOKING), name
    assert twin_of("jobs.pause", "ink-1") == "musubi-tui runs pause ink-1"
    assert twin_of("jobs.up", "ink-1") == ""


def test_twins_are_commands_that_exist() -> None:
    from musubi_tui.cli.root import load_command

    for line in TWINS.values():
        _, group, *rest = line.split()
        if not group.startswith("-"):
            command = load_command(group)
            assert not hasattr(command, "commands") or rest[0] in command.commands, line


async def test_the_palette_lists_every_action_with_key_and_command(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        found = {text: hint for text, hint, _ in MusubiCommands(app.screen)._commands()}
        assert found["Pause"] == "p   musubi-tui runs pause ink-style-20261121-081500"
        reachable = {active.binding.id for active in app.screen.active_bindings.values()}
        assert set(known_bindings(("app", "jobs"))) - reachable == set()
        assert found["Go to Preset"] == "2   musubi-tui presets list"
        assert not [text for text, hint in found.items() if "app." in text + hint or "jobs." in text + hint]
        await pilot.press("colon", *"archive, or")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert "stays on the list" in next(notice.message for notice in app._notifications)


# What is shown again


async def test_mode_order_and_filter_are_there_again(home: Home) -> None:
    async with MusubiApp(home).run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("o", "O", "slash", *"!done", "enter", "5")
        await pilot.pause(0.1)
    assert recall()[0] == Remembered("compare", "name", True, "!done")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert isinstance(app.screen, CompareScreen)
        await pilot.press("1")
        await read(pilot)
        assert [now.name for now in app.screen.query_one(RunList).runs] == ["ink-style", "dance-v3"]
        assert "!done" in screen_text(app)
        await pilot.press("escape")
        assert "!done" not in screen_text(app)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"mode": 3}', '{"words": "%s"}' % ("x" * 500), '{"reverse": 1}', "\x00\xff"]
)
async def test_a_damaged_file_is_told_and_nothing_breaks(home: Home, text: str) -> None:
    state_file().parent.mkdir(parents=True, exist_ok=True)
    state_file().write_text(text, encoding="latin-1")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause(0.05)
        assert isinstance(app.screen, JobsScreen)
        kept, trouble = recall()
        assert kept == Remembered()
        assert trouble
        assert "starts afresh" in next(notice.message for notice in app._notifications)


def test_unknown_orders_and_modes_are_passed_over(home: Home) -> None:
    keep(Remembered(mode="nowhere", sort="beauty"))
    assert MusubiApp(home).DEFAULT_MODE == "jobs"
    for mode in ("tools", "generate"):  # nothing to do there yet
        keep(Remembered(mode=mode))
        assert MusubiApp(home).DEFAULT_MODE == "jobs"
    keep(Remembered(mode="run"))
    assert MusubiApp(home).DEFAULT_MODE == "jobs"


# How they look

STILL = "tests/data/replay/swap-samples"
LARGER = Suggestion("network_dim", 64, "preset", "network_dim = 64", "learns more detail", 57 << 30, None, True)
SMALLER = Suggestion("batch_size", 2, "dataset", "batch_size = 2", "more steps", 41 << 30, None, True)
OVERLAYS: dict[str, Callable[[MusubiApp], object]] = {
    "help": lambda app: app.action_help(),
    "explain": lambda app: app.action_explain(),
    "go": lambda app: app.action_go(),
    "jump": lambda app: app.action_jump(),
    "start": lambda app: app.push_screen(StartScreen(app.home)),
    "confirm": lambda app: app.screen.action_stop(),  # type: ignore[attr-defined]
    "ask": lambda app: app.screen.action_price(),  # type: ignore[attr-defined]
    "tune": lambda app: app.push_screen(TuneScreen("musubi-tui runs set ink ", {"learning_rate_factor": 1.0})),
    "headroom": lambda app: app.push_screen(
        HelpScreen(headroom_lines(Headroom(52 << 30, 76 << 30, 80 << 30, (LARGER,), (SMALLER,))), "headroom")
    ),
    "picture": lambda app: app.push_screen(PictureScreen(two_pictures(), 1, Gallery())),
    "palette": lambda app: app.action_command_palette(),
    "later": lambda app: app.switch_mode("tools"),
}


def colours(app: MusubiApp) -> set[str]:
    """The colours on the screen that are more than a shade of grey."""
    styles = [segment.style for strip in app.screen._compositor.render_strips() for segment in strip if segment.style]
    found = [colour.get_truecolor() for style in styles for colour in (style.color, style.bgcolor) if colour]
    return {shade.hex for shade in found if max(shade) - min(shade) > 2}


def two_pictures() -> list[Picture]:
    files = sorted(Path(STILL).glob("*_00.jpg"))[:2]
    return [Picture(str(file), "a heron in ink, 水墨画", 42, 500 * place) for place, file in enumerate(files)]


@pytest.mark.parametrize("look", ["80x24", "160x48", "mono"])
async def test_everything_that_lies_over_a_screen(home: Home, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    """One file per look with all of them, so that one start of the app draws them all."""
    monkeypatch.setattr("musubi_tui.tui.screens.help.config_file", lambda: Path("~/.config/musubi-tui/config.toml"))
    monkeypatch.setattr("musubi_tui.tui.screens.start.StartScreen._where", lambda self: "The run goes to a folder.")
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    app = MusubiApp(home, settings=Settings(theme="mono" if look == "mono" else ""))
    drawn = []
    async with app.run_test(size=(160, 48) if look == "160x48" else (80, 24)) as pilot:
        await read(pilot)
        for name, show in OVERLAYS.items():
            show(app)
            await pilot.pause()
            if name == "picture":
                await app.workers.wait_for_complete()
                await pilot.pause()
            for _ in range(100 if name == "palette" else 0):
                if "musubi-tui runs pause" in screen_text(app):
                    break
                await pilot.pause(0.05)
            drawn.append(f"== {name}\n{screen_text(app)}")
            if look == "mono":
                assert colours(app) == set(), name
            if name != "later":
                await pilot.press("escape")
                await pilot.pause()
                assert isinstance(app.screen, JobsScreen), name
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        drawn.append(f"== too small\n{screen_text(app)}")
    assert_text("\n".join(drawn), f"overlays-{look}")
