"""A screen as lines of text, compared with the files in ``snapshots/``.

After a wanted change: ``UPDATE_SNAPSHOTS=1 pytest tests/tui`` writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from textual.app import App

SNAPSHOTS = Path(__file__).parent / "snapshots"


def screen_text(app: App[Any]) -> str:
    """What the terminal shows, one line per row, without colours."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"


def assert_snapshot(app: App[Any], name: str) -> None:
    """The screen equals the file ``snapshots/<name>.txt``."""
    assert_text(screen_text(app), name)


def assert_text(text: str, name: str) -> None:
    """The same for the text of one or several screens."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no snapshot {name}: run with UPDATE_SNAPSHOTS=1"
    assert text == path.read_text(encoding="utf-8")
