"""All runs at a glance, a thousand as quickly as ten: the index answers for finished runs, status.json for all others.

Every run's status.json is looked at (one ``stat``); only when it changed since the index was written, or the run is not over,
are its files read. The index is rebuilt in passing: nothing breaks when it is missing, old, damaged or locked.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Lease, Status
from musubi_tui.runs.archiving import archived_ids
from musubi_tui.runs.archiving import forget as forget_mark
from musubi_tui.runs.finding import age
from musubi_tui.runs.home import Home, known_homes
from musubi_tui.runs.registry_index import Index, Row
from musubi_tui.runs.snapshot import Snapshot, brief, snapshot
from musubi_tui.runs.winning import forget_winner, winner_ids

SETTLED_SECONDS = 3.0  # a status that is younger may be followed by a last word on the same clock tick
_FIELDS = frozenset(item.name for item in fields(Snapshot))
_LISTS = [item.name for item in fields(Snapshot) if str(item.type).startswith("tuple")]


@dataclass(frozen=True)
class RunEntry:
    """One run of the list. ``gone``: its directory was moved or deleted by hand; ``summary`` is what was last seen of it.

    ``archived``: the person has taken it off the list. ``winner``: it was picked in a comparison.
    """

    path: Path
    summary: Snapshot
    gone: bool = False
    archived: bool = False
    winner: bool = False


class Registry:
    """The runs of ``home`` (by default the current one) and of every home that was used before."""

    def __init__(self, home: Home | Path | None = None) -> None:
        first = [home.path if isinstance(home, Home) else home] if home is not None else []
        self.homes = list(dict.fromkeys([*first, *known_homes()]))

    def runs(self, *, whole: bool = False) -> list[RunEntry]:
        """Newest first. Summaries are ``snapshot.brief``, or whole snapshots. Raises nothing for what lies on disk."""
        entries: dict[str, list[RunEntry]] = {}
        for home in self.homes:
            for entry in _runs_of(home, whole):
                entries.setdefault(entry.summary.id, []).append(entry)
        found = [
            entry
            for same in entries.values()
            for entry in same
            if not entry.gone or all(other.gone for other in same)  # moved to another home: shown where it is now
        ]
        return sorted(found, key=lambda entry: age(entry.summary.id), reverse=True)

    def forget(self, path: Path) -> None:
        """Take a run out of the index: it was removed on purpose, or is gone and nobody wants to be reminded."""
        Index(path.parent.parent).write((), [path.name])
        forget_mark(RunDirectory(path))
        forget_winner(RunDirectory(path))


def _runs_of(home: Path, whole: bool) -> list[RunEntry]:
    folder = home / "runs"
    index = Index(home)
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        names = []
    except OSError:  # a volume that went away: nothing can be said of its runs
        return []
    known = index.read(whole=whole)
    archived, winners = archived_ids(folder), winner_ids(folder)
    entries, changed, stamps = [], [], set()
    for name in names:
        run = RunDirectory(folder / name)
        row = known.get(name)
        stamp = _stamp(run)
        summary = _remembered(row, run, stamp, whole)
        if summary is None:
            if not stamp and not run.exists():
                continue
            summary = snapshot(run) if whole else brief(run)
            fresh = _row(run, stamp, summary, row, whole)
            if fresh != row:
                changed.append(fresh)
        stamps.add(stamp)
        hidden = name in archived and summary.state not in ALIVE  # what works now is always shown
        entries.append(RunEntry(run.path, summary, archived=hidden, winner=name in winners))
    present = {entry.path.name for entry in entries}
    renamed = [name for name, row in known.items() if name not in present and row.stamp and row.stamp in stamps]
    for name, row in known.items():
        if name not in present and name not in renamed:
            last = _summary(row.brief, RunDirectory(folder / name))
            if last is not None:
                entries.append(RunEntry(folder / name, last, gone=True, archived=name in archived))
    index.write(changed, renamed)
    return entries


def _stamp(run: RunDirectory) -> str:
    """What changes whenever status.json is replaced; empty when there is none."""
    try:
        found = run.status.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"


def _remembered(row: Row | None, run: RunDirectory, stamp: str, whole: bool) -> Snapshot | None:
    """The summary of a run that is over and has not changed since, else None."""
    if row is None or not row.stamp or row.stamp != stamp:
        return None
    summary = _summary(row.whole if whole else row.brief, run)
    if whole and summary is not None:  # states are pruned, and people clear up
        kept = tuple(
            out for out in summary.outputs if out.get("kind") != "state" or os.path.exists(str(out.get("path")))
        )
        summary = replace(summary, outputs=kept)
    return summary


def _row(run: RunDirectory, stamp: str, summary: Snapshot, before: Row | None, whole: bool) -> Row:
    """What to note of a run. One that may still change has no stamp, and is written once, not at every look."""
    if not _settled(run, stamp):
        if before is not None and not before.stamp:
            return before
        stamp = ""
    text = json.dumps(summary.as_json(), ensure_ascii=False)
    return Row(run.id, stamp, text, text if whole else None)


def _settled(run: RunDirectory, stamp: str) -> bool:
    status = Status.read(run)
    if not stamp or status is None or status.state in ALIVE or status.state == "queued":
        return False
    lease = Lease.read(run)  # held after the end, too, while a hook waits or runs
    if lease is not None and lease.alive(run):
        return False
    return stamp == _stamp(run) and time.time() - int(stamp.split(":")[0]) / 1e9 > SETTLED_SECONDS


def _summary(text: str | None, run: RunDirectory) -> Snapshot | None:
    """A snapshot from its JSON, where the directory lies now; None for text of another version."""
    try:
        values: Any = json.loads(text or "")
    except ValueError:
        return None
    if not isinstance(values, dict) or values.keys() != _FIELDS:
        return None
    for name in _LISTS:
        if not isinstance(values[name], list):
            return None
        values[name] = tuple(values[name])
    return Snapshot(**(values | {"run_dir": str(run.path)}))
