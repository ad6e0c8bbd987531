"""What the keys of Jobs do: archive, delete, the queue's order, versions, more steps, the price, the command after a run."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input

from engine.events.control import Ack, unanswered, write_ack
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity, host_name, process_start, uptime_seconds
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Lease, Status
from engine.events.types import Checkpoint, Hook, RunStart, Step
from musubi_tui.cli.root import run as musubi_tui
from musubi_tui.runs import queueing
from musubi_tui.runs.home import Home, config_file
from musubi_tui.runs.origin import read_origin
from musubi_tui.runs.queue import Entry, QueueFile
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.start import StartScreen
from musubi_tui.tui.widgets.run_list import RunList
from tests.tui.made_runs import Made, home_with, make_run, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.tui.test_jobs import read, run_named

DONE = Made("figurine", "done", "20261121-070000", "qwen_image", 3000, 3000, 200)
STOPPED = Made("mascot", "stopped", "20261120-230000", "wan", 120, 2000, 120)
WAITING = tuple(
    Made(f"wait-{letter}", "queued", f"20261119-00000{place}", max_steps=900) for place, letter in enumerate("cba")
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setattr("musubi_tui.tui.reading.READ_SECONDS", 0.05)
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR", "MUSUBI_TUI_PRICE_PER_HOUR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("musubi_tui.tui.widgets.run_card._home_short", lambda path: f"…/runs/{Path(path).name}")
    return home_with(tmp_path / "home", DONE, STOPPED)


async def until(pilot: Pilot[Any], reached: Callable[[], bool], seconds: float = 6.0) -> None:
    for _ in range(int(seconds / 0.03)):
        if reached():
            await pilot.pause()
            return
        await pilot.pause(0.03)
    raise AssertionError(f"not reached:\n{screen_text(pilot.app)}")


async def looks(pilot: Pilot[Any], name: str) -> None:
    """The same state at both sizes."""
    for size in ((160, 48), (80, 24)):
        await pilot.resize_terminal(*size)
        await pilot.pause(0.25)
        assert_snapshot(pilot.app, f"{name}-{size[0]}x{size[1]}")


def names(app: MusubiApp) -> list[str]:
    return [now.name for now in app.screen_stack[0].query_one(RunList).runs]


def told(app: MusubiApp) -> list[str]:
    return [notice.message for notice in app._notifications]


def line_of(app: MusubiApp, name: str) -> str:
    return next(line for line in screen_text(app).splitlines() if name in line)


async def test_archive_and_back(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("x")
        await until(pilot, lambda: names(app) == ["mascot"])
        assert "1 archived" in screen_text(app)
        await pilot.press("A")
        assert names(app) == ["figurine", "mascot"]
        await until(pilot, lambda: "│ a figurine" in screen_text(app))
        await pilot.press("home", "x", "A")
        await until(
            pilot, lambda: names(app) == ["figurine", "mascot"] and "archived" not in screen_text(app).splitlines()[1]
        )
        make_run(home.path, Made("busy", "running", "20261122-000000", alive=True))
        await until(pilot, lambda: "busy" in names(app))
        await pilot.press("home", "x")
        await until(pilot, lambda: any("stays on the list" in text for text in told(app)))


async def test_deleting_says_what_goes_and_asks(home: Home) -> None:
    run = run_named(home, "figurine")
    run.output.mkdir(exist_ok=True)
    (run.output / "figurine.safetensors").write_bytes(b"x")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("d")
        assert isinstance(app.screen, ConfirmScreen)
        text = screen_text(app)
        assert re.search(r"\d+ kB go: states 0 B, 1 LoRA file, log", text)
        assert f"runs rm {run.id} --yes" in text
        await pilot.press("escape")
        assert run.exists()
        await pilot.press("delete", "y")
        await until(pilot, lambda: names(app) == ["mascot"])
        assert not run.path.exists()


async def test_a_run_that_is_gone_leaves_the_list(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        shutil.rmtree(run_named(home, "figurine").path)
        await until(pilot, lambda: "? gone" in screen_text(app))
        await until(pilot, lambda: "moved or deleted by hand; d takes it off" in screen_text(app))
        await looks(pilot, "jobs-gone")
        await pilot.press("enter", "r")
        assert told(app)[-1] == "The folder of figurine was moved or deleted."
        await pilot.press("d", "y")
        await until(pilot, lambda: names(app) == ["mascot"])


def waiting_in(home: Home) -> QueueFile:
    file = QueueFile(home.path)
    for made in reversed(WAITING):
        queueing.add(file, Entry(0, file.host, str(make_run(home.path, made).path)))
    return file


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_the_order_of_the_queue(home: Home, size: tuple[int, int]) -> None:
    file = waiting_in(home)
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        await until(pilot, lambda: names(app)[2:] == ["wait-a", "wait-b", "wait-c"])
        await pilot.press("end")
        await until(pilot, lambda: "Number 3 of those that wait" in screen_text(app))
        assert_snapshot(app, f"jobs-queue-{size[0]}x{size[1]}")
        await pilot.press("K")
        await until(pilot, lambda: names(app)[2:] == ["wait-a", "wait-c", "wait-b"])
        assert app.screen.query_one(RunList).run.name == "wait-c"  # type: ignore[union-attr]
        await until(pilot, lambda: not app.screen._waiting)  # type: ignore[attr-defined]
        await pilot.press("J")
        await until(
            pilot, lambda: [entry.run.id[:6] for entry in file.read().waiting()] == ["wait-a", "wait-b", "wait-c"]
        )


async def test_a_held_queue_is_shown_and_r_goes_on_with_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []
    monkeypatch.setattr("musubi_tui.runs.supervisor.ensure_supervisor", lambda file: started.append(file.path))
    file = waiting_in(home)
    file.edit(lambda queue: replace(queue, held="mascot failed."))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await until(pilot, lambda: "held 3" in screen_text(app))
        await pilot.press("end")
        await until(pilot, lambda: "The queue is held: mascot failed." in screen_text(app))
        await pilot.press("r")
        await until(pilot, lambda: started == [file.path])
        queue = file.read()
        assert (queue.held, queue.waiting()[0].run.id[:6]) == ("", "wait-c")
        await until(pilot, lambda: not app.screen._waiting)  # type: ignore[attr-defined]
        await pilot.press("home", "J")
        assert told(app)[-1] == "Only what waits in this machine's queue can be moved."
        await pilot.press("end", "d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "leaves the queue" in screen_text(app)
        assert "musubi-tui queue rm wait-b-" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: len(file.read().entries) == 2)


async def test_r_on_the_run_that_held_the_queue_tries_it_again_and_the_queue_goes_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed past the queue it would leave the others waiting until somebody looks."""
    started: list[Path] = []
    monkeypatch.setattr("musubi_tui.runs.supervisor.ensure_supervisor", lambda file: started.append(file.path))
    file = waiting_in(home)
    lost = make_run(home.path, Made("lost", "failed", "20261122-000000", "wan", 120, 2000, 120))
    entry = queueing.add(file, Entry(0, file.host, str(lost.path), state="failed"))
    file.edit(lambda queue: replace(queue, held="lost failed."))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await until(pilot, lambda: "lost" in names(app))
        await pilot.press("home", "r")
        await until(pilot, lambda: started == [file.path])
        queue = file.read()
        assert (queue.held, queue.waiting()[0].id) == ("", entry.id)
        await until(pilot, lambda: bool(told(app)) and told(app)[-1].endswith("The queue goes on."))
        assert app.cli_twin() == f"musubi-tui queue run {entry.id}"


