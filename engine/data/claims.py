"""Who makes which cache file, when several processes and machines fill one folder: lock files with an owner and a pulse.

    .mtui-<token>.owner     one per process and folder: who it is; its time is renewed while the process works
    .mtui-<token>.new       the same while it is being written. Whoever sees it may remove it: its maker tries again
    .mtui-<digest>.lock     a claim: a hard link to the owner's file, so that making it is one exclusive step and the
                            pulse of one file keeps all claims alive (where links are impossible: a copy of it)
    .mtui-<token>-<n>.tmp   a file being written, renamed over its final name when it is whole

A dead owner of this machine is known by its process; one of another machine by a pulse that did not move while we
watched, by our own clock. Nothing here is needed for a file to be whole: a claim that is wrongly taken over costs work
done twice, never a wrong file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.events.process import ProcessIdentity

PULSE_SECONDS = 5.0
SILENT_SECONDS = 60.0  # an owner elsewhere whose pulse stands still for so long is gone
_ABANDONED_SECONDS = 600.0  # remains of another machine that are older than this are swept without watching
_PREFIX = ".mtui-"
_OURS = re.compile(r"\.mtui-(?P<token>[0-9a-f]{16})(?:\.owner|\.new|-\d+\.(?:tmp|dead))|\.mtui-[0-9a-f]{24}\.lock")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}


@dataclass(frozen=True)
class Holder:
    """Who holds a claim. ``process`` is None when its file says nothing (yet)."""

    token: str
    process: ProcessIdentity | None
    pulse: int  # mtime_ns of the claim

    def __str__(self) -> str:
        return f"pid {self.process.pid} on {self.process.host}" if self.process else "an unknown process"


class Claims:
    """The claims of this process. Thread-safe. Close it (or use ``with``): that gives back what is still held."""

    def __init__(self, *, silent_seconds: float = SILENT_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_hex(8)
        self._process = ProcessIdentity.of_this_process()
        self._silent, self._clock = silent_seconds, clock
        self._lock = threading.Lock()
        self._owners: dict[Path, Path] = {}  # folder -> our file in it
        self._held: dict[Path, Path] = {}  # claim -> its folder
        self._watched: dict[Path, tuple[Holder, float]] = {}
        self._made = 0
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._beat, name="claims", daemon=True)
        self._pulse.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def take(self, folder: Path, name: str) -> Holder | None:
        """Claim ``name`` in ``folder``: None when it is ours now, else who has it. Raises ``OSError``."""
        path = folder / lock_name(name)
        holder = None
        for _ in range(4):
            if self._make(folder, path):
                return None
            holder = _read(path)
            if holder is None:
                continue  # given back in between
            if self._lives(path, holder):
                return holder
            self._clear(path, holder)
        return holder or Holder("", None, 0)

    def give_back(self, folder: Path, name: str) -> None:
        """Let others have it. Nothing happens when it is not ours (any more)."""
        path = folder / lock_name(name)
        with self._lock:
            if self._held.pop(path, None) is None:
                return
        holder = _read(path)
        if holder is not None and holder.token == self.token:
            path.unlink(missing_ok=True)

    def temporary(self, folder: Path) -> Path:
        """A name for a file being written in ``folder``; whoever finds it after our death removes it."""
        with self._lock:
            self._made += 1
            self._own(folder)
            return folder / f"{_PREFIX}{self.token}-{self._made}.tmp"

    def sweep(self, folders: Iterable[Path]) -> None:
        """Remove what processes left in these folders that are certainly dead, as far as it can be removed."""
        for folder in folders:
            with contextlib.suppress(OSError):
                names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(_PREFIX)]
                self._sweep(folder, [name for name in names if _OURS.fullmatch(name)])

    def close(self) -> None:
        """Give everything back and end the pulse."""
        self._ended.set()
        self._pulse.join()
        with self._lock:
            held, self._held = self._held, {}
            owners, self._owners = self._owners, {}
        for path in held:
            holder = _read(path)
            if holder is not None and holder.token == self.token:
                path.unlink(missing_ok=True)
        for path in owners.values():
            path.unlink(missing_ok=True)

    # -- making

    def _make(self, folder: Path, path: Path) -> bool:
        with self._lock:
            try:
                try:
                    os.link(self._own(folder), path)
                except FileNotFoundError:  # a person tidied up
                    self._owners.pop(folder)
                    os.link(self._own(folder), path)
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    _create(path, self._own(folder).read_bytes())
            except FileExistsError:
                return False
            self._held[path] = folder
            return True

    def _own(self, folder: Path) -> Path:
        """Our file in ``folder``, made when it is first needed."""
        if folder not in self._owners:
            owner = folder / f"{_PREFIX}{self.token}.owner"
            text = json.dumps({"token": self.token, "since": time.time(), **asdict(self._process)})
            _appear(owner, text.encode("utf-8", "backslashreplace"))
            self._owners[folder] = owner
        return self._owners[folder]

    def _beat(self) -> None:
        while not self._ended.wait(PULSE_SECONDS):
            with self._lock:
                paths = [*self._owners.values(), *self._held]
            for path in paths:
                with contextlib.suppress(
                    OSError
                ):  # given back meanwhile, or the volume is away: then others may take over
                    os.utime(path)

    # -- judging

    def _lives(self, path: Path, holder: Holder) -> bool:
        if holder.token == self.token:
            return True
        if holder.process is not None and holder.process.here():
            return holder.process.runs_here()
        if holder.process is not None and holder.process.rebooted():
            return False
        with self._lock:
            seen, since = self._watched.get(path, (None, 0.0))
            if seen != holder:
                self._watched[path] = (holder, self._clock())
                return True
            return self._clock() - since < self._silent

    def _clear(self, path: Path, holder: Holder) -> None:
        """Move a dead claim out of the way; put it back when it turns out to be another's, made in between."""
        aside = path.with_name(f"{_PREFIX}{self.token}-{secrets.randbits(32)}.dead")
        try:
            os.rename(path, aside)
        except FileNotFoundError:
            return
        found = _read(aside)
        if found is not None and found.token != holder.token:
            with contextlib.suppress(OSError):
                os.link(aside, path)
        aside.unlink(missing_ok=True)

    def _sweep(self, folder: Path, names: list[str]) -> None:
        now = time.time()
        dead: set[str] = set()
        living: set[str] = {self.token}
        for name in names:
            if not name.endswith((".owner", ".lock", ".dead")):
                continue
            holder = _read(folder / name)
            if holder is None:
                continue
            gone = self._certainly_dead(holder, now)
            (dead if gone else living).add(name[len(_PREFIX) : -len(".owner")] if ".owner" in name else holder.token)
            if gone and name.endswith(".lock"):
                self._clear(folder / name, holder)
            elif gone and name.endswith(".dead"):  # a claim that was being cleared when that process ended as well
                (folder / name).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: name.endswith(".owner")):  # it tells of the others: it goes last
            match = _OURS.fullmatch(name)
            token = match["token"] if match else None
            if token is None or token in living:
                continue
            path = folder / name
            with contextlib.suppress(FileNotFoundError):
                if token in dead or name.endswith(".new") or now - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()

    def _certainly_dead(self, holder: Holder, now: float) -> bool:
        process = holder.process
        if process is not None and process.here():
            return not process.runs_here()
        if process is not None and process.rebooted():
            return True
        silent = now - holder.pulse / 1e9
        return silent > (self._silent if process is None else _ABANDONED_SECONDS)  # torn: its maker died in the act


def lock_name(name: str) -> str:
    """The file that stands for a claim on ``name``: short and harmless, whatever the name holds."""
    return f"{_PREFIX}{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.lock"


def _create(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except BaseException:  # a full disk
        path.unlink(missing_ok=True)
        raise


def _appear(path: Path, data: bytes) -> None:
    """A file of a name that only we use, with all its content at once. Raises ``OSError``."""
    new = path.with_suffix(".new")
    while True:
        _create(new, data)
        try:
            os.rename(new, path)
        except FileNotFoundError:  # swept away meanwhile
            continue
        return


def _read(path: Path) -> Holder | None:
    """Who holds it; None when it is not there."""
    try:
        pulse = path.stat().st_mtime_ns
        values = json.loads(path.read_bytes())
        process = ProcessIdentity(
            str(values["host"]),
            str(values["boot_id"]),
            int(values["pid"]),
            str(values["started"]),
            str(values["namespace"]),
        )
        return Holder(str(values["token"]), process, pulse)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):  # a copy that is being written, or was torn: judged by its pulse
        return Holder("", None, pulse)
