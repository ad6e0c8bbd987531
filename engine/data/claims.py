"""Who makes which cache file, when several processes and machines fill one folder: lock files with an owner and a pulse.

    .mtui-<token>.owner     one per process and folder: who it is; its time is renewed while the process works
    .mtui-<token>.new       the same while it is being written. Whoever sees it may remove it: its maker tries again
    .mtui-<digest>.lock     a claim: a hard link to the owner's file, so that making it is one exclusive step and the
                            pulse of one file keeps all claims alive (where links are impossible: a copy of it)
    .mtui-<token>-<n>.tmp   a file being written, renamed over its final name when it is whole

A dead owner of this machine is known by its process; one of another machine, or of another boot under this machine's
name, by a pulse that did not move while we watched, by our own clock. Nothing here is needed for a file to be whole: a
claim that is wrongly taken over costs work done twice, never a wrong file.
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

from engine.config.language import say
from engine.events.alive import STALE_SECONDS, Pulses
from engine.events.process import ProcessIdentity

PULSE_SECONDS = 5.0
_PREFIX = ".mtui-"
_OURS = re.compile(r"\.mtui-(?P<token>[0-9a-f]{16})(?:\.owner|\.new|-\d+\.(?:tmp|dead))|\.mtui-[0-9a-f]{24}\.lock")
_TELLING = {".owner", ".lock", ".dead"}  # files that hold who made them
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}


@dataclass(frozen=True)
class Holder:
    """Who holds a claim. ``process`` is None when its file says nothing (yet)."""

    token: str
    process: ProcessIdentity | None
    pulse: int  # mtime_ns of the claim

    def __str__(self) -> str:
        """Who, and how long ago it last gave a sign of life: by our clock and its file's time, so only for a person to read."""
        who = (
            f"pid {self.process.pid} on {self.process.host}"
            if self.process
            else say("an unknown process", "不明なプロセス")
        )
        age = max(0, round(time.time() - self.pulse / 1e9))
        return say(f"{who} (last sign of life {age} s ago)", f"{who}（最後の応答 {age} 秒前）")


class Claims:
    """The claims of this process. Thread-safe. Close it (or use ``with``): that gives back what is still held."""

    def __init__(self, *, silent_seconds: float = STALE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_hex(8)
        self._process = ProcessIdentity.of_this_process()
        self._silent, self._pulses = silent_seconds, Pulses(clock)
        self._lock = threading.Lock()
        self._owners: dict[Path, Path] = {}  # folder -> our file in it
        self._held: dict[Path, Path] = {}  # claim -> its folder
        self._doubtful: set[Path] = set()  # folders where something lies whose maker may be dead
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
        return holder or Holder("", None, time.time_ns())

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
        """Remove what dead processes left in these folders, as far as it can be removed.

        What processes of other machines left is looked at again by ``close``: it goes when it stood still for so long.
        """
        for folder in folders:
            with contextlib.suppress(OSError):
                if self._sweep(folder):
                    self._doubtful.add(folder)

    def close(self) -> None:
        """Give everything back, sweep once more where somebody was watched, and end the pulse."""
        self.sweep(tuple(self._doubtful))
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
        return self._pulses.look((path, holder.token), holder.pulse).still < self._silent

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

    def _sweep(self, folder: Path) -> bool:
        """Remove what the dead left in ``folder``; whether something stays whose maker cannot be judged yet."""
        groups: dict[str, list[tuple[Path, Holder | None]]] = {}
        for entry in os.scandir(folder):
            match = _OURS.fullmatch(entry.name)
            if match is None or match["token"] == self.token:
                continue
            path = folder / entry.name
            if path.suffix == ".new":
                path.unlink(missing_ok=True)
                continue
            holder = _read(path) if path.suffix in _TELLING else None
            # A claim is its holder's, also one that somebody moved aside; anything else bears its maker's name.
            token = (holder and holder.token) or match["token"] or entry.name
            if token != self.token:
                groups.setdefault(token, []).append((path, holder))
        doubts = [self._sweep_one(folder, token, files) for token, files in groups.items()]
        return any(doubts)

    def _sweep_one(self, folder: Path, token: str, files: list[tuple[Path, Holder | None]]) -> bool:
        """Remove what one maker left, if it is dead; whether that cannot be told yet."""
        process = next((holder.process for _, holder in files if holder and holder.process), None)
        if process is not None and process.here():
            if process.runs_here():
                return False
        elif self._pulses.look((folder, token), _newest(path for path, _ in files)).still < self._silent:
            return True
        for path, holder in sorted(files, key=lambda file: file[0].suffix == ".owner"):  # it tells of the others: last
            if holder is not None and path.suffix == ".lock":
                self._clear(path, holder)
            else:
                path.unlink(missing_ok=True)
        return False


def _newest(paths: Iterable[Path]) -> int:
    """When the youngest of them was touched, as their volume counts (only compared)."""
    times = [0]
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime_ns)
    return max(times)


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
