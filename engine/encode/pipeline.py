"""Decode, encode and write at the same time: readers ahead of the encoder, a writer behind it, both by a bounded number of bytes.

Decoders (Pillow, OpenCV, FFmpeg), hashing and file writing run without Python's lock, so threads are enough. The encoder takes
units in the order in which they were claimed. The unit at its front may always go on, also beyond the limit, so nothing can
wait for itself: memory is the limit and what two clips need (one encoded, one read), however many items there are.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from engine.config.problems import Problem, UserError
from engine.data.clip_reading import Abandoned
from engine.data.items import Item
from engine.encode.work import Unit, Worklist

READ_AHEAD_BYTES = 512 << 20
WRITE_BEHIND_BYTES = 64 << 20
_MOST_READERS = 8
_UNITS_PER_READER = 4  # claimed ahead: what is claimed here, no other process works on
LOOK_AGAIN_SECONDS = 0.5  # how often it is looked whether another process is done with a file
_CHECK_SECONDS = 0.2  # how long the encoder waits before it looks whether it shall stop


class Source(Protocol):
    """How a unit is read: called on a reader's thread."""

    def __call__(self, unit: Unit, room: Room) -> Iterator[tuple[Item, Any]]:
        """Each item of the unit with what the encoder needs. Raises ``UserError`` for a file that cannot be read."""
        ...


@dataclass
class _Lane:
    """One unit on its way through."""

    unit: Unit
    ready: deque[tuple[Item, Any, int]] = field(default_factory=deque)
    read: bool = False
    left: int = 0  # items that are neither written nor given up


class Room:
    """What one unit may keep in memory; given to its source."""

    def __init__(self, pipeline: Pipeline, lane: _Lane) -> None:
        self._pipeline, self._lane = pipeline, lane
        self.taken = 0  # bytes that are reserved and not handed over yet

    def reserve(self, size: int) -> None:
        """Wait until ``size`` more bytes may be used. Raises ``Abandoned`` when nobody wants them any more."""
        self._pipeline._reserve(self._lane, size)
        self.taken += size

    def wanted(self) -> bool:
        """Whether the work goes on."""
        return not self._pipeline.ended


