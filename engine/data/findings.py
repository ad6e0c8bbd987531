"""The nouns of ``data doctor``: a finding, the files it is about, and the diagnosis that holds them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.config.spelling import named, spelled
from engine.data.items import Skipped
from engine.data.summary import printable
from engine.data.tokens import ESTIMATE, TokenCounter


@dataclass(frozen=True)
class Entry:
    """One file a finding is about. ``group`` numbers files that belong together; ``keep`` marks the one that stays."""

    path: Path
    detail: str
    dataset: int = 0
    group: int = 0
    keep: bool = False
    line: int = 0  # of the list that names it; 0 in a folder
    source: Path | None = None  # that list

    @property
    def named(self) -> str:
        """What people are told it is: ``cat.png``, ``cat.png (list.jsonl:12)``, or ``list.jsonl:12`` for a line that names no file."""
        return named(str(self.path), str(self.source or ""), self.line)

    def as_json(self) -> dict[str, Any]:
        """As ``data doctor --json`` prints it."""
        told: dict[str, Any] = {"path": printable(self.path), "detail": spelled(self.detail)}
        told |= {"list": printable(self.source or ""), "line": self.line} if self.line else {}
        return {**told, "group": self.group, "keep": self.keep} if self.group else told


def told_at(skipped: Skipped) -> Entry:
    """What the scan left out, with its line where a list names it."""
    return Entry(skipped.path, skipped.reason, skipped.dataset, line=skipped.line, source=skipped.source)


@dataclass(frozen=True)
class Finding:
    """One kind of trouble. ``fix`` is the name under which it can be applied, empty where only a person can help.

    ``beside``: files with nothing wrong that the fix would change too.
    """

    code: str
    severity: Literal["error", "warning"]
    title: str
    advice: str
    entries: tuple[Entry, ...]
    fix: str = ""
    beside: tuple[Entry, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As ``data doctor --json`` prints it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.title,
            "advice": self.advice,
            "fix": self.fix or None,
            "files": [entry.as_json() for entry in self.entries],
        }


@dataclass(frozen=True)
class Diagnosis:
    """All findings, the worst first, and the tables that are no complaint."""

    findings: tuple[Finding, ...]
    tokens: dict[str, Any]
    videos: tuple[dict[str, Any], ...]
    trigger: dict[str, Any]
    looked: int = 0  # files that were decoded
    caches: int = 0  # cache files that were read

    def as_json(self) -> dict[str, Any]:
        """The document of ``data doctor --json``."""
        return {
            "findings": [finding.as_json() for finding in self.findings],
            "tokens": self.tokens,
            "videos": list(self.videos),
            "trigger": self.trigger,
            "decoded": self.looked,
            "caches_read": self.caches,
        }


@dataclass(frozen=True)
class Questions:
    """What an examination is asked. Without ``decode`` neither pictures nor caches are opened."""

    trigger: str = ""
    counter: TokenCounter = ESTIMATE
    decode: bool = True
