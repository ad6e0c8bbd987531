"""Whether this process is the app behind a browser, and what must not be reachable from there.

``musubi-tui serve`` sets the variable for the apps it starts. Whoever holds the address may use the app, so what would run a
program of their choice is closed: no editor (the browser's terminal has none to hand over), no hooks.
"""

from __future__ import annotations

import os
import signal
import threading
import time

VARIABLE = "MUSUBI_TUI_SERVED"
_LOOKS_EVERY_S = 2.0


def served() -> bool:
    """Whether a browser shows this app."""
    return os.environ.get(VARIABLE) == "1"


def end_with_parent() -> None:
    """End this app like a closed terminal would when the server behind it is gone, however it went."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
