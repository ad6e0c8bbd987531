"""The preset editor: what it shows at both sizes, what every key does to the file, and that nothing is ever lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from musubi_tui.presets import journal
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.editing import set_values
from musubi_tui.presets.form import ALL, Look
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.preset.ask import ListScreen, PathScreen
from musubi_tui.tui.screens.preset.checking import Checking
from musubi_tui.tui.screens.preset.diff import DiffScreen, difference_lines
from musubi_tui.tui.screens.preset.history import HistoryScreen
from musubi_tui.tui.screens.preset.screen import PresetScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.widgets.grid import PropertyGrid
from musubi_tui.tui.widgets.toml_view import TomlText, TomlView
from tests.tui.made_runs import home_with, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text

INK = """\
# ink style, for 24 GB
[run]
family = "wan"
task = "t2v-1.3B"
output_name = "ink"  # the LoRA file

[model]
dit = 'models/wan2.1_t2v_1.3B_bf16.safetensors'
vae = "models/Wan2.1_VAE.pth"

[network]
network_dim = 32     # rank
network_alpha = 16

[optimizer]
learning_rate = 2e-4 # halve it if motion falls apart
optimizer_type = "adamw8bit"

[memory]
blocks_to_swap = 16

[general]
batch_size = 2
resolution = [832, 480]