def readers_here(share_of_machine: int = 1) -> int:
    """How many readers this machine's cores feed, when that many processes share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_READERS, cores // max(1, share_of_machine)))


class Pipeline:
    """Iterate it for (item, what its source gave, state of its old file); ``write`` what came of it. Use it with ``with``.

    ``check`` is called while the encoder waits, and may raise. An error of a reader or of the writer is raised at the next
    step; ``failures`` holds the problems of items whose files cannot be read, which stop nobody else.
    """

    def __init__(
        self,
        worklist: Worklist,
        source: Source,
        *,
        size_of: Callable[[Any], int],
        check: Callable[[], None],
        readers: int | None = None,
        read_ahead_bytes: int = READ_AHEAD_BYTES,
        write_behind_bytes: int = WRITE_BEHIND_BYTES,
    ) -> None:
        self._worklist, self._source, self._size_of, self._check = worklist, source, size_of, check
        self._read_limit, self._write_limit = read_ahead_bytes, write_behind_bytes
        self._changed = threading.Condition()
        self._taking = threading.Lock()
        self._lanes: deque[_Lane] = deque()  # in the order of their claims; the encoder works on the first
        self._all_taken = False
        self._claimed = 0  # units that are neither written nor given up
        self._taken: dict[int, tuple[_Lane, int]] = {}  # with the encoder: item -> where it belongs, bytes
        self._reserved = 0
        self._writes: deque[tuple[_Lane, Callable[[], int], int]] = deque()
        self._queued = 0
        self._draining = self.ended = False
        self._error: BaseException | None = None
        self.failures: list[tuple[Item, Problem]] = []
        self.files = self.bytes = 0  # written
        count = readers_here() if readers is None else readers
        self._ahead = _UNITS_PER_READER * count
        self._readers = [
            threading.Thread(target=self._run_reader, name=f"reader-{n}", daemon=True) for n in range(count)
        ]
        self._writer = threading.Thread(target=self._run_writer, name="cache-writer", daemon=True)
        for thread in (*self._readers, self._writer):
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """What is encoded is written, also when the work ends early; then the first error is raised, unless one is under way."""
        with self._changed:
            self.ended, self._draining = True, True
            self._changed.notify_all()
        for thread in (*self._readers, self._writer):
            thread.join()
        if error is None and self._error is not None:
            raise self._error

    # -- the encoder's side

    def __iter__(self) -> Iterator[tuple[Item, Any]]:
        while (lane := self._front()) is not None:
            with self._changed:
                item, given, size = lane.ready.popleft()
                self._taken[id(item)] = (lane, size)
            yield item, given
            del given

    def write(self, item: Item, write: Callable[[], int], size: int) -> None:
        """Have ``write`` called by the writer; it returns the bytes it wrote. Waits while too much is unwritten.

        What was read for the item may be forgotten now.
        """
        with self._changed:
            lane, read = self._taken.pop(id(item))
            self._reserved -= read
            self._changed.notify_all()
            while self._queued and self._queued + size > self._write_limit and self._error is None:
                self._changed.wait(_CHECK_SECONDS)
            self._raise()
            self._writes.append((lane, write, size))
            self._queued += size
            self._changed.notify_all()

    def give_up(self, item: Item, problem: Problem) -> None:
        """Its file turned out to be unreadable while it was encoded."""
        with self._changed:
            lane, read = self._taken.pop(id(item))
            self._reserved -= read
            self._changed.notify_all()
        self.failures.append((item, problem))
        self._settle(lane, 1)

    def _front(self) -> _Lane | None:
        """The first lane once it has something ready; None at the end."""
        while True:
            with self._changed:
                self._raise()
                if self._lanes and self._lanes[0].ready:
                    return self._lanes[0]
                if self._lanes and self._lanes[0].read:
                    self._lanes.popleft()
                    self._changed.notify_all()
                    continue
                if not self._lanes and self._all_taken:
                    return None
                self._changed.wait(_CHECK_SECONDS)
            self._check()

    def _settle(self, lane: _Lane, items: int) -> None:
        """So many items of a lane are written or given up; its claims go back with the last one."""
        with self._changed:
            lane.left -= items
            if lane.left or not items:
                return
        self._worklist.done(lane.unit)
        with self._changed:
            self._claimed -= 1
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # -- readers

    def _run_reader(self) -> None:
        try:
            while (lane := self._next_lane()) is not None:
                self._read(lane)
        except Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001 -- handed over to the thread that encodes
            self._fail(error)

    def _next_lane(self) -> _Lane | None:
        while True:
            with self._changed:
                while self._claimed >= self._ahead and not self.ended:
                    self._changed.wait()
                if self.ended or self._all_taken:
                    return None
            with self._taking:
                unit = self._worklist.take()
                if unit is not None:
                    lane = _Lane(unit, left=len(unit.members))
                    with self._changed:
                        self._lanes.append(lane)
                        self._claimed += 1
                        self._changed.notify_all()
                    return lane
                if not self._worklist.holders:
                    with self._changed:
                        self._all_taken = True
                        self._changed.notify_all()
                    return None
                with self._changed:
                    self._changed.wait_for(lambda: self.ended, LOOK_AGAIN_SECONDS)
                self._worklist.look_again()

    def _read(self, lane: _Lane) -> None:
        room = Room(self, lane)
        missing = {id(item): item for item, _ in lane.unit.members}
        try:
            for item, given in self._source(lane.unit, room):
                size = self._size_of(given)
                del missing[id(item)]
                with self._changed:
                    self._reserved += size - room.taken
                    room.taken = 0
                    lane.ready.append((item, given, size))
                    self._changed.notify_all()
        except UserError as error:
            self.failures += [(item, error.problems[0]) for item in missing.values()]
            self._settle(lane, len(missing))
        except Exception as error:
            error.add_note(f"{lane.unit.members[0][0].path}")
            raise
        finally:
            with self._changed:
                self._reserved -= room.taken
                lane.read = True
                self._changed.notify_all()

    def _reserve(self, lane: _Lane, size: int) -> None:
        with self._changed:
            while not self.ended:
                first = self._lanes[0] is lane and not lane.ready
                if first or self._reserved + size <= self._read_limit:
                    self._reserved += size
                    return
                self._changed.wait()
        raise Abandoned

    # -- the writer

    def _run_writer(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._writes or self._draining)
                    if not self._writes:
                        return
                    lane, write, size = self._writes.popleft()
                written = write()
                with self._changed:
                    self._queued -= size
                    self.files += 1
                    self.bytes += written
                    self._changed.notify_all()
                self._settle(lane, 1)
        except BaseException as error:  # noqa: BLE001 -- handed over to the thread that encodes
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
