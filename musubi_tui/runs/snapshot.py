"""A run at one moment, folded from its files into one frozen value: what ``runs show`` prints and a screen draws.

Steps come from steps.idx, everything else from the few lines of events.jsonl between them, so that the length of a run hardly
matters.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields, replace
from typing import Any

from engine.config.language import say
from engine.events.lines import Record, iso_time
from engine.events.reader import merge_attempts, other_events
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.status import ALIVE, Status, true_state
from engine.events.steps_index import StepRecord, StepsIndex
from engine.events.types import (
    Checkpoint,
    Failed,
    Hook,
    Memory,
    Phase,
    Plan,
    Progress,
    RunStart,
    Sample,
    Validation,
    Warned,
)
from musubi_tui.runs.finding import name_of
from musubi_tui.runs.notes import read_notes
from musubi_tui.runs.stopping import StopTime, stop_time

EMA_DECAY = 0.98
_EMA_WINDOW = 400  # 0.98 ** 400 is 0.0003: older steps do not show


@dataclass(frozen=True)
class Snapshot:
    """Times are ISO-8601 UTC, durations seconds. ``loss`` is the moving average, or None before the first step."""

    id: str
    name: str
    family: str
    kind: str
    state: str
    phase: str
    attempt: int
    step: int
    max_steps: int
    epoch: int | None
    loss: float | None
    lr: float | None
    step_seconds: float | None
    eta_seconds: float | None
    run_dir: str
    started: str | None
    ended: str | None
    reason: str
    exit_code: int | None
    host: str
    pid: int | None
    heartbeat: str | None
    price_per_hour: float | None = None
    hours: float | None = None  # of engine time over all attempts, pauses included
    cost: float | None = None  # money spent
    cost_guessed: bool = False  # the engine knew no price: cost is at today's
    cost_total: float | None = None  # money spent when the run will be done, at this pace
    stop_seconds: float | None = None  # how long a safe stop takes: a step, and what it saves
    stop_measured: bool = False  # whether a state was saved before; else stop_seconds is an estimate
    gpu: str = ""
    outputs: tuple[dict[str, Any], ...] = ()  # {kind, path, step}
    progress: dict[str, Any] | None = None  # {phase, done, total} of the phase that goes on
    validation: tuple[dict[str, Any], ...] = ()  # {step, loss, base}
    warnings: tuple[dict[str, Any], ...] = ()  # {code, message, fix}, of the last attempt
    errors: tuple[dict[str, Any], ...] = ()
    notes: tuple[dict[str, Any], ...] = ()  # {t, step, text}, what people wrote about it
    hook: dict[str, Any] | None = (
        None  # {name, state, until}: the last word on the command after the run; until: ISO or null
    )

    def as_json(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def brief(run: RunDirectory) -> Snapshot:
    """The snapshot without what only the event log knows: cheap enough for long lists."""
    return _fold(run, [], sound_index(run))


def snapshot(run: RunDirectory) -> Snapshot:
    """The whole snapshot."""
    return snapshot_and_events(run)[0]


def snapshot_and_events(run: RunDirectory) -> tuple[Snapshot, list[Record]]:
    """The whole snapshot, and the events beside the steps that it was made from."""
    index = sound_index(run)
    records = merge_attempts(other_events(run.events, index))
    notes = tuple({"t": iso_time(note.t), "step": note.step, "text": note.text} for note in read_notes(run))
    return replace(_fold(run, records, index), notes=notes), records


def encoded(records: list[Record]) -> tuple[tuple[str, int, int], ...]:
    """How far each phase of the encoding came: (phase, done, in all), in order; of a phase that ran again its last word."""
    found: dict[str, tuple[str, int, int]] = {}
    for record in records:
        event = record.event
        if isinstance(event, Progress) and event.total and event.phase in ("latents", "text"):
            found[event.phase] = (event.phase, event.done, event.total)
    return tuple(found.values())


def moving_average(losses: list[float]) -> float | None:
    """Exponential moving average without the bias of its start; None for no finite values."""
    total = weight = 0.0
    for loss in losses:
        if math.isfinite(loss):
            total = total * EMA_DECAY + loss
            weight = weight * EMA_DECAY + 1
    return total / weight if weight else None


def _fold(run: RunDirectory, records: list[Record], index: StepsIndex) -> Snapshot:
    status = Status.read(run)
    state = true_state(run, status)
    steps = index.tail(_EMA_WINDOW)
    last = steps[-1] if steps else None
    step = max(status.step if status else 0, last.step if last else 0)
    if state == "orphaned" and last:
        step = last.step
    seconds = _median([entry.step_s for entry in steps[-50:]])
    max_steps = status.max_steps if status else 0
    remaining = max(0, max_steps - step) if state in ALIVE and state != "stopping" else 0
    process = status.process if status else None
    began = [place for place, record in enumerate(records) if isinstance(record.event, RunStart)]
    attempt = records[began[-1] :] if began else records
    stop = _stop_time(records, seconds)
    start = attempt[0].event if attempt and isinstance(attempt[0].event, RunStart) else None
    return Snapshot(
        id=run.id,
        name=name_of(run),
        family=status.family if status else "",
        kind=status.kind if status else "train",
        state=state,
        phase=status.phase if status else "",
        attempt=status.attempt if status else 1,
        step=step,
        max_steps=max_steps,
        epoch=last.epoch if last else None,
        loss=_rounded(moving_average([entry.loss for entry in steps])),
        lr=_rounded(last.lr) if last else None,
        step_seconds=_rounded(seconds),
        eta_seconds=_rounded(remaining * seconds) if seconds is not None and remaining else None,
        run_dir=str(run.path),
        started=(status.started or None) if status else None,
        ended=_ended(status, state, last),
        reason=_reason(run, status, state),
        exit_code=status.exit_code if status else None,
        host=process.host if process else "",
        pid=process.pid if process else None,
        heartbeat=(status.heartbeat or None) if status else None,
        **_money(status, remaining * seconds if seconds is not None and state in ALIVE else None),
        stop_seconds=_rounded(stop.seconds) if stop else None,
        stop_measured=stop is not None and stop.measured,
        gpu=start.gpu if start else "",
        outputs=tuple(_outputs(records)),
        progress=_progress(attempt) if state in ALIVE else None,
        validation=tuple(
            {"step": event.step, "loss": event.loss, "base": event.base}
            for event in (record.event for record in records)
            if isinstance(event, Validation)
        ),
        warnings=tuple(_problems(attempt, Warned)),
        errors=tuple(_problems(attempt, Failed)),
        hook=_hook(attempt),
    )


def _money(status: Status | None, eta_seconds: float | None) -> dict[str, Any]:
    """Price, hours, money spent and projected."""
    if status is None:
        return {}
    total = None
    if status.cost is not None and status.price is not None and eta_seconds is not None:
        total = status.cost + eta_seconds * status.price / 3600
    return {
        "price_per_hour": status.price,
        "hours": _rounded(status.seconds / 3600) if status.seconds else None,
        "cost": _rounded(status.cost),
        "cost_total": _rounded(total),
    }


def _stop_time(records: list[Record], step_seconds: float | None) -> StopTime | None:
    """How long a safe stop takes, from what was saved so far and the sizes that were told last."""
    events = [record.event for record in records]
    plan = next((event for event in reversed(events) if isinstance(event, Plan)), None)
    memory = next((event for event in reversed(events) if isinstance(event, Memory)), None)
    return stop_time(step_seconds, (event for event in events if isinstance(event, Checkpoint)), plan, memory)


def _outputs(records: list[Record]) -> list[dict[str, Any]]:
    """What the run left on disk, each path once. States that were pruned since are left out."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        event = record.event
        if isinstance(event, Checkpoint):
            kind = event.kind
        elif isinstance(event, Sample):
            kind = "sample"
        else:
            continue
        if kind != "state" or os.path.exists(event.path):
            found[event.path] = {"kind": kind, "path": event.path, "step": event.step}
    return list(found.values())


