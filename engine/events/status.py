"""Whether a run lives: status.json, lease.json, and the truth behind both.

A flag in a file proves nothing: the process may have been killed, its pid given to another, the machine restarted. On its own
machine a run is judged by its process; a run of another machine (a shared volume) by its heartbeat alone (see ``alive``).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.alive import STALE_SECONDS, WATCH_SECONDS, Sign, changes, is_alive, sign_of_life
from engine.events.atomic import write_text_atomically
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.redaction import redact
from engine.events.rundir import RunDirectory

STATES = (
    "queued", "starting", "running", "paused", "stopping", "done", "stopped", "preempted", "failed", "orphaned",
)  # fmt: skip
ALIVE = frozenset({"starting", "running", "paused", "stopping"})  # states that need a living process
RESUMABLE = frozenset({"stopped", "preempted", "failed", "orphaned"})
_FROM_CONFIG = {"name": "output_name", "family": "family", "kind": "kind"}  # field of a status -> word in run_start
_LAST_EVENTS = 256 * 1024  # bytes that are looked through for an end
_Record = TypeVar("_Record", "Status", "Lease")
_KINDS: dict[str, Any] = {"int": int, "int | None": int, "float": (int, float), "float | None": (int, float)}


@dataclass(frozen=True, slots=True)
class Status:
    """What status.json holds. Times are ISO-8601 UTC; ``process`` is the engine's (the launcher's before the engine runs)."""

    state: str
    process: ProcessIdentity | None = None
    heartbeat: str = ""
    phase: str = ""
    attempt: int = 1
    step: int = 0
    max_steps: int = 0
    exit_code: int | None = None
    reason: str = ""
    started: str = ""  # of the first attempt
    ended: str = ""
    name: str = ""
    family: str = ""
    kind: str = "train"
    seconds: float = 0.0  # of engine time over all attempts, pauses included: what is paid for
    price: float | None = None  # money per hour of the current attempt
    cost: float | None = None  # money spent over all attempts; None when no price was known

    @classmethod
    def read(cls, run: RunDirectory) -> Status | None:
        """The status of a run; where its file is damaged, what its events say of its end. None when there is neither."""
        values = _read_object(run.status)
        if values is None or values.get("state") not in STATES:
            return _from_events(cls, run) if run.status.exists() else None
        return _from_values(cls, values)

    def write(self, run: RunDirectory, *, durable: bool = True) -> None:
        """Replace status.json. Raises ``OSError``."""
        values = _to_values(self) | {"reason": redact(self.reason)}
        write_text_atomically(run.status, _dump(values), durable=durable)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may work in a run directory. Made with O_EXCL, renewed by a heartbeat, removed at the end."""

    process: ProcessIdentity
    heartbeat: str

    @classmethod
    def read(cls, run: RunDirectory) -> Lease | None:
        """The lease of a run, or None when nobody holds one (or an unreadable one)."""
        values = _read_object(run.lease)
        lease = _from_values(cls, values) if values else None
        return lease if lease and lease.process else None

    @classmethod
    def acquire(
        cls,
        run: RunDirectory,
        *,
        tell: Callable[[str], object] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Lease:
        """Take the run for this process. Raises ``UserError`` (lease_alive) while another process works in it.

        May take a while, as ``clear`` does; ``tell`` hears why.
        """
        mine = cls(ProcessIdentity.of_this_process(), iso_time(time.time()))
        for _ in range(5):
            if mine._create(run):
                return mine
            cls.clear(run, tell=tell, sleep=sleep)
        raise UserError.of("lease_contended", say("Several processes want this run at once.", "複数のプロセスが同時にこの run を取ろうとしています。"),
            say("Wait for the others to give up, then try again.", "他が終わってから、もう一度実行してください。"), file=run.path)  # fmt: skip

    @classmethod
    def clear(
        cls,
        run: RunDirectory,
        *,
        tell: Callable[[str], object] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Remove the lease of a process that is gone. Raises ``UserError`` (lease_alive) while its holder works.

        A dead process of this machine is known at once. The lease of any other boot, also one under this host's name, is
        only removed when its heartbeat did not move while we watched; ``tell`` hears for how long.
        """
        held = cls.read(run)
        if held is not None:
            sign = held.sign(run)
            if sign == "alive":
                raise held.refusal(run)
            if not held.process.here():
                true_state(run)  # looked at now as well, so that its heartbeat stands still for as long
                seconds = STALE_SECONDS if sign == "unproven" else WATCH_SECONDS
                tell(held._watched(run, seconds))
                if changes(held, lambda: cls.read(run), seconds, sleep):
                    held = cls.read(run)
                    if held is None:  # given back
                        return
                    raise held.refusal(run)
        _remove_if_unchanged(run.lease, held)

    def renew(self, run: RunDirectory) -> Lease:
        """The lease with a fresh heartbeat, written. Raises ``OSError``; raises ``UserError`` (lease_lost) when it was taken away."""
        held = Lease.read(run)
        if held is not None and held.process != self.process:
            raise held.refusal(run)
        fresh = replace(self, heartbeat=iso_time(time.time()))
        write_text_atomically(run.lease, _dump(_to_values(fresh)), durable=False)
        return fresh

    def release(self, run: RunDirectory) -> None:
        """Give the run back (only if it is still ours)."""
        held = Lease.read(run)
        if held is not None and held.process == self.process:
            run.lease.unlink(missing_ok=True)

    def alive(self, run: RunDirectory) -> bool:
        """Whether the holder still works, as far as a look can tell."""
        return self.sign(run) != "gone"

    def sign(self, run: RunDirectory) -> Sign:
        """What a look at the heartbeat tells."""
        return sign_of_life(self.process, self.heartbeat, run.lease)

    def refusal(self, run: RunDirectory) -> UserError:
        """The complaint that names the holder."""
        later = say(
            " If that machine is gone, try again a minute after its last sign of life.",
            "そのマシンが既にない場合は、最後の応答の 1 分後に再実行してください。",
        )
        return UserError.of(
            "lease_alive",
            say(
                f"The run {run.id} is being worked on by {self._holder()}.",
                f"run {run.id} は {self._holder()} が実行中です。",
            ),
            say(
                f"Watch it with `musubi-tui runs watch {run.id}`, or stop it with `musubi-tui runs stop {run.id}`.",
                f"`musubi-tui runs watch {run.id}` で監視、`musubi-tui runs stop {run.id}` で停止できます。",
            )
            + ("" if self.process.here() else later),
            file=run.lease,
        )

    def _holder(self) -> str:
        who = f"pid {self.process.pid} on {self.process.host}"
        return say(f"{who} (last sign of life {self.heartbeat})", f"{who}（最後の応答 {self.heartbeat}）")

    def _watched(self, run: RunDirectory, seconds: float) -> str:
        """Why it takes so long."""
        return say(
            f"The run {run.id} was left by {self._holder()}, in another boot or on another machine. "
            f"Watching for {seconds:.0f} s that it does not work any more …",
            f"run {run.id} は {self._holder()} が別の起動または別のマシンで残したものです。"
            f"動作していないことを {seconds:.0f} 秒間確認します…",
        )

    def _create(self, run: RunDirectory) -> bool:
        """Make lease.json with all its content, or leave the one that is there."""
        temporary = run.lease.with_name(f".lease.{secrets.token_hex(6)}.tmp")
        write_text_atomically(temporary, _dump(_to_values(self)))
        try:
            os.link(temporary, run.lease)  # as exclusive as O_EXCL, and never half-written
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            return _create_exclusively(run.lease, temporary.read_bytes())
        finally:
            temporary.unlink(missing_ok=True)
        return True


def true_state(run: RunDirectory, status: Status | None = None, now: float | None = None) -> str:
    """The state of a run by the evidence: what status.json says, unless the process it needs is gone ("orphaned").

    ``status`` spares reading it again. A directory without a status is "failed": nothing was ever started in it.
    """
    status = status or Status.read(run)
    if status is None:
        return "failed"
    if status.state not in ALIVE:
        return status.state
    if status.process is not None and is_alive(status.process, status.heartbeat, run.status, now):
        return status.state
    return "orphaned"


def _from_events(kind: type[Status], run: RunDirectory) -> Status | None:
    """What events.jsonl says: what the run is, and how its last attempt ended or that it never did. None without events."""
    try:
        with open(run.events, "rb") as file:
            first = file.readline(_LAST_EVENTS)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_EVENTS))
            last = file.read().splitlines()
    except OSError:
        return None
    config = _event(first).get("config")
    known: dict[str, Any] = (
        {key: str(config.get(word, "")) for key, word in _FROM_CONFIG.items()} if isinstance(config, dict) else {}
    )
    lost = kind("orphaned", reason=say("status.json cannot be read.", "status.json を読めません。"))
    for text in reversed(last):
        event = _event(text)
        if event.get("type") == "run_end" and event.get("state") in STATES:
            lost = kind(str(event["state"]), reason=str(event.get("reason", "")), ended=str(event.get("t", "")))
        if event.get("type") in ("run_start", "run_end"):
            break
    return replace(lost, started=str(_event(first).get("t", "")), **known) if first else None


def _event(text: bytes) -> dict[str, Any]:
    """An event's fields; none of a damaged line."""
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads(text)
        if isinstance(values, dict):
            return values
    return {}


def _create_exclusively(path: Path, data: bytes) -> bool:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return True


def _remove_if_unchanged(path: Path, held: Lease | None) -> None:
    """Move a dead lease out of the way; put it back when it turns out to be another's, or to live after all."""
    aside = path.with_name(f".lease.{secrets.token_hex(6)}.dead")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    values = _read_object(aside)
    found = _from_values(Lease, values) if values else None
    if found is not None and found != held:
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            _create_exclusively(path, aside.read_bytes())
    aside.unlink(missing_ok=True)


def _dump(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _to_values(record: Status | Lease) -> dict[str, Any]:
    values = asdict(record)
    process = values.pop("process")
    if process:
        values |= {"host": process["host"], "boot_id": process["boot_id"], "pid": process["pid"],
                   "pid_started": process["started"], "pid_namespace": process["namespace"]}  # fmt: skip
    return values


def _from_values(kind: type[_Record], values: dict[str, Any]) -> _Record | None:
    """The record in a JSON object, or None when a field is of the wrong kind or a needed one is missing."""
    process = None
    if isinstance(values.get("pid"), int):
        host, boot, started, namespace = (
            str(values.get(key, "")) for key in ("host", "boot_id", "pid_started", "pid_namespace")
        )
        process = ProcessIdentity(host, boot, values["pid"], started, namespace)
    arguments: dict[str, Any] = {"process": process}
    for item in fields(kind):
        if item.name != "process" and item.name in values:
            value = values[item.name]
            wanted = _KINDS.get(str(item.type), str)
            if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
                return None
            arguments[item.name] = value
    try:
        return kind(**arguments)
    except TypeError:
        return None


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