[[datasets]]
image_directory = "pictures"
cache_directory = "cache"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    for variable in ("SSH_CONNECTION", "TMUX", "VISUAL", "EDITOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Checking, "CHECKS", False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return home_with(tmp_path / "home")


@pytest.fixture
def ink(tmp_path: Path) -> Path:
    path = tmp_path / "ink.toml"
    path.write_text(INK, encoding="utf-8")
    return path


class Editor:
    """The app with one preset open."""

    def __init__(self, pilot: Pilot[Any]) -> None:
        self.pilot = pilot
        self.app: MusubiApp = pilot.app  # type: ignore[assignment]

    @property
    def screen(self) -> PresetScreen:
        return next(screen for screen in self.app.screen_stack if isinstance(screen, PresetScreen))

    @property
    def draft(self) -> Draft:
        assert self.screen.draft is not None
        return self.screen.draft

    @property
    def text(self) -> str:
        return screen_text(self.app)

    async def press(self, *keys: str) -> None:
        for one in keys:
            await self.pilot.press(one)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        names = {
            " ": "space",
            "/": "slash",
            "-": "minus",
            ".": "full_stop",
            "_": "underscore",
            "=": "equals_sign",
            "'": "apostrophe",
        }
        await self.press(*(names.get(character, character) for character in text))

    async def go(self, name: str) -> None:
        """Put the cursor on an option, whatever section it is in."""
        self.screen.look = Look(ALL, expert=True, everything=True)
        self.screen.draw()
        await self.pilot.pause()
        self.screen.query_one(PropertyGrid).choose(name)
        await self.pilot.pause()

    async def until(self, what: Callable[[], bool]) -> None:
        for _ in range(300):
            if what():
                await self.pilot.pause()
                return
            await self.pilot.pause(0.02)
        raise AssertionError(self.text)


@contextlib.asynccontextmanager
async def editing(home: Home, path: Path | None, size: tuple[int, int] = (80, 24), **settings: Any) -> Any:
    app = MusubiApp(home, settings=Settings(**settings))
    app.edit_first = str(path or "")
    async with app.run_test(size=size) as pilot:
        editor = Editor(pilot)
        await editor.until(
            lambda: app.current_mode == "preset" and any(isinstance(one, PresetScreen) for one in app.screen_stack)
        )
        if path is not None:
            await editor.until(lambda: editor.screen.draft is not None)
        await pilot.pause()
        yield editor


# What it looks like


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_the_form(home: Home, ink: Path, size: tuple[int, int]) -> None:
    async with editing(home, ink, size) as editor:
        await editor.press(
            "right_square_bracket", "right_square_bracket", "right_square_bracket", "down", "equals_sign"
        )
        assert_snapshot(editor.app, f"preset-{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_problems_say_what_f_does(home: Home, ink: Path, size: tuple[int, int]) -> None:
    ink.write_text(INK.replace("network_dim = 32", 'network_dim = "32"') + "", encoding="utf-8")
    set_text = ink.read_text().replace("[memory]", "[memory]\nfp8_scaled = true\nnonsense = 1\nlearning_rat = 1")
    ink.write_text(set_text, encoding="utf-8")
    async with editing(home, ink, size) as editor:
        await editor.press("exclamation_mark")
        assert_snapshot(editor.app, f"preset-problems-{size[0]}x{size[1]}")


@pytest.mark.parametrize("settings", [{"glyphs": "ascii"}, {"theme": "mono"}], ids=["ascii", "mono"])
async def test_ascii_and_mono(home: Home, ink: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    if "theme" in settings:
        monkeypatch.setenv("NO_COLOR", "1")
    async with editing(home, ink, **settings) as editor:
        await editor.press("right_square_bracket", "right_square_bracket", "right_square_bracket", "equals_sign")
        assert_snapshot(editor.app, "preset-ascii" if "glyphs" in settings else "preset-mono")
        if "glyphs" in settings:
            assert editor.text.isascii(), [line for line in editor.text.splitlines() if not line.isascii()]
        await editor.press("T")
        if "glyphs" in settings:
            assert editor.text.isascii()
        await editor.press("enter", "x", "escape", "d", "escape", "P", "f1", "escape")
        assert "x" in editor.draft.text


async def test_dialogs_without_colour(home: Home, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with editing(home, ink, theme="mono") as editor:
        await editor.go("optimizer_type")
        for key, told in (
            ("enter", "type it"),
            ("S", "tab completes"),
            ("L", "--detach"),
            ("d", "esc close"),
            ("H", "(open)"),
        ):
            await editor.press(key)
            await editor.until(lambda told=told: told in editor.text)
            if key in ("enter", "H"):
                assert_snapshot(editor.app, "preset-choices-mono" if key == "enter" else "preset-history-mono")
            await editor.press("escape")


async def test_history_leads_to_versions_and_runs(home: Home, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.config.run_file import write_run_toml
    from engine.config.schema import Config
    from musubi_tui.presets.versions import make, plan_next
    from tests.tui.made_runs import STORY, make_run

    monkeypatch.setenv("MUSUBI_TUI_HOME", str(home.path))
    run = make_run(home.path, STORY[2])
    write_run_toml(Config.of({"family": "wan", "network_dim": 99}), run.run_toml, kind="train", stages=["train"])
    (run.path / "origin.json").write_text(json.dumps({"preset": str(ink)}))
    second = make(plan_next(ink), "halve it, 半分に").preset
    set_values(second, {"learning_rate": "1e-4"})
    async with editing(home, second) as editor:

        async def history() -> None:
            await editor.press("H")
            await editor.until(lambda: isinstance(editor.app.screen, HistoryScreen))

        await history()
        assert "halve it, 半分に" in editor.text
        assert "changed: learning_rate 2e-4 -> 1e-4" in editor.text
        await editor.press("down", "down", "enter")
        assert isinstance(editor.app.screen, DiffScreen)
        assert f"against {run.id}" in editor.text
        await editor.press("v")
        assert "against v1, its parent" in editor.text
        assert "1e-4" in editor.text
        await editor.press("escape")
        await history()
        await editor.press("D", "x", "enter")
        third = ink.with_name("ink-v3.toml")
        await editor.until(lambda: editor.draft.path == third)
        await history()
        await editor.press("down", "down", "enter")
        await editor.until(lambda: editor.draft.path == ink)
        await editor.go("seed")
        await editor.press("equals_sign", "D")
        assert "saved file: ^s first" in editor.text


async def test_the_text_on_the_whole_screen(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("learning_rate")
        await editor.press("equals_sign", "T")
        await editor.pilot.pause()
        assert_snapshot(editor.app, "preset-toml-80x24")
        await editor.press("T")
        assert editor.screen.focused is editor.screen.query_one(PropertyGrid)


# Values


async def test_numbers_step_and_a_saved_file_differs_in_one_line(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("network_dim")
        await editor.press("equals_sign")
        assert "1 unsaved" in editor.text.splitlines()[0]
        await editor.press("ctrl+s")
        assert ink.read_text() == INK.replace("network_dim = 32 ", "network_dim = 64 ")
        assert "unsaved" not in editor.text.splitlines()[0]
        await editor.press("minus", "minus")
        assert editor.draft.facts.value("network_dim") == 16


async def test_the_floating_editor_takes_checks_and_leaves(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("learning_rate")
        await editor.press("enter")
        field = editor.screen.query_one("#value", Input)
        assert field.has_focus
        assert field.value == "2e-4"
        grid = editor.screen.query_one(PropertyGrid)
        region = grid.value_region()
        assert region is not None
        assert field.region.offset == grid.region.offset + region.offset, "it lies on the value"
        await editor.press("ctrl+u")
        await editor.type("fast")
        await editor.press("enter")
        assert "must be a number" in editor.text
        assert field.has_focus, "what is wrong stays open"
        await editor.press("ctrl+u")
        await editor.type("3.5e-4")
        await editor.press("enter")
        assert "learning_rate = 3.5e-4 # halve" in editor.draft.text
        await editor.press("enter", "up", "escape")
        assert "learning_rate = 3.5e-4 # halve" in editor.draft.text
        await editor.press("enter", "up", "enter")
        assert "learning_rate = 7e-4 # halve" in editor.draft.text


async def test_yes_no_choices_lists_and_tables(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("gradient_checkpointing")
        await editor.press("enter")
        assert editor.draft.facts.value("gradient_checkpointing") is False
        await editor.press("space")
        assert editor.draft.facts.value("gradient_checkpointing") is True
        await editor.go("mixed_precision")
        await editor.press("enter")
        assert isinstance(editor.app.screen, ListScreen)
        await editor.press("j", "enter")
        assert 'mixed_precision = "' in editor.draft.text
        await editor.go("network_args")
        await editor.press("enter")
        await editor.type("rank_dropout=0.1 verbose=true")
        await editor.press("enter")
        assert 'network_args = ["rank_dropout=0.1", "verbose=true"]' in editor.draft.text
        await editor.go("general")
        await editor.press("enter")
        area = editor.screen.query_one(TomlText)
        assert area.has_focus
        assert editor.draft.text.splitlines()[area.cursor_location[0]] == "[general]"


async def test_a_pattern_that_is_none_is_told(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("network_args")
        await editor.press("enter")
        editor.screen.query_one("#value", Input).value = "\"exclude_patterns=[r'.*(single']\""
        await editor.press("enter")
        assert "is not a pattern" in editor.text
        assert not editor.draft.dirty
        editor.screen.query_one("#value", Input).value = "\"exclude_patterns=[r'.*single.*']\""
        await editor.press("enter")
        assert editor.draft.facts.value("network_args") == ["exclude_patterns=[r'.*single.*']"]


async def test_paths_complete_with_tab(home: Home, ink: Path) -> None:
    (ink.parent / "models").mkdir()
    (ink.parent / "models" / "wan_one.safetensors").touch()
    async with editing(home, ink) as editor:
        await editor.go("dit")
        await editor.press("enter", "ctrl+u")
        await editor.type("mod")
        await editor.press("tab")
        field = editor.screen.query_one("#value", Input)
        assert field.value == "models/"
        assert "wan_one.safetensors" in editor.text
        await editor.press("tab", "enter")
        assert "dit = 'models/wan_one.safetensors'" in editor.draft.text


async def test_wide_characters_are_typed_and_keep_the_layout(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("output_name")
        await editor.press("enter", "ctrl+u")
        await editor.press(*"墨絵の鷺")
        assert editor.screen.query_one("#value", Input).value == "墨絵の鷺"
        await editor.press("enter")
        assert 'output_name = "墨絵の鷺"  # the LoRA file' in editor.draft.text
        from musubi_tui.terminal_width import cells

        framed = [line for line in editor.text.splitlines() if line.startswith("│")]
        assert {cells(line) for line in framed} == {80}


async def test_reset_undo_and_redo(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("network_alpha")
        await editor.press("x")
        assert "network_alpha" not in editor.draft.text
        await editor.press("u")
        assert editor.draft.text == INK
        assert not editor.draft.dirty
        await editor.press("u")
        assert "nothing to undo" in editor.text
        await editor.press("ctrl+r")
        assert "network_alpha" not in editor.draft.text


async def test_f_fixes_and_offers_the_square_root_rule(home: Home, ink: Path) -> None:
    ink.write_text(INK.replace("network_dim = 32 ", 'network_dim = "8"'), encoding="utf-8")
    async with editing(home, ink) as editor:
        await editor.go("network_dim")
        await editor.press("f")
        assert "network_dim = 8 " in editor.draft.text
        await editor.press("f")
        assert "nothing to fix here" in editor.text
        await editor.go("gradient_accumulation_steps")
        for _ in range(3):
            await editor.press("equals_sign")
        assert editor.draft.facts.value("learning_rate") == 2e-4, "shown, not applied"
        assert "2 → 8 per step" in editor.text
        assert "4e-4" in editor.text
        await editor.press("f")
        assert "learning_rate = 4e-4 # halve" in editor.draft.text
        assert "square-root" not in editor.text


async def test_the_batch_size_in_the_file_is_edited_and_offers_the_rule(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("general.batch_size")
        await editor.press("equals_sign")
        assert "batch_size = 4\n" in editor.draft.text
        assert "2 → 4 per step" in editor.text
        await editor.press("enter", "ctrl+u", "0", "enter")
        assert "at least 1" in editor.text, "what is wrong stays open"
        await editor.press("ctrl+u", "8", "enter")
        assert "batch_size = 8\n" in editor.draft.text
        await editor.press("f")
        assert "learning_rate = 4e-4 # halve" in editor.draft.text
        assert not editor.draft.beyond_twin()
        assert "general.batch_size=8" in editor.draft.twin()
        await editor.go("datasets.0.image_directory")
        await editor.press("enter", "ctrl+u")
        await editor.type("../x")
        await editor.press("enter", "ctrl+s")
        assert ink.read_text() == INK.replace("batch_size = 2", "batch_size = 8").replace("2e-4", "4e-4").replace('"pictures"', '"../x"')  # fmt: skip


async def test_the_form_is_searched_and_narrowed(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.press("slash")
        await editor.type("warmup")
        grid = editor.screen.query_one(PropertyGrid)
        assert [row.key for row in grid.rows if row.key] == [
            "lr_scheduler",
            "lr_warmup_steps",
        ] or "lr_warmup_steps" in [row.key for row in grid.rows]
        await editor.press("enter")
        assert grid.has_focus
        await editor.press("escape", "full_stop")
        shown = [row.key for row in grid.rows if row.key]
        assert "network_alpha" in shown
        assert "network_dim" not in shown, "32 is the family's default"
        await editor.press("escape")
        plain = len(grid.rows)
        await editor.press("e")
        assert len(grid.rows) > plain


async def test_the_mouse_chooses_and_edits(home: Home, ink: Path) -> None:
    async with editing(home, ink, (160, 48)) as editor:
        await editor.pilot.click("#sections", offset=(4, 4))
        grid = editor.screen.query_one(PropertyGrid)
        assert editor.screen.look.section == "network"
        place = next(n for n, row in enumerate(grid.rows) if row.key == "network_alpha")
        await editor.pilot.click(grid, offset=(8, place))
        assert grid.cursor == "network_alpha"
        await editor.pilot.click(grid, offset=(45, place))
        assert editor.screen.query_one("#value", Input).has_focus


# Text, broken text


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_text_that_is_not_toml_is_edited_as_text(home: Home, ink: Path, size: tuple[int, int]) -> None:
    ink.write_text(INK.replace('family = "wan"', "family = wan"), encoding="utf-8")
    async with editing(home, ink, size) as editor:
        area = editor.screen.query_one(TomlText)
        assert area.has_focus
        assert area.cursor_location[0] == 2
        assert_snapshot(editor.app, f"preset-broken-{size[0]}x{size[1]}")
        await editor.press("end", "backspace", "backspace", "backspace")
        await editor.press("quotation_mark", *"wan", "quotation_mark")
        await editor.press("escape")
        assert editor.draft.text == INK
        assert editor.draft.facts.syntax is None
        await editor.press("ctrl+s")
        assert ink.read_text() == INK


async def test_what_somebody_writes_while_the_text_is_edited_is_not_undone(home: Home, ink: Path) -> None:
    """The text editor holds a copy: it must follow the file, and what was typed must not be taken for the file's."""
    theirs = INK.replace("batch_size = 2", "batch_size = 3")
    async with editing(home, ink) as editor:
        await editor.press("T", "enter")
        ink.write_text(theirs)
        editor.screen.look_at_disk()
        await editor.until(lambda: editor.draft.text == theirs)
        editor.screen.take_text()
        assert (editor.draft.text, editor.draft.dirty) == (theirs, False)
        await editor.press("x")
        ink.write_text(INK)
        editor.screen.look_at_disk()
        await editor.until(lambda: "somebody else changed" in editor.text)
        assert editor.draft.dirty
        assert "batch_size = 3" in editor.draft.text


async def test_the_floating_editor_follows_its_value(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("learning_rate")
        await editor.press("enter")
        grid, field = editor.screen.query_one(PropertyGrid), editor.screen.query_one("#value", Input)
        grid.scroll_relative(y=2, animate=False)
        await editor.until(
            lambda: (region := grid.value_region()) is None or field.region.y == grid.region.y + region.y
        )
        grid.scroll_relative(y=40, animate=False)
        await editor.until(lambda: not field.display)
        assert grid.has_focus


async def test_typing_in_the_text_changes_the_form(home: Home, ink: Path) -> None:
    ink.write_bytes(INK.replace("\n", "\r\n").encode())
    async with editing(home, ink, (160, 48)) as editor:
        await editor.go("network_dim")
        await editor.press("T", "enter")
        area = editor.screen.query_one(TomlText)
        assert area.cursor_location[0] == INK.splitlines().index("network_dim = 32     # rank")
        await editor.press("home", "delete", *"N")
        await editor.until(lambda: "unknown" in str(editor.draft.facts.problems) or editor.draft.dirty)
        await editor.press("escape")
        assert editor.draft.text == INK.replace("\n", "\r\n").replace("network_dim", "Network_dim")
        await editor.press("ctrl+s")
        assert ink.read_bytes().count(b"\r\n") == INK.count("\n")


# Files


def test_values_that_work_are_not_called_not_built() -> None:
    from engine.config.schema import OPTIONS
    from musubi_tui.tui.screens.preset.dock import values_built

    schedule, precision = OPTIONS["lr_scheduler"], OPTIONS["mixed_precision"]
    assert values_built(schedule, "constant", works=True) == "also built: constant_with_warmup, cosine, linear"
    assert values_built(precision, "no", works=True) == "also built: bf16 / not built: fp16"
    assert values_built(precision, "fp16", works=False) == "fp16 is not built yet. Built: no, bf16"


async def test_the_picker_opens_by_list_and_by_path(home: Home, ink: Path) -> None:
    async with editing(home, None) as editor:
        await editor.press("z")  # a list to choose from is no panel to zoom
        assert_snapshot(editor.app, "preset-picker-80x24")
        assert editor.app.cli_twin() == "musubi-tui presets list"
        await editor.press("slash")
        await editor.type(str(ink.parent) + "/in")
        await editor.press("tab", "enter")
        await editor.until(lambda: editor.screen.draft is not None)
        assert editor.draft.path == ink
        await editor.press("o")
        listed = editor.screen.query_one(OptionList)
        assert listed.has_focus
        assert "recent   ink" in editor.text
        await editor.press("slash")
        await editor.type("zzzz")
        assert "No preset fits these words." in editor.text
        await editor.press("escape", "slash")
        await editor.type("/nowhere/x.toml")
        await editor.press("enter")
        assert "nowhere" in editor.text
        await editor.press("escape", "escape")
        assert editor.screen.query_one(PropertyGrid).has_focus


async def test_shipped_presets_are_saved_as_ones_own(home: Home) -> None:
    from engine.config.preset_folders import own_presets_folder, presets_root

    shipped = presets_root() / "wan-2.1-1.3b-t2v-24gb.toml"
    before = shipped.read_bytes()
    async with editing(home, shipped) as editor:
        await editor.go("seed")
        await editor.press("equals_sign", "ctrl+s")
        assert isinstance(editor.app.screen, PathScreen)
        await editor.press("enter")
        own = own_presets_folder() / shipped.name
        assert own.read_bytes() == before.replace(b"seed = 42 ", b"seed = 43 ")
        assert editor.draft.path == own
    assert shipped.read_bytes() == before


async def test_a_file_changed_by_somebody_else_is_asked_about(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("seed")
        await editor.press("equals_sign")
        theirs = INK.replace("batch_size = 2", "batch_size = 3")
        ink.write_text(theirs)
        editor.screen.look_at_disk()
        await editor.until(lambda: "somebody else changed" in editor.text)
        await editor.press("ctrl+s")
        assert isinstance(editor.app.screen, ConfirmScreen)
        await editor.press("d")
        assert isinstance(editor.app.screen, DiffScreen)
        assert "batch_size = 3" in editor.text
        await editor.press("escape", "ctrl+s", "escape")
        assert ink.read_text() == theirs
        await editor.press("ctrl+s", "r")
        assert editor.draft.text == theirs
        await editor.press("u")
        assert "seed = 43" in editor.draft.text
        await editor.press("ctrl+s")
        assert "seed = 43" in ink.read_text()
        ink.write_text(theirs)
        await editor.press("equals_sign", "ctrl+s", "o")
        assert "seed = 44" in ink.read_text()


async def test_a_clean_draft_follows_the_file(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        ink.write_text(INK.replace("network_alpha = 16", "network_alpha = 8"))
        editor.screen.look_at_disk()
        await editor.until(lambda: editor.draft.facts.value("network_alpha") == 8)
        assert not editor.draft.dirty
        await editor.press("u")
        assert editor.draft.facts.value("network_alpha") == 16


async def test_a_draft_that_was_kept_on_leaving_is_known_to_the_shell(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        app = editor.app
        await editor.press("q")
    assert app.kept_draft is None, "nothing was changed"
    async with editing(home, ink) as editor:
        app = editor.app
        editor.screen.attempt(lambda: editor.draft.replace(INK.replace("dim = 32", "dim = 48")))
        await editor.press("q")
    assert app.kept_draft == ink
    assert journal.kept(ink) is not None


async def test_unsaved_changes_are_offered_after_a_crash(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("seed")
        await editor.press("equals_sign")
        await editor.until(lambda: journal.kept(ink) is not None)
    async with editing(home, ink) as editor:
        await editor.until(lambda: isinstance(editor.app.screen, ConfirmScreen))
        assert "changes that were not saved" in editor.text
        await editor.press("r")
        assert "seed = 43" in editor.draft.text
        await editor.press("ctrl+s")
        await editor.until(lambda: journal.kept(ink) is None)


async def test_your_own_editor_and_back_with_a_diff(
    home: Home, ink: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "ed.sh"
    script.write_text("#!/bin/sh\nsed -i.bak 's/network_dim = 32/network_dim = 48/' \"$2\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.setenv("VISUAL", f"{shlex.quote(str(script))} --wait")
    async with editing(home, ink) as editor:
        await editor.press("E")
        assert "no terminal" in editor.text, "a browser or a pipe has none to hand over"
        terminal = []

        @contextlib.contextmanager
        def suspend() -> Iterator[None]:
            """As Textual's: what is raised inside keeps it from taking the terminal back."""
            terminal.append("handed over")
            yield
            terminal.append("taken back")

        monkeypatch.setattr(editor.app, "suspend", suspend)
        await editor.press("E")
        assert isinstance(editor.app.screen, DiffScreen)
        assert "+network_dim = 48" in editor.text
        assert_snapshot(editor.app, "preset-diff-80x24")
        await editor.press("escape")
        assert editor.draft.text == INK.replace("network_dim = 32", "network_dim = 48")
        assert ink.read_text() == INK, "only a save writes"
        monkeypatch.setenv("VISUAL", "false")
        await editor.press("E")
        assert "ended with code 1" in editor.text
        monkeypatch.setenv("VISUAL", "no-such-editor-at-all")
        await editor.press("E")
        assert "cannot be started" in editor.text
        assert terminal == ["handed over", "taken back"] * 3


async def test_diffs_against_defaults_a_preset_and_runs(home: Home, ink: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(INK.replace("network_alpha = 16", "network_alpha = 4"))
    async with editing(home, ink, (160, 48)) as editor:
        await editor.press("d")
        assert "against the defaults" in editor.text
        assert "blocks_to_swap" in editor.text
        await editor.press("p")
        await editor.type(str(other))
        await editor.press("enter")
        assert "network_alpha" in editor.text
        await editor.press("r")
        assert "There are no runs yet" in editor.text
        await editor.press("b")
        assert "builds on no other preset" in editor.text
        await editor.press("s")
        assert "No difference" in editor.text


# Launch, twin, help


async def test_errors_block_a_launch_and_nothing_else_does(
    home: Home, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(
        "musubi_tui.tui.steering.start", lambda preset, home, made, hooks: started.append(preset) or "ink: running"
    )
    async with editing(home, ink) as editor:
        await editor.go("network_dim")
        editor.draft.replace(INK.replace("network_dim = 32", "network_dim = -1"))
        editor.screen.changed()
        await editor.press("L")
        assert "to mend before a start" in editor.text
        await editor.press("ctrl+s")
        assert "network_dim = -1" in ink.read_text(), "saving is always allowed"
        await editor.press("u", "L")
        assert isinstance(editor.app.screen, ConfirmScreen)
        assert "saved first" in editor.text
        await editor.press("n")
        await editor.until(lambda: bool(started))
        assert started == [str(ink)]
        assert ink.read_text() == INK
        await editor.until(lambda: editor.app.current_mode == "jobs")


async def test_a_launch_shows_the_commands_that_the_preset_brings_along(
    home: Home, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[object] = []
    monkeypatch.setattr(
        "musubi_tui.tui.acting.enqueue", lambda preset, home, made, hooks: queued.append(dict(hooks)) or "queued"
    )
    ink.write_text('on_finish = ["runpodctl", "stop", "pod"]\n' + INK)
    async with editing(home, ink) as editor:
        await editor.press("L", "q")
        await editor.until(lambda: "on_finish: runpodctl stop pod" in editor.text)
        assert "--allow-hooks" in editor.text
        await editor.press("y")
        await editor.until(lambda: bool(queued))
        assert queued == [{"on_finish": ["runpodctl", "stop", "pod"]}]


async def test_the_twin_makes_all_unsaved_changes(home: Home, ink: Path, tmp_path: Path) -> None:
    async with editing(home, ink) as editor:
        assert editor.app.cli_twin() == f"musubi-tui presets check {ink}"
        await editor.go("learning_rate")
        await editor.press("equals_sign")
        await editor.go("blocks_to_swap")
        await editor.press("x")
        twin = editor.app.cli_twin()
        assert twin == f"musubi-tui presets set {ink} learning_rate=4e-4 blocks_to_swap=none"
        set_values(ink, dict(word.split("=", 1) for word in shlex.split(twin)[4:]))
        assert ink.read_text() == editor.draft.text


async def test_help_names_every_key_and_f1_explains_the_option(home: Home, ink: Path) -> None:
    async with editing(home, ink) as editor:
        await editor.go("learning_rate")
        await editor.press("f1")
        assert isinstance(editor.app.screen, HelpScreen)
        assert "the most important number" in " ".join(editor.text.split())
        await editor.press("escape", "question_mark")
        assert "preset.step_up" in editor.text or "preset.edit" in editor.text


async def test_files_and_pictures_are_looked_at_beside(home: Home, ink: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checking, "CHECKS", True)
    async with editing(home, ink) as editor:
        await editor.until(lambda: any(one.code == "missing_file" for one in editor.screen.problems))
        keys = {one.key for one in editor.screen.problems if one.code == "missing_file"}
        assert {"dit", "vae"} <= keys
        (ink.parent / "models").mkdir()
        (ink.parent / "models" / "wan2.1_t2v_1.3B_bf16.safetensors").touch()
        await editor.go("seed")
        await editor.press("equals_sign")
        await editor.until(lambda: "dit" not in {one.key for one in editor.screen.problems})


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_the_plan_follows_every_edit(
    home: Home, ink: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a plan needs is gathered beside the keys, once per rest; an edit only asks the planner again."""
    from engine.planner.cards import find_card
    from engine.planner.facts import Machine
    from musubi_tui.presets import planning

    machine = Machine(card=find_card("4090"), total=24 << 30)
    monkeypatch.setattr(planning, "this_machine", lambda: machine)
    monkeypatch.setattr(planning, "_disk_free", lambda values: {})
    monkeypatch.setattr(Checking, "CHECKS", True)
    async with editing(home, ink, size) as editor:
        await editor.until(lambda: editor.screen.request is not None)
        await editor.until(lambda: "/24.0G" in editor.text)
        monkeypatch.setattr(Checking, "CHECKS", False)
        await editor.go("gradient_checkpointing")
        before = editor.screen._plan_line
        await editor.press("space")
        await editor.until(lambda: editor.screen._plan_line != before)
        assert editor.screen._plan_line in editor.text or size[0] > 80
        assert float(editor.screen._plan_line.split("/")[0]) > float(before.split("/")[0]), (
            "nothing is recomputed: more is kept"
        )
        await editor.until(lambda: re.search(r"on +-\d+\.\d GB +\+", editor.text) is not None)
        row = next(line for line in editor.text.splitlines() if "gradient_checkpointing   " in line and "G -" in line)
        assert re.search(r"off +on +\+\d\.\dG -0", row), "against its default"
        await editor.press("P")
        assert "what would make it fit" in editor.text or "training:" in editor.text
        await editor.press("escape")
        await editor.go("learning_rate")
        await editor.pilot.pause(0.3)
        assert editor.screen.figures.beside(editor.screen.request, editor.draft.facts, "learning_rate") == ()
        editor.draft.replace(editor.draft.text.replace("network_dim = 32", "network_dim = -1"))
        editor.screen.changed()
        await editor.until(lambda: editor.screen._plan_line == "")


async def test_odd_files_are_told_and_nothing_is_lost(home: Home, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"seed = 1 \xff")
    big = tmp_path / "big.toml"
    keys = "\n".join(f"unknown_{n} = {n}" for n in range(10_000))
    big.write_text(f'family = "wan"\nseed = 1\n{keys}\n')
    async with editing(home, None) as editor:
        editor.screen.open_word(str(bad))
        await editor.pilot.pause()
        assert "UTF-8" in editor.text
        assert editor.screen.draft is None
        editor.screen.open_word(str(big))
        await editor.until(lambda: editor.screen.draft is not None)
        await editor.press("down")
        await editor.go("seed")
        await editor.press("equals_sign")
        await editor.until(lambda: "seed = 2\n" in editor.draft.text)
        await editor.press("ctrl+s")
        await editor.until(lambda: "seed = 2\n" in big.read_text())
        assert big.read_text() == f'family = "wan"\nseed = 2\n{keys}\n'
        view = editor.screen.query_one(TomlView)
        await editor.press("T", "G")
        assert view.cursor == 10_002


async def test_five_megabytes_are_edited_in_one_line(home: Home, tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    remarks = "".join(
        f"# remark {n} of a file that some program wrote, as long as it pleased to\n" for n in range(70_000)
    )
    huge.write_text(f'family = "wan"\nseed = 1\n{remarks}')
    assert huge.stat().st_size > 5_000_000
    async with editing(home, huge, (160, 48)) as editor:
        await editor.go("seed")
        await editor.press("equals_sign")
        await editor.until(lambda: "seed = 2\n" in editor.draft.text and not editor.screen.busy)
        await editor.press("T", "G")
        assert editor.screen.query_one(TomlView).cursor == 70_002
        assert "remark 69999" in editor.text
        await editor.press("enter")
        assert "E opens $EDITOR" in editor.text, "too long for the text editor of the app, and that is said"
        await editor.press("ctrl+s")
        await editor.until(lambda: "seed = 2\n" in huge.read_text())
    assert huge.read_text() == f'family = "wan"\nseed = 2\n{remarks}'


_JAPANESE = """
import asyncio, os, sys
from pathlib import Path
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.preset.checking import Checking
from tests.tui.screen_text import screen_text

async def main():
    Checking.CHECKS = False
    app = MusubiApp(Home(Path(sys.argv[1]), "test", True))
    app.edit_first = sys.argv[2]
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(500):
            await pilot.pause(0.02)
            if getattr(app.screen, "draft", None) is not None:
                break
        await pilot.press("right_square_bracket", "right_square_bracket", "right_square_bracket", "equals_sign")
        await pilot.pause()
        text = screen_text(app)
    sys.stdout.buffer.write(text.encode())

asyncio.run(main())
"""


def test_japanese_keeps_the_layout(home: Home, ink: Path, tmp_path: Path) -> None:
    from musubi_tui.terminal_width import cells
    from tests.tui.screen_text import SNAPSHOTS

    ink.write_text(INK.replace('"ink"', '"墨絵の鷺"'), encoding="utf-8")
    environment = {**os.environ, "MUSUBI_TUI_LANG": "ja", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _JAPANESE, str(tmp_path / "home"), str(ink)],
        env=environment,
        capture_output=True,
        check=True,
    )
    text = done.stdout.decode()
    assert {cells(line) for line in text.splitlines() if line.startswith(("│", "╭", "╰"))} == {80}
    snapshot = SNAPSHOTS / "preset-ja-80x24.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")


async def test_jobs_opens_the_preset_of_a_run_and_the_run_is_compared_with(
    home: Home, ink: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.config.run_file import write_run_toml
    from engine.config.schema import Config
    from tests.tui.made_runs import STORY, make_run
    from tests.tui.test_jobs import read

    monkeypatch.setenv("MUSUBI_TUI_HOME", str(home.path))
    run = make_run(home.path, STORY[2])
    write_run_toml(Config.of({"family": "wan", "network_dim": 99}), run.run_toml, kind="train", stages=["train"])
    (run.path / "origin.json").write_text(json.dumps({"preset": str(ink)}))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        editor = Editor(pilot)
        await read(pilot)
        await editor.press("e")
        await editor.until(lambda: app.current_mode == "preset" and editor.screen.draft is not None)
        assert editor.draft.path == ink
        await editor.press("d", "r")
        assert f"against {run.id}" in editor.text
        assert isinstance(app.screen, DiffScreen)
        lines = [line.split() for line, _ in difference_lines(editor.draft, app.screen._side, 70)]
        assert ["network_dim", "32", "99"] in lines
        await editor.press("a", "enter")
        assert f"against {run.id}" in editor.text
