"""How the dialogs of Data, of the preset editor and of the wizard look, at both sizes and without colour: one file per look with all of them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen

from musubi_tui.datasets.scanning import Progress
from musubi_tui.presets.wizard.session import Session
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.data import screen as data_screen
from musubi_tui.tui.screens.data.last import remember
from musubi_tui.tui.screens.preset.checking import Checking
from musubi_tui.tui.screens.wizard import WizardScreen
from musubi_tui.tui.settings import Settings
from tests.tui.made_runs import home_with, still_machine
from tests.tui.screen_text import assert_text, screen_text
from tests.tui.test_data_screen import WANTED, Here, cursor_on, opened, settled, until
from tests.tui.test_data_screen import folder as folder  # a fixture
from tests.tui.test_preset_screen import INK, editing
from tests.tui.test_wizard_screen import at, press
from tests.unit.wizard_set import around, write_models, write_pictures

LOOKS = ("80x24", "160x48", "mono")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose path has the same length everywhere: dialogs show it, and wrap it."""
    with tempfile.TemporaryDirectory(prefix="m", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setattr(data_screen, "Scanning", Here)
    monkeypatch.setenv("TZ", "UTC")
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR", "VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    return home_with(tmp_path / "home")


def size_of(look: str) -> tuple[int, int]:
    return (160, 48) if look == "160x48" else (80, 24)


def app_for(home: Home, look: str, monkeypatch: pytest.MonkeyPatch) -> MusubiApp:
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    return MusubiApp(home, settings=Settings(theme="mono" if look == "mono" else ""))


def modal(app: MusubiApp) -> Callable[[], bool]:
    return lambda: isinstance(app.screen, ModalScreen)


async def closed(pilot: Pilot[Any]) -> None:
    """Back to the screen below."""
    app = pilot.app
    for _ in range(5):
        if not isinstance(app.screen, ModalScreen):
            return
        await pilot.press("escape")
        await pilot.pause()
    raise AssertionError(screen_text(app))


@pytest.mark.parametrize("look", LOOKS)
async def test_the_dialogs_of_data(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    app = app_for(home, look, monkeypatch)
    drawn = []
    async with app.run_test(size=size_of(look)) as pilot:
        found = await opened(pilot)
        for name, keys in (("open", "o"), ("words", "s"), ("fix", "F")):
            await pilot.press(keys)
            await until(pilot, modal(app))
            if name == "fix":
                await pilot.press("3")
            await pilot.pause(0.1)
            drawn.append(f"== {name}\n{screen_text(app)}")
            await closed(pilot)
        await pilot.press("a", *"zz")
        await pilot.pause()
        drawn.append(f"== caption\n{screen_text(app)}")
        (folder / "pics" / "a0.txt").write_text("ohwx of theirs\n", encoding="utf-8")
        await pilot.press("ctrl+s")
        await until(pilot, modal(app))
        drawn.append(f"== caption of somebody else\n{screen_text(app)}")
        await pilot.press("k")
        await until(pilot, lambda: not found.query("#caption-editor"))
        cursor_on(found, "street")
        await until(pilot, lambda: settled(found))
        await pilot.press("f")
        await until(pilot, lambda: "40 frames" in screen_text(app))
        drawn.append(f"== frames\n{screen_text(app)}")
        await pilot.press("slash", *"street")
        await until(pilot, lambda: "6/16" in screen_text(app) and settled(found))
        drawn.append(f"== filter\n{screen_text(app)}")
    assert_text("\n".join(drawn).replace(folder.name, "m-------0"), f"data-dialogs-{look}")


@pytest.mark.parametrize("look", LOOKS)
async def test_the_dialogs_of_the_preset_editor(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    monkeypatch.setattr(Checking, "CHECKS", False)
    monkeypatch.setattr("musubi_tui.tui.screens.help.config_file", lambda: Path("~/.config/musubi-tui/config.toml"))
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    ink = tmp_path / "ink.toml"
    ink.write_text(INK, encoding="utf-8")
    theme = {"theme": "mono"} if look == "mono" else {}
    drawn = []
    async with editing(home, ink, size_of(look), **theme) as editor:

        async def draw(name: str) -> None:
            await editor.pilot.pause(0.1)
            drawn.append(f"== {name}\n{editor.text}")

        async def shown(name: str, *keys: str) -> None:
            await editor.press(*keys)
            await editor.until(modal(editor.app))
            await draw(name)
            await closed(editor.pilot)

        await editor.go("optimizer_type")
        await shown("choices", "enter")
        await editor.go("learning_rate")
        await editor.press("enter")
        await draw("a value is typed")
        await editor.press("escape", "equals_sign")
        await shown("diff", "d")
        await shown("diff with the defaults", "d", "f")
        await shown("save as", "S")
        await shown("history", "H")
        await shown("launch", "L")
        await shown("explain", "f1")
        await editor.press("o")
        await draw("open another")
        await editor.press("escape")
        await editor.press("slash")
        await editor.type("rank")
        await draw("search")
        await editor.press("escape")
        ink.write_text(INK.replace("batch_size = 2", "batch_size = 3"))
        editor.screen.look_at_disk()
        await editor.until(lambda: "somebody else changed" in editor.text)
        await shown("saving over somebody else's", "ctrl+s")
    text = "\n".join(drawn)
    assert_text(text.replace(tmp_path.name, "m-------0"), f"preset-dialogs-{look}")


@pytest.mark.parametrize("look", LOOKS)
async def test_the_questions_about_captions(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    monkeypatch.setattr("musubi_tui.presets.wizard.session.drafts.kept", list, raising=False)
    (tmp_path / "work").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "work")
    write_models(tmp_path / "work" / "models")
    write_pictures(tmp_path / "work" / "bella", 2, 0)
    app = app_for(home, look, monkeypatch)
    drawn = []
    async with app.run_test(size=size_of(look)) as pilot:
        app.push_screen(WizardScreen(Session(around(tmp_path))))
        await at(pilot, "captions")
        drawn.append(f"== captions\n{screen_text(app)}")
        await press(pilot, "up", "enter")
        drawn.append(f"== sentence\n{screen_text(app)}")
    assert_text("\n".join(drawn), f"wizard-dialogs-{look}")


class Slow:
    """A scan that is not finished while anybody looks."""

    def __init__(self, request: dict[str, Any], hear: Callable[[Any], None]) -> None:
        threading.Thread(target=lambda: hear(Progress("scan", 41200, 100000)), daemon=True).start()

    def stop(self) -> None:
        """It ends by itself."""


@pytest.mark.parametrize("look", LOOKS)
async def test_data_without_a_dataset(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    drawn = []

    async def draw(name: str, ready: str) -> None:
        app = app_for(home, look, monkeypatch)
        async with app.run_test(size=size_of(look)) as pilot:
            await pilot.press("3")
            await until(pilot, lambda: ready in screen_text(app))
            drawn.append(f"== {name}\n{screen_text(app)}")

    await draw("empty", "No dataset is open")
    remember(home.path, WANTED)
    text = (folder / "dataset.toml").read_text(encoding="utf-8")
    (folder / "dataset.toml").write_text("[[datasets]]\nimage_directry = 'pics'\nresolution = 'big'\n")
    await draw("broken", "is not a key of a dataset file")
    (folder / "dataset.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(data_screen, "Scanning", Slow)
    await draw("scanning", "41200/100000")
    assert_text("\n".join(drawn), f"data-states-{look}")
