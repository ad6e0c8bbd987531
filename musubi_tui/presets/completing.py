"""Completion of paths while one types: what lies in the folder, and how far all candidates agree."""

from __future__ import annotations

import os
from pathlib import Path

from engine.config.option import PathKind

_MOST = 200


def working_folder() -> Path:
    """The working directory; the home folder where that was deleted."""
    try:
        return Path.cwd()
    except OSError:
        return Path.home()


def candidates(written: str, base: Path, kind: PathKind = "") -> list[str]:
    """What ``written`` may become, folders with a slash behind, sorted. A folder that cannot be read has none."""
    head, tail = os.path.split(written)
    try:
        folder = base / Path(head).expanduser()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (OSError, ValueError, RuntimeError):
        return []
    found = []
    for entry in entries:
        if not entry.name.startswith(tail) or (entry.name.startswith(".") and not tail.startswith(".")):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError:
            continue
        if is_folder or kind not in ("folder", "output"):
            found.append(os.path.join(head, entry.name) + (os.sep if is_folder else ""))
        if len(found) == _MOST:
            break
    return found


def completed(written: str, found: list[str]) -> str:
    """``written`` as far as all candidates agree."""
    if not found:
        return written
    low, high = min(found), max(found)
    agreed = next((n for n, (a, b) in enumerate(zip(low, high)) if a != b), min(len(low), len(high)))
    return low[:agreed]
