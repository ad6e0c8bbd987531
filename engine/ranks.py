"""Several processes for the caching of one run: the first owns the run, the others help it encode and say nothing.

``cache_processes = N`` makes the engine start N - 1 helpers once there is work; under torchrun the ranks are there already.
Both are told by torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK). A helper reads run.toml, shares the files by claims
(``engine.encode.work``), and watches status.json: it pauses and stops with the run, and ends when its owner is gone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Status, true_state
from engine.families import get_family
from engine.job import StopRequest

if TYPE_CHECKING:
    from engine.config import Config
    from engine.job import Job

CACHE_STAGES = ("cache_latents", "cache_text")
_LOOK_SECONDS = 0.5
_START_SECONDS = 120.0  # the owner imports no faster than its helpers
_END_SECONDS = 5.0  # after which a helper that was asked to end is killed


@dataclass(frozen=True)
class Share:
    """Which of several processes of one run this is."""

    rank: int = 0
    world: int = 1


ALONE = Share()


def share_of_environment(environment: Mapping[str, str] = os.environ) -> Share:
    """Which rank this process is, by torchrun's variables."""
    try:
        rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    except (KeyError, ValueError):
        return ALONE
    return Share(rank, world) if 0 <= rank < world else ALONE


def local_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Which GPU of this machine is this process's."""
    with contextlib.suppress(ValueError):
        return int(environment.get("LOCAL_RANK", "0"))
    return 0


class HelperJob:
    """What the cache stages need of a job, for a helper: the run's configuration, and its owner's wish to pause or stop."""

    kind = "cache"
    attempt = 1
    helps = True

    def __init__(self, run: RunDirectory, config: Config) -> None:
        self.run = run
        self.config = config
        self.spec = get_family(config.get("family"))
        self.task = self.spec.task(config.get("task"))
        self._next_look = 0.0
        self._state = "running"
        self._stop: StopRequest | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[HelperJob]:
        """Nothing is told: the owner counts the files."""
        yield self

    def update(self, done: int, total: int, bytes_written: int = 0) -> None:
        """Nothing is told."""

    def warn(self, code: str, message: str, fix: str = "") -> None:
        """The owner finds and tells the same."""

    def request_stop(self, request: StopRequest) -> None:
        """End between two items."""
        self._stop = request

    @property
    def stop_requested(self) -> StopRequest | None:
        """A signal, or the end of the run."""
        if self._stop is None and self._look() not in ALIVE - {"stopping"}:
            self._stop = StopRequest("stopped", "now", self._state)
        return self._stop

    @property
    def paused(self) -> bool:
        """Whether the run is."""
        return self._stop is None and self._look() == "paused"

    def _look(self) -> str:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._state = true_state(self.run)
        return self._state


def wait_for_owner(run: RunDirectory) -> bool:
    """Whether the run's owner came to life."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        status = Status.read(run)
        if status is not None and status.state in ("running", "paused") and true_state(run, status) in ALIVE:
            return True
        time.sleep(0.1)
    return False


class Helpers:
    """The helpers of one run, started when there is work for them. Close it: they end with it."""

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []

    def call(self, files: int) -> None:
        """Start them, once, when ``files`` are more than one for each process."""
        if self._processes or self._count < 1 or files <= self._count + 1:
            return
        for rank in range(1, self._count + 1):
            environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(self._count + 1)}
            command = [sys.executable, "-P", "-m", "engine", os.fspath(self._job.run.path)]
            self._processes.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))

    def close(self) -> None:
        """End them. Nothing is lost: what they did not finish is the owner's, or of the next start."""
        failed = [process.poll() for process in self._processes if process.poll() not in (None, 0)]
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + _END_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        if failed:
            self._job.warn(
                "helper_failed",
                say(f"{len(failed)} of the helping processes failed; the others did their work.", f"補助プロセス {len(failed)} 個が失敗しました。残りの処理は他のプロセスが行いました。"),
                say(f"See {self._job.run.engine_log}.", f"{self._job.run.engine_log} を見てください。"),
            )  # fmt: skip


def help_run(run: RunDirectory, config: Config, stages: tuple[str, ...], signals: Any) -> int:
    """What a helper does; its exit code."""
    job = HelperJob(run, config)
    signals.tell(
        first=lambda name: job.request_stop(StopRequest("preempted", "now", name)),
        again=lambda name, number: os._exit(128 + number),
    )
    if not wait_for_owner(run):
        return 0
    from engine.stages import run_stages

    run_stages(job, tuple(stage for stage in stages if stage in CACHE_STAGES))
    return 0
