"""What can be done about a run that failed: the engine's own advice, and after a lack of memory the planner's changes, mildest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from engine.planner.lines import Suggestion, gib
from musubi_tui.runs.snapshot import Snapshot

MOST = 6


@dataclass(frozen=True)
class Remedy:
    """One change. ``values``: options to set in the preset; empty where the dataset's file has to change."""

    title: str
    cost: str
    values: Mapping[str, Any] = field(default_factory=dict)


def causes_of(now: Snapshot) -> tuple[str, str]:
    """(what went wrong, what the engine says to do about it) by the last error; the reason alone where there is none."""
    if now.errors:
        return str(now.errors[-1]["message"]), str(now.errors[-1]["fix"])
    return now.reason, ""


def remedies_of(run: RunDirectory, now: Snapshot) -> list[Remedy]:
    """Changes that make the run smaller, where it died of a lack of memory and its files tell what a change would do."""
    if not any(error["code"] == "out_of_memory" for error in now.errors):
        return []
    return [_remedy(one) for one in _suggestions(run)[:MOST]]


def _suggestions(run: RunDirectory) -> tuple[Suggestion, ...]:
    """By the peak that was measured; by the plan alone for a run that died before there was one."""
    from musubi_tui.runs.headroom import headroom
    from musubi_tui.runs.history import request_of

    try:
        measured = headroom(run)
        if measured.less:
            return tuple(sorted(measured.less, key=lambda one: not one.fits))
    except UserError:  # no reading yet: it died too early
        pass
    try:
        ask = request_of(run)
    except UserError:  # its run.toml is of another version, or damaged
        return ()
    if ask is None:
        return ()
    from engine.planner.plan import make_plan

    return make_plan(ask).suggestions


def _remedy(one: Suggestion) -> Remedy:
    return Remedy(one.title, f"{gib(one.peak):>8}  {one.cost}", {one.key: one.value} if one.where == "preset" else {})
