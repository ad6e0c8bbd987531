"""The first frame at a real terminal: it stands before Textual does, the app takes it over, and nothing of it is left behind."""

from __future__ import annotations

import os
import sys
import termios
from pathlib import Path

import pytest

from benchmarks.terminal import Terminal, plain_environment
from tests.tui.made_runs import STORY, make_run

APP = [sys.executable, "-m", "musubi_tui"]
SMALL = (80, 24)
ON, OFF = b"\x1b[?1049h", b"\x1b[?1049l"
TEXTUAL = b"\x1b[?1000h"  # what Textual says first


def settings(terminal: Terminal) -> list[object]:
    return termios.tcgetattr(terminal.fd)


def test_the_runs_stand_before_textual_and_the_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    make_run(tmp_path / "home", STORY[0])
    with Terminal(APP, SMALL, plain_environment(str(tmp_path), MUSUBI_TUI_HOME=str(tmp_path / "home"))) as terminal:
        before = settings(terminal)
        terminal.until("q leave")
        head, _, rest = terminal.raw.partition(TEXTUAL)
        assert STORY[0].name.encode() in head
        assert b"starting" in head
        assert head.count(ON) == 1
        assert ON not in rest, "switching to it again would blank some terminals"
        terminal.keys("q")
        assert terminal.wait() == 0
        assert terminal.raw.count(OFF) == 1
        assert settings(terminal) == before


@pytest.mark.parametrize("link", ["local", "ssh"])
def test_keys_typed_into_the_frame_reach_the_app(tmp_path: Path, link: str) -> None:
    """Also those that come while the terminal is asked about the link (it answers late here) and about pictures."""
    more = {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"} if link == "ssh" else {}
    environment = plain_environment(str(tmp_path), **more)
    with Terminal(APP, SMALL, environment, delay_s=0.05) as terminal:
        terminal.until("starting")
        terminal.keys("q")
        assert terminal.wait() == 0
        drawn = terminal.raw.partition(b"starting")[2].partition(b"\x1b")[0]
        assert not drawn.strip(), "the terminal drew a key into the frame"


def test_what_is_typed_into_a_dialog_that_an_early_key_opened_arrives_there(tmp_path: Path) -> None:
    with Terminal(APP, SMALL, plain_environment(str(tmp_path))) as terminal:
        terminal.until("starting")
        terminal.keys("n")
        terminal.keys("some/where.toml")
        terminal.until("some/where.toml")
        terminal.keys("!")
        terminal.until("!", seconds=20)


def test_a_wrong_setting_is_told_on_the_ordinary_screen(tmp_path: Path) -> None:
    config = tmp_path / "config" / "musubi-tui"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('[app]\ntheme = "nothing like it"\n')
    with Terminal(APP, SMALL, plain_environment(str(tmp_path))) as terminal:
        before = settings(terminal)
        assert terminal.wait() == 2
        assert terminal.raw.count(ON) == terminal.raw.count(OFF)
        assert b"nothing like it" in terminal.raw.rpartition(OFF)[2]
        assert settings(terminal) == before


SLOW_START = """
import sys, time

class Wait:
    def find_spec(self, name, path=None, target=None):
        if name == "textual":
            sys.meta_path.remove(self)
            time.sleep(60)

sys.meta_path.insert(0, Wait())
"""


def test_ctrl_c_while_it_starts_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        SLOW_START
    )  # else it is a matter of luck who has the terminal when the key comes
    environment = plain_environment(str(tmp_path))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path), environment.get("PYTHONPATH", ""))))
    with Terminal(APP, SMALL, environment) as terminal:
        before = settings(terminal)
        terminal.until("starting")
        terminal.keys("\x03")
        assert terminal.wait() == 130
        assert terminal.raw.count(ON) == terminal.raw.count(OFF) == 1
        assert TEXTUAL not in terminal.raw
        assert settings(terminal) == before


@pytest.mark.parametrize("variable", [{"TERM": "dumb"}, {"MUSUBI_TUI_SERVED": "1"}])
def test_no_frame_where_no_terminal_shows_it(tmp_path: Path, variable: dict[str, str]) -> None:
    with Terminal(APP, SMALL, plain_environment(str(tmp_path), **variable)) as terminal:
        terminal.pump(1.0)
        assert b"starting" not in terminal.raw
