"""The list of runs as text: its columns for a width, the cells of a run, what a filter keeps and how they are sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.glyphs import Glyphs, state_word
from musubi_tui.tui.numbers import duration, fit, per_step, percent, small

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot

_WIDE = 120
SORTS = ("recent", "name", "state", "loss")
_STATE_ORDER = (
    "running", "starting", "paused", "stopping", "queued", "failed", "orphaned", "preempted", "stopped", "done",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """``width`` 0 takes what is left."""

    title: str
    width: int
    right: bool
    text: Callable[[Snapshot, Glyphs], str]


@dataclass(frozen=True)
class Cell:
    """A text of exactly ``width`` cells, starting at column ``x`` of the line."""

    x: int
    width: int
    text: str


def columns(width: int) -> tuple[Column, ...]:
    """The columns for a line of ``width`` cells."""
    name = Column(say("name", "名前"), 0, False, lambda now, _: clean(now.name))
    family = Column(say("family", "ファミリー"), 10, False, lambda now, _: clean(now.family))
    state = Column(say("state", "状態"), 11, False, _state)
    share = Column(say("step", "進捗"), 5, True, _share)
    loss = Column("loss", 6, True, lambda now, _: small(now.loss))
    pace = Column("s/it", 5, True, lambda now, _: per_step(now.step_seconds))
    eta = Column("ETA", 5, True, lambda now, _: duration(now.eta_seconds))
    cost = Column(say("cost", "費用"), 7, True, lambda now, _: "" if now.cost is None else f"{now.cost:.2f}")
    if width < _WIDE:
        return (name, family, state, share, loss, pace, eta, cost)
    kind = Column(say("kind", "種類"), 8, False, lambda now, _: clean(now.kind))
    phase = Column(say("phase", "フェーズ"), 14, False, lambda now, _: clean(now.phase))
    steps = Column(
        say("steps", "ステップ数"), 16, True, lambda now, _: f"{now.step}/{now.max_steps}" if now.max_steps else ""
    )
    started = Column(say("started", "開始"), 12, True, lambda now, _: local_time(now.started))
    return (name, family, kind, state, phase, steps, share, loss, pace, eta, cost, started)


def _state(now: Snapshot, glyphs: Glyphs) -> str:
    return f"{glyphs.state(now.state)} {state_word(now.state)}"


def _share(now: Snapshot, _: Glyphs) -> str:
    return percent(now.step, now.max_steps) or (str(now.step) if now.step else "")


def line(
    texts: Sequence[str], shape: Sequence[Column], width: int, glyphs: Glyphs, *, empty: str = ""
) -> tuple[Cell, ...]:
    """The cells of one line; ``empty`` stands for a text that is not there."""
    flexible = width - sum(column.width + 1 for column in shape if column.width)
    found, x = [], 0
    for text, column in zip(texts, shape):
        size = column.width or max(4, flexible)
        found.append(Cell(x, size, fit(text or empty, size, right=column.right, ellipsis=glyphs.ellipsis)))
        x += size + 1
    return tuple(found)


def reason_line(now: Snapshot, width: int, glyphs: Glyphs) -> tuple[Cell, ...]:
    """The line under a run that went wrong; nothing for the others."""
    if now.state not in ("failed", "orphaned") or not now.reason:
        return ()
    lead = "  `- " if glyphs.name == "ascii" else "  └ "
    text = lead + clean(now.reason)
    return (Cell(0, width, fit(text, width, ellipsis=glyphs.ellipsis)),)


def keeps(words: str, now: Snapshot) -> bool:
    """Whether a filter keeps a run: every word must be found (``a b``), one of several (``a|b``), or none (``!a``)."""
    text = " ".join((now.id, now.name, now.family, now.kind, now.state, state_word(now.state))).casefold()
    for word in words.casefold().split():
        wanted = not word.startswith("!")
        choices = [choice for choice in word.lstrip("!").split("|") if choice]
        if choices and any(choice in text for choice in choices) is not wanted:
            return False
    return True


def arranged(runs: Sequence[Snapshot], words: str, sort: str) -> tuple[Snapshot, ...]:
    """The runs that a filter keeps, in order. ``runs`` stand newest first, and equal ones keep that order."""
    kept = [now for now in runs if keeps(words, now)]
    if sort == "name":
        kept.sort(key=lambda now: now.name.casefold())
    elif sort == "state":
        kept.sort(key=lambda now: _STATE_ORDER.index(now.state) if now.state in _STATE_ORDER else len(_STATE_ORDER))
    elif sort == "loss":
        kept.sort(key=lambda now: (now.loss is None, now.loss or 0.0))
    return tuple(kept)


def sort_word(sort: str) -> str:
    """The name of an order."""
    return {"recent": say("recent", "新しい順"), "name": say("name", "名前"), "state": say("state", "状態")}.get(
        sort, sort
    )


def local_time(iso: str | None) -> str:
    """``11-21 08:15`` by the clock of the person; empty for nothing."""
    if not iso:
        return ""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%m-%d %H:%M")
    except ValueError:
        return ""
