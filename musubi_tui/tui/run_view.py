"""One run at one moment as a screen shows it: a frozen ``RunView``, folded event by event.

The fold knows nothing of files, clocks or widgets; ``run_source`` feeds it, from a live run directory or from a recording.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.events.lines import Record
from engine.events.status import ALIVE
from engine.events.types import (
    Block,
    Checkpoint,
    Control,
    Failed,
    Host,
    Memory,
    NoiseLevels,
    Phase,
    Plan,
    Progress,
    RunEnd,
    RunStart,
    Sample,
    Step,
    Swap,
    Unknown,
    Validation,
    Warned,
)
from musubi_tui.runs.costs import Bill
from musubi_tui.runs.pyramid import median, quantile
from musubi_tui.runs.series import GrowingSteps, Steps
from musubi_tui.runs.stopping import StopTime, stop_time
from musubi_tui.runs.telling import clean, describe
from musubi_tui.tui.run_means import SPIKE, Bin, Levels, Running, Split, split

_RECENT = 50  # steps that say how fast a run is
_LOG_LINES = 2000
_SPIKES_KEPT = 20
_READINGS = 60  # of memory: about ten minutes
MOST_BLOCKS = 1000  # no model has as many; what says so is not believed


@dataclass(frozen=True)
class Picture:
    """A sample on the timeline."""

    path: str
    prompt: str
    seed: int | None
    step: int


@dataclass(frozen=True)
class Saved:
    """A file or a state that is complete on disk."""

    path: str
    kind: str
    bytes: int
    step: int
    seconds: float | None = None


@dataclass(frozen=True)
class LogLine:
    """One line of the log: when, of what weight ("", "good", "warn", "bad"), and clean text."""

    t: float
    role: str
    text: str


@dataclass(frozen=True)
class Spike:
    """A step whose loss or gradient stood out, with the ids of its items."""

    step: int
    what: str
    value: float
    times: float
    items: tuple[str, ...]


@dataclass(frozen=True)
class RunView:
    """All that the run screen shows. Times are seconds since 1970, sizes bytes. Immutable: threads may hand it around."""

    name: str
    state: str
    steps: Steps
    now: float
    phase: str = ""
    reason: str = ""
    attempt: int = 1
    step: int = 0
    max_steps: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    gpu: str = ""
    price: float | None = None
    cost: float | None = None
    bill: Bill = field(default_factory=Bill)  # money over the seconds worked
    worked_seconds: float = 0.0
    heartbeat: float | None = None  # None: a recording, or never seen
    live: bool = True
    progress: tuple[str, int, int] | None = None
    last: Step | None = None
    split: Split = field(default_factory=Split)
    memory: Memory | None = None
    plan: Plan | None = None
    swap: Swap | None = None
    host: Host | None = None
    blocks: dict[int, Block] = field(default_factory=dict)
    blocks_t: float = 0.0  # when a block was told of last
    bins: tuple[Bin, ...] = ()
    adjusted: float | None = None  # the loss beside what is usual at its noise level
    drawn: tuple[int, ...] = ()  # noise levels, by fine ranges
    target: tuple[float, ...] = ()  # the shares they should have
    memory_course: tuple[int, ...] = ()  # bytes allocated at the last readings
    peak_step: int = 0  # where memory was highest
    validations: tuple[Validation, ...] = ()
    pictures: tuple[Picture, ...] = ()
    saved: tuple[Saved, ...] = ()
    spikes: tuple[Spike, ...] = ()
    warnings: tuple[Warned, ...] = ()
    errors: tuple[Failed, ...] = ()
    log: tuple[LogLine, ...] = ()
    unknown: tuple[str, ...] = ()  # types of events this version cannot show
    item_names: dict[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether an engine works on it."""
        return self.state in ALIVE

    @property
    def step_seconds(self) -> float | None:
        """Seconds per step of late."""
        return median(self.steps.step_s[-_RECENT:])

    def step_quantile(self, share: float) -> float | None:
        """A quantile of the recent step times."""
        return quantile(self.steps.step_s[-10 * _RECENT :], share)

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the last step, None when it cannot be told or the run does not go there."""
        pace = self.step_seconds
        left = self.max_steps - self.step if self.alive and self.state != "stopping" else 0
        return left * pace if pace is not None and left > 0 else None

    @property
    def stop_time(self) -> StopTime | None:
        """How long a safe stop takes: a step, and what it saves."""
        return stop_time(self.step_seconds, self.saved, self.plan, self.memory)

    @property
    def epoch(self) -> int | None:
        """The epoch of the last step."""
        return int(self.steps.epoch[-1]) if len(self.steps) else None

    @property
    def projected_cost(self) -> float | None:
        """What the whole run will have cost at this pace."""
        if self.price is None or self.cost is None or self.eta_seconds is None:
            return None
        return self.cost + self.price * self.eta_seconds / 3600


class Fold:
    """Takes records in, one by one, and gives the view of them."""

    def __init__(self, name: str = "", locate: Callable[[str], str] = str, folder: str = "") -> None:
        """``locate``: where a file that an event names lies now; ``folder``: the run's own, left out in the log."""
        self.name, self._folder = name, f"{folder}{os.sep}" if folder else ""
        self._locate = locate
        self.state = "queued"
        self.reason = ""
        self.steps = GrowingSteps()
        self.now = 0.0
        self.start: RunStart | None = None
        self.max_steps = 0
        self.step = 0
        self.phases: list[str] = []
        self.progress: tuple[str, int, int] | None = None
        self.recent: deque[Step] = deque(maxlen=_RECENT)
        self.log: deque[LogLine] = deque(maxlen=_LOG_LINES)
        self._latest: dict[type, Any] = {}
        self._blocks: dict[int, Block] = {}
        self._blocks_t = 0.0
        self._levels = Levels()
        self._memory_course: deque[int] = deque(maxlen=_READINGS)
        self._peak = (0, 0)  # bytes, step
        self._validations: list[Validation] = []
        self._pictures: list[Picture] = []
        self._saved: list[Saved] = []
        self._spikes: deque[Spike] = deque(maxlen=_SPIKES_KEPT)
        self._warnings: list[Warned] = []
        self._errors: list[Failed] = []
        self._unknown: dict[str, None] = {}
        self._worked = 0.0
        self._prices: dict[int, tuple[float, float | None]] = {}  # attempt -> seconds worked before it, price per hour
        self._began: float | None = None
        self._loss, self._gradient = Running(), Running()
        self._items = self._item_steps = 0

    def feed(self, record: Record, *, indexed: bool = False) -> None:
        """Take one record in. ``indexed``: its step is in the columns already."""
        event = record.event
        self.now = max(self.now, record.t)
        match event:
            case Step():
                self._take_step(event, record.t, indexed)
            case Progress():
                self.progress = (event.phase, event.done, event.total)
                if event.phase == "train" and event.total:
                    self.max_steps = event.total
            case Memory() | Plan() | Swap() | Host() | NoiseLevels():
                self._latest[type(event)] = event
                if isinstance(event, Memory):
                    self._take_memory(event)
            case Block():
                self._take_block(event, record.t)
            case RunStart():
                self._attempt(event, record.t)
            case Phase():
                self._phase(event)
            case Validation():
                self._validations.append(event)
            case Sample():
                self._pictures.append(Picture(self._locate(event.path), event.prompt, event.seed, event.step))
            case Checkpoint():
                self._saved.append(Saved(event.path, event.kind, event.bytes, event.step, event.seconds))
            case Control():
                self._control(event)
            case Warned():
                self._warnings.append(event)
            case Failed():
                self._errors.append(event)
            case RunEnd():
                self._end(event, record.t)
            case Unknown():
                self._unknown[clean(event.name)] = None
        text = "" if isinstance(event, (Step, Progress)) else describe(event)
        if text:
            if self._folder and isinstance(event, (Sample, Checkpoint)):
                text = text.replace(self._folder, "", 1)  # what tells it apart is at the end, and lines are cut there
            self.log.append(LogLine(record.t, _weight(event), text))

    @property
    def items_per_step(self) -> float:
        """Mean of the steps that were heard."""
        return self._items / self._item_steps if self._item_steps else 1.0

    def had_worked(self, before: Mapping[int, float]) -> None:
        """Seconds that were worked at least before each attempt: an index knows the time of steps that were not heard."""
        for attempt, seconds in before.items():
            self._worked = max(self._worked, seconds)
            began, price = self._prices.get(attempt, (0.0, None))
            self._prices[attempt] = (max(began, seconds), price)

    def say(self, text: str, t: float, role: str = "") -> None:
        """A line from elsewhere (engine.log)."""
        self.log.append(LogLine(t, role, clean(text)))

    def view(self, **changes: Any) -> RunView:
        """The moment. ``changes`` are what the feeder knows better (state, heartbeat, now …)."""
        start = self.start or RunStart()
        worked = self._worked + (self.now - self._began if self._began is not None else 0.0)
        bill = Bill.of(self._prices.values())
        known: dict[str, Any] = {
            "name": self.name or clean(str(start.config.get("output_name", ""))), "state": self.state, "steps": self.steps.view(),
            "now": self.now, "phase": self.phases[-1] if self.phases else "", "reason": clean(self.reason),
            "attempt": start.attempt, "step": self.step, "max_steps": self.max_steps, "config": start.config,
            "gpu": clean(start.gpu), "price": start.price, "worked_seconds": worked,
            "bill": bill, "cost": bill.cost(worked), "live": False,
            "progress": self.progress, "last": self.recent[-1] if self.recent else None, "split": split(list(self.recent)[-20:]),
            "memory": self._latest.get(Memory), "plan": self._latest.get(Plan), "swap": self._latest.get(Swap),
            "host": self._latest.get(Host), "blocks": dict(self._blocks),
            "blocks_t": self._blocks_t, "bins": self._levels.bins(), "adjusted": self._levels.residual, "drawn": self._levels.drawn(),
            "target": tuple(share or 0.0 for share in self._latest.get(NoiseLevels, NoiseLevels()).target),
            "memory_course": tuple(self._memory_course), "peak_step": self._peak[1],
            "validations": tuple(self._validations), "pictures": tuple(self._pictures), "saved": tuple(self._saved),
            "spikes": tuple(self._spikes), "warnings": tuple(self._warnings), "errors": tuple(self._errors),
            "log": tuple(self.log), "unknown": tuple(self._unknown),
        }  # fmt: skip
        return RunView(**{**known, **changes})

    def _take_step(self, event: Step, t: float, indexed: bool) -> None:
        if not indexed:
            self.steps.append(event, t, self._worked + (t - self._began if self._began is not None else 0.0))
        self.step = event.step
        self._items, self._item_steps = self._items + max(1, len(event.items)), self._item_steps + 1
        self.recent.append(event)
        if self.state == "starting":
            self.state = "running"
        for what, value, running in (("loss", event.loss, self._loss), ("gradient", event.grad_norm, self._gradient)):
            times = running.times(value)
            if times is not None and value is not None and times >= SPIKE:
                self._spikes.append(Spike(event.step, what, value, times, event.items))
            running.take(value)
        self._levels.take(event)

    def _take_memory(self, event: Memory) -> None:
        if event.allocated is not None:
            self._memory_course.append(event.allocated)
        if (event.peak or 0) > self._peak[0]:
            self._peak = (event.peak or 0, self.step)

    def _take_block(self, event: Block, t: float) -> None:
        """The last known times of a block stay when an event only tells its state."""
        known = self._blocks.get(event.index)
        if not 0 <= event.index < MOST_BLOCKS:
            return
        if known is not None:
            event = replace(
                event,
                copy_ms=known.copy_ms if event.copy_ms is None else event.copy_ms,
                compute_ms=known.compute_ms if event.compute_ms is None else event.compute_ms,
                stall_ms=known.stall_ms if event.stall_ms is None else event.stall_ms,
            )
        self._blocks[event.index], self._blocks_t = event, t

    def _attempt(self, event: RunStart, t: float) -> None:
        if self._began is not None:  # the attempt before left no end: it worked until its last sign of life at most
            self._worked += max(0.0, self.steps.last_t - self._began)
        self._began = t
        self._prices[event.attempt] = (self._worked, event.price)
        self.start, self.state, self.reason, self.step = event, "starting", "", event.from_step
        self.phases, self._errors, self._warnings, self._blocks = [], [], [], {}
        told = event.config.get("max_train_steps")
        self.max_steps = told if isinstance(told, int) and told > 0 else self.max_steps
        self.steps.cut_after(event.from_step)
        self._validations = [entry for entry in self._validations if entry.step <= event.from_step]
        self._pictures = [entry for entry in self._pictures if entry.step <= event.from_step]
        self._saved = [entry for entry in self._saved if entry.step <= event.from_step]
        self._spikes = deque((entry for entry in self._spikes if entry.step <= event.from_step), _SPIKES_KEPT)

    def _phase(self, event: Phase) -> None:
        if event.state == "start":
            self.phases.append(clean(event.name))
            self.state = "running" if self.state == "starting" else self.state
            return
        if event.name in self.phases:
            self.phases.remove(event.name)
        if self.progress and self.progress[0] == event.name:
            self.progress = None

    def _control(self, event: Control) -> None:
        if event.result == "refused":
            return
        states = {"pause": "paused", "resume": "running", "stop": "stopping"}
        self.state = states.get(event.command, self.state)

    def _end(self, event: RunEnd, t: float) -> None:
        self.state, self.reason, self.phases, self.progress = event.state, event.reason, [], None
        if self._began is not None:
            self._worked += max(0.0, t - self._began)
            self._began = None


def _weight(event: Any) -> str:
    if isinstance(event, Failed):
        return "bad"
    if isinstance(event, Warned):
        return "warn" if event.fix else ""
    return "good" if isinstance(event, (Checkpoint, Sample)) else ""