async def test_a_run_that_has_spent_its_budget_is_given_more_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its engine would load the models only to stop again, and on_finish would stop the machine."""
    launched: list[str] = []

    def launch(run: RunDirectory, **options: object) -> Any:
        launched.append(run.id)
        raise OSError("not here")

    monkeypatch.setattr("musubi_tui.tui.steering.launch", launch)
    monkeypatch.setattr("musubi_tui.runs.resuming._check_values", lambda run, step, changes: None)
    run = run_named(home, "mascot")
    run.run_toml.write_text('kind = "train"\n[run]\nmax_cost = 20.0\n')
    status = Status.read(run)
    assert status is not None
    replace(status, seconds=7200.0, cost=20.3).write(run)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("end", "r")
        words = lambda: " ".join(screen_text(app).replace("│", " ").split())  # noqa: E731
        await until(
            pilot, lambda: "It would stop again at once: the budget is spent: 20.30 of 20.00 (max_cost)." in words()
        )
        assert app.cli_twin() == f"musubi-tui runs resume {run.id} --set max_cost=40"
        app.screen.query_one(Input).value = "20.2"
        await pilot.press("enter")
        await until(pilot, lambda: f"{run.id} would stop again at once" in words())
        assert launched == []
        app.screen.query_one(Input).value = "30"
        await pilot.press("enter")
        await until(pilot, lambda: launched == [run.id])
        assert "max_cost = 30" in (run.attempts / "2.toml").read_text()


async def test_sentences_do_not_pile_up_over_the_screen(home: Home) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        for text in ("number 3", "number 2"):
            app.tell(text)
            await pilot.pause()
        assert told(app) == ["number 2"]
        app.tell("it failed", wrong=True)
        await pilot.pause()
        app.tell("number 1")
        await pilot.pause()
        assert told(app) == ["it failed", "number 1"]  # a failure stands its time


async def test_a_run_that_is_done_is_trained_further(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []

    def launch(run: RunDirectory, **options: object) -> Any:
        launched.append(run.id)
        raise OSError("not here")

    monkeypatch.setattr("musubi_tui.tui.steering.launch", launch)
    monkeypatch.setattr(
        "musubi_tui.runs.resuming._check_values", lambda run, step, changes: None
    )  # no schema in a made run
    run = run_named(home, "figurine")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await looks(pilot, "jobs-further")
        assert app.cli_twin() == f"musubi-tui runs resume {run.id} --set max_train_steps=4500"
        box = app.screen.query_one(Input)
        for wrong, why in (("many", "is not a number of steps"), ("3000", "done (3000 steps)")):
            box.value = wrong
            await pilot.press("enter")
            await until(pilot, lambda why=why: why in " ".join(screen_text(app).split()))  # type: ignore[misc]
        box.value = "4000"
        await pilot.press("enter")
        await until(pilot, lambda: launched == [run.id])
        assert "max_train_steps = 4000" in (run.attempts / "2.toml").read_text()


async def test_the_next_version_of_a_preset(home: Home, tmp_path: Path) -> None:
    from tests.unit.test_presets_versions import DATASET, PRESET

    folder = tmp_path / "ink" / "v1"
    (folder / "pictures").mkdir(parents=True)
    for name, text in (("ink.toml", PRESET), ("dataset.toml", DATASET), ("prompts.txt", "a heron\n")):
        (folder / name).write_text(text)
    from engine.config import load_config
    from musubi_tui.runs.creating import create_run

    Image.new("RGB", (64, 64)).save(folder / "pictures" / "a.png")
    (folder / "pictures" / "a.txt").write_text("a heron")
    run = create_run(load_config(folder / "ink.toml"), home=home)
    app = MusubiApp(home)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("home", "D")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        assert "ink.toml -> " in screen_text(app)
        await pilot.press(*"slow")
        assert app.cli_twin() == f"musubi-tui presets duplicate {run.id} --note slow"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        second = tmp_path / "ink/v2/ink.toml"
        assert second.is_file()
        assert told(app)[-1].startswith(f"Made {second}")
        await pilot.press("n", *"x", "up")  # what is started next is most often what was made or run last
        assert app.screen.query_one(Input).value == str(second)
        await pilot.press("up", "up")
        assert app.screen.query_one(Input).value == str(folder / "ink.toml")
        await pilot.press("down", "down")
        assert app.screen.query_one(Input).value == "x"  # as it was typed
        box = app.screen.query_one(Input)
        box.value = str(tmp_path / "ink/v2/in")
        box.cursor_position = len(box.value)
        await pilot.pause(0.3)
        await pilot.press("right")  # takes what is proposed
        assert box.value == str(second)
        await pilot.press("escape")
        assert musubi_tui(["presets", "set", str(second), "learning_rate=5e-5"]) == 0
        again = create_run(load_config(second), home=home)
        assert read_origin(again) is not None
        await until(pilot, lambda: names(app)[0] == "ink-v2")
        await pilot.press("home")
        await until(pilot, lambda: "v2 of ink.toml, since the parent: learning_rate 1e-4 -> 5e-5" in screen_text(app))
        await pilot.press("end", "D")
        assert "Nobody noted which preset" in told(app)[-1]


async def test_the_price_of_an_hour(home: Home) -> None:
    run = run_named(home, "mascot")
    status = Status.read(run)
    assert status is not None
    replace(status, seconds=7200.0, process=replace(status.process, host=host_name())).write(run)  # type: ignore[type-var]
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("end")
        await until(pilot, lambda: "no price: $ sets it" in screen_text(app))
        await pilot.press("dollar_sign")
        assert isinstance(app.screen, AskScreen)
        await looks(pilot, "jobs-price")
        await pilot.press(*"cheap", "enter")
        await until(pilot, lambda: "is not a price" in screen_text(app))
        app.screen.query_one(Input).value = "2.50"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        assert config_file().read_text() == "price_per_hour = 2.5\n"
        await until(pilot, lambda: "~$5.00" in line_of(app, " mascot "))
        await until(pilot, lambda: "cost ~$5.00" in screen_text(app))


async def test_the_command_after_a_run_counts_down_in_coarse_steps_and_can_be_cancelled(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_named(home, "figurine")
    status = Status.read(run)
    assert status is not None
    replace(status, ended=iso_time(time.time()), process=ProcessIdentity.of_this_process()).write(run)
    lease = Lease.acquire(run)
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Hook("on_finish", "waiting", 100.0))
    sink.close()
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await until(pilot, lambda: "on_finish 100 s: ^g cancels" in screen_text(app))
        await looks(pilot, "jobs-hook")
        assert "! on_finish 100 s: ^g cancels" in screen_text(app).splitlines()[-2]
        for number in "23571":  # the preset editor and the data screen have no status line: the top line tells it there
            await pilot.press(number)
            await until(pilot, lambda: "^g cancels" in screen_text(app))
        drawn: list[int] = []
        for widget in app.screen.query("#card, #status"):
            before = widget.render_line
            monkeypatch.setattr(widget, "render_line", lambda y, before=before: drawn.append(y) or before(y))
        await pilot.pause(1.2)
        assert drawn == []  # seconds pass, nothing is drawn
        await pilot.press("end", "ctrl+g")  # the only one that waits, wherever the cursor is
        await until(pilot, lambda: len(unanswered(run)) == 1)
        (command,) = unanswered(run)
        assert command.command == "cancel_hooks"
        write_ack(run, Ack(command.id, "cancel_hooks", "done"))
        await until(pilot, lambda: "The command after the run is cancelled." in told(app))
        lease.release(run)
        await until(pilot, lambda: "on_finish" not in screen_text(app))
        await pilot.press("ctrl+g")
        assert told(app)[-1] == "No command waits after a run."


async def test_a_preset_goes_into_the_queue_from_the_dialog(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def queue(preset: str, home: Home, made: Callable[[str], None], hooks: object) -> str:
        asked.append(preset)
        run = make_run(home.path, Made("ink-new", "queued", "20261120-000000"))  # not the newest by its name
        made(str(run.path))
        return "queued"

    monkeypatch.setattr("musubi_tui.tui.screens.start.enqueue", queue)
    monkeypatch.setattr("musubi_tui.tui.screens.start.hooks_of", lambda preset: {})
    monkeypatch.setattr("musubi_tui.tui.screens.start.StartScreen._where", lambda self: "The run goes to a folder.")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("n", *"ink.toml")
        assert isinstance(app.screen, StartScreen)
        assert app.cli_twin() == "musubi-tui train ink.toml --detach"
        await pilot.press("tab")
        assert app.cli_twin() == "musubi-tui queue add ink.toml"
        await looks(pilot, "jobs-start-queue")
        await pilot.click("#when")
        assert "--detach" in app.cli_twin()
        await pilot.press("tab", "enter")
        await until(pilot, lambda: told(app) == ["queued"])
        assert asked == ["ink.toml"]
        assert isinstance(app.screen, JobsScreen)
        await until(pilot, lambda: app.screen.chosen is not None and app.screen.chosen.name == "ink-new")


async def test_sorting_by_columns_and_the_other_way_round(home: Home) -> None:
    make_run(home.path, Made("ink", "stopped", "20261118-000000", step=1900, max_steps=2000, steps=100))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        assert names(app) == ["figurine", "mascot", "ink"]
        await pilot.press("O")
        assert names(app) == ["ink", "mascot", "figurine"]
        header = app.screen.query_one("#header").region
        await pilot.click(offset=(header.x + 5, header.y))
        assert (app.screen.sort, names(app)) == ("name", ["figurine", "ink", "mascot"])  # type: ignore[attr-defined]
        await pilot.click(offset=(header.x + 5, header.y))
        assert names(app) == ["mascot", "ink", "figurine"]
        await pilot.press("o", "o")  # state, step
        assert names(app)[-1] == "figurine"  # still the other way round: least done first
        assert "reversed" in screen_text(app)


# What is true of a run


def orphan(home: Home, name: str, **process: str) -> RunDirectory:
    run = make_run(home.path, Made(name, "running", "20261123-000000", step=340, max_steps=2000))
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    heartbeat = iso_time(time.time() - uptime_seconds() - 60) if "boot_id" in process else status.heartbeat
    replace(status, process=replace(status.process, **process), heartbeat=heartbeat).write(run)
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(1, 0, {"max_train_steps": 2000}))
    for step in range(1, 346):
        sink.emit(Step(step=step, epoch=1, loss=0.1, step_s=1.0))
    state = run.state / "state-300"
    state.mkdir(parents=True)
    sink.emit(Checkpoint(path=str(state), kind="state", step=300, seconds=2.0))
    sink.close()
    return run


async def test_after_a_reboot_the_card_says_where_it_was_and_how_to_go_on(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    run = orphan(home, "lost", boot_id="the boot before")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await until(pilot, lambda: "vanished at step 345. r goes on from the state of step 300" in screen_text(app))
        assert "? orphaned" in line_of(app, " lost ")
        await looks(pilot, "jobs-orphaned")
    capsys.readouterr()
    assert musubi_tui(["runs", "show", run.id]) == 0
    shown = capsys.readouterr().out
    assert "345/2000" in shown
    assert f"musubi-tui runs resume {run.id}" in shown


async def test_a_run_of_another_machine_is_only_watched(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    run = orphan(home, "far", host="other-pod")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await until(pilot, lambda: "It works on other-pod: watched from here, resumed only there." in screen_text(app))
        await looks(pilot, "jobs-elsewhere")
        await pilot.press("home", "r")
        await until(pilot, lambda: told(app)[-1] == "far runs already on other-pod.")
    assert musubi_tui(["train", "--resume", run.id]) == 2
    assert "on other-pod" in capsys.readouterr().err


async def test_r_goes_on_with_a_run_whose_engine_died_a_moment_ago(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before the list has seen it, and a run that works is left alone."""
    launched: list[str] = []

    def launch(run: RunDirectory, **options: object) -> Any:
        launched.append(run.id)
        raise OSError("not here")

    monkeypatch.setattr("musubi_tui.tui.steering.launch", launch)
    monkeypatch.setattr("musubi_tui.tui.reading.READ_SECONDS", 3600.0)
    engine = subprocess.Popen(["sleep", "60"])
    run = orphan(home, "dying")
    status = Status.read(run)
    assert status is not None
    mine, started = ProcessIdentity.of_this_process(), process_start(engine.pid) or ""
    replace(status, process=replace(mine, pid=engine.pid, started=started)).write(run)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await read(pilot)
        await pilot.press("home", "r")
        await until(pilot, lambda: bool(told(app)))
        assert told(app)[-1] == f"dying runs already on {host_name()}."
        engine.kill()
        engine.wait()
        assert "running" in line_of(app, "dying")
        await pilot.press("r")
        await until(pilot, lambda: launched == [run.id])


async def test_every_state_without_colour(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    orphan(home, "lost", boot_id="the boot before")
    orphan(home, "far", host="other-pod")
    waiting_in(home)
    run = run_named(home, "figurine")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        assert app.theme == "mono"
        await read(pilot)
        await pilot.press("space", "down", "down", "x")
        await until(pilot, lambda: "C compare 1" in screen_text(app))
        await pilot.press("home")
        await pilot.pause(0.3)
        shutil.rmtree(run.path)
        await until(pilot, lambda: "gone" in screen_text(app))
        assert_snapshot(app, "jobs-states-mono")
        for keys, words in (
            ("n", "put into the queue"),
            ("d", "for good"),
            ("dollar_sign", "cost?"),
            ("g", "go to:"),
            ("f1", "what it means"),
            ("ctrl+o", " s "),
            ("question_mark", "jobs.pause"),
        ):
            await pilot.press("end", keys)
            await until(pilot, lambda words=words: words in screen_text(app))  # type: ignore[misc]
            await pilot.press("escape")
