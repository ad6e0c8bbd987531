"""Tiny models in the layouts users have on disk, and real pictures: what the demo, `models tiny` and the tests run on.

Everything here is ordinary input for the real code path. Nothing in the engine may import this room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.testing.tiny import TinySet as TinySet
    from engine.testing.tiny import make_tiny as make_tiny


def __getattr__(name: str) -> Any:
    if name in {"TinySet", "make_tiny"}:
        from engine.testing import tiny

        return getattr(tiny, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
