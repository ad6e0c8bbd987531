"""What is wrong or doubtful in one dataset file, gathered so that all of it is said at once, each with its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.document import Document
from engine.data.positions import Address


@dataclass
class Complaints:
    """The problems of ``document`` so far, in the order they were found."""

    document: Document
    problems: list[Problem] = field(default_factory=list)

    def complain(self, address: Address, code: str, message: str, fix: str = "") -> None:
        """Something that must be put right before anything can be trained."""
        self.problems.append(self.document.problem(address, code, message, fix))

    def warn(self, address: Address, code: str, message: str, fix: str = "") -> None:
        """Something that is perhaps not meant."""
        self.problems.append(self.document.problem(address, code, message, fix, warning=True))

    def no_effect(self, address: Address, name: str, needed: str) -> None:
        """A key that is read only together with another."""
        self.warn(
            address,
            "no_effect",
            say(f"{name} has no effect without {needed}.", f"{name} は {needed} でないと効果がありません。"),
        )

    def errors_since(self, count: int) -> bool:
        """Whether an error was added after the first ``count`` problems."""
        return any(problem.severity == "error" for problem in self.problems[count:])
