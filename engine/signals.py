"""Signals reach the engine while it computes: the first asks for a safe stop, the second leaves at once.

Python runs signal handlers on the main thread between two byte codes, which may be a minute away inside a kernel. So the
handlers do nothing; the C level writes the number into a pipe, and a thread that waits there acts on it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

STOPPING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SAME_EVENT_SECONDS = 0.5  # service managers send TERM and HUP in one breath: that is one request, not two


class SignalWatch:
    """Calls ``first(name)`` for the first stopping signal and ``again(name, number)`` for a later one, on its own thread.

    Signals that came before the watch was told whom to call are kept. Must be made on the main thread.
    """

    def __init__(self) -> None:
        self._first: Callable[[str], None] | None = None
        self._again: Callable[[str, int], None] | None = None
        self._ready = threading.Event()
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self._reading = reading
        for number in STOPPING:
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    def tell(self, first: Callable[[str], None], again: Callable[[str, int], None]) -> None:
        """Whom to call from now on."""
        self._first, self._again = first, again
        self._ready.set()

    def _watch(self) -> None:
        since: float | None = None
        while True:
            number = os.read(self._reading, 1)[0]
            if number not in STOPPING:
                continue
            now = time.monotonic()
            self._ready.wait()
            name = signal.Signals(number).name
            if since is None:
                since = now
                if self._first is not None:
                    self._first(name)
            elif now - since >= SAME_EVENT_SECONDS and self._again is not None:
                self._again(name, number)
