"""The whole promise in a real terminal: a run is started, steered, left by force, found again, interrupted, resumed; its curve has no seam."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine.events.process import ProcessIdentity
from engine.events.reader import read_events, story
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Status, true_state
from engine.events.steps_index import StepsIndex
from engine.events.types import Control, RunStart, Sample, Step
from tests.e2e.tmux import Tmux

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.slow,
]
APP = (sys.executable, "-m", "musubi_tui")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the machine's own settings, terminal or language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "MUSUBI_", "SSH_"))}
    kept.pop("NO_COLOR", None)
    return kept | {
        "LANG": "C.UTF-8", "TERM": "xterm-256color", "OMP_NUM_THREADS": "1",
        "MUSUBI_TUI_HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip


@pytest.fixture
def tmux(environment: dict[str, str], tiny: Callable[[str], Path]) -> Iterator[Tmux]:
    folder = tiny("wan")
    preset = folder / "preset.toml"
    text = preset.read_text("utf-8").replace("max_train_steps = 200", "max_train_steps = 100000")
    preset.write_text(text.replace("sample_at_first = true ", "sample_at_first = false"), "utf-8")
    terminal = Tmux(environment, folder)
    yield terminal
    terminal.end()


@pytest.fixture
def engine_ends(tmp_path: Path) -> Iterator[None]:
    """The engine of the app is nobody's child: whatever the test came to, it is ended."""
    yield
    for path in (tmp_path / "home" / "runs").glob("*"):
        process = engine_of(RunDirectory(path))
        if process is not None and process.runs_here():
            os.kill(process.pid, signal.SIGKILL)


def engine_of(run: RunDirectory) -> ProcessIdentity | None:
    status = Status.read(run)
    return status.process if status and status.state in ALIVE else None


def steps(run: RunDirectory) -> list[Step]:
    return [record.event for record in story(run.events) if isinstance(record.event, Step)]


def now_at(run: RunDirectory) -> int:
    """The newest step of all attempts, from the index: cheap enough to ask again and again."""
    newest = StepsIndex(run.steps_idx).tail(1)
    return newest[0].step if newest else 0


def told(run: RunDirectory, kind: type) -> list:
    return [record.event for record in read_events(run.events) if isinstance(record.event, kind)]


def test_a_run_outlives_its_terminal_and_its_curve_has_no_seam(tmux: Tmux, tmp_path: Path, engine_ends: None) -> None:
    # started from the app
    app = tmux.start(*APP)
    title = tmux.title()
    tmux.until("No runs yet")
    assert tmux.title() == title
    tmux.keys("n")
    tmux.until("preset?")
    tmux.type("preset.toml")
    tmux.until("preset.toml")
    tmux.keys("Enter")
    tmux.until("running", lambda: list((tmp_path / "home" / "runs").glob("tiny-wan-*")))
    (folder,) = (tmp_path / "home" / "runs").glob("tiny-wan-*")
    run = RunDirectory(folder)
    tmux.until(lambda: now_at(run) > 3)

    # watched on Run
    tmux.keys("Enter")
    tmux.until("[4 Run]", "tiny-wan", "loss")

    # paused, changed, sampled
    tmux.keys("p")
    tmux.until("paused", lambda: true_state(run) == "paused")
    tmux.keys("t")
    tmux.until("factor")
    tmux.type("0.25")  # over the number that is selected
    tmux.until("learning_rate_factor=0.25")
    tmux.keys("Enter")
    tmux.until(lambda: ("set", "done") in answers(run))
    held = now_at(run)
    tmux.keys("p")
    tmux.until("running", lambda: now_at(run) > held + 2)
    tmux.keys("n")
    tmux.until(lambda: told(run, Sample) and ("sample", "done") in answers(run))

    # left by force: the run does not notice
    os.kill(app, signal.SIGKILL)
    engine = engine_of(run)
    assert engine is not None
    assert engine.runs_here()
    alone = now_at(run)
    tmux.start(*APP)
    tmux.until("tiny-wan", "running", lambda: now_at(run) > alone)
    assert engine_of(run) == engine

    # told to go: saved, and seen
    os.kill(engine.pid, signal.SIGTERM)
    tmux.until("preempted", lambda: not engine.runs_here())
    first = steps(run)
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.exit_code, status.step) == ("preempted", 75, first[-1].step)

    # resumed: on from the very next step, with the change of before
    tmux.keys("r")
    tmux.until(lambda: starts(run) == [0, first[-1].step])
    tmux.keys("4")
    tmux.until("[4 Run]", "running")
    tmux.until(lambda: now_at(run) > first[-1].step + 5)
    assert_seamless(run, first)

    # killed as no signal can tell: seen, and it goes on from the state there is; `test_interruptions` compares what is done twice
    engine = engine_of(run)
    assert engine is not None
    os.kill(engine.pid, signal.SIGKILL)
    tmux.until("orphaned")
    tmux.keys("1")
    tmux.until("[1 Jobs]", "orphaned", "Its process vanished")  # Jobs itself knows it, a moment after the run screen
    tmux.keys("r")
    tmux.until(lambda: starts(run) == [0, first[-1].step, first[-1].step] and engine_of(run) not in (None, engine))
    tmux.keys("q")
    tmux.until(lambda: tmux.screen() == "")
    assert starts(run)[-1] == first[-1].step


def starts(run: RunDirectory) -> list[int]:
    """The steps from which its attempts went on."""
    return [event.from_step for event in told(run, RunStart)]


def answers(run: RunDirectory) -> set[tuple[str, str]]:
    return {(event.command, event.result) for event in told(run, Control)}


def assert_seamless(run: RunDirectory, first: list[Step]) -> None:
    """One curve, step by step, whatever happened, with the one change that was made."""
    final = steps(run)
    assert [step.step for step in final] == list(range(1, len(final) + 1))
    assert starts(run) == [0, first[-1].step]
    assert final[: len(first)] == first
    rates = [step.lr[0] for step in final]
    (change,) = [index for index, (a, b) in enumerate(pairwise(rates)) if a != b]
    assert change < first[-1].step
    assert rates[0] == pytest.approx(3e-3)
    assert rates[-1] == pytest.approx(0.25 * 3e-3)
