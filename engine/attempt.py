"""One process's hold on a run: the lease, the event sink, status.json, and the thread that keeps all three alive.

Everything here is cheap for the thread that trains: it sets numbers, the heartbeat writes them down.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.alive import HEARTBEAT_SECONDS
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.sound_index import sound_index
from engine.events.status import Lease, Status
from engine.events.types import Failed, RunEnd, RunStart
from engine.machine import Machine

TICK_SECONDS = 0.2  # control files are looked for this often
GONE_SECONDS = 10.0  # without its run directory the engine ends: a volume that hiccups has time to come back
STATUS_SECONDS = 1.0  # status.json shows a new step after at most this long
_STATE_NAME = re.compile(r"(\d{8,})-(\d+)")


class Attempt:
    """Holds the lease of ``run`` from construction to ``finish``.

    Raises ``UserError`` (lease_alive) when another process works in the run, ``OSError`` when its files cannot be written.
    """

    def __init__(self, run: RunDirectory, *, to_end: bool = False) -> None:
        """``to_end``: no further attempt, only the end of one whose process is gone."""
        self.run = run
        self.lease = Lease.acquire(run, tell=_tell)
        try:
            self._open(to_end=to_end)
        except BaseException:
            self.lease.release(run)
            raise

    def _open(self, *, to_end: bool) -> None:
        run = self.run
        before = Status.read(run)
        self.events = EventSink(run.events, run.steps_idx, attempt=1)
        attempts = sound_index(run).attempts()
        last = attempts[-1][1] if attempts else 0
        self.number = max(last, 1) if to_end else last + 1
        self.from_step = before.step if to_end and before else newest_state_step(run) if self.number > 1 else 0
        self.machine = Machine(run.path)
        now = iso_time(time.time())
        self._began = time.monotonic()
        self._seconds_before, self._cost_before = (before.seconds, before.cost) if before else (0.0, None)
        self._lock = threading.Lock()
        self._written: Status | None = None
        self._lease_due = 0.0
        self._ended = threading.Event()
        self._on_tick: Callable[[], None] = lambda: None
        self._told = threading.Event()  # the end is on disk
        self._on_end: Callable[[str], None] = lambda hook: None
        self._complained = False
        self._gone_since: float | None = None
        self._troubles: set[str] = set()
        self.status = replace(
            before or Status("starting"),
            state="running",
            process=ProcessIdentity.of_this_process(),
            heartbeat=now,
            phase="",
            attempt=self.number,
            step=self.from_step,
            exit_code=None,
            reason="",
            started=(before.started if before else "") or now,
            ended="",
            price=None,
        )
        self._write_status(durable=True)
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def start(self, config: dict[str, Any], price: float | None = None) -> None:
        """Open the attempt in the event log; ``config`` holds the few values viewers show."""
        self.update(price=price)
        self.events.emit(RunStart(self.number, self.from_step, config, self.machine.gpu_names(), price))

    def spent(self) -> tuple[float, float | None]:
        """Seconds and money over all attempts until now; no money when no attempt knew a price."""
        seconds = time.monotonic() - self._began
        price = self.status.price
        cost = self._cost_before if price is None else (self._cost_before or 0.0) + seconds * price / 3600
        return self._seconds_before + seconds, cost

    def start_again_from(self, step: int, config: dict[str, Any], price: float | None = None) -> None:
        """Say that work resumes elsewhere than announced (the newest state was damaged): counts as another attempt."""
        self.number += 1
        self.from_step = step
        self.update(attempt=self.number, step=step)
        self.start(config, price)

    def on_tick(self, action: Callable[[], None]) -> None:
        """Call ``action`` a few times a second on the heartbeat's thread."""
        self._on_tick = action

    def update(self, **changes: Any) -> None:
        """Change fields of the status; written within a second. Nothing changes once the run has ended."""
        with self._lock:
            if not self.status.ended:
                self.status = replace(self.status, **changes)

    def on_end(self, action: Callable[[str], None]) -> None:
        """Call ``action`` with the name of the hook once the end is on disk; the lease is still held then."""
        self._on_end = action

    def keep_lease(self) -> None:
        """Renew the lease when it is time to, after the heartbeat has ended."""
        if time.monotonic() >= self._lease_due:
            self._lease_due = time.monotonic() + HEARTBEAT_SECONDS
            self._renew_lease()

    def finish(self, state: str, reason: str, exit_code: int, *, hook: str = "") -> None:
        """Write the end: run_end, the final status, what comes after (``hook``), then give the lease back.

        Does nothing the second time.
        """
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        self.events.emit(RunEnd(state, reason))
        self.events.flush()
        self._tally(state=state, reason=reason, exit_code=exit_code, ended=iso_time(time.time()))
        self._write_status(durable=True)
        self._told.set()
        self._guarded(lambda: self._on_end(hook))
        self.events.close()
        self.lease.release(self.run)

    def leave_at_once(self, reason: str, exit_code: int) -> None:
        """End the process now, without waiting for the thread that trains. Nothing is saved but the reason."""
        if self._told.is_set():
            self.events.close(timeout=1.0)
            self.lease.release(self.run)
            os._exit(self.status.exit_code or 0)
        self._tally(state="failed", reason=reason, exit_code=exit_code, ended=iso_time(time.time()))
        self._write_status(durable=True)
        self.events.emit(RunEnd("failed", reason))
        self.events.close(timeout=1.0)
        self.lease.release(self.run)
        os._exit(exit_code)

    def _beat(self) -> None:
        next_beat = next_status = 0.0
        while not self._ended.wait(TICK_SECONDS):
            now = time.monotonic()
            self._guarded(self._on_tick)
            self._look_for_folder(now)
            if now >= next_beat:
                next_beat = now + HEARTBEAT_SECONDS
                next_status = 0.0
                self._renew_lease()
                self._guarded(lambda: self.events.emit(self.machine.read()))
                self._tally(heartbeat=iso_time(time.time()))
            if now >= next_status and self.status != self._written:
                next_status = now + STATUS_SECONDS
                self.update(heartbeat=iso_time(time.time()))
                self._write_status(durable=False)

    def _look_for_folder(self, now: float) -> None:
        """End when the run directory was deleted or moved: nobody would find what is trained, nobody could stop it."""
        if _is_there(self.run):
            self._gone_since = None
            return
        if self._gone_since is None:
            self._gone_since = now
        if now - self._gone_since < GONE_SECONDS:
            return
        message = say(f"The run directory {self.run.path} was deleted or moved while the run went on; the engine ends.",
                      f"実行中に run のフォルダー {self.run.path} が削除または移動されたため、エンジンを終了します。")  # fmt: skip
        fix = say("Stop a run before its folder is moved; move it back and resume it.",
                  "フォルダーを移動する前に run を停止してください。元の場所に戻せば再開できます。")  # fmt: skip
        # Files that are open still lead to the folder, where it was only moved: there the story says why it ends.
        self.events.emit(Failed("run_folder_gone", message, fix))
        self.events.emit(RunEnd("failed", message))
        self.events.close(timeout=1.0)
        sys.stderr.write(f"{message} {fix}\n")
        sys.stderr.flush()
        os._exit(1)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Nothing that is done beside the heartbeat may end it: a run without one is taken for dead, and taken over."""
        try:
            action()
        except Exception:  # noqa: BLE001 - see above; each kind of trouble is told once
            trouble = traceback.format_exc()
            if trouble not in self._troubles:
                self._troubles.add(trouble)
                sys.stderr.write(trouble)

    def _tally(self, **changes: Any) -> None:
        """Bring seconds and cost up to date, with other changes."""
        seconds, cost = self.spent()
        self.update(seconds=round(seconds, 3), cost=cost, **changes)

    def _renew_lease(self) -> None:
        try:
            self.lease = self.lease.renew(self.run)
        except OSError as error:
            self._complain(error)
        except UserError as error:
            # Another machine took the run over while this one was silent: two writers would spoil it.
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            os._exit(1)

    def _write_status(self, *, durable: bool) -> None:
        with self._lock:
            status = self.status
        try:
            status.write(self.run, durable=durable)
            self._written = status
            self._complained = False
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            sys.stderr.write(
                say(f"status.json or lease.json cannot be written ({error.strerror or error}); retried.\n",
                    f"status.json または lease.json に書き込めません（{error.strerror or error}）。再試行します。\n")
            )  # fmt: skip


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _is_there(run: RunDirectory) -> bool:
    """Whether the run directory is where it was; what cannot be told (a volume that does not answer) counts as there."""
    try:
        os.stat(run.run_toml)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def newest_state_step(run: RunDirectory) -> int:
    """The step of the newest resume state that is complete by its name and manifest, 0 without one."""
    try:
        folders = list(run.state.iterdir())
    except OSError:
        return 0
    matches = ((_STATE_NAME.fullmatch(folder.name), folder) for folder in folders)
    return max(
        (int(match[1]) for match, folder in matches if match and (folder / "manifest.json").is_file()), default=0
    )
