"""Golden listings name a run of numbered tensors once; this writes them out again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def expand(entries: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """(name, value) pairs: ``*`` stands for the first index, ``idx`` is [first, last] or the list itself."""
    for entry in entries:
        indices = entry["idx"]
        if indices is None:
            yield entry["key"], entry["v"]
            continue
        is_range = len(indices) == 2 and entry["n"] == indices[1] - indices[0] + 1
        for index in range(indices[0], indices[1] + 1) if is_range else indices:
            yield entry["key"].replace("*", str(index), 1), entry["v"]
