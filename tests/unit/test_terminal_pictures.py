"""What a terminal can show: asked once, in one round trip, remembered, and never at the cost of a hung start."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from engine.config.problems import ConfigError
from musubi_tui.tui import images
from musubi_tui.tui.images import Images, choose_images, kind_now
from musubi_tui.tui.probing import Terminal, find_terminal, question, understand

KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c"
XTERM = b"\x1b[6;18;9t\x1b[?64;1;2;4;6;9;15;18;21;22c"
PLAIN = b"\x1b[?1;2c"


@pytest.mark.parametrize(
    ("answer", "environment", "found"),
    [
        (KITTY, {"TERM": "xterm-kitty"}, Terminal("kitty", (10, 20))),
        (KITTY, {"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, Terminal("kitty", (10, 20))),
        (KITTY, {"TERM_PROGRAM": "WezTerm"}, Terminal("", (10, 20))),  # knows the protocol, not the placeholders
        (KITTY.replace(b"62;", b"62;4;"), {"TERM_PROGRAM": "WezTerm"}, Terminal("sixel", (10, 20))),
        (b"\x1b_Gi=31;ENOTSUP\x1b\\\x1b[?62;4c", {"TERM": "xterm-kitty"}, Terminal("sixel")),
        (XTERM, {"TERM": "xterm"}, Terminal("sixel", (9, 18))),
        (PLAIN, {"TERM": "linux"}, Terminal()),
        (b"\x1b[?4c", {}, Terminal()),  # a VT132, not the attribute
        (b"jk\x1b[Aq" + PLAIN, {}, Terminal()),
        (b"", {}, Terminal()),
    ],
)
def test_answers_of_terminals(answer, environment, found):
    assert understand(answer, environment) == found


def test_only_those_who_draw_them_are_asked_for_kittys_pictures():
    kitty = {"TERM": "xterm-kitty"}
    assert question(kitty).startswith(b"\x1b_G")
    # tmux and screen take that sequence for the window's title
    for other in ({"TERM": "xterm-256color"}, {**kitty, "TMUX": "/tmp/x,1,0"}, {**kitty, "STY": "1.x"}, {}):
        assert b"\x1b_" not in question(other)
        assert question(other).endswith(b"\x1b[c")


def test_a_terminal_is_asked_once_and_a_silent_one_again(tmp_path):
    asked = []
    answers = [None, XTERM, PLAIN]

    def ask():
        asked.append(1)
        return answers[len(asked) - 1]

    cache, xterm = tmp_path / "deep" / "terminals.json", {"TERM": "xterm"}
    assert find_terminal(xterm, ask, cache) == Terminal()
    assert find_terminal(xterm, ask, cache) == Terminal("sixel", (9, 18))
    assert find_terminal(xterm, ask, cache) == Terminal("sixel", (9, 18))
    assert len(asked) == 2
    assert find_terminal({**xterm, "TMUX": "/tmp/x,1,0"}, ask, cache) == Terminal()
    assert cache.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"xterm||||": 3}', '{"xterm||||": {"pictures": "holo", "cell": [1], "at": 9e9}}', '{"xterm||||": {"pictures": "", "cell": [true, "x"], "at": null}}'])  # fmt: skip
def test_a_damaged_memory_is_no_memory(tmp_path, damage):
    cache = tmp_path / "terminals.json"
    cache.write_text(damage)
    assert find_terminal({"TERM": "xterm"}, lambda: XTERM, cache) == Terminal("sixel", (9, 18))
    assert json.loads(cache.read_text())["xterm||||"]["pictures"] == "sixel"


def test_a_memory_that_cannot_be_written_costs_only_the_question(tmp_path):
    (tmp_path / "file").write_text("x")
    assert find_terminal({}, lambda: XTERM, tmp_path / "file" / "terminals.json").pictures == "sixel"


def real_terminal(answer: bytes) -> tuple[str, float]:
    """What ``ask`` says in a process on a pseudo-terminal that answers like this, and how long it took."""
    master, slave = pty.openpty()
    code = (
        "import sys,time;from musubi_tui.tui.probing import ask;b=time.monotonic();a=ask();"
        "open(sys.argv[1],'w').write(repr((a,time.monotonic()-b,sys.stdin.isatty())))"
    )
    said = os.path.join(os.environ["PYTEST_TMP"], "said")
    process = subprocess.Popen([sys.executable, "-c", code, said], stdin=slave, stdout=slave, stderr=subprocess.DEVNULL)
    os.close(slave)
    heard = b""

    def terminal() -> None:
        nonlocal heard
        try:
            while b"\x1b[c" not in heard:
                heard += os.read(master, 1024)
            if answer:
                os.write(master, answer)
        except OSError:
            return

    thread = threading.Thread(target=terminal, daemon=True)
    thread.start()
    assert process.wait(20) == 0
    thread.join(5)
    os.close(master)
    with open(said) as file:
        found, seconds, _ = eval(file.read())
    return found, seconds


def test_a_real_terminal_answers_or_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_TMP", str(tmp_path))
    found, seconds = real_terminal(XTERM)
    assert found == XTERM
    assert seconds < 0.4
    found, seconds = real_terminal(b"")
    assert found is None
    assert 0.4 < seconds < 2.0


def test_without_a_terminal_nobody_is_asked():
    began = time.monotonic()
    code = "from musubi_tui.tui.probing import ask; print(ask())"
    told = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    assert told.stdout == "None\n"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("setting", "terminal", "found"),
    [
        ("", Terminal("kitty", (9, 18)), Images("kitty", False, (9, 18))),
        ("auto", Terminal("sixel"), Images("sixel")),
        ("auto", Terminal(), Images("half")),
        ("sixel", Terminal("kitty", (9, 18)), Images("sixel", True, (9, 18))),
        ("half", None, Images("half", True)),
        ("ascii", None, Images("ascii", True)),
        ("off", None, Images("off", True)),
    ],
)
def test_the_setting_wins_and_the_terminal_is_asked_only_when_it_matters(setting, terminal, found):
    def probe() -> Terminal:
        assert terminal is not None
        return terminal

    assert choose_images(setting, "config.toml", probe) == found


def test_without_the_extra_nothing_is_asked_and_real_pictures_are_an_error(monkeypatch):
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    assert choose_images("auto", "config.toml", lambda: pytest.fail("asked")) == Images()
    with pytest.raises(ConfigError, match="textual-image is not installed"):
        choose_images("kitty", "config.toml")


class App:
    no_color = False

    def __init__(self, images: Images, eco: bool) -> None:
        self.images, self.link = images, SimpleNamespace(eco=eco)


def test_a_slow_link_shows_no_pictures_unless_a_person_chose_a_kind():
    assert kind_now(App(Images("kitty"), eco=True)) == "off"
    assert kind_now(App(Images("half"), eco=False)) == "half"
    assert kind_now(App(Images("half", True), eco=True)) == "half"
    colourless = App(Images("sixel"), eco=False)
    colourless.no_color = True
    assert kind_now(colourless) == "ascii"
    assert kind_now(object()) == "half"
