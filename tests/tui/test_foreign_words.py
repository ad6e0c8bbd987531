"""Words from outside in every dialog, notice and title: they steer no terminal, are no markup, and hold no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.screen import Screen
from textual.widgets import Input

from musubi_tui.presets import versus
from musubi_tui.presets.draft import Draft
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.screens.data.last import Wanted
from musubi_tui.tui.screens.data.opening import OpenScreen
from musubi_tui.tui.screens.data.words import WordsScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.preset.ask import Answer, ListScreen, PathScreen, ToldScreen
from musubi_tui.tui.screens.preset.diff import DiffScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.screens.stopping import when_to_stop
from tests.tui.made_runs import home_with, still_machine
from tests.tui.screen_text import screen_text

EVIL = "a\x1b]0;OWNED\x07\x1b]52;c;T1dORUQ=\x07\x9b31mred\x1b[3Jgone\x08\r\u202e [bold red]loud[/bold red] [@click=app.quit]x[/]"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def draft_of(folder: Path) -> Draft:
    """A draft whose file, values and comments are hostile, and which was changed."""
    path = folder / f"{EVIL.replace('/', '-')}.toml"
    path.write_text("family = 'wan'\noutput_name = \"x\"\n", "utf-8")
    draft = Draft.open(path)
    draft.replace(f"# {EVIL}\nfamily = 'wan'\noutput_name = \"\\u001b]0;OWNED\\u0007 [bold red]loud[/]\"\n")
    return draft


DIALOGS: dict[str, Callable[[Path], Screen[Any]]] = {
    "ask": lambda _: AskScreen(EVIL, EVIL, lambda text: text, lambda text: text + EVIL, value=EVIL, hint=EVIL),
    "confirm": lambda _: ConfirmScreen(EVIL, EVIL, (Choice("yes", "y", EVIL),), EVIL),
    "stop": lambda _: when_to_stop(EVIL, EVIL, 3),
    "help": lambda _: HelpScreen([("text", EVIL)], EVIL),
    "told": lambda _: ToldScreen(EVIL, [("text", EVIL)]),
    "list": lambda _: ListScreen(EVIL, [Answer("1", EVIL, EVIL)], hint=EVIL),
    "path": lambda _: PathScreen(EVIL, EVIL, Path("/"), hint=EVIL),
    "words": lambda _: WordsScreen(EVIL, [EVIL], EVIL),
    "data": lambda _: OpenScreen(Wanted(EVIL, EVIL, EVIL)),
    "start": lambda folder: StartScreen(Home(folder / EVIL, "test", True)),
    "diff": lambda folder: DiffScreen(draft := draft_of(folder), versus.saved_side(draft)),
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MusubiApp:
    still_machine(monkeypatch)
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    return MusubiApp(home_with(tmp_path / "home"))


@pytest.mark.parametrize("name", DIALOGS)
async def test_no_word_in_a_dialog_steers_the_terminal(app: MusubiApp, tmp_path: Path, name: str) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        app.push_screen(DIALOGS[name](tmp_path))
        await pilot.pause(0.1)
        seen = screen_text(app)
        assert STEERS.findall(seen) == []
        assert "OWNED" in seen
        assert "[bold red]loud" in seen  # as it was written


async def test_no_notice_and_no_answer_of_a_job_does(app: MusubiApp) -> None:
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        app.tell(f"{EVIL}\nsecond line")
        await pilot.pause(0.1)
        seen = screen_text(app)
        assert STEERS.findall(seen) == []
        assert "[bold red]loud" in seen
        assert any(line.strip().startswith("second line") for line in seen.splitlines())
        app.push_screen(StartScreen(app.home))
        await pilot.pause()
        app.screen.query_one(Input).value = f"/no/{EVIL}.toml"
        await pilot.press("enter")
        for _ in range(100):
            await pilot.pause(0.05)
            if "OWNED" in screen_text(app).partition("esc closes")[2]:
                break
        assert "OWNED" in screen_text(app).partition("esc closes")[2]
        assert STEERS.findall(screen_text(app)) == []
