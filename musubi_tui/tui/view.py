"""What a screen shows at one moment: frozen values, gathered by ``runs_reader``. Light to import: the first screen waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.events.types import Memory, Swap
    from musubi_tui.machine.load import MachineLoad
    from musubi_tui.presets.unfinished import Unfinished
    from musubi_tui.runs.origin import Origin
    from musubi_tui.runs.outline import Outline
    from musubi_tui.runs.snapshot import Snapshot


@dataclass(frozen=True)
class Detail:
    """The chosen run: its whole snapshot, the end of its loss curve as a few means, and the preset it came from.

    ``elsewhere``: it works on another machine, so it is only watched. ``fetch``: the line that brings home what it made, where the
    person sits elsewhere. ``encoded``: of a cache run how far each phase came, done and in all.
    ``outline``: what it was set up with. ``memory``, ``swap``: the last word of this attempt on them; ``card``: bytes of its GPU.
    """

    now: Snapshot
    losses: tuple[float, ...]
    grad_norm: float | None
    origin: Origin | None = None
    elsewhere: bool = False
    fetch: str = ""
    encoded: tuple[tuple[str, int, int], ...] = ()
    outline: Outline | None = None
    memory: Memory | None = None
    card: int | None = None
    swap: Swap | None = None


@dataclass(frozen=True)
class WaitingHook:
    """A command after a run's end that waits or works. ``left`` are seconds in coarse steps: a second that passes draws nothing."""

    run_dir: str
    name: str
    state: str
    left: int | None


@dataclass(frozen=True)
class View:
    """Everything the Jobs screen and the status bar show. ``runs`` stand newest first; ``active`` is the newest that works now.

    ``queue``: run directory -> place among those that wait, from 1. ``held``: why the queue starts nothing. ``price``: per hour.
    """

    runs: tuple[Snapshot, ...] = ()
    active: Snapshot | None = None
    detail: Detail | None = None
    machine: MachineLoad | None = None
    archived: frozenset[str] = frozenset()  # run directories
    winners: frozenset[str] = frozenset()  # run directories
    drafts: tuple[Unfinished, ...] = ()
    queue: Mapping[str, int] = field(default_factory=dict)
    held: str = ""
    hooks: tuple[WaitingHook, ...] = ()
    price: float | None = None
