"""``python -m musubi_tui.runs.supervisor HOME``: starts what waits in this machine's queue, one run per GPU, and nothing else.

It lives in a session of its own, one per machine and home (a lock that the system drops when it dies), and only while there
is something to start or to wait for. The runs do not depend on it: killed at any moment, its successor goes on from the queue
and the runs' own files.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from engine.config.language import counted, say
from engine.config.problems import MissingRequirement, UserError
from engine.events.alive import HEARTBEAT_SECONDS, is_alive
from engine.events.atomic import write_text_atomically
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Status, true_state
from musubi_tui.runs import allowing
from musubi_tui.runs.hooking import hooks_environment, hooks_of_run
from musubi_tui.runs.launching import engine_environment, launch, record_stillborn
from musubi_tui.runs.queue import Entry, Queue, QueueFile, take_lock
from musubi_tui.runs.resuming import prepare_resume
from musubi_tui.runs.slots import CPU, environment_of, machine_slots, slots_for, taken_by_others

POLL_SECONDS = 0.5
OTHERS_SECONDS = 3.0  # between two looks at runs that the queue did not start
START_SECONDS = 10.0
WATCHMAN_SECONDS = 1.5
_LOG_LIMIT = 1 << 20


def supervisor_of(file: QueueFile) -> ProcessIdentity | None:
    """The living supervisor of a queue, by its process on this machine, by its heartbeat on another."""
    try:
        values = json.loads(file.supervisor.read_bytes())
        process = ProcessIdentity(**values["process"])
        return process if is_alive(process, values["heartbeat"], file.supervisor) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure_supervisor(file: QueueFile) -> ProcessIdentity | None:
    """Start a supervisor unless one lives; who it is (None: it found nothing to do and has left). Raises ``MissingRequirement``."""
    living = supervisor_of(file)
    if living is not None:
        return living
    if file.log.exists() and file.log.stat().st_size > _LOG_LIMIT:
        os.replace(file.log, file.log.with_suffix(".log.1"))
    log = os.open(file.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    environment = engine_environment("auto")
    environment.pop("CUDA_VISIBLE_DEVICES", None)  # which GPUs an entry may take was noted when it was added
    command = [sys.executable, "-P", "-m", "musubi_tui.runs.supervisor", os.fspath(file.folder.parent)]
    try:
        process = subprocess.Popen(command, cwd="/", env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    finally:
        os.close(log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        living = supervisor_of(file)
        if living is not None:
            return living
        if process.poll() == 0:
            return supervisor_of(file)
        if process.returncode:
            break
        time.sleep(0.02)
    raise MissingRequirement.of(
        "no_supervisor",
        say("The queue's supervisor did not start.", "キューのスーパーバイザーを起動できませんでした。"),
        say(f"See {file.log}.", f"{file.log} を見てください。"),
        file=file.log,
    )


class Supervisor:
    """One pass after the other over the queue of this machine."""

    def __init__(self, file: QueueFile, lock: IO[str]) -> None:
        self._file = file
        self._lock = lock
        self._me = ProcessIdentity.of_this_process()
        self._name = f"{self._me.pid}:{self._me.started}"
        self._machine = machine_slots()
        self._engines: dict[int, subprocess.Popen[bytes]] = {}
        self._beaten = self._looked = float("-inf")
        self._others: set[str] = set()
        self._trouble = ""
        self._vanished: dict[int, float] = {}  # entry -> when its engine was first found gone
        self.asked_to_leave = False

    def run(self) -> None:
        """Until there is nothing to do, the lock is lost, or a signal asks to leave. Runs that were started go on."""
        _tell(say(f"supervisor {self._me.pid} begins; places: {', '.join(self._machine)}", f"スーパーバイザー {self._me.pid} を開始。場所: {', '.join(self._machine)}"))  # fmt: skip
        while not self.asked_to_leave and self._holds_lock():
            try:
                self._beat()
                self._look_after_running()
                self._start_what_fits()
                if self._left_idle():
                    break
                self._trouble = ""
            except (UserError, OSError) as error:  # a full disk, a volume that went away for a moment
                if str(error) != self._trouble:
                    _tell(str(error))
                self._trouble = str(error)
            time.sleep(POLL_SECONDS)
        self._resign()
        _tell(say(f"supervisor {self._me.pid} ends", f"スーパーバイザー {self._me.pid} を終了"))

    def _holds_lock(self) -> bool:
        """Whether the lock file is still the one we hold: a home that was deleted or replaced is not ours any more."""
        try:
            return self._file.folder.exists() and os.fstat(self._lock.fileno()).st_nlink > 0
        except OSError:
            return False

    def _beat(self) -> None:
        if time.monotonic() - self._beaten >= HEARTBEAT_SECONDS:
            record = {"process": asdict(self._me), "heartbeat": iso_time(time.time())}
            write_text_atomically(self._file.supervisor, json.dumps(record) + "\n", durable=False)
            self._beaten = time.monotonic()

    def _nap(self, seconds: float) -> None:
        """Wait without falling silent."""
        time.sleep(seconds)
        self._beat()

    def _look_after_running(self) -> None:
        for entry in self._file.read().running():
            engine = self._engines.get(entry.id)
            if engine is not None and engine.poll() is not None:
                record_stillborn(entry.run, engine)
            outcome = self._outcome(entry, engine)
            if outcome is not None:
                self._engines.pop(entry.id, None)
                self._vanished.pop(entry.id, None)
                queue = self._file.edit(lambda queue: settle(queue, entry.id, *outcome))  # noqa: B023 - called at once
                _tell(f"{entry.run.id}: {outcome[0]} {outcome[1]}".rstrip())
                if queue.held:
                    _tell(say(f"held: {queue.held}", f"保留: {queue.held}"))

    def _outcome(self, entry: Entry, engine: subprocess.Popen[bytes] | None) -> tuple[str, str] | None:
        """(outcome, reason) of a run that was started; None while it lives."""
        run = entry.run
        if not run.exists():
            return "failed", say("its folder was moved or deleted", "フォルダーが移動または削除されました")
        status = Status.read(run)
        state = true_state(run, status)
        process = status.process if status else None
        if state in ALIVE:
            if process == self._me and engine is not None and engine.poll() is not None:
                return "failed", say("the engine ended without a word", "エンジンが何も残さず終了しました")
            return None
        if state == "orphaned":
            if process is not None and f"{process.pid}:{process.started}" == entry.starter:
                return "again", say("its start was cut short", "起動が中断されました")
            if process is not None and process.of_another_boot():
                return "preempted", say("the machine restarted", "マシンが再起動しました")
            if time.monotonic() < self._vanished.setdefault(entry.id, time.monotonic()) + WATCHMAN_SECONDS:
                return None  # its watchman, if it has one, is about to tell the end
            return "failed", say("the engine vanished", "エンジンが消えました")
        if state == "queued":
            return "again", say("its start was cut short", "起動が中断されました")
        if process is not None and process != self._me and process.runs_here():
            return None  # it has its last word already, but still holds its GPU (a hook that waits, for one)
        return state, status.reason if status and state in ("failed", "preempted") else ""

    def _start_what_fits(self) -> None:
        queue = self._file.read()
        if queue.held or not queue.waiting() or time.time() < queue.quiet_until:
            return
        taken = {entry.slot for entry in queue.running()}
        for entry in queue.waiting():
            free = [slot for slot in slots_for(entry, self._machine) if slot not in taken]
            free = [slot for slot in free if slot not in self._taken_by_others(queue)] if free else []
            if free and self._claim(entry, free[0]):
                taken.add(free[0])
                self._start(replace(entry, slot=free[0], starter=self._name))

    def _taken_by_others(self, queue: Queue) -> set[str]:
        if time.monotonic() - self._looked > OTHERS_SECONDS:
            own = {entry.run.path for entry in queue.running()}
            self._others = taken_by_others(own, self._machine)
            self._looked = time.monotonic()
        return self._others

    def _claim(self, entry: Entry, slot: str) -> bool:
        """Note that we start ``entry``, unless somebody changed, held or removed it since we looked."""

        def claim(queue: Queue) -> Queue:
            if queue.held or entry not in queue.entries:
                return queue
            return queue.with_entry(replace(entry, state="running", slot=slot, starter=self._name, reason=""))

        claimed = self._file.edit(claim)
        return any(one.id == entry.id and one.starter == self._name for one in claimed.running())

    def _start(self, entry: Entry) -> None:
        run = entry.run
        where = entry.slot if entry.slot in (CPU, "gpu") else f"GPU {entry.slot}"
        _tell(say(f"{run.id}: starts on {where}", f"{run.id}: {where} で開始"))
        if true_state(run) in (*ALIVE, "done"):  # somebody was quicker, by hand
            return
        try:
            prepare_resume(run, {}, tell=_tell, sleep=self._nap)
            variables = environment_of(entry.slot) | _secrets(entry)
            hooks = hooks_environment(run, _allowed_hooks(run))
            device = "cpu" if entry.slot == CPU else entry.device
            self._engines[entry.id] = launch(run, device=device, secrets=variables, hooks=hooks)
        except (UserError, OSError) as error:
            reason = error.problems[0].message if isinstance(error, UserError) else str(error)
            spent = (
                isinstance(error, UserError) and error.problems[0].code == "budget_spent"
            )  # nothing is wrong with it
            self._file.edit(lambda queue: settle(queue, entry.id, "stopped" if spent else "failed", reason))
            _tell(f"{run.id}: {reason}")

    def _left_idle(self) -> bool:
        """Resign when there is nothing to start or wait for, in one step with looking: what is added later finds us gone."""
        with self._file.alone():
            queue = self._file.read()
            idle = not queue.running() and (bool(queue.held) or not queue.waiting())
            if idle:
                self._resign()
        return idle

    def _resign(self) -> None:
        """Free the lock first: who finds no supervisor must be able to start one."""
        if self._lock.closed:
            return
        self._lock.close()
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(self._file.supervisor.read_bytes())["process"] == asdict(self._me):
                self._file.supervisor.unlink()


def settle(queue: Queue, number: int, outcome: str, reason: str) -> Queue:
    """The queue after the run of entry ``number`` ended as ``outcome``: gone on with, tried again, or held."""
    entry = next((entry for entry in queue.entries if entry.id == number and entry.state == "running"), None)
    if entry is None:
        return queue
    back = replace(entry, state="waiting", slot="", starter="", reason=reason)
    if outcome == "again":
        return queue.with_entry(back).ordered(back, 0)
    if outcome == "preempted" and entry.tries < entry.retries:
        back = replace(back, tries=entry.tries + 1, reason=reason or "preempted")
        # whoever stops a run may be about to stop the machine: nothing is started for a while
        return replace(queue.with_entry(back).ordered(back, 0), quiet_until=time.time() + entry.retry_after)
    if outcome in ("done", "stopped"):
        return _at_the_end(queue, replace(entry, state=outcome, reason=reason))
    if outcome == "preempted":
        reason = say(f"preempted {counted(entry.tries + 1, 'time')}", f"{entry.tries + 1} 回中断されました")
    queue = _at_the_end(queue, replace(entry, state="failed", reason=reason))
    return queue if entry.keep_going else replace(queue, held=f"{entry.run.id}: {reason}")


def _at_the_end(queue: Queue, entry: Entry) -> Queue:
    """Ended entries stand before the open ones, in the order in which they ended."""
    others = [other for other in queue.entries if other.id != entry.id]
    ended = [other for other in others if other.state not in ("waiting", "running")]
    return replace(queue, entries=(*ended, entry, *(other for other in others if other not in ended)))


def _allowed_hooks(run: RunDirectory) -> dict[str, list[str]]:
    """The commands of the preset that were allowed when the run was added; tells of those that were not."""
    found = allowing.allowed(run)
    silent = ", ".join(name for name in hooks_of_run(run, allowed=False) if name not in found)
    if silent:
        _tell(say(f"{run.id}: {silent} of its preset was not allowed and will not run", f"{run.id}: プリセットの {silent} は許可されていないため実行しません"))  # fmt: skip
    return found


def _secrets(entry: Entry) -> dict[str, str]:
    """Secrets that only the preset holds, as environment variables. A preset that changed or went away has none to give."""
    if not entry.secrets:
        return {}
    from engine.config import load_config, secrets_environment

    try:
        return secrets_environment(load_config(Path(entry.preset)).config)
    except UserError as error:
        _tell(str(error))
        return {}


def _tell(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Work until the queue of this machine is empty; 0 also when another supervisor works already."""
    file = QueueFile(Path(arguments[0]))
    file.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = take_lock(file.lock)
    if lock is None:
        return 0
    supervisor = Supervisor(file, lock)

    def hear(number: int, _frame: object) -> None:
        supervisor.asked_to_leave |= number != signal.SIGHUP  # not ignored: the engines would inherit that

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, hear)
    supervisor.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
