"""The way to the person's terminal: over what it goes, how long a round trip takes, and whether to be sparing with it.

Over SSH the terminal is asked for its status once, before the app starts, and the answer is timed: that is one round trip of the
link. tmux and screen answer for themselves, so behind them nothing is known until writes pile up. ``eco`` is what the rest of
the app asks: fewer frames, 256 colours, no pictures.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import termios
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.events.atomic import write_text_atomically
from musubi_tui.tui import early_keys

ECO = ("auto", "on", "off")
SLOW_RTT_S = 0.15
SLOW_QUEUE = 2  # writes that wait for the terminal; Textual stops the app at 30
_LOOKS = 2  # in a row that must see a queue before the link counts as slow
_QUIET_LOOKS = 60  # without one until it counts as quick again
_PATIENCE_S = 1.0
_KEPT_S = 3600.0
_QUESTION, _ANSWER = b"\x1b[5n", b"\x1b[0n"


@dataclass
class Link:
    """``rtt`` in seconds; None: local, behind a multiplexer, or not known. ``setting``: ``[app] eco``."""

    over: str = "local"
    rtt: float | None = None
    setting: str = "auto"
    _piled: int = 0
    _quiet: int = 0
    _slow: bool = False

    @property
    def eco(self) -> bool:
        """Whether to be sparing: half as many charts a minute, no pictures."""
        if self.setting != "auto":
            return self.setting == "on"
        return self._slow or (self.rtt is not None and self.rtt > SLOW_RTT_S)

    def seen(self, queued: int) -> bool:
        """Take in how many writes wait, about once a second: whether ``eco`` changed."""
        before = self.eco
        if queued > SLOW_QUEUE:
            self._piled, self._quiet = self._piled + 1, 0
        else:
            self._piled, self._quiet = 0, self._quiet + 1
        if self._piled >= _LOOKS:
            self._slow = True
        elif self._quiet >= _QUIET_LOOKS:
            self._slow = False
        return self.eco != before

    def text(self) -> str:
        """``ssh 180 ms eco``."""
        parts = [self.over]
        if self.rtt is not None:
            parts.append(f"{self.rtt * 1000:.0f} ms")
        if self.eco:
            parts.append("eco")
        return " ".join(parts)


def way(environment: Mapping[str, str] | None = None) -> str:
    """How the terminal is reached: ``ssh``, ``tmux``, both, ``browser``, or ``local``."""
    known = os.environ if environment is None else environment
    if known.get("MUSUBI_TUI_SERVED"):
        return "browser"
    parts = [
        word
        for word, variable in (("ssh", "SSH_CONNECTION"), ("tmux", "TMUX"), ("screen", "STY"))
        if known.get(variable)
    ]
    return "+".join(parts) or "local"


def find_link(setting: str = "auto", environment: Mapping[str, str] | None = None) -> Link:
    """The link of this process's terminal; asks it for its status where that tells something and is not known yet."""
    known = os.environ if environment is None else environment
    link = Link(way(known), setting=setting if setting in ECO else "auto")
    if link.over != "ssh" or link.setting == "off":
        return link
    connection = known["SSH_CONNECTION"]
    link.rtt = _remembered(connection)
    if link.rtt is None:
        link.rtt = round_trip()
        if link.rtt is not None:
            _remember(connection, link.rtt)
    return link


def queued_writes(driver: object) -> int:
    """How many writes of the app wait for the terminal; 0 where nobody counts them (a test, a browser)."""
    queue = getattr(getattr(driver, "_writer_thread", None), "_queue", None)
    return int(queue.qsize()) if queue is not None else 0


def round_trip(patience: float = _PATIENCE_S) -> float | None:
    """Seconds until the terminal answers; ``patience`` when it does not in time, None where there is no terminal to ask.

    It is asked once per connection; what is typed meanwhile is kept for the app.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return _ask(terminal, patience)
    except (OSError, termios.error):
        return None
    finally:
        os.close(terminal)


def _ask(terminal: int, patience: float) -> float:
    before, seen = termios.tcgetattr(terminal), b""
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        began = time.monotonic()
        os.write(terminal, _QUESTION)
        while (left := began + patience - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                seen += os.read(terminal, 256)
                if _ANSWER in seen:
                    return time.monotonic() - began
        return patience
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        early_keys.keep(seen)


def _memory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "musubi-tui" / "link.json"


def _remembered(connection: str) -> float | None:
    try:
        values = json.loads(_memory().read_text("utf-8"))
        fresh = values["connection"] == connection and 0 <= time.time() - values["t"] < _KEPT_S
        return float(values["rtt"]) if fresh else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(connection: str, rtt: float) -> None:
    with contextlib.suppress(OSError):  # asked again next time
        _memory().parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"connection": connection, "rtt": round(rtt, 4), "t": time.time()})
        write_text_atomically(_memory(), text + "\n", durable=False)
