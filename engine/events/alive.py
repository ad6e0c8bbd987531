"""Whether a process still works, wherever it runs.

On this machine its process tells. Elsewhere only its heartbeat does, written by a clock that may be minutes away from ours, and a
host name proves nothing: containers, clones and "localhost" share theirs. So one look at another machine's heartbeat is a first
guess; what decides is whether it moves while we watch, by our own clock.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from engine.events.process import ProcessIdentity, uptime_seconds

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # a heartbeat of another machine that is older than this, or stands still for so long, has stopped
WATCH_SECONDS = 2.5 * HEARTBEAT_SECONDS  # what looks dead is watched for so long before anything is taken from it
_GLANCE_SECONDS = 0.5 * HEARTBEAT_SECONDS
Sign = Literal["alive", "unproven", "gone"]


class Seen(NamedTuple):
    """What watching has shown so far: whether the pulse ever moved, and the seconds for which it has stood still since."""

    moved: bool
    still: float


class Pulses:
    """Signs of life as they were last seen, and since when they stand still by our own clock. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[Hashable, tuple[object, float, bool]] = {}

    def look(self, key: Hashable, pulse: object) -> Seen:
        """Note the pulse of ``key`` as it is now."""
        now = self._clock()
        with self._lock:
            last, since, moved = self._seen.get(key, (pulse, now, False))
            if pulse != last:
                since, moved = now, True
            self._seen[key] = (pulse, since, moved)
        return Seen(moved, now - since)


_PULSES = Pulses()  # of this process: a viewer that stays learns more with every look


def sign_of_life(process: ProcessIdentity, heartbeat: str, file: Path, now: float | None = None) -> Sign:
    """What a look at ``heartbeat``, which stands in ``file``, and the looks before it tell of ``process``.

    ``unproven``: its clock is so far ahead of ours that the age says nothing, and it was not watched for long enough yet.
    """
    if process.here():
        return "alive" if process.runs_here() else "gone"
    seen = _PULSES.look((file, process), heartbeat)
    if seen.still >= STALE_SECONDS:
        return "gone"
    if seen.moved:
        return "alive"
    age = heartbeat_age(heartbeat, now)
    if age >= STALE_SECONDS or (process.of_another_boot() and age > uptime_seconds()):
        return "gone"  # the second: its last word is from before this machine's restart
    return "alive" if age > -STALE_SECONDS else "unproven"


def is_alive(process: ProcessIdentity, heartbeat: str, file: Path, now: float | None = None) -> bool:
    """Whether ``process`` lives, as far as can be told now; in doubt it does."""
    return sign_of_life(process, heartbeat, file, now) != "gone"


def changes(was: object, look: Callable[[], object], seconds: float, sleep: Callable[[float], None]) -> bool:
    """Whether ``look`` returns anything but ``was`` within ``seconds``; returns as soon as it does."""
    for _ in range(math.ceil(seconds / _GLANCE_SECONDS)):
        sleep(_GLANCE_SECONDS)
        if look() != was:
            return True
    return False


def heartbeat_age(heartbeat: str, now: float | None = None) -> float:
    """Seconds since ``heartbeat`` by this machine's clock; infinite when there is none. Negative when the other clock is ahead."""
    try:
        then = datetime.fromisoformat(heartbeat).timestamp()
    except ValueError:
        return float("inf")
    return (time.time() if now is None else now) - then
