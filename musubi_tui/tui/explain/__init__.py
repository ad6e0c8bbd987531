"""What the things on the screens mean: where a value comes from, what is good, what one can change. ``F1`` shows it.

One file per screen. A panel is named ``mode.id-of-its-widget``; ``PANELS`` says which topics belong to it, the panel's own first;
a mode alone is what a screen without a focused panel explains.
Imported when somebody asks.
"""

from __future__ import annotations

from musubi_tui.tui.explain import compare, data, jobs, run
from musubi_tui.tui.explain.topic import Topic

TOPICS: dict[str, Topic] = jobs.TOPICS | run.TOPICS | compare.TOPICS | data.TOPICS
PANELS: dict[str, tuple[str, ...]] = jobs.PANELS | run.PANELS | compare.PANELS | data.PANELS


def topics_of(panel: str) -> list[Topic]:
    """The topics of a panel, its own first; none for a panel that nobody explained."""
    return [TOPICS[name] for name in PANELS.get(panel, ())]
