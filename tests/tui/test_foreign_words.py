"""Words from outside in every dialog, notice and title: they steer no terminal, are no markup, and hold no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from musubi_tui.presets import versus
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.form import ALL, Look
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.screens.data.last import Wanted
from musubi_tui.tui.screens.data.opening import OpenScreen
from musubi_tui.tui.screens.data.words import WordsScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.preset.ask import Answer, ListScreen, PathScreen, ToldScreen
from musubi_tui.tui.screens.preset.checking import Checking
from musubi_tui.tui.screens.preset.diff import DiffScreen
from musubi_tui.tui.screens.preset.screen import PresetScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.screens.stopping import when_to_stop
from musubi_tui.tui.widgets.grid import PropertyGrid
from musubi_tui.tui.widgets.toml_view import TomlText
from tests.tui.made_runs import home_with, still_machine
from tests.tui.screen_text import screen_text

EVIL = "[red]a[/]\x1b]0;OWNED\x07\x1b]52;c;T1dORUQ=\x07\x9b31mred\x1b[3Jgone\x08\r\u202e [@click=app.quit]x[/]"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def draft_of(folder: Path) -> Draft:
    """A draft whose file, values and comments are hostile, and which was changed."""
    path = folder / f"{EVIL.replace('/', '-')}.toml"
    path.write_text("family = 'wan'\noutput_name = \"x\"\n", "utf-8")
    draft = Draft.open(path)
    draft.replace(f"# {EVIL}\nfamily = 'wan'\noutput_name = \"\\u001b]0;OWNED\\u0007 [red]a[/]\"\n")
    return draft


DIALOGS: dict[str, Callable[[Path], Screen[Any]]] = {
    "ask": lambda _: AskScreen(EVIL, EVIL, lambda text: text, lambda text: text + EVIL, value=EVIL, hint=EVIL),
    "confirm": lambda _: ConfirmScreen(EVIL, EVIL, (Choice("yes", "y", EVIL),), EVIL),
    "stop": lambda _: when_to_stop(EVIL, EVIL, None),
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


async def drawn(pilot: Pilot[Any], text: str) -> str:
    """The screen, once the text stands on it."""
    for _ in range(100):
        if text in screen_text(pilot.app):
            break
        await pilot.pause(0.05)
    assert text in screen_text(pilot.app)
    return screen_text(pilot.app)


@pytest.mark.parametrize("name", DIALOGS)
async def test_no_word_in_a_dialog_steers_the_terminal(app: MusubiApp, tmp_path: Path, name: str) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        app.push_screen(DIALOGS[name](tmp_path))
        await pilot.pause(0.1)
        seen = screen_text(app)
        assert STEERS.findall(seen) == []
        assert "OWNED" in seen
        assert "[red]a[/]" in seen  # as it was written


async def test_no_notice_and_no_answer_of_a_job_does(app: MusubiApp) -> None:
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        app.tell(f"{EVIL}\nsecond line")
        seen = await drawn(pilot, "second line")
        assert STEERS.findall(seen) == []
        assert "[red]a[/]" in seen
        assert [line for line in seen.splitlines() if "second line" in line and "gone" not in line]
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


# Secrets

IN_ENVIRONMENT = "env-token-0123456789"
SECRETS = [
    IN_ENVIRONMENT,
    "hf_AbCdEfGhIjKlMnOpQrStUvWx",
    "typed-key-0123456789",
    "swordfish-0123456789",
    "multi-line-0123456789",
]
OF_SECRETS = f"""\
# pass = {SECRETS[3]}
family = "wan"
task = "t2v-1.3B"
huggingface_token = '{SECRETS[1]}'
training_comment = "made with {SECRETS[1]} and {IN_ENVIRONMENT}"
output_name = "ink"  # {SECRETS[1]}

