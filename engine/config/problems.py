"""What went wrong on the user's side: one shape for every complaint, whether a person or a program reads it.

Raised where the user's word enters (a file, an option, a model file), so that the inside can assume truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from engine.config.language import say
from engine.config.spelling import spelled, spelled_path


@dataclass(frozen=True)
class Problem:
    """One complaint: where, what, and what to do about it. ``line`` and ``column`` count from 1; 0 means unknown."""

    code: str  # stable name for programs: "unknown_key", "wrong_type", "missing_file", "not_built_yet" …
    message: str
    fix: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    key: str = ""
    severity: Literal["error", "warning"] = "error"

    def as_json(self) -> dict[str, Any]:
        """The fields as ``presets check --json`` prints them (without the severity, which is the list it stands in)."""
        fields = asdict(self)
        del fields["severity"]
        fields |= {"file": spelled_path(self.file), "message": spelled(self.message), "fix": spelled(self.fix)}
        return fields

    def location(self) -> str:
        """``file:line:column`` as far as it is known."""
        parts = [self.file] if self.file else []
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)

    def __str__(self) -> str:
        where = self.location()
        text = f"{where}: {self.message}" if where else self.message
        if not self.fix:
            return text
        # A Japanese sentence may end with a name or a number, and the next one begins: without a full stop they run together.
        stop = say("", "。") if text[-1:].isalnum() or text[-1:] in ")]）」" else ""
        return f"{text}{stop} {self.fix}"


class UserError(Exception):
    """The user's input is wrong (exit code 2). Carries one or more problems; prints as one paragraph each."""

    exit_code = 2

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def of(cls, code: str, message: str, fix: str = "", *, file: str | Path = "", key: str = "") -> Self:
        """A single complaint without a line number."""
        return cls(Problem(code=code, message=message, fix=fix, file=str(file), key=key))


class ConfigError(UserError):
    """A preset, a dataset file or an override is wrong."""


class CheckpointError(UserError):
    """A model file is missing, damaged or not what it should be."""


class MissingRequirement(UserError):
    """The environment lacks something: a package, a GPU, disk space (exit code 3)."""

    exit_code = 3
