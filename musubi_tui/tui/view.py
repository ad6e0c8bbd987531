"""What a screen shows at one moment: frozen values, gathered by ``runs_reader``. Light to import: the first screen waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musubi_tui.machine.load import MachineLoad
    from musubi_tui.runs.snapshot import Snapshot


@dataclass(frozen=True)
class Detail:
    """The chosen run: its whole snapshot and the end of its loss curve, one mean per cell."""

    now: Snapshot
    losses: tuple[float, ...]
    grad_norm: float | None


@dataclass(frozen=True)
class View:
    """Everything the Jobs screen and the status bar show. ``runs`` stand newest first; ``active`` is the newest that works now."""

    runs: tuple[Snapshot, ...] = ()
    active: Snapshot | None = None
    detail: Detail | None = None
    machine: MachineLoad | None = None
