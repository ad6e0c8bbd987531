"""One explanation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """``title`` as it stands on the screen; ``source``: where it comes from; ``good``: what is good; ``change``: what one can do."""

    title: str
    source: str
    good: str
    change: str
