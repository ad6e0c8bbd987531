"""Whether anybody looks: a file that viewers touch, so that what is only worth watching costs nothing while nobody does.

A viewer that shows single transformer blocks touches ``RUN/viewer`` every ``LOOK_SECONDS``. The engine believes in a viewer while
the file's time keeps moving: it compares the file's times with each other, never with its own clock, so that two machines
whose clocks differ agree. The file is empty; only its time counts.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable

from engine.events.rundir import RunDirectory

LOOK_SECONDS = 4.0
BELIEVED_SECONDS = 12.0  # after the last movement of the file's time
_ASK_SECONDS = 0.5  # the file is looked at so often at most


def look(run: RunDirectory) -> bool:
    """Say that somebody looks, for some seconds. False where the run directory cannot be written (a read-only volume)."""
    try:
        handle = os.open(run.viewer, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError:
        return False
    try:
        os.utime(handle)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


class Viewers:
    """The engine's side. ``looking`` may be asked as often as one likes, from one thread."""

    def __init__(self, run: RunDirectory, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock
        self._seen = self._stamp()  # what lies there from before says nothing
        self._moved = self._asked = -BELIEVED_SECONDS

    def looking(self) -> bool:
        """Whether a viewer touched the file lately."""
        now = self._clock()
        if now - self._asked >= _ASK_SECONDS:
            self._asked = now
            stamp = self._stamp()
            if stamp not in (self._seen, 0):
                self._seen, self._moved = stamp, now
        return now - self._moved < BELIEVED_SECONDS

    def _stamp(self) -> int:
        """The file's time; 0 without a plain file of this user."""
        try:
            facts = os.lstat(self._run.viewer)
        except OSError:
            return 0
        return facts.st_mtime_ns if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() else 0
