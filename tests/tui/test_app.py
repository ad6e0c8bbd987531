"""The shell of the app: modes, help, palette, copying, settings, sizes, and how it is entered and left."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.config.problems import ConfigError
from musubi_tui.cli import opening
from musubi_tui.runs.home import Home, config_file
from musubi_tui.terminal_width import cells
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.clipboard import osc52
from musubi_tui.tui.glyphs import ASCII, UNICODE
from musubi_tui.tui.keymap import PLACES, check_keys, forbidden, known_bindings
from musubi_tui.tui.modes import MODES
from musubi_tui.tui.numbers import duration, fit, means, per_step, small, wrapped
from musubi_tui.tui.screens.help import HelpScreen, help_lines
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.later import LaterScreen
from musubi_tui.tui.screens.preset.screen import PresetScreen
from musubi_tui.tui.screens.run import RunScreen
from musubi_tui.tui.screens.too_small import TooSmallScreen
from musubi_tui.tui.settings import read_settings
from tests.tui.made_runs import STORY, home_with, make_run, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.tui.test_jobs import read


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    return home_with(tmp_path / "home", *STORY[:1])


async def test_every_mode_answers_its_key(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        for number, mode in enumerate(MODES, 1):
            await pilot.press(str(number))
            await pilot.pause(0.1)
            assert app.current_mode == mode.id
            if isinstance(app.screen, LaterScreen):
                assert app.cli_twin() == mode.twins[0]
                assert mode.twins[0] in screen_text(app)
        await pilot.press("6")
        assert_snapshot(app, "later-80x24")
        await pilot.press("1")
        assert isinstance(app.screen, JobsScreen)


async def test_run_without_any_run_says_how_to_get_one(home: Home, tmp_path: Path) -> None:
    app = MusubiApp(Home(tmp_path / "empty", "test", True))
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("4")
        assert isinstance(app.screen, LaterScreen)
        assert "There is no run yet" in screen_text(app)


async def test_enter_opens_the_run_and_another_one_replaces_it(home: Home) -> None:
    make_run(home.path, STORY[2])
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert isinstance(app.screen, RunScreen)
        first = app.screen
        await pilot.press("1", "4")
        await pilot.pause(0.2)
        assert app.screen is first
        await pilot.press("1", "j", "enter")
        await pilot.pause(0.3)
        assert isinstance(app.screen, RunScreen)
        assert app.screen is not first


async def test_the_app_opens_on_a_run_or_a_recording(home: Home, repository: Path) -> None:
    app = MusubiApp(home, replay=repository / "tests/data/replay/interrupted.jsonl")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.5)
        assert isinstance(app.screen, RunScreen)


async def test_clicks_switch_modes_and_choose(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.click("ModeBar", offset=(10, 0))  # the first of the modes is Jobs
        assert app.current_mode == "jobs"
        await pilot.click(offset=(20, 0))
        assert app.current_mode == "preset"


async def test_help_is_made_of_the_bindings_of_the_focused_panel(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        told = "\n".join(text for _, text in help_lines(app.screen))
        assert told.index("this panel") < told.index("jobs.open") < told.index("this screen") < told.index("jobs.pause")
        await pilot.press("tab")
        assert "jobs.open" not in "\n".join(text for _, text in help_lines(app.screen))
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("q")
        assert isinstance(app.screen, JobsScreen)


async def test_the_palette_runs_actions(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("colon", *"ascii")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert app.glyphs is ASCII


async def test_copying_the_twin_goes_through_the_terminal(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musubi_tui.tui.app.copy_locally", lambda text: "")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        written: list[str] = []
        monkeypatch.setattr(app._driver, "write", written.append)
        await pilot.press("Y")
        twin = base64.b64encode(b"musubi-tui runs show ink-style-20261121-081500").decode()
        assert any(twin in text for text in written)


def test_tmux_passes_the_sequence_on() -> None:
    plain, wrapped = osc52("a b", {}), osc52("a b", {"TMUX": "/tmp/tmux"})
    assert plain == "\x1b]52;c;YSBi\x07"
    assert wrapped == plain + "\x1bPtmux;\x1b\x1b]52;c;YSBi\x07\x1b\\"
    assert osc52("x" * 100_000, {}) == ""


async def test_zoom_and_back(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("z")
        assert app.screen.maximized is not None
        await pilot.press("z")
        assert app.screen.maximized is None


async def test_a_small_terminal_is_told_and_recovers(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(60, 20)) as pilot:
        await read(pilot)
        assert isinstance(app.screen, TooSmallScreen)
        assert_snapshot(app, "too-small-60x20")
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.1)
        assert isinstance(app.screen, JobsScreen)
        await pilot.resize_terminal(70, 24)
        await pilot.pause(0.1)
        await pilot.press("q")
        assert not app.is_running


async def shown(pilot: Pilot[Any], wanted: str) -> bool:
    """Whether a screen of that class comes up and stays."""
    for _ in range(60):
        await pilot.pause(0.05)
        if type(pilot.app.screen).__name__ == wanted:
            break
    await pilot.pause(0.05)
    return type(pilot.app.screen).__name__ == wanted


@pytest.mark.parametrize("opened", ["run", "replay", "preset"])
async def test_whatever_is_opened_in_a_small_terminal_waits_behind_the_notice(
    home: Home, repository: Path, tmp_path: Path, opened: str
) -> None:
    run = next((home.path / "runs").iterdir())
    recording = repository / "tests/data/replay/interrupted.jsonl"
    app = MusubiApp(home, open_run=run if opened == "run" else None, replay=recording if opened == "replay" else None)
    preset = tmp_path / "mine.toml"
    preset.write_text("family = 'wan'\n")
    app.edit_first = str(preset) if opened == "preset" else None
    wanted = "PresetScreen" if opened == "preset" else "RunScreen"
    async with app.run_test(size=(60, 20)) as pilot:
        await read(pilot)
        await pilot.pause(0.5)
        assert "60x20" in screen_text(app)
        for width, height, seen in ((80, 24, wanted), (60, 20, "TooSmallScreen"), (50, 10, "TooSmallScreen"), (160, 48, wanted), (70, 24, "TooSmallScreen")):  # fmt: skip
            await pilot.resize_terminal(width, height)
            assert await shown(pilot, seen), (width, height)
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.2)
        if isinstance(app.screen, PresetScreen):
            assert app.screen.draft is not None
            assert app.screen.draft.path == preset
        await pilot.press("1")
        await pilot.pause(0.1)
        assert isinstance(app.screen, JobsScreen)


async def test_a_dialog_that_comes_up_in_a_small_terminal_waits_too(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(60, 20)) as pilot:
        await read(pilot)
        app.push_screen(HelpScreen([("text", "words")]))  # as a worker does that had begun before
        assert await shown(pilot, "TooSmallScreen")
        await pilot.resize_terminal(61, 20)
        assert await shown(pilot, "TooSmallScreen")
        await pilot.resize_terminal(80, 24)
        assert await shown(pilot, "HelpScreen")
        await pilot.press("escape")
        assert await shown(pilot, "JobsScreen")


async def test_q_leaves_at_once(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("q")
    assert app.return_code == 0


def test_the_shell_says_what_goes_on_and_how_to_come_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(home.path))
    assert opening.farewell() == "ink-style (4312/10000) goes on. Come back: musubi-tui"
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(home.path / "other"))
    assert opening.farewell() == "Come back: musubi-tui"
    assert opening.farewell(Path("/work of mine/ink.toml")) == (
        "Unsaved changes were kept: musubi-tui presets edit '/work of mine/ink.toml'\nCome back: musubi-tui"
    )


def test_a_dumb_terminal_gets_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert opening.open_app() == 0
    assert "--plain" in capsys.readouterr().err


# Settings


def write_config(text: str) -> None:
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(text, encoding="utf-8")


async def test_keys_and_theme_come_from_the_config_file(home: Home) -> None:
    write_config('[app]\ntheme = "nord"\nglyphs = "ascii"\n[keys]\n"app.help" = "f2"\n')
    app = MusubiApp(home, settings=read_settings())
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        assert app.theme == "nord"
        await pilot.press("question_mark")
        assert isinstance(app.screen, JobsScreen)
        await pilot.press("f2")
        assert isinstance(app.screen, HelpScreen)
        assert "jobs.pause" in screen_text(app)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[keys]\n"jobs.puase" = "f9"', "unknown_key"),
        ('[keys]\n"jobs.pause" = "ctrl+b"', "bad_value"),
        ('[keys]\n"jobs.pause" = "q"', "key_clash"),
        ('[keys]\n"jobs.pause" = 3', "wrong_type"),
        ('[app]\nglyphs = "emoji"', "bad_value"),
        ('[app]\ntheme = "none-such"', "bad_value"),
        ("[app", "toml_syntax"),
    ],
)
def test_wrong_settings_are_told_before_the_app_opens(home: Home, text: str, code: str) -> None:
    write_config(text)
    with pytest.raises(ConfigError) as caught:
        MusubiApp(home, settings=read_settings())
    assert [problem.code for problem in caught.value.problems] == [code]


def test_no_default_key_is_forbidden_and_none_does_two_things() -> None:
    found = known_bindings()
    assert set(PLACES) == {name.partition(".")[0] for name in found}
    assert not [one for keys in found.values() for one in keys.split(",") if forbidden(one)]
    for place in PLACES:
        keys = [one for name, written in found.items() if name.startswith(f"{place}.") for one in written.split(",")]
        assert len(keys) == len(set(keys)), place
    check_keys(dict(found))


# Numbers and characters


def test_numbers_are_short() -> None:
    assert [duration(s) for s in (None, 20, 700, 6960, 400_000)] == ["", "<1m", "11m", "1h56", "4d15h"]
    assert [small(x) for x in (None, 0.0831, 1.2041, 12.307)] == ["", ".0831", "1.204", "12.31"]
    assert [per_step(x) for x in (None, 0.042, 1.234, 12.34)] == ["", ".042", "1.23", "12.3"]


def test_lines_are_broken_at_blanks_and_never_lose_a_letter() -> None:
    assert wrapped("ab cd efg", 5) == ["ab cd", "efg"]
    assert wrapped("abcdefgh i", 3) == ["abc", "def", "gh", "i"]
    assert wrapped("浮世絵の猫", 4) == ["浮世", "絵の", "猫"]
    assert wrapped("", 4) == [""]
    assert means([1, 2, 3, 4, 6], 2) == (1.5, 13 / 3)
    assert (means([1.0], 8), means([], 8)) == ((1.0,), ())


def test_wide_characters_are_never_halved() -> None:
    assert fit("浮世絵", 5) == "浮世…"
    assert cells(fit("浮世絵", 4)) == 4
    assert fit("ab", 4, right=True) == "  ab"


def test_bars_and_curves() -> None:
    assert UNICODE.bar(0.5, 5) == "██▌░░"
    assert ASCII.bar(0.5, 4) == "##.."
    assert UNICODE.sparkline([1.0, 2.0, 8.0]) == "▁▂█"
    assert UNICODE.sparkline([3.0, 3.0]) == "▁▁"


def test_the_first_screen_loads_neither_the_schema_nor_torch() -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom musubi_tui.runs.home import Home\n"
        "from musubi_tui.tui.app import MusubiApp\n"
        "async def main():\n"
        "    app = MusubiApp(Home(Path('/nonexistent'), '', True))\n"
        "    async with app.run_test(size=(80, 24)) as pilot:\n"
        "        while not app.has_read:\n            await pilot.pause(0.02)\n"
        "asyncio.run(main())\n"
        "print([m for m in sys.modules if m.startswith(('engine.config.schema', 'engine.config.sections', 'engine.config.load', 'pydantic', 'torch', 'numpy'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
