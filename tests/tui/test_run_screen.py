"""The run screen as a person meets it: at both sizes, without colour, in ASCII, live and from a recording."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from textual.app import App
from textual.widgets import Static

from engine.events.control import Ack, unanswered, write_ack
from engine.events.lines import encode_line, iso_time
from engine.events.process import ProcessIdentity
from engine.events.reader import read_events
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Block, Control, Host, Plan, RunStart, Sample, Step, Warned
from engine.events.viewers import Viewers
from musubi_tui.tui.glyphs import ASCII, UNICODE
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.run import RunScreen, RunSource
from musubi_tui.tui.screens.run.tune import TuneScreen
from musubi_tui.tui.theme import MONO, MUSUBI
from musubi_tui.tui.widgets.chart import LossChart
from musubi_tui.tui.widgets.lines import Lines
from tests.tui.screen_text import assert_snapshot, screen_text

REPLAY = Path(__file__).parent.parent / "data" / "replay" / "interrupted.jsonl"
SWAP = REPLAY.with_name("swap.jsonl")  # streams blocks of a 14B model
SMALL, LARGE = (80, 24), (160, 48)


@pytest.fixture(autouse=True)
def _the_same_clock_everywhere(monkeypatch):
    for name in ("SSH_CONNECTION", "TMUX", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Shown(App[None]):
    """The smallest app around the screen."""

    def __init__(self, source: RunSource, glyphs=UNICODE, mono: bool = False) -> None:
        super().__init__()
        self.glyphs = glyphs
        self.run_screen = RunScreen(source)
        for theme in (MUSUBI, MONO):
            self.register_theme(theme)
        self.theme = "mono" if mono else "musubi"
        self.set_class(glyphs is ASCII, "-ascii")

    def on_mount(self) -> None:
        self.push_screen(self.run_screen)

    async def until(self, pilot, reached: Callable[[RunScreen], bool], seconds: float = 8.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await pilot.pause(0.02)
            if self.run_screen.view is not None and reached(self.run_screen):
                await pilot.pause()
                return
        raise AssertionError(f"not reached:\n{screen_text(self)}")

    async def shown(self, pilot) -> None:
        await self.until(pilot, lambda screen: screen.query_one("#bottom", Lines).plain() != "")


def cut(tmp_path: Path, until: Callable[[object], bool], recording: Path = REPLAY) -> RunSource:
    """The recording up to the first record that fits, with what lies beside it."""
    path = tmp_path / "cut.jsonl"
    if recording is SWAP:
        (tmp_path / "cut.items.jsonl").write_bytes(SWAP.with_name("swap.items.jsonl").read_bytes())
        (tmp_path / "swap-samples").symlink_to(SWAP.with_name("swap-samples"))
    with path.open("wb") as file:
        for record in read_events(recording):
            file.write(encode_line(record.seq, record.t, record.event))
            if until(record.event):
                break
    return RunSource.replay(path)


def at_step(number: int) -> Callable[[object], bool]:
    return lambda event: isinstance(event, Step) and event.step == number


MOMENTS = {
    "before": lambda event: type(event).__name__ == "Plan",
    "first": at_step(1),
    "middle": at_step(120),
}


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
@pytest.mark.parametrize("moment", [*MOMENTS, "done"])
async def test_moments_of_the_recording(tmp_path, moment, size):
    source = cut(tmp_path, MOMENTS[moment]) if moment in MOMENTS else RunSource.replay(REPLAY)
    app = Shown(source)
    async with app.run_test(size=size) as pilot:
        await app.shown(pilot)
        assert_snapshot(app, f"run_{moment}_{size[0]}x{size[1]}")


def seen_computing(times: int) -> Callable[[object], bool]:
    """The block 21 is computed for so many times while somebody looks."""
    seen = []

    def reached(event: object) -> bool:
        if isinstance(event, Block) and (event.index, event.state) == (21, "computing"):
            seen.append(event)
        return len(seen) == times

    return reached


SWAP_MOMENTS = {"watched": seen_computing, "hot": lambda _: at_step(1300), "over": lambda _: lambda event: False}


async def settled(app: Shown, pilot) -> None:
    """Drawn, pictures included."""
    await app.shown(pilot)
    screen = app.run_screen
    if screen.query_one("#samples", Lines).size.height:
        await app.until(pilot, lambda screen: "▀" in screen.query_one("#samples", Lines).plain() or app.no_color)
        await pilot.pause(0.2)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
@pytest.mark.parametrize("moment", SWAP_MOMENTS)
async def test_moments_of_the_recording_that_streams_blocks(tmp_path, moment, size):
    app = Shown(cut(tmp_path, SWAP_MOMENTS[moment](3), SWAP))
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        assert_snapshot(app, f"run_swap_{moment}_{size[0]}x{size[1]}")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
async def test_streaming_without_colour(tmp_path, monkeypatch, size):
    monkeypatch.setenv("NO_COLOR", "1")
    app = Shown(cut(tmp_path, seen_computing(3), SWAP), mono=True)
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        assert_snapshot(app, f"run_swap_mono_{size[0]}x{size[1]}")


async def test_the_table_of_blocks_and_the_heights_of_timesteps(tmp_path):
    app = Shown(cut(tmp_path, seen_computing(3), SWAP))
    async with app.run_test(size=LARGE) as pilot:
        await app.shown(pilot)
        bottom, bins = app.run_screen.query_one("#bottom", Lines), app.run_screen.query_one("#bins", Lines)
        await pilot.press("B")
        assert [line.split()[0] for line in bottom.plain().splitlines()[1:4]] == ["0", "1", "2"]
        await pilot.press("down", "down")
        assert bottom.plain().splitlines()[1].split()[0] == "2"
        assert "title_card.mp4" in app.run_screen.query_one("#health", Lines).plain()
        before = bins.plain()
        await pilot.press("h")
        assert bins.plain() != before
        assert "█" in bins.plain()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
async def test_without_colour_everything_is_said_in_characters(monkeypatch, size):
    monkeypatch.setenv("NO_COLOR", "1")
    app = Shown(RunSource.replay(REPLAY), mono=True)
    assert app.no_color
    async with app.run_test(size=size) as pilot:
        await app.shown(pilot)
        assert_snapshot(app, f"run_mono_{size[0]}x{size[1]}")
        assert "✓ ink-wash done" in screen_text(app)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
async def test_ascii_glyphs_draw_nothing_else(tmp_path, size):
    app = Shown(cut(tmp_path, at_step(120)), ASCII)
    async with app.run_test(size=size) as pilot:
        await app.shown(pilot)
        for tab in RunScreen.TABS:
            app.run_screen.action_show_tab(tab)
            await pilot.pause()
            ours = "\n".join(widget.plain() for widget in app.run_screen.query(Lines))
            foreign = {char for char in ours if not char.isascii()}
            # prompts and the degree sign are not drawn by us
            assert foreign <= set("°雨の中の赤い狐、水墨画…"), foreign
        assert "running" in screen_text(app)


async def test_the_chart_answers_to_its_keys():
    app = Shown(RunSource.replay(REPLAY))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        chart = app.run_screen.query_one(LossChart)
        await pilot.press("L", "x", "S", "o")
        assert chart.title.split() == ["loss", "log", "ema", ".99", "x:epoch"]
        await pilot.press("x", "x", "x", "x", "L", "s", "o", "plus", "plus")
        assert chart.window == pytest.approx((156, 208), abs=1)
        await pilot.press("less_than_sign", "0", "left", "shift+left")
        assert chart.window is None
        assert 160 < chart.cursor_step < 195
        assert f" {int(chart.cursor_step)} raw" in chart.plain()
        for _ in range(12):
            await pilot.press("right")
        assert chart.cursor is None
        await pilot.press("v", "r")
        assert "◇" in chart.plain()


async def test_samples_follow_the_cursor_and_are_drawn(tmp_path):
    events = tmp_path / "events.jsonl"
    with events.open("wb") as file:
        file.write(encode_line(0, 1e9, RunStart(1, 0, {"max_train_steps": 40})))
        for step in range(1, 41):
            file.write(encode_line(2 * step, 1e9 + step, Step(step=step, loss=0.1)))
            if step % 10 == 0:
                path = tmp_path / f"{step}.png"
                Image.new("RGB", (64, 32), (255, 40, 40)).save(path)
                file.write(encode_line(2 * step + 1, 1e9 + step, Sample(str(path), "a \x1b[31m[bold]heron", 3, step)))
    app = Shown(RunSource.replay(events))
    async with app.run_test(size=LARGE) as pilot:
        await app.until(pilot, lambda screen: "▀" in screen.query_one("#samples", Lines).plain())
        text = app.run_screen.query_one("#samples", Lines).plain()
        assert "step 40" in text
        assert "[bold]heron" in text
        assert "\x1b" not in text
        for _ in range(2):
            await pilot.press("shift+left")
        text = app.run_screen.query_one("#samples", Lines).plain()
        assert "step 30" in text
        assert "step 40" not in text


async def test_tabs_and_zoom():
    app = Shown(RunSource.replay(REPLAY))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        bottom = app.run_screen.query_one("#bottom", Lines)
        await pilot.press("tab")
        assert "a heron in ink" in bottom.plain()
        await pilot.press("tab")
        assert "t 0.83-1.00" in bottom.plain()
        await pilot.press("tab")
        assert "40 + 20 blocks" in bottom.plain()
        await pilot.press("tab")
        assert "spike" in bottom.plain()
        await pilot.press("shift+tab", "exclamation_mark", "tab", "up", "up")
        assert "validation 200" in bottom.plain().splitlines()[-1]
        await pilot.press("f")
        assert "done" in bottom.plain().splitlines()[-1]
        app.run_screen.maximize(bottom)  # what z does, everywhere in the app
        await pilot.pause(0.1)
        assert len(bottom.plain().splitlines()) > 10
        app.run_screen.minimize()
        await pilot.pause(0.1)
        assert len(bottom.plain().splitlines()) == 3


async def test_a_run_without_swap_says_so(tmp_path):
    events = tmp_path / "events.jsonl"
    host = Host((), 2 << 30, 8 << 30, 32 << 30, 0, 50 * 10**9)
    records = [RunStart(1, 0, {"max_train_steps": 9}), Step(step=1, loss=0.5, forward_s=0.1, step_s=0.2), host]
    events.write_bytes(b"".join(encode_line(place, 1e9, event) for place, event in enumerate(records)))
    app = Shown(RunSource.replay(events))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        text = screen_text(app)
        assert "all blocks resident, no swap" in text
        assert re.search(r"ram .*2\.0 of 8\.0/32\.0G +no GPU", text)


async def test_a_run_that_waits_in_the_queue_promises_nothing(tmp_path):
    run = RunDirectory.create(tmp_path, "ink")
    Status("queued", name="ink").write(run)
    app = Shown(RunSource.live(run.path))
    async with app.run_test(size=(160, 48)) as pilot:
        await app.until(pilot, lambda screen: screen.view.state == "queued")
        text = screen_text(app)
        assert "it waits in the queue" in text
        assert "no memory plan yet" in text
        assert " no samples " in text
        assert "makes one now" not in text


async def test_words_from_outside_cannot_steer_the_terminal(tmp_path):
    evil = "\x1b]52;c;AAAA\x07\x1b[2J [red]not markup[/red] [@click=app.quit]x[/]"
    events = tmp_path / "events.jsonl"
    records = [
        RunStart(1, 0, {"max_train_steps": 9, "output_name": evil, "family": evil}, evil),
        Warned("w", evil, evil),
        Sample(f"/x/{evil}.png", evil, 1, 0),
        Step(step=1, loss=0.5),
    ]
    events.write_bytes(b"".join(encode_line(place, 1e9, event) for place, event in enumerate(records)))
    for size in (SMALL, LARGE):
        app = Shown(RunSource.replay(events))
        async with app.run_test(size=size) as pilot:
            await app.shown(pilot)
            for tab in RunScreen.TABS:
                app.run_screen.action_show_tab(tab)
                await pilot.pause()
                text = screen_text(app)
                assert "\x1b" not in text
                assert "\x07" not in text
            app.run_screen.action_show_tab("alerts")
            await pilot.pause()
            assert "[red]not markup[/red]" in screen_text(app)


def test_the_command_for_the_shell_names_the_file_and_the_speed(tmp_path):
    twin = RunScreen(RunSource.replay(REPLAY, speed=4)).cli_twin()
    assert twin == f"musubi-tui runs watch --replay {REPLAY} --speed 4"
    run, sink = living_run(tmp_path)
    sink.close()
    assert RunScreen(RunSource.live(run.path)).cli_twin() == f"musubi-tui runs watch {run.id}"


async def test_a_recording_cannot_be_steered():
    app = Shown(RunSource.replay(REPLAY))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        await pilot.press("p")
        await pilot.pause()
        assert "this is a recording: there is nothing to control" in screen_text(app)
        await pilot.press("X")
        assert app.screen is app.run_screen


def living_run(home: Path) -> tuple[RunDirectory, EventSink]:
    run = RunDirectory.create(home, "ink")
    run.run_toml.write_text('kind = "train"\n')
    status = Status("running", ProcessIdentity.of_this_process(), iso_time(time.time()), "train", 1, 3, 100, name="ink")
    status.write(run)
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(1, 0, {"max_train_steps": 100}))
    for step in range(1, 4):
        sink.emit(Step(step=step, loss=0.3, step_s=0.5))
    sink.flush()
    return run, sink


async def answer(run: RunDirectory, pilot, result: str, message: str = ""):
    deadline = time.monotonic() + 5
    while not unanswered(run) and time.monotonic() < deadline:
        await pilot.pause(0.02)
    (command,) = unanswered(run)
    write_ack(run, Ack(command.id, command.command, result, message))
    return command


async def test_keys_steer_a_living_run_and_lock_until_the_answer(tmp_path):
    run, sink = living_run(tmp_path)
    app = Shown(RunSource.live(run.path))
    async with app.run_test(size=SMALL) as pilot:
        await app.until(pilot, lambda screen: screen.view.step == 3)
        await pilot.press("c")
        await pilot.press("c")
        await pilot.pause()
        assert "save: still waiting for the answer" in screen_text(app)
        assert (await answer(run, pilot, "refused", "Nothing [b]to[/b] save.")).command == "save"
        await app.until(pilot, lambda screen: "save: refused - Nothing [b]to[/b] save." in screen_text(app))
        await pilot.press("n")
        assert (await answer(run, pilot, "done")).command == "sample"
        await pilot.press("p")
        assert (await answer(run, pilot, "accepted")).command == "pause"
        await pilot.press("t")
        await pilot.pause()
        assert isinstance(app.screen, TuneScreen)
        await pilot.press("home", "shift+end", "0", ".", "2", "5", "enter")
        command = await answer(run, pilot, "done")
        assert command.arguments == {"key": "learning_rate_factor", "value": 0.25}
        await app.until(pilot, lambda screen: "set: done" in screen_text(app))
        assert app.screen.cli_twin() == f"musubi-tui runs set {run.id} learning_rate_factor=0.25"  # what was just done
        sink.emit(Control(command="set", result="done", arguments=dict(command.arguments)))
        sink.flush()
        app.screen.tell("something else")
        assert app.screen.cli_twin() == f"musubi-tui runs watch {run.id}"
        await pilot.press("t")
        await pilot.pause()
        assert "Now: 0.25. The schedule's rate is multiplied" in screen_text(app)
        await pilot.press("down", "enter", *"nan", "enter")  # none of these is a number of steps
        assert isinstance(app.screen, TuneScreen)
        assert "'nan' is no number. Write one such as 200." in screen_text(app)
        await pilot.press("5")
        assert "is no number" not in screen_text(app)
        assert app.screen.cli_twin().endswith(f"runs set {run.id} max_train_steps=nan5")
        await pilot.press("home", "shift+end", *"500", "enter")
        assert (await answer(run, pilot, "done")).arguments == {"key": "max_train_steps", "value": 500}
        await pilot.press("X")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert "It takes a step and a save; how long" in str(app.screen.query_one("#text").query_one(Static).render())
        await pilot.press("escape")
        sink.emit(Plan(adapter=100_000_000, optimizer=200_000_000))
        sink.flush()
        await app.until(pilot, lambda screen: screen.view.plan is not None)
        await pilot.press("X")
        await pilot.pause()
        assert "about 6 s, by estimate" in str(app.screen.query_one("#text").query_one(Static).render())
        await pilot.press("escape", "X")
        await pilot.pause()
        await pilot.press("e")
        assert (await answer(run, pilot, "accepted")).arguments == {"when": "epoch"}
        assert app.screen.cli_twin() == f"musubi-tui runs stop {run.id} --when epoch"
        sink.emit(Step(step=4, loss=0.2))
        sink.flush()
        await app.until(pilot, lambda screen: screen.view.step == 4 and " 4/100" in screen_text(app))
    sink.close()


async def test_single_blocks_are_told_because_the_screen_looks(tmp_path):
    run, sink = living_run(tmp_path)
    viewers = Viewers(run)
    plain = Shown(RunSource.live(run.path))
    async with plain.run_test(size=SMALL) as pilot:
        await plain.until(pilot, lambda screen: screen.view.step == 3)
        assert not run.viewer.exists()  # nothing is streamed: nobody asks
    sink.emit(Plan(2, 4, 3, "gpu", "because"))
    sink.flush()
    app = Shown(RunSource.live(run.path))
    async with app.run_test(size=SMALL) as pilot:
        await app.until(pilot, lambda screen: run.viewer.exists())
        assert viewers.looking()
        for index in range(6):
            sink.emit(Block(index, "resident" if index in (0, 3) else "computing" if index == 2 else "cpu"))
        sink.flush()
        await app.until(pilot, lambda screen: "■□●■□□" in screen.query_one("#vitals", Lines).plain())
    sink.close()


async def test_a_run_that_ended_is_not_steered(tmp_path):
    run, sink = living_run(tmp_path)
    sink.close()
    Status("stopped", ProcessIdentity.of_this_process(), "", exit_code=0, name="ink").write(run)
    app = Shown(RunSource.live(run.path))
    async with app.run_test(size=SMALL) as pilot:
        await app.until(pilot, lambda screen: screen.view.state == "stopped")
        await pilot.press("t")
        await pilot.pause()
        assert "ink: stopped. r on Jobs goes on with it." in screen_text(app)
        assert not list(run.control.iterdir())


async def test_nothing_is_painted_while_nothing_happens(tmp_path):
    run, sink = living_run(tmp_path)
    app = Shown(RunSource.live(run.path))
    async with app.run_test(size=SMALL) as pilot:
        await app.until(pilot, lambda screen: screen.view.step == 3)
        await pilot.pause(1.2)
        painted: list[object] = []
        display = app._display
        app._display = lambda *args: (painted.append(args), display(*args))[1]  # type: ignore[method-assign]
        await pilot.pause(2.2)
        assert painted == []
    sink.close()
