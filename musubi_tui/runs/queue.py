"""The queue of one machine: which runs wait, in which order, and why they are held. Starts nothing.

``<home>/queue/<host>.json`` is replaced atomically and edited under a lock, so that commands, apps and the supervisor change it
at the same time. Every machine has a file of its own: on a shared volume nobody edits, or starts, what belongs to another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.atomic import write_text_atomically
from engine.events.process import host_name
from engine.events.rundir import RunDirectory, safe_name

VERSION = 1
KEPT = 20  # entries that ended and are still shown
OPEN = frozenset({"waiting", "running"})
LOCK_SECONDS = 10.0
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@dataclass(frozen=True)
class Entry:
    """One row: a run directory and what may be done with it. Times are ISO-8601 UTC."""

    id: int
    host: str
    run_dir: str
    state: str = "waiting"  # waiting | running | done | stopped | failed
    preset: str = ""
    secrets: bool = False  # the preset holds secrets, which run.toml does not
    device: str = "auto"
    gpus: tuple[str, ...] | None = None  # the ones it may take; None: any; (): none, it computes on the CPU
    slot: str = ""  # where it runs: a GPU, "gpu" or "cpu"
    starter: str = ""  # the supervisor that started it
    tries: int = 0  # how often it was preempted
    retries: int = 3
    retry_after: float = 120.0
    keep_going: bool = False  # its failure does not hold the others
    added: str = ""
    reason: str = ""

    @property
    def run(self) -> RunDirectory:
        """Its run directory."""
        return RunDirectory(Path(self.run_dir))


@dataclass(frozen=True)
class Queue:
    """All rows in order. ``held`` says why nothing is started; ``quiet_until`` (seconds since the epoch) is a moment's rest."""

    host: str
    entries: tuple[Entry, ...] = ()
    next_id: int = 1
    held: str = ""
    quiet_until: float = 0.0

    def waiting(self) -> list[Entry]:
        """The entries that are still to be started, in order."""
        return [entry for entry in self.entries if entry.state == "waiting"]

    def running(self) -> list[Entry]:
        """The entries that were started and have not ended."""
        return [entry for entry in self.entries if entry.state == "running"]

    def find(self, word: str) -> Entry:
        """The entry with this number, run id or run name's prefix. Raises ``UserError`` (no_such_entry)."""
        for matches in (
            [entry for entry in self.entries if str(entry.id) == word or entry.run.id == word],
            [entry for entry in self.entries if entry.run.id.startswith(word) and entry.state in OPEN],
        ):
            if len(matches) == 1:
                return matches[0]
        raise UserError.of(
            "no_such_entry",
            say(f"There is no entry {word!r} in the queue.", f"キューに {word!r} はありません。"),
            say("`musubi-tui queue list` shows them.", "`musubi-tui queue list` で一覧できます。"),
        )

    def with_entry(self, changed: Entry) -> Queue:
        """The queue with one row replaced."""
        return replace(self, entries=tuple(changed if entry.id == changed.id else entry for entry in self.entries))

    def ordered(self, entry: Entry, position: int) -> Queue:
        """The queue with a waiting entry at ``position`` (from 0) among those that wait."""
        waiting = [other for other in self.waiting() if other.id != entry.id]
        waiting.insert(max(0, position), entry)
        return replace(self, entries=(*(other for other in self.entries if other.state != "waiting"), *waiting))


class QueueFile:
    """The queue of ``host`` (by default this machine) under ``home``."""

    def __init__(self, home: Path, host: str | None = None) -> None:
        self.host = host or host_name()
        self.folder = home / "queue"
        stem = safe_name(self.host)
        self.path = self.folder / f"{stem}.json"
        self.lock = self.folder / f"{stem}.lock"  # held by the supervisor for as long as it lives
        self.log = self.folder / f"{stem}.log"
        self.supervisor = self.folder / f"{stem}.supervisor"
        self._edit_lock = self.folder / f"{stem}.edit"

    def read(self) -> Queue:
        """The queue now. Raises ``UserError`` (damaged_queue)."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return Queue(self.host)
        try:
            return _from_values(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError.of(
                "damaged_queue",
                say(f"The queue file cannot be read: {error}.", f"キューのファイルを読めません: {error}。"),
                say("Move it away; runs that waited are still listed by `musubi-tui runs list`.", "ファイルを移動してください。待機中の run は `musubi-tui runs list` に残っています。"),
                file=self.path,
            ) from error  # fmt: skip

    def edit(self, change: Callable[[Queue], Queue]) -> Queue:
        """Change the queue while nobody else does; the new one. Raises what ``change`` raises, and ``UserError`` (queue_busy)."""
        with self.alone():
            before = self.read()
            after = change(before)
            if after != before:
                after = replace(after, entries=_pruned(after.entries))
                write_text_atomically(self.path, json.dumps(_to_values(after), ensure_ascii=False, indent=1) + "\n")
            return after

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of all edits."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        while (held := take_lock(self._edit_lock)) is None:
            if time.monotonic() > deadline:
                raise UserError.of(
                    "queue_busy",
                    say("Another process holds the queue.", "別のプロセスがキューを使用中です。"),
                    say("Try again in a moment.", "少し待ってから、もう一度実行してください。"),
                    file=self._edit_lock,
                )
            time.sleep(0.02)
        with held:
            yield


def take_lock(path: Path) -> IO[str] | None:
    """The lock file, locked until it is closed (or this process ends); None while another process holds it.

    On a volume without locks the lock lies in the machine's own temporary folder.
    """
    file = _open_private(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        file.close()
        local = Path(tempfile.gettempdir()) / f"musubi-tui-{os.getuid()}"
        if error.errno not in _NO_LOCKS or path.parent == local:
            raise
        local.mkdir(mode=0o700, exist_ok=True)
        return take_lock(local / hashlib.sha256(os.fsencode(path)).hexdigest()[:32])
    return file


def all_queues(home: Path) -> list[QueueFile]:
    """The queue of this machine, then those of other machines that use the same home."""
    mine = QueueFile(home)
    found = [mine]
    for path in sorted(mine.folder.glob("*.json")):
        if path != mine.path:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                found.append(QueueFile(home, json.loads(path.read_text("utf-8")).get("host") or path.stem))
    return found


def entry_of(home: Path, run: RunDirectory) -> Entry | None:
    """The open entry of a run, in whichever machine's queue it stands."""
    for file in all_queues(home):
        for entry in file.read().entries:
            if entry.state in OPEN and entry.run.path == run.path:
                return entry
    return None


def _pruned(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    ended = [entry.id for entry in entries if entry.state not in OPEN]
    dropped = frozenset(ended[:-KEPT])
    return tuple(entry for entry in entries if entry.id not in dropped)


def _to_values(queue: Queue) -> dict[str, Any]:
    return {"version": VERSION, **asdict(queue)}


def _from_values(values: dict[str, Any]) -> Queue:
    if values["version"] != VERSION:
        raise ValueError(f"version {values['version']}")
    names = {item.name for item in fields(Entry)}
    entries = []
    for row in values["entries"]:
        known = {name: value for name, value in row.items() if name in names}
        if known.get("gpus") is not None:
            known["gpus"] = tuple(known["gpus"])
        entries.append(Entry(**known))
    return Queue(values["host"], tuple(entries), values["next_id"], values["held"], values["quiet_until"])


def _open_private(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