[[datasets]]
image_directory = "/data/{SECRETS[1]}"
"""


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text or secret[:14] in text]


async def test_no_secret_of_a_preset_is_on_the_screen_or_in_a_copied_command(
    app: MusubiApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", IN_ENVIRONMENT)
    monkeypatch.setattr("musubi_tui.tui.app.copy_locally", lambda text: copied.append(text) or "")
    monkeypatch.setattr(Checking, "CHECKS", False)
    copied: list[str] = []
    path = tmp_path / "ink.toml"
    path.write_text(OF_SECRETS, "utf-8")
    app.edit_first = str(path)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause(0.5)
        screen = app.screen
        assert isinstance(screen, PresetScreen)
        draft = screen.draft
        assert draft is not None
        draft.set({"wandb_api_key": SECRETS[2], "training_comment": f"{IN_ENVIRONMENT} again", "output_name": "pen"})
        draft.replace(draft.text.replace(SECRETS[1], f"{SECRETS[1]}Yz", 1))
        screen.look = Look(ALL, expert=True, everything=True)
        screen.draw()
        await pilot.pause()
        seen = []
        for name in (
            "huggingface_token",
            "wandb_api_key",
            "training_comment",
            "output_name",
            "datasets.0.image_directory",
        ):
            screen.query_one(PropertyGrid).choose(name)
            await pilot.pause(0.05)
            assert screen.query_one(PropertyGrid).cursor == name
            seen.append(screen_text(app))
            await pilot.press("y")
        await pilot.press("Y")
        await pilot.pause(0.1)
        seen.append(screen_text(app))
        twin = next(text for text in copied if "presets set" in text)
        assert 'huggingface_token="$HF_TOKEN"' in twin
        assert 'wandb_api_key="$WANDB_API_KEY"' in twin
        assert "output_name=pen" in twin
        told = next(notice.message for notice in app._notifications if "holds no secret" in notice.message)
        assert "HF_TOKEN" in told
        assert "WANDB_API_KEY" in told
        await pilot.press("d")
        await pilot.pause(0.1)
        assert isinstance(app.screen, DiffScreen)
        seen.append(screen_text(app))
        assert "+output_name" in seen[-1]
        await pilot.press("Y", "escape", "T")
        await pilot.pause(0.1)
        seen.append(screen_text(app))
        assert "huggingface_token" in seen[-1]
        draft.replace(draft.text + f'\nwandb_api_key = """\n{SECRETS[4]}\nmore\n"""\n')
        screen.changed()
        await pilot.pause(0.1)
        seen.append(screen_text(app))
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert screen.text_is_edited
        seen.append(screen_text(app))
        assert "huggingface_token" in seen[-1]
        await pilot.press("ctrl+home", *SECRETS[2].replace("-", ""))
        seen.append(screen_text(app))
        assert SECRETS[1] in screen.query_one(TomlText).text  # what is drawn is not what is kept
        for place, text in enumerate(seen):
            assert found_in(text) == [], (place, text)
        assert found_in("\n".join(copied)) == []
        assert len(copied) == 4
        assert copied[-1] == twin  # that of the differences to the saved file


async def test_a_screen_below_and_a_notice_hide_what_is_known_as_secret(
    app: MusubiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", IN_ENVIRONMENT)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.pause()
        app.tell(f"refused: {IN_ENVIRONMENT}, {SECRETS[1]}", wrong=True)
        app.push_screen(
            ConfirmScreen(SECRETS[1], IN_ENVIRONMENT, (Choice("yes", "y", SECRETS[1]),), f"x --token {SECRETS[2]}")
        )
        await drawn(pilot, "refused: <redacted>")
        assert found_in(screen_text(app)) == []
        app.push_screen(
            AskScreen("Which?", "", lambda text: text, lambda text: f"x {text}", value=f"--pass {SECRETS[3]}")
        )
        await pilot.pause()
        await pilot.press("end", "space", *SECRETS[1])
        await pilot.pause()
        assert app.screen.query_one(Input).value == f"--pass {SECRETS[3]} {SECRETS[1]}"
        assert "--pass ****" in screen_text(app)
        assert found_in(screen_text(app)) == []
