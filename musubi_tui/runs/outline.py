"""What a run was set up with, in a few facts: items, batch sizes, rank, where its results go. Read from its own files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.events.rundir import RunDirectory


@dataclass(frozen=True)
class Outline:
    """``items``: distinct items of the dataset, 0 where nobody has listed them yet; ``batches``: the batch sizes of its datasets."""

    items: int = 0
    batches: tuple[int, ...] = ()
    rank: int | None = None
    output: str = ""


def outline(run: RunDirectory) -> Outline:
    """The facts; empty ones for files that are not there or cannot be read."""
    try:
        document: dict[str, Any] = tomllib.loads(run.run_toml.read_text("utf-8"))
    except (OSError, ValueError):
        document = {}
    general = document.get("general")
    usual = general.get("batch_size") if isinstance(general, Mapping) else None
    tables = document.get("datasets")
    datasets = [one for one in tables if isinstance(one, Mapping)] if isinstance(tables, list) else []
    sizes = {one.get("batch_size", usual) or 1 for one in datasets}
    options: dict[str, Any] = {}
    for name, value in document.items():
        options |= dict(value) if isinstance(value, Mapping) and name != "general" else {}
    rank, output = options.get("network_dim"), options.get("output_dir")
    return Outline(
        _lines(run),
        tuple(sorted(size for size in sizes if isinstance(size, int))),
        rank if isinstance(rank, int) else None,
        output if isinstance(output, str) else str(run.output),
    )


def _lines(run: RunDirectory) -> int:
    """Lines of items.jsonl."""
    try:
        with run.items.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0
