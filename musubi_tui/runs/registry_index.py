"""The index of one home: an SQLite file beside ``runs/`` that remembers what finished runs looked like.

It is a cache and nothing more: whatever is missing, old, damaged or locked is answered from the run directories, and no
error of SQLite leaves this file. Each call opens and closes its own connection, so that processes come and go as they like.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from musubi_tui.runs.home import file_system

VERSION = 1
BUSY_SECONDS = 1.0
_ATTEMPTS = 2
# A write-ahead log needs shared memory between all who open the file: one machine, one disk. Anything else rolls back.
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "reiserfs", "jfs", "overlay", "tmpfs"})  # fmt: skip
_TABLE = "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, stamp TEXT NOT NULL, brief TEXT NOT NULL, whole TEXT) WITHOUT ROWID"


@dataclass(frozen=True)
class Row:
    """One run as it was last seen. ``stamp`` is that of its status.json then, empty while it may still change."""

    id: str
    stamp: str
    brief: str  # JSON of a Snapshot without its event log
    whole: str | None = None  # JSON of the whole Snapshot, once somebody asked for it


class Index:
    """``<home>/index.sqlite``."""

    def __init__(self, home: Path) -> None:
        self.path = home / "index.sqlite"

    def read(self, *, whole: bool = False) -> dict[str, Row]:
        """All rows by id; none when the index cannot be read now (it is repaired when it is damaged)."""
        columns = "id, stamp, brief, whole" if whole else "id, stamp, brief"
        if not self.path.exists():
            return {}
        with self._connection() as connection:
            if connection is not None:
                return {row[0]: Row(*row) for row in connection.execute(f"SELECT {columns} FROM runs")}
        return {}

    def write(self, changed: Iterable[Row], forgotten: Iterable[str] = ()) -> None:
        """Note what was found in the directories. When that cannot be written now, the next reader looks again."""
        rows = [(row.id, row.stamp, row.brief, row.whole) for row in changed]
        ids = [(run_id,) for run_id in forgotten]
        if not rows and not ids:
            return
        with self._connection() as connection:
            if connection is not None:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", rows)
                connection.executemany("DELETE FROM runs WHERE id = ?", ids)
                connection.execute("COMMIT")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """A connection, or None where there can be none; SQLite's complaints inside the block end it quietly."""
        connection = None
        known = _identity(self.path)
        try:
            connection = self._open()
            yield connection
        except sqlite3.OperationalError as error:  # locked, read-only, full, gone with its disk: the directories answer
            if str(error).startswith("no such"):  # a table or column: not our file
                self._remove(known)
            if connection is None:
                yield None
        except sqlite3.DatabaseError:
            self._remove(known)
            if connection is None:
                yield None
        finally:
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _open(self) -> sqlite3.Connection:
        _make_private(self.path)
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    self._prepare(connection)
                    break
                except sqlite3.OperationalError:
                    if attempt == _ATTEMPTS - 1:
                        raise
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        mode = "WAL" if file_system(self.path.parent) in _LOCAL else "DELETE"
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:  # another process may have been quicker
            connection.execute("DROP TABLE IF EXISTS runs")
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _remove(self, damaged: tuple[int, int] | None) -> None:
        """Remove the damaged file, unless another process has put a new one there meanwhile."""
        with contextlib.suppress(OSError), self.path.with_suffix(".repair").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if damaged is not None and _identity(self.path) == damaged:
                for suffix in ("-wal", "-shm", "-journal", ""):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            self.path.with_suffix(".repair").unlink(missing_ok=True)


def _make_private(path: Path) -> None:
    """Let the file exist with mode 0600 before SQLite makes it readable for others."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_dev
