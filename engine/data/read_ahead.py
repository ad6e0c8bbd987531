"""Reading many files of a volume that answers slowly: several at once, ahead of being wanted, where that helps.

On a network volume each file is waited for, some milliseconds long, and a hundred thousand of them one after the other take
minutes. On a local disk nothing is waited for: threads would only take Python's lock from each other, and read at half the speed.
Which of the two it is the first files tell, by how much longer they take than the processor works on them.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_R = TypeVar("_R")

_PROBED = 32
_WAIT_SECONDS = 0.0003  # a file that is waited for longer than this is worth a thread
_READERS = 16
_AHEAD = 4 * _READERS  # what is read and not wanted yet


def is_waited_for(read: Callable[[_A], object], of: Sequence[_A]) -> bool:
    """Whether threads would help, by reading the first ones. Raises what ``read`` raises."""
    return bool(of) and statistics.median(_wait(read, one)[1] for one in of[:_PROBED]) > _WAIT_SECONDS


def _wait(read: Callable[[_A], _R], one: _A) -> tuple[_R, float]:
    began, worked = time.perf_counter(), time.thread_time()
    found = read(one)
    return found, time.perf_counter() - began - (time.thread_time() - worked)


def read_each(read: Callable[[_A], _R], of: Sequence[_A]) -> Iterator[_R]:
    """What ``read`` gives for each, in their order, as ``map`` does; an exception comes in its place and ends it.

    ``read`` may be called on other threads.
    """
    waits = []
    for one in of[:_PROBED]:
        found, wait = _wait(read, one)
        waits.append(wait)
        yield found
    rest = of[_PROBED:]
    # The median: a busy machine makes a few wait wherever they lie.
    if rest and statistics.median(waits) > _WAIT_SECONDS:
        yield from read_at_once(read, rest)
    else:
        yield from map(read, rest)


def read_at_once(read: Callable[[_A], _R], of: Sequence[_A]) -> Iterator[_R]:
    """The same by threads, whatever the volume is like."""
    jobs: deque[Future[_R]] = deque()
    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="read-ahead")
    try:
        for one in of:
            jobs.append(pool.submit(read, one))
            if len(jobs) == _AHEAD:
                yield jobs.popleft().result()
        while jobs:
            yield jobs.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
