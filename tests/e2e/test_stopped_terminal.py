"""A viewer that stalls never slows the engine: a terminal that is not read, an app that is stopped."""

from __future__ import annotations

import os
import re
import signal
import sys
import time

import pytest

from benchmarks.terminal import Terminal, plain_environment
from engine.events.rundir import RunDirectory
from engine.events.steps_index import StepsIndex
from tests.e2e.engine_child import new_run, start
from tests.e2e.test_interruptions import steps_so_far

QUIET = {"max_train_steps": "100000", "sample_prompts": "", "validation_items": "0"}


def newest(run: RunDirectory) -> int:
    found = StepsIndex(run.steps_idx).tail(1)
    return found[0].step if found else 0


def wait_for(run: RunDirectory, step: int) -> None:
    deadline = time.monotonic() + 90
    while newest(run) < step:
        assert time.monotonic() < deadline, f"step {newest(run)} of {step}"
        time.sleep(0.05)


def median_seconds(run: RunDirectory, first: int, last: int) -> float:
    seconds = sorted(entry.step_s for entry in StepsIndex(run.steps_idx).tail(10**6) if first < entry.step <= last)
    return seconds[len(seconds) // 2]


@pytest.mark.parametrize("how", ["unread", "stopped"])
def test_the_engine_goes_on_when_the_viewer_stalls(tiny, tmp_path, how):
    run = new_run(tiny("wan") / "preset.toml", QUIET)
    child = start(run)
    child.until(steps_so_far(3))
    command = [sys.executable, "-m", "musubi_tui", "runs", "open", str(run.path)]
    with Terminal(command, (160, 48), plain_environment(str(tmp_path))) as terminal:
        terminal.until("/100000")
        watched_from = newest(run)
        while newest(run) < watched_from + 15:
            terminal.pump(0.2)
        stalled_from = newest(run)
        if how == "stopped":
            os.kill(terminal.pid, signal.SIGSTOP)
        wait_for(run, stalled_from + 60)
        stalled_to = newest(run)
        stuck = terminal.waiting()
        if how == "unread":
            assert stuck > 1000  # the app could not get rid of it
        else:
            os.kill(terminal.pid, signal.SIGCONT)
        # Each step takes what it took before, give or take a busy machine.
        watched, stalled = (
            median_seconds(run, watched_from, stalled_from),
            median_seconds(run, stalled_from, stalled_to),
        )
        assert stalled < 3 * watched
        # Read again, the app catches up with where the run is by now.
        terminal.forget()
        deadline, seen = time.monotonic() + 60, 0
        while seen < stalled_to:
            assert time.monotonic() < deadline, terminal.plain()[-2000:]
            terminal.pump(0.5)
            seen = max([0, *(int(step) for step in re.findall(rb"(\d+)/100000", terminal.plain()))])
    child.kill(signal.SIGTERM)
    assert child.wait() == 75
