"""The run screen under the mouse, its log, wide characters in its first lines, and how it is seen again the next time."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.events import MouseEvent, MouseScrollDown, MouseScrollUp
from textual.geometry import Offset
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from engine.events.control import unanswered
from engine.events.lines import encode_line
from engine.events.types import RunStart, Sample, Step, Warned
from musubi_tui.cli import opening
from musubi_tui.runs.home import Home, config_file
from musubi_tui.terminal_width import cells
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.commands import MusubiCommands
from musubi_tui.tui.glyphs import ASCII, UNICODE
from musubi_tui.tui.remembered import MOST_LOOKS, Remembered, RunLook, keep, recall, state_file
from musubi_tui.tui.screens.run import RunScreen, RunSource, panels
from musubi_tui.tui.settings import Settings, read_settings
from musubi_tui.tui.widgets.chart import LossChart
from musubi_tui.tui.widgets.lines import Lines, width_of
from tests.tui.made_runs import STORY, Made, home_with, make_run, still_machine
from tests.tui.screen_text import assert_snapshot, assert_text, screen_text
from tests.tui.test_jobs import read, run_named
from tests.tui.test_overlays import colours
from tests.tui.test_run_panels import fold, text
from tests.tui.test_run_screen import REPLAY, SMALL, Shown, _the_same_clock_everywhere  # noqa: F401  # a fixture


async def roll(pilot: Pilot[Any], widget: Widget, kind: type[MouseEvent], x: int, y: int, times: int = 1, **how: bool) -> None:  # fmt: skip
    """Turn the wheel over a cell of a widget's inside."""
    place = widget.content_region.offset + Offset(x, y)
    for _ in range(times):
        pilot.app.screen._forward_event(kind(None, place.x, place.y, 0, 0, 0, how.get("shift", False), False, False, place.x, place.y))  # fmt: skip
    await pilot.pause()


async def click(pilot: Pilot[Any], widget: Widget, x: int, y: int) -> None:
    await pilot.click(widget, offset=(x, y))
    await pilot.pause()


# The mouse


async def test_the_wheel_zooms_at_the_pointer_and_a_click_puts_the_cursor_there() -> None:
    app = Shown(RunSource.replay(REPLAY))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        chart = app.run_screen.query_one(LossChart)
        whole = chart._range()
        columns = chart.content_region.width - 6
        column = columns // 4
        under = whole[0] + (column + 0.5) * (whole[1] - whole[0]) / columns
        await roll(pilot, chart, MouseScrollUp, 6 + column, 3, 2)
        low, high = chart._range()
        assert (high - low) == pytest.approx((whole[1] - whole[0]) / 2.25)
        assert low + (column + 0.5) * (high - low) / columns == pytest.approx(under)  # what was looked at stays there
        await roll(pilot, chart, MouseScrollDown, 40, 3, shift=True)
        assert chart._range()[0] > low
        await roll(pilot, chart, MouseScrollDown, 40, 3, 9)
        assert chart.window is None
        await roll(pilot, chart, MouseScrollUp, 2, 3)  # on the labels of the axis
        assert chart.window is None
        await click(pilot, chart, 1 + 6 + column, 3)
        assert chart.cursor == pytest.approx(under)
        assert f" {int(chart.cursor_step)} raw" in chart.plain()
        assert app.focused is chart
        await pilot.mouse_down(chart, offset=(20, 3))
        await pilot.mouse_up(chart, offset=(60, 3))
        assert chart.cursor == pytest.approx(under)  # a drag is no click
        assert not app.screen.selections
        await click(pilot, chart, chart.region.width - 2, 3)
        assert chart.cursor is None


