"""The app's reader: one thread that looks at the runs about once a second and tells only what has changed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.problems import UserError

if TYPE_CHECKING:
    from musubi_tui.tui.view import View

READ_SECONDS = 1.0


class Reader:
    """``told`` gets views, ``complain`` sentences; both are called on the thread, as is ``changed``: it may say that the same
    facts are to be told again."""

    def __init__(
        self,
        home: Path,
        told: Callable[[View], None],
        complain: Callable[[str], None],
        changed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._home, self._told, self._complain, self._changed = home, told, complain, changed
        self._chosen = ""
        self._wake = threading.Event()
        self.stopped = threading.Event()

    def start(self) -> None:
        """Begin to read, once the first screen stands. What was made until then stays, and is not looked through for garbage again."""
        gc.enable()
        gc.freeze()
        threading.Thread(target=self._read, name="runs-reader", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end."""
        self.stopped.set()
        self._wake.set()

    def look(self) -> None:
        """Read now."""
        self._wake.set()

    def look_at(self, run_dir: str) -> None:
        """Read this run in detail from now on."""
        if run_dir != self._chosen:
            self._chosen = run_dir
            self._wake.set()

    def _read(self) -> None:
        from musubi_tui.tui.runs_reader import RunsReader
        from musubi_tui.tui.steering import tidy

        reader = RunsReader(self._home)
        before, trouble = None, ""
        while not self.stopped.is_set():
            try:
                view = reader.view(self._chosen)
                tidy()
                if self._changed() or view != before:
                    before = view
                    self._told(view)
                trouble = ""
            except (OSError, UserError) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._complain(trouble)
            self._wake.wait(READ_SECONDS)
            self._wake.clear()
