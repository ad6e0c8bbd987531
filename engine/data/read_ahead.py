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


def read_each(read: Callable[[_A], _R], of: Sequence[_A]) -> Iterator[_R]:
    """What ``read`` gives for each, in their order, as ``map`` does; an exception comes in its place and ends it.

    ``read`` may be called on other threads.
    """
    waits = []
    for one in of[:_PROBED]:
        began, worked = time.perf_counter(), time.thread_time()
        found = read(one)
        waits.append(time.perf_counter() - began - (time.thread_time() - worked))
        yield found
    rest = of[_PROBED:]
    # The median: a busy machine makes a few wait wherever they lie.
    if rest and statistics.median(waits) > _WAIT_SECONDS:
        yield from _read_ahead(read, rest)
    else:
        yield from map(read, rest)


def _read_ahead(read: Callable[[_A], _R], of: Sequence[_A]) -> Iterator[_R]:
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