async def test_samples_follow_a_click(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    told: list[Any] = [RunStart(1, 0, {"max_train_steps": 40})]
    for step in range(1, 41):
        told += [Step(step=step, loss=0.1)] + ([Sample("/x.png", "p", 3, step)] if step % 10 == 0 else [])
    events.write_bytes(b"".join(encode_line(place, 1e9 + place, event) for place, event in enumerate(told)))
    app = Shown(RunSource.replay(events))
    async with app.run_test(size=(160, 48)) as pilot:
        await app.until(pilot, lambda screen: "step 40" in screen.query_one("#samples", Lines).plain())
        chart = app.run_screen.query_one(LossChart)
        await click(pilot, chart, chart.region.width // 2, 3)
        await app.until(pilot, lambda screen: "step 40" not in screen.query_one("#samples", Lines).plain())
        assert "step 10" in app.run_screen.query_one("#samples", Lines).plain()


async def test_tabs_are_clicked_and_the_wheel_scrolls_what_is_long() -> None:
    app = Shown(RunSource.replay(REPLAY))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        bottom = app.run_screen.query_one("#bottom", Lines)
        for tab in ("samples", "t-hist", "blocks", "alerts", "log"):
            line = next(line for line in screen_text(app).splitlines() if "t-hist" in line and "samples" in line)
            await click(pilot, bottom, cells(line[: line.index(tab) + len(tab) - 1]), 0)
            assert app.run_screen.tab == tab
        end = bottom.plain()
        app.run_screen.query_one(LossChart).focus()
        await roll(pilot, bottom, MouseScrollUp, 20, 1, 2)
        assert app.run_screen.back == 6
        assert bottom.plain() != end
        await roll(pilot, bottom, MouseScrollDown, 20, 1, 3)
        assert bottom.plain() == end
        before = app.run_screen.strip.prompt
        await pilot.press("tab")
        await roll(pilot, bottom, MouseScrollDown, 20, 1)
        assert app.run_screen.strip.prompt != before or len(app.run_screen.strip.prompts(app.run_screen.view)) == 1  # type: ignore[arg-type]
        vitals = app.run_screen.query_one("#vitals")
        await roll(pilot, vitals, MouseScrollDown, 20, 1)  # nothing to scroll there


@pytest.mark.parametrize(("config", "option", "wanted"), [("", True, True), ("", False, False), ("off", True, False), ("on", False, False)])  # fmt: skip
def test_the_mouse_can_be_left_to_the_terminal(monkeypatch: pytest.MonkeyPatch, config: str, option: bool, wanted: bool) -> None:  # fmt: skip
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text(f'[app]\nmouse = "{config}"\n' if config else "", encoding="utf-8")
    told: list[bool] = []
    monkeypatch.setattr(opening, "full_screen", lambda: True)
    monkeypatch.setattr("musubi_tui.tui.images.choose_images", lambda *_: None)
    monkeypatch.setattr(MusubiApp, "run", lambda self, *, mouse: told.append(mouse))
    assert opening.open_app(mouse=option) == 0
    assert told == [wanted]


def test_no_mouse_belongs_to_the_app(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from musubi_tui.cli.root import run

    told: list[bool] = []
    monkeypatch.setattr(opening, "full_screen", lambda: True)
    monkeypatch.setattr(opening, "open_app", lambda *_, mouse, **__: told.append(mouse) or 0)
    assert run(["--no-mouse"]) == 0
    assert run(["runs", "open", "--replay", str(REPLAY), "--no-mouse"]) == 0
    assert run(["presets", "edit", "--no-mouse"]) == 0
    assert run([]) == 0
    assert told == [False, False, False, True]
    assert run(["--no-mouse", "runs", "list"]) == 2
    assert "is for the app" in capsys.readouterr().err
    config_file().parent.mkdir(parents=True, exist_ok=True)
    config_file().write_text('[app]\nmouse = "never"\n', encoding="utf-8")
    with pytest.raises(Exception, match=r"config\.toml:2: mouse is 'never'"):
        read_settings()


# The log


class Copying(Shown):
    """Remembers what was copied."""

    def __init__(self, source: RunSource) -> None:
        super().__init__(source)
        self.copied: list[str] = []

    def copy(self, text: str) -> None:
        self.copied.append(text)


async def test_the_log_by_weight_its_lines_copied_and_in_an_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    events = tmp_path / "events.jsonl"
    told = [RunStart(1, 0, {"max_train_steps": 9}), Warned("a", "first \x1b[2Jtrouble", "Do it."), Step(step=1, loss=0.5), Warned("b", "only a word", "")]  # fmt: skip
    events.write_bytes(b"".join(encode_line(place, 1e9 + place, event) for place, event in enumerate(told)))
    app = Copying(RunSource.replay(events))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        bottom = app.run_screen.query_one("#bottom", Lines)
        assert "only a word" in bottom.plain()
        await pilot.press("y")
        assert "only a word" in app.copied[-1]
        await pilot.press("e")
        assert "only a word" not in bottom.plain()
        assert "trouble" in bottom.plain()
        assert "log warnings+ 1/3" in screen_text(app)
        await pilot.press("y")
        assert "trouble" in app.copied[-1]
        assert "\x1b" not in app.copied[-1]
        await pilot.press("e")
        assert "log errors 0/3" in screen_text(app)
        await pilot.press("y")
        await pilot.pause()
        assert "there is no line to copy" in screen_text(app)
        await pilot.press("e")
        assert "only a word" in bottom.plain()
        editor = tmp_path / "editor"
        editor.write_text(f'#!/bin/sh\ncat "$1" > {tmp_path}/seen\necho junk > "$1"\n')
        editor.chmod(0o755)
        monkeypatch.setenv("VISUAL", str(editor))
        monkeypatch.setattr(type(app._driver), "can_suspend", True)
        await pilot.press("E")
        await pilot.pause()
        seen = (tmp_path / "seen").read_text()
        assert "trouble" in seen
        assert "\x1b" not in seen


async def test_the_editor_gets_what_the_engine_printed_and_the_run_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    run = make_run(tmp_path, STORY[2])
    run.engine_log.write_text("line one\nline two\n")
    app = Shown(RunSource.live(run.path))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        monkeypatch.setenv("VISUAL", "false")
        await pilot.press("E")
        await pilot.pause()
        assert "no terminal here" in screen_text(app)
        assert app.run_screen._whole_log() == "line one\nline two\n"
        monkeypatch.setattr("musubi_tui.tui.screens.run.log._MOST_BYTES", 9)
        assert app.run_screen._whole_log() == "line two\n"


# Wide characters

LONG = "浮世絵の猫と犬の長い長い名前のテスト用の設定その二"
NOTE = "学習率を下げると動きが良くなった。次は rank を 64 にして、解像度も上げてみる予定"


@pytest.mark.parametrize("width", [80, 100, 120, 160])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
def test_the_header_keeps_state_and_step_whatever_the_name(width: int, glyphs: Any) -> None:
    steps = [Step(step=step, epoch=3, loss=0.1, step_s=1.25) for step in range(1, 61)]
    told = RunStart(1, 0, {"max_train_steps": 12000, "output_name": "x", "family": "wan", "task": "t2v-14B"}, "", 3.0)
    view = fold(told, *steps)
    for name in ("a", "a" * 100, "浮" * 60, LONG):
        from dataclasses import replace

        lines = panels.header(replace(view, name=name, state="running"), width, glyphs, NOTE)
        assert [width_of(line) for line in lines] == [width, width]
        first, second = text(lines).splitlines()
        assert " running " in first
        assert "60/12000 0%" in first
        assert "ETA" in first
        assert (glyphs.ellipsis in first) == (name not in first)
        assert "学習率を下げる" in second
        assert glyphs.ellipsis in second or cells(NOTE) <= width - 14


@pytest.mark.parametrize("size", [SMALL, (160, 48)], ids=["80x24", "160x48"])
async def test_a_japanese_name_and_note(tmp_path: Path, size: tuple[int, int]) -> None:
    events = tmp_path / "events.jsonl"
    told: list[Any] = [RunStart(1, 0, {"max_train_steps": 12000, "output_name": LONG}, "", 3.0)]
    told += [Step(step=step, epoch=3, loss=0.3 / step, step_s=1.25) for step in range(1, 61)]
    events.write_bytes(b"".join(encode_line(place, 1e9 + place, event) for place, event in enumerate(told)))
    app = Shown(RunSource.replay(events))
    async with app.run_test(size=size) as pilot:
        await app.shown(pilot)
        app.run_screen.tell(NOTE)
        await pilot.pause()
        assert_snapshot(app, f"run_wide_{size[0]}x{size[1]}")


# Seen again


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    return home_with(tmp_path / "home", Made("ink", "done", "20261121-070000", "wan", 300, 300, 300))


async def opened(pilot: Pilot[Any], until: Callable[[RunScreen], bool] = lambda screen: screen.view is not None) -> RunScreen:  # fmt: skip
    await read(pilot)
    await pilot.press("1", "enter")
    for _ in range(300):
        await pilot.pause(0.02)
        screen = pilot.app.screen
        if isinstance(screen, RunScreen) and screen.view is not None and until(screen):
            return screen
    raise AssertionError(screen_text(pilot.app))


async def test_a_run_is_seen_again_as_it_was_left(home: Home) -> None:
    async with MusubiApp(home).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("L", "x", "S", "o", "plus", "plus", "e", "slash", *"sample", "enter", "q")
    (look,) = recall()[0].looks.values()
    assert look.words == "sample"
    async with MusubiApp(home).run_test(size=SMALL) as pilot:
        screen = await opened(pilot, lambda screen: screen.query_one(LossChart).window is not None)
        chart = screen.query_one(LossChart)
        assert chart.title.split() == ["loss", "log", "ema", ".99", "x:epoch", "zoom"]
        assert chart.window == look.window
        assert screen.level == "warn"
        await pilot.pause(0.1)
        assert "/sample" in screen_text(pilot.app)
        assert pilot.app.focused is screen.query_one("#bottom")
        await pilot.press("escape", "0", "2")  # back to usual, and another mode
        await pilot.pause(0.1)
    (look,) = recall()[0].looks.values()
    assert (look.words, look.level, look.window) == ("", "", None)


async def test_of_many_runs_the_newest_looks_are_kept_and_a_window_out_of_reach_is_not(home: Home) -> None:
    kept = Remembered()
    for number in range(MOST_LOOKS + 5):
        kept = kept.with_look(f"/runs/{number}", RunLook(axis="time"))
    kept = kept.with_look("/runs/20", RunLook(axis="cost"))
    assert len(kept.looks) == MOST_LOOKS
    assert "/runs/4" not in kept.looks
    assert list(kept.looks)[-1] == "/runs/20"
    run = next((home.path / "runs").iterdir())
    keep(
        kept.with_look(str(run), RunLook(window=(5000.0, 6000.0), tab="nowhere", panel="memory", axis="moon", decay=99))
    )
    async with MusubiApp(home).run_test(size=SMALL) as pilot:
        screen = await opened(pilot)
        await pilot.pause(0.1)
        assert screen.query_one(LossChart).window is None
        assert (screen.query_one(LossChart).axis, screen.tab) == ("step", "log")
        assert pilot.app.focused is screen.query_one(LossChart)  # memory has no place at this size


@pytest.mark.parametrize(
    "looks",
    ["3", "[]", '{"/x": 3}', '{"/x": {"axis": 3}}', '{"/x": {"window": [1]}}', '{"/x": {"window": [2, 1]}}', '{"/x": {"window": [0, NaN]}}',
     '{"/x": {"clip": 1}}', '{"/x": {"window": "ab"}}', '{"/x": {"words": "%s"}}' % ("x" * 500)],
)  # fmt: skip
def test_a_damaged_look_costs_nothing(looks: str) -> None:
    state_file().parent.mkdir(parents=True, exist_ok=True)
    state_file().write_text(f'{{"mode": "compare", "looks": {looks}}}', encoding="utf-8")
    kept, told = recall()
    assert kept == Remembered()
    assert "starts afresh" in told


async def test_theme_and_characters_picked_in_the_palette_are_there_again(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=SMALL) as pilot:
        await read(pilot)
        found = {words: run for words, _, run in MusubiCommands(app.screen)._commands()}
        assert "Suspend: back to the shell until `fg`" not in found  # a test has no shell
        found["Theme: nord"]()
        found["Draw with ascii characters"]()
        found["Spare the link: fewer frames, no pictures"]()
        await pilot.pause()
        assert app.eco
        assert "eco" in screen_text(app).splitlines()[0]
        found = {words: run for words, _, run in MusubiCommands(app.screen)._commands()}
        assert "Spare the link: fewer frames, no pictures" not in found
    app = MusubiApp(home)
    assert (app.theme, app.glyphs, app.eco) == ("nord", ASCII, False)
    app = MusubiApp(home, settings=Settings(theme="dracula", glyphs="unicode"))  # the file says otherwise
    assert (app.theme, app.glyphs) == ("dracula", UNICODE)
    values = json.loads(state_file().read_text())
    state_file().write_text(json.dumps(values | {"theme": "gone", "glyphs": "gone"}))
    app = MusubiApp(home)
    assert app.theme == "musubi"
    assert os.environ.get("NO_COLOR") is None


# How its dialogs look


@pytest.mark.parametrize("look", ["80x24", "160x48", "mono"])
async def test_what_the_run_screen_asks_and_what_it_says_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:  # fmt: skip
    """One file per look with all of them."""
    still_machine(monkeypatch)
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    size = (160, 48) if look == "160x48" else SMALL
    settings = Settings(theme="mono" if look == "mono" else "")
    app = MusubiApp(Home(tmp_path / "empty", "test", True), settings=settings)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        await pilot.press("4")
        await pilot.pause()
        drawn = [f"== no run\n{screen_text(app)}"]
    home = home_with(tmp_path / "home", STORY[0])
    app = MusubiApp(home, settings=settings)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, lambda screen: "ink-style" in screen.query_one("#head", Lines).plain())
        for name, key, words in (
            ("note", "m", "少し暗い, $HOME"),
            ("sample of a prompt", "N", "a heron in ink, 墨 --w 512"),
        ):
            await pilot.press(key)
            await pilot.pause()
            app.screen.query_one(Input).value = words
            await pilot.pause()
            dialog = app.screen.query_one("#ask").region
            rows = screen_text(app).splitlines()[dialog.y : dialog.bottom]
            assert look != "mono" or colours(app) == set()
            drawn.append(f"== {name}\n" + "\n".join(rows) + "\n")
            await pilot.press("enter" if key == "N" else "escape")
        for _ in range(100):  # closed before the engine has an answer
            await pilot.pause(0.02)
            if isinstance(app.screen, RunScreen):
                break
        (command,) = unanswered(run_named(home, "ink-style"))
        assert (command.command, command.arguments) == ("sample", {"prompts": ["a heron in ink, 墨 --w 512"]})
        assert app.cli_twin().endswith(" --prompt 'a heron in ink, 墨 --w 512'")
    assert_text("\n".join(drawn), f"run-asks-{look}")


def test_leaving_does_not_wait_for_the_engines_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be in the middle of a long preview; Textual would wait for a worker's thread when it ends."""
    still_machine(monkeypatch)
    home = home_with(tmp_path / "home", STORY[0])
    app = MusubiApp(home)

    async def ask_and_leave() -> None:
        async with app.run_test(size=SMALL) as pilot:
            await opened(pilot, lambda screen: "ink-style" in screen.query_one("#head", Lines).plain())
            await pilot.press("c")
            for _ in range(100):
                if unanswered(run_named(home, "ink-style")):
                    return
                await pilot.pause(0.02)
            raise AssertionError("nothing was asked for")

    monkeypatch.setattr("musubi_tui.tui.steering.ANSWER_SECONDS", 60.0)
    began = time.monotonic()
    asyncio.run(ask_and_leave())
    assert time.monotonic() - began < 30
