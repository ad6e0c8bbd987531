"""A tmux of its own for one test: real keys in, what the screen shows out. Every wait is for a text or a fact, with a generous limit."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

PATIENCE_S = 90.0


class Tmux:
    """One server, one window at a time. ``start`` may be called again when the program in it has ended."""

    def __init__(self, environment: Mapping[str, str], folder: Path, size: tuple[int, int] = (120, 36)) -> None:
        self._name = f"musubi-test-{uuid.uuid4().hex[:12]}"
        self._environment = {name: value for name, value in environment.items() if not name.startswith("TMUX")}
        self._folder, self._size = folder, size
        # Else the server ends with its last window, and the next window may meet it while it does.
        self._tmux("start-server", ";", "set-option", "-s", "exit-empty", "off")

    def _tmux(self, *words: str, check: bool = True) -> str:
        command = ["tmux", "-L", self._name, "-f", "/dev/null", *words]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=check).stdout

    def start(self, *command: str) -> int:
        """Run ``command`` in a new window; its pid."""
        width, height = map(str, self._size)
        self._tmux("new-session", "-d", "-x", width, "-y", height, "-c", os.fspath(self._folder), *command)
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def screen(self) -> str:
        """What is shown now; empty when the window is gone."""
        return self._tmux("capture-pane", "-p", check=False)

    def title(self) -> str:
        """What the program, or something it wrote by mistake, made of the window's title."""
        return self._tmux("display-message", "-p", "#{pane_title}")

    def until(self, *texts: str | Callable[[], object], seconds: float = PATIENCE_S) -> str:
        """Wait until the screen shows every text and every condition holds; the screen."""
        deadline = time.monotonic() + seconds
        while True:
            shown = self.screen()
            if all(text in shown if isinstance(text, str) else text() for text in texts):
                return shown
            assert time.monotonic() < deadline, f"{texts} not within {seconds:.0f} s:\n{shown}"
            time.sleep(0.1)

    def keys(self, *names: str) -> None:
        """Press keys by their tmux names."""
        self._tmux("send-keys", *names)

    def type(self, text: str) -> None:
        """Type ``text`` as it is."""
        self._tmux("send-keys", "-l", text)

    def end(self) -> None:
        """End the server and what runs in it."""
        self._tmux("kill-server", check=False)
