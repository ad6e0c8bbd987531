"""Where one run lives: the names of its files, and nothing about what is in them.

Folders are 0700 and files 0600: captions, paths and prompts are nobody else's business.
"""

from __future__ import annotations

import os
import re
import unicodedata
from datetime import datetime
from pathlib import Path

_KEPT = re.compile(r"[^\w.-]+")


class RunDirectory:
    """The layout of a run directory (docs/runs-and-events.md). Makes no file by itself but in ``create``."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @classmethod
    def create(cls, home: Path, name: str) -> RunDirectory:
        """A new, empty run directory ``<home>/runs/<name>-<yyyymmdd-hhmmss>``. Raises ``OSError``."""
        runs = home / "runs"
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = f"{safe_name(name)}-{datetime.now():%Y%m%d-%H%M%S}"
        for number in range(1, 1000):
            run = cls(runs / (stem if number == 1 else f"{stem}-{number}"))
            try:
                run.path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            for folder in (run.attempts, run.source, run.control, run.state, run.output):
                folder.mkdir(mode=0o700)
            return run
        raise FileExistsError(f"{runs / stem}: a thousand runs of this name within one second")

    @property
    def id(self) -> str:
        """The run's id: the name of its folder."""
        return self.path.name

    @property
    def run_toml(self) -> Path:
        return self.path / "run.toml"

    @property
    def attempts(self) -> Path:
        return self.path / "attempts"

    @property
    def source(self) -> Path:
        return self.path / "source"

    @property
    def items(self) -> Path:
        return self.path / "items.jsonl"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def notes(self) -> Path:
        """What people wrote about the run."""
        return self.path / "notes.jsonl"

    @property
    def steps_idx(self) -> Path:
        return self.path / "steps.idx"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def lease(self) -> Path:
        return self.path / "lease.json"

    @property
    def viewer(self) -> Path:
        return self.path / "viewer"

    @property
    def control(self) -> Path:
        return self.path / "control"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def output(self) -> Path:
        return self.path / "output"

    @property
    def engine_log(self) -> Path:
        return self.path / "engine.log"

    def exists(self) -> bool:
        """Whether this looks like a run directory."""
        return self.run_toml.is_file() or self.status.is_file()

    def __repr__(self) -> str:
        return f"RunDirectory({os.fspath(self.path)!r})"


def safe_name(name: str, limit: int = 60) -> str:
    """``name`` as part of a folder name: letters of any script, digits, ``._-``; never empty, never hidden, never a path."""
    cleaned = _KEPT.sub("-", unicodedata.normalize("NFC", name)).strip("-.")
    while len(cleaned.encode("utf-8")) > limit:
        cleaned = cleaned[:-1]
    return cleaned.strip("-.") or "run"
