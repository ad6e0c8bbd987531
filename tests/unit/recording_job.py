"""A job for stages under test: remembers what it was told, and stops when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from engine.families import FamilySpec
from engine.job import StopRequest


class Options:
    """Flat option values, unset ones None."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def get(self, name: str) -> Any:
        return self._values.get(name)


class RecordingJob:
    """What ``engine.job.Job`` offers a cache stage."""

    def __init__(self, spec: FamilySpec, values: Mapping[str, Any]) -> None:
        self.config = Options(values)
        self.spec = spec
        self.task = spec.task(None)
        self.warnings: list[tuple[str, str]] = []
        self.progress: list[tuple[int, int]] = []
        self.stop_when: Callable[[], bool] = lambda: False  # asked between items
        self.paused = False
        self.bytes_written = 0

    @contextmanager
    def phase(self, name: str) -> Iterator[RecordingJob]:
        yield self

    def update(self, done: int, total: int, bytes_written: int = 0) -> None:
        self.progress.append((done, total))
        self.bytes_written = bytes_written

    def warn(self, code: str, message: str, fix: str = "") -> None:
        self.warnings.append((code, message))

    @property
    def stop_requested(self) -> StopRequest | None:
        if self.stop_when():
            return StopRequest("stopped")
        return None
