"""The link to the terminal: measured where it can be, remembered, and what makes it count as slow."""

from __future__ import annotations

import os
import pty
import termios
import threading
import time
from pathlib import Path

import pytest

from engine.config.problems import ConfigError
from musubi_tui.tui import link as link_module
from musubi_tui.tui.link import Link, find_link, way
from musubi_tui.tui.settings import read_settings


def test_the_way_to_the_terminal() -> None:
    assert way({}) == "local"
    assert way({"SSH_CONNECTION": "a"}) == "ssh"
    assert way({"SSH_CONNECTION": "a", "TMUX": "b"}) == "ssh+tmux"
    assert way({"MUSUBI_TUI_SERVED": "1", "SSH_CONNECTION": "a"}) == "browser"


def ask(answer: bytes, delay: float, patience: float = 1.0) -> tuple[float, bool]:
    """(seconds of a round trip, whether the terminal's modes are as before) with a terminal that answers so."""
    ours, theirs = pty.openpty()

    def terminal() -> None:
        assert os.read(ours, 16) == b"\x1b[5n"
        time.sleep(delay)
        os.write(ours, answer)

    thread = threading.Thread(target=terminal)
    before = termios.tcgetattr(theirs)
    thread.start()
    try:
        return link_module._ask(theirs, patience), termios.tcgetattr(theirs) == before
    finally:
        thread.join()
        os.close(ours)
        os.close(theirs)


def test_a_round_trip_is_measured_and_the_terminal_left_as_it_was() -> None:
    seconds, restored = ask(b"typed\x1b[0n", 0.1)
    assert 0.1 <= seconds < 0.9
    assert restored


def test_a_terminal_that_does_not_answer_counts_as_far_away() -> None:
    seconds, restored = ask(b"something else", 0.0, patience=0.2)
    assert seconds == 0.2
    assert restored


def test_a_slow_link_is_asked_once_per_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[float] = []
    monkeypatch.setattr(link_module, "round_trip", lambda: asked.append(0.2) or 0.2)
    assert find_link("auto", {}).rtt is None
    assert find_link("auto", {"SSH_CONNECTION": "1", "TMUX": "t"}).rtt is None  # tmux would answer for itself
    assert find_link("off", {"SSH_CONNECTION": "1"}).eco is False
    assert asked == []
    for connection, times in (("1", 1), ("1", 1), ("2", 2)):
        found = find_link("auto", {"SSH_CONNECTION": connection})
        assert (found.eco, found.text(), len(asked)) == (True, "ssh 200 ms eco", times)
    (tmp_path / "musubi-tui" / "link.json").write_text("{")
    assert find_link("auto", {"SSH_CONNECTION": "2"}).rtt == 0.2


def test_eco_follows_the_round_trip_the_queue_and_the_persons_word() -> None:
    assert not Link("ssh", 0.15).eco
    assert Link("ssh", 0.151).eco
    assert Link(setting="on").eco
    assert not Link("ssh", 2.0, setting="off").eco
    link = Link("ssh+tmux")
    assert [link.seen(queued) for queued in (3, 0, 3, 3)] == [False, False, False, True]
    assert link.eco
    assert [link.seen(2) for _ in range(60)] == [False] * 59 + [True]
    assert not link.eco
    forced = Link(setting="off")
    assert not any(forced.seen(30) for _ in range(5))


def test_the_setting_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    config = tmp_path / "musubi-tui" / "config.toml"
    config.parent.mkdir()
    config.write_text('[app]\neco = "on"\n')
    assert read_settings().eco == "on"
    config.write_text('[app]\neco = "sometimes"\n')
    with pytest.raises(ConfigError, match="auto, on or off"):
        read_settings()
