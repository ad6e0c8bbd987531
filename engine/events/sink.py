"""The one way events get onto disk: a bounded queue and a thread of its own, so that logging never holds up training.

``emit`` only appends to memory. When the queue is full, waiting steps are merged two by two and readings that will come again
(progress, memory, swap, host, blocks) are let go; what tells the story (run_start, control, sample, checkpoint, error,
run_end …) is never dropped. When the disk refuses, the sink says so once on stderr, keeps what it has and tries again: a full
disk costs detail, never the run.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

from engine.config.language import say
from engine.events.lines import Record, encode_line
from engine.events.reader import last_record
from engine.events.sound_index import repair_index
from engine.events.steps_index import pack
from engine.events.types import Checkpoint, Event, Failed, RunEnd, RunStart, Step, Warned

QUEUE_LIMIT = 4096
RETRY_SECONDS = 2.0
_DURABLE = (Checkpoint, Failed, RunEnd)  # waits for the disk before anything else is written


class EventSink:
    """Writes the events of one attempt to ``path`` and their index to ``index_path``. Safe to use from any thread.

    ``attempt`` is the one that goes on when no ``RunStart`` opens another. ``seq`` goes on from what the file holds. A line torn by a kill is closed, and the index is brought in line with the events.
    Raises ``OSError`` when the files cannot be opened at all.
    """

    def __init__(self, path: Path, index_path: Path, *, attempt: int, limit: int = QUEUE_LIMIT) -> None:
        self.path = path
        self.index_path = index_path
        self.attempt = attempt
        self.dropped = 0  # readings let go because the queue was full
        self.merged = 0  # steps that share a line with a neighbour for the same reason
        self._limit = limit
        self._queue: deque[tuple[float, Event]] = deque()
        self._changed = threading.Condition()
        self._taken = 0  # events that left the queue and wait for the disk
        self._closing = False
        self._complained = False
        last = last_record(path)
        self._seq = last.seq + 1 if last else 0
        self._events = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._offset = _close_torn_line(path, self._events)
        repair_index(path, index_path)
        self._index = os.open(index_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._thread = threading.Thread(target=self._write_until_closed, name="event-sink", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        """Put an event into the queue; never waits for the disk."""
        with self._changed:
            if len(self._queue) >= self._limit:
                self._make_room(event)
            self._queue.append((time.time(), event))
            self._changed.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything emitted so far is written. False when the disk did not take it in ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._taken, timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Write what is left and stop the thread. False when something could not be written."""
        complete = self.flush(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(RETRY_SECONDS + 1.0)
        if not self._thread.is_alive():
            os.close(self._events)
            os.close(self._index)
        return complete

    def _make_room(self, newcomer: Event) -> None:
        """Halve the waiting steps and let readings go. Called with the lock held."""
        kept: deque[tuple[float, Event]] = deque()
        waiting_step: int | None = None  # place in ``kept`` of a step that can take its successor in
        for t, event in self._queue:
            if isinstance(event, Step):
                before = kept[waiting_step][1] if waiting_step is not None else None
                if waiting_step is not None and isinstance(before, Step):
                    kept[waiting_step] = (t, merge_steps(before, event))
                    self.merged += 1
                    waiting_step = None
                    continue
                waiting_step = len(kept)
            elif isinstance(event, RunStart):
                waiting_step = None
            elif not event.essential and not isinstance(event, Warned):
                self.dropped += 1
                continue
            kept.append((t, event))
        while len(kept) >= self._limit and not newcomer.essential:
            place = next((i for i, (_, event) in enumerate(kept) if not event.essential), None)
            if place is None:
                break
            del kept[place]
            self.dropped += 1
        self._queue = kept

    def _write_until_closed(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                batch = self._take_batch()
            self._write(batch)
            with self._changed:
                self._taken = 0
                self._changed.notify_all()

    def _take_batch(self) -> list[tuple[float, Event]]:
        """Events up to and including the first that must be on disk before the next. Called with the lock held."""
        batch: list[tuple[float, Event]] = []
        while self._queue:
            batch.append(self._queue.popleft())
            if isinstance(batch[-1][1], _DURABLE):
                break
        self._taken = len(batch)
        return batch

    def _write(self, batch: list[tuple[float, Event]]) -> None:
        lines: list[bytes] = []
        marks: list[bytes] = []
        offset = self._offset
        for t, event in batch:
            if isinstance(event, RunStart):
                self.attempt = event.attempt
            line = encode_line(self._seq, t, event)
            mark = pack(Record(self._seq, t, event, offset, len(line)), self.attempt)
            if mark is not None:
                marks.append(mark)
            lines.append(line)
            self._seq += 1
            offset += len(line)
        if self._persist(self._events, b"".join(lines)) and self._persist(self._index, b"".join(marks)):
            self._offset = offset
            if isinstance(batch[-1][1], _DURABLE):
                self._sync()

    def _persist(self, descriptor: int, data: bytes) -> bool:
        """Append all of ``data``, however often the disk refuses. False when the sink is closed before it could."""
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except OSError as error:
                self._complain(error)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, RETRY_SECONDS):
                        return False
        if self._complained:
            self._complained = False
            self.emit(
                Warned(
                    "events_delayed",
                    say(
                        "The disk refused events for a while.",
                        "しばらくの間、ディスクがイベントの書き込みを拒否しました。",
                    ),
                    say(
                        "Free some space; steps of that time may share a line.",
                        "空き容量を確保してください。その間のステップはまとめて記録されている場合があります。",
                    ),
                )
            )
        return True

    def _sync(self) -> None:
        try:
            os.fsync(self._events)
            os.fsync(self._index)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        """Say once that the disk refuses; where even that is refused there is nobody to tell."""
        if self._complained:
            return
        self._complained = True
        try:
            sys.stderr.write(
                say(
                    f"{self.path} cannot be written ({error.strerror or error}); training goes on and this is retried.\n",
                    f"{self.path} に書き込めません（{error.strerror or error}）。学習は続き、書き込みは再試行します。\n",
                )
            )
            sys.stderr.flush()
        except OSError:
            return


def merge_steps(first: Step, second: Step) -> Step:
    """One line for two neighbouring steps: the later step, mean loss and mean seconds, weighted by the steps each stands for."""
    count = first.merged + second.merged

    def mean(a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return a if b is None else b
        return (a * first.merged + b * second.merged) / count

    return replace(
        second,
        merged=count,
        loss=mean(first.loss, second.loss),
        grad_norm=mean(first.grad_norm, second.grad_norm),
        step_s=mean(first.step_s, second.step_s),
        data_s=mean(first.data_s, second.data_s),
        forward_s=mean(first.forward_s, second.forward_s),
        backward_s=mean(first.backward_s, second.backward_s),
        optimizer_s=mean(first.optimizer_s, second.optimizer_s),
        stall_s=mean(first.stall_s, second.stall_s),
    )


def _close_torn_line(path: Path, descriptor: int) -> int:
    """Size of the file, after a newline was added behind a line that a kill left unfinished."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return 0
    with path.open("rb") as file:
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return size
    return size + os.write(descriptor, b"\n")
