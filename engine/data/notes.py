"""What every note about a dataset is made of."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config.problems import Problem
from engine.data.dataset_spec import DatasetSpec


def few(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def about(dataset: DatasetSpec, code: str, message: str, fix: str = "") -> Problem:
    """A warning about a dataset as a whole."""
    return Problem(code, message, fix, file=str(dataset.directory or dataset.jsonl), severity="warning")
