"""What the app writes to a terminal, counted at a pseudo-terminal: nothing while nothing happens, little while a run runs."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

from benchmarks.looking import training_only
from benchmarks.terminal import Terminal, plain_environment
from tests.tui.made_runs import STORY, make_run

REPOSITORY = Path(__file__).resolve().parents[2]
APP = [sys.executable, "-m", "musubi_tui"]
RECORDING = str(REPOSITORY / "tests/data/replay/interrupted.jsonl")
SMALL, LARGE = (80, 24), (160, 48)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_nothing_is_written_while_nothing_runs(tmp_path: Path, size: tuple[int, int]) -> None:
    with Terminal(APP, size, plain_environment(str(tmp_path))) as terminal:
        terminal.until("No runs yet", "free")  # the machine has been looked at
        terminal.pump(1.0)
        assert terminal.pump(3.0) == 0


def test_a_recording_that_stands_still_writes_nothing(tmp_path: Path) -> None:
    command = [*APP, "runs", "open", "--replay", RECORDING]
    with Terminal(command, SMALL, plain_environment(str(tmp_path))) as terminal:
        terminal.until("200/200")
        terminal.pump(2.5)
        assert terminal.pump(3.0) == 0


@pytest.mark.parametrize(("size", "budget"), [(SMALL, 4000), (LARGE, 15000)], ids=["80x24", "160x48"])
def test_the_run_screen_stays_within_its_bytes(tmp_path: Path, size: tuple[int, int], budget: int) -> None:
    """A recording that plays at the pace of a step a second: bytes per second of the recording, so the machine's speed does not matter."""
    command = [*APP, "runs", "open", "--replay", training_only(tmp_path), "--speed", "1"]
    with Terminal(command, size, plain_environment(str(tmp_path))) as terminal:
        terminal.until("2/200")
        terminal.pump(2.0)
        assert 500 < terminal.pump(6.0) / 6.0 <= budget


def test_a_slow_link_gets_fewer_bytes_and_fewer_colours(tmp_path: Path) -> None:
    """The terminal answers 200 ms late; the same recording, the same seconds."""
    command = [*APP, "runs", "open", "--replay", training_only(tmp_path), "--speed", "1"]
    environment = plain_environment(str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    written, truecolour = {}, {}
    for name, more in (("local", {}), ("ssh", {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"})):
        with Terminal(command, SMALL, environment | more, delay_s=0.2) as terminal:
            terminal.until("2/200", "eco" if name == "ssh" else "local")
            terminal.pump(1.0)
            written[name] = terminal.pump(6.0)
            truecolour[name] = len(re.findall(rb"[34]8;2;", terminal.raw))
            assert terminal.raw.count(b"\x1b[5n") == (1 if name == "ssh" else 0)
    assert truecolour["local"] > 0 == truecolour["ssh"]
    assert written["ssh"] < 0.95 * written["local"]


def test_a_pipe_or_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    environment = plain_environment(str(tmp_path), TERM="dumb")
    with Terminal(APP, SMALL, environment) as terminal:
        assert terminal.wait() == 0
    assert b"\x1b" not in terminal.raw
    assert b"musubi-tui runs watch" in terminal.raw


@pytest.mark.parametrize("opened", ["run", "recording"])
def test_opening_a_run_in_a_dumb_terminal_watches_it_in_lines(tmp_path: Path, opened: str) -> None:
    run = make_run(tmp_path / "home", STORY[2])
    words = [str(run.path)] if opened == "run" else ["--replay", str(run.events)]
    with Terminal([*APP, "runs", "open", *words], SMALL, plain_environment(str(tmp_path), TERM="dumb")) as terminal:
        code = terminal.wait()
    assert b"\x1b" not in terminal.raw
    assert b"3000" in terminal.raw  # its last step
    assert code == (1 if opened == "run" else 0), terminal.raw  # as ``runs watch``: this run wrote down no exit code


def test_no_color_writes_no_colour(tmp_path: Path) -> None:
    with Terminal(APP, SMALL, plain_environment(str(tmp_path), NO_COLOR="1")) as terminal:
        terminal.until("No runs yet")
        terminal.keys("?")
        terminal.until("this panel")
        terminal.keys("\x1b")
        terminal.pump(0.5)
        terminal.keys("q")
        assert terminal.wait() == 0
    for codes in re.findall(rb"\x1b\[([\d;]*)m", terminal.raw):
        greys = re.sub(rb"[34]8;2;(\d+);\1;\1(?=;|$)", b"", codes)
        assert not re.search(rb"(^|;)(3\d|4\d|9\d|10\d)(;|$)", greys), codes


def test_copying_inside_tmux_reaches_the_outer_terminal(tmp_path: Path) -> None:
    environment = plain_environment(str(tmp_path), TMUX="/tmp/tmux-0/default,1,0")
    with Terminal(APP, SMALL, environment) as terminal:
        terminal.until("No runs yet")
        terminal.keys("Y")
        terminal.until("Copied")
    assert b"\x1bPtmux;\x1b\x1b]52;c;" in terminal.raw


def test_a_closed_terminal_ends_the_app(tmp_path: Path) -> None:
    with Terminal(APP, SMALL, plain_environment(str(tmp_path))) as terminal:
        terminal.until("No runs yet")
        os.close(terminal.fd)
        terminal.fd = os.open(os.devnull, os.O_RDWR)
        deadline = time.monotonic() + 20
        while os.waitpid(terminal.pid, os.WNOHANG) == (0, 0):
            assert time.monotonic() < deadline, "the app outlives its terminal"
            time.sleep(0.05)
        terminal._exit = 0
