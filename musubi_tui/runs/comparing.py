"""Runs side by side: the settings in which they differ, and their losses laid over each other by step, time or cost.

``runs compare`` prints it and the Compare screen draws it, from the same values.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.process import host_name
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.types import RunStart, Sample
from musubi_tui.runs.costs import Bill, at_todays_price, cost_text
from musubi_tui.runs.pyramid import Column, Smoother
from musubi_tui.runs.series import GrowingSteps, zeros
from musubi_tui.runs.snapshot import EMA_DECAY, Snapshot, snapshot_and_events

BEST_ROW = say("best val", "検証の最小")
AXES = ("step", "time", "cost")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Every run has its own; that they differ says nothing about the training.
_OF_EVERY_RUN = frozenset({"output_name", "output_dir", "logging_dir", "schema_version"})


@dataclass(frozen=True, eq=False)
class Compared:
    """One run. ``time`` is seconds the engine worked, what lies between attempts left out; ``loss`` the moving average."""

    letter: str
    now: Snapshot
    settings: dict[str, str]
    step: Column
    time: Column
    raw: Column
    loss: Column
    bill: Bill
    samples: tuple[Sample, ...] = ()

    @property
    def best(self) -> float | None:
        """The smallest validation loss, where the run was validated."""
        return min((entry["loss"] for entry in self.now.validation if entry["loss"] is not None), default=None)

    def x(self, axis: str) -> Column | None:
        """The steps, seconds or money at which ``loss`` stands; None for money without a price."""
        if axis == "step":
            return self.step
        if axis == "time":
            return self.time
        return self.bill.column(self.time) if self.bill.known else None

    def step_at(self, axis: str, value: float | None) -> float:
        """The step it was at there; its last one for None or where nobody knows."""
        x = self.x(axis)
        if x is None or not len(x) or value is None:
            return float("inf")
        return float(np.interp(value, x, self.step))

    def at(self, axis: str, value: float) -> float | None:
        """The loss there, between steps by a straight line; None outside what the run has done."""
        x = self.x(axis)
        if x is None or not len(x) or not x[0] <= value <= x[-1]:
            return None
        found = float(np.interp(value, x, self.loss))
        return found if np.isfinite(found) else None


def read_compared(run: RunDirectory, letter: str = "A", price: float | None = None) -> Compared:
    """Everything of one run. ``price`` stands in where a run of this machine knows none. Raises ``UserError`` (damaged_run)."""
    now, records = snapshot_and_events(run)
    index = sound_index(run)
    growing = GrowingSteps()
    if len(index):
        growing.load(index)
    steps = growing.view()
    samples = tuple(record.event for record in records if isinstance(record.event, Sample))
    began = zeros(index)
    worked = {attempt: index[position].t - began[attempt] for position, attempt in index.attempts()}
    today = price if now.host == host_name() else None
    starts = [record.event for record in records if isinstance(record.event, RunStart)]
    attempts = [(worked.get(start.attempt, 0.0), start.price) for start in starts]
    last = attempts.pop() if attempts else (0.0, None)
    attempts.append((last[0], now.price_per_hour if last[1] is None else last[1]))
    bill = Bill.of(attempts, today)
    return Compared(letter, at_todays_price(now, price), _settings(run), steps.step, steps.worked, steps.loss, Smoother(EMA_DECAY).every(steps.loss, steps.generation), bill, samples)  # fmt: skip


def compare_runs(runs: Sequence[RunDirectory], price: float | None = None) -> list[Compared]:
    """Two runs or more, lettered A, B … Raises ``UserError``."""
    if len(runs) < 2:
        raise UserError.of(
            "usage", say("Give two runs or more to compare.", "比較する run を 2 つ以上指定してください。")
        )
    return [read_compared(run, _LETTERS[place % 26], price) for place, run in enumerate(runs)]


def setting_rows(runs: Sequence[Compared], *, everything: bool = False) -> list[tuple[str, list[str]]]:
    """(option, its value in each run), only those that differ unless ``everything``."""
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    rows = [(name, [run.settings.get(name, "-") for run in runs]) for name in names]
    return [
        (name, values) for name, values in rows if everything or (len(set(values)) > 1 and name not in _OF_EVERY_RUN)
    ]


def result_rows(runs: Sequence[Compared]) -> list[tuple[str, list[str]]]:
    """What came of them."""
    rows = [
        (say("state", "状態"), [run.now.state for run in runs]),
        (say("step", "ステップ"), [f"{run.now.step}/{run.now.max_steps}" for run in runs]),
        ("loss", ["-" if run.now.loss is None else f"{run.now.loss:.4f}" for run in runs]),
        (BEST_ROW, ["-" if run.best is None else f"{run.best:.4f}" for run in runs]),
        ("s/step", ["-" if run.now.step_seconds is None else f"{run.now.step_seconds:.3g}" for run in runs]),
        (
            say("cost", "費用"),
            ["-" if run.now.cost is None else cost_text(run.now.cost, guessed=run.now.cost_guessed) for run in runs],
        ),
    ]
    return [(name, values) for name, values in rows if set(values) != {"-"}]


def best_of(runs: Sequence[Compared]) -> str:
    """The letter of the run with the smallest validation loss; empty where fewer than two were validated, or none is ahead."""
    values = sorted((round(run.best, 4), run.letter) for run in runs if run.best is not None)
    return values[0][1] if len(values) > 1 and values[0][0] < values[1][0] else ""


def extent(runs: Sequence[Compared], axis: str) -> tuple[float, float] | None:
    """From the first to the last point of any run; None where no run has any."""
    found = [x for run in runs if (x := run.x(axis)) is not None and len(x)]
    if not found:
        return None
    low, high = min(float(x[0]) for x in found), max(float(x[-1]) for x in found)
    return low, high if high > low else low + 1.0


def aligned(runs: Sequence[Compared], axis: str, points: int) -> list[tuple[float, list[float | None]]]:
    """(place on the axis, loss of each run) at ``points`` round places. Raises ``UserError`` (no_price) for money nobody knows."""
    if axis == "cost" and not any(run.bill.known for run in runs):
        raise UserError.of(
            "no_price",
            say("No price is known, so runs cannot be compared by cost.", "料金が不明なため、費用では比較できません。"),
            say("Set one: musubi-tui runs price 2.49", "設定: musubi-tui runs price 2.49"),
        )
    found = extent(runs, axis)
    if found is None:
        return []
    places = np.linspace(*found, points + 1)[1:]
    places = np.round(places) if axis == "step" else places
    return [(float(place), [run.at(axis, float(place)) for run in runs]) for place in places]


def _settings(run: RunDirectory) -> dict[str, str]:
    """run.toml flat, as texts. Raises ``UserError`` when it cannot be read."""
    try:
        data: dict[str, Any] = tomllib.loads(run.run_toml.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError.of(
            "damaged_run",
            say(f"{run.run_toml} cannot be read: {error}.", f"{run.run_toml} を読めません: {error}。"),
            say("Compare other runs.", "別の run を比較してください。"),
            file=run.run_toml,
        ) from error
    flat: dict[str, str] = {}
    for name, value in data.items():
        if name in ("kind", "stages", "unset", "sources", "schema_version"):
            continue
        if name in ("general", "datasets"):
            flat |= dict(_flat(name, value))
        elif isinstance(value, dict):
            flat |= {key: _text(item) for key, item in value.items()}
        else:
            flat[name] = _text(value)
    return flat


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(f"{name}.{key}", item)]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [pair for place, item in enumerate(value) for pair in _flat(f"{name}[{place}]", item)]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str) and value.startswith("/"):  # /ink/v2/../v1/pictures is where /ink/v1/pictures is
        return os.path.normpath(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