def _progress(records: list[Record]) -> dict[str, Any] | None:
    current: dict[str, Any] | None = None
    for record in records:
        event = record.event
        if isinstance(event, Progress):
            current = {"phase": event.phase, "done": event.done, "total": event.total}
        elif isinstance(event, Phase) and event.state != "start" and current and current["phase"] == event.name:
            current = None
    return current


def _problems(records: list[Record], kind: type[Warned] | type[Failed]) -> list[dict[str, Any]]:
    return [
        {"code": event.code, "message": event.message, "fix": event.fix}
        for event in (record.event for record in records)
        if isinstance(event, kind)
    ]


def _hook(records: list[Record]) -> dict[str, Any] | None:
    """What became of the command after the run. ``until``: when its grace period, or the time it may take, is over."""
    told = [record for record in records if isinstance(record.event, Hook)]
    if not told or not isinstance(told[-1].event, Hook):
        return None
    event = told[-1].event
    lasts = event.state in ("waiting", "started") and event.seconds is not None
    return {"name": event.name, "state": event.state, "until": iso_time(told[-1].t + (event.seconds or 0.0)) if lasts else None}  # fmt: skip


def _ended(status: Status | None, state: str, last: StepRecord | None) -> str | None:
    """When it ended; for a run whose process vanished, its last sign of life."""
    if status is None:
        return None
    if state == "orphaned":
        return status.heartbeat or (iso_time(last.t) if last else None)
    return status.ended or None


def _reason(run: RunDirectory, status: Status | None, state: str) -> str:
    if status is None:
        return ""
    if state == "orphaned":
        begin = say(f"the engine vanished (killed, or the machine went down); `musubi-tui runs resume {run.id}` goes on from",
                    f"エンジンが消えました（強制終了またはマシン停止）。`musubi-tui runs resume {run.id}` で")  # fmt: skip
        if status.kind == "cache":
            return begin + say(" what is encoded", "エンコード済みの続きから再開できます")
        if has_state(run):
            return begin + say(" the newest state", "最新の状態から再開できます")
        return begin + say(" the start: no state was saved", "最初から再開します（保存された状態なし）")
    return status.reason


def has_state(run: RunDirectory) -> bool:
    """Whether there is a state to go on from."""
    try:
        return any(entry.name[:8].isdigit() for entry in os.scandir(run.state))  # not one that is still being written
    except OSError:
        return False


def _median(values: list[float]) -> float | None:
    finite = sorted(value for value in values if math.isfinite(value))
    return finite[len(finite) // 2] if finite else None


def _rounded(value: float | None) -> float | None:
    """Six significant digits: what 32-bit records hold. None for what is not a number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
