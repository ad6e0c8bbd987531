"""A run told in lines: what a person reads in a log, a pipe or a screen reader, one event at a time.

Words from outside (captions, file names, prompts) may hold anything; control characters never reach the terminal.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from engine.config.language import say
from engine.events.lines import Record
from engine.events.types import (
    Checkpoint,
    Control,
    Event,
    Failed,
    Hook,
    Host,
    Memory,
    Phase,
    Plan,
    Progress,
    RunEnd,
    RunStart,
    Sample,
    Step,
    Validation,
    Warned,
)
from musubi_tui.runs.costs import Bill, cost_text
from musubi_tui.runs.plain_text import clean as clean
from musubi_tui.runs.snapshot import EMA_DECAY
from musubi_tui.runs.state_words import state_word, told_answer

PLAIN_SECONDS = 5.0  # a step or progress line at most this often


@dataclass
class PhaseView:
    """One phase as a bar: units done of a total, since when, and how fast."""

    name: str
    began: float
    done: int = 0
    total: int = 0
    first: int = 0  # units that were done when ``since`` was: not part of the rate
    since: float | None = None  # the first report of a finished unit: what was loaded before it is not part of the rate
    latest: float = 0.0
    bytes: int = 0  # written, where the phase writes files
    counts: bool = False  # a unit was finished while we looked: the rate counts from it

    @property
    def rate(self) -> float | None:
        """Units per second, None before it can be told."""
        seconds = self.latest - (self.began if self.since is None else self.since)
        return (self.done - self.first) / seconds if seconds > 0 and self.done > self.first else None

    @property
    def eta(self) -> float | None:
        """Seconds to go."""
        return (self.total - self.done) / self.rate if self.rate and self.total else None


@dataclass
class Story:
    """What was heard so far: the open phases, the last step, its moving averages. Fed record by record."""

    max_steps: int = 0
    step: Step | None = None
    loss: float | None = None  # moving average
    step_seconds: float | None = None  # moving average
    phases: list[PhaseView] = field(default_factory=list)
    finished: list[PhaseView] = field(default_factory=list)
    host: Host | None = None
    memory: Memory | None = None
    validation: Validation | None = None
    attempts: list[tuple[float, float | None]] = field(default_factory=list)  # seconds worked before, price per hour
    today: float | None = None  # the price that is known now, for a run that knew none
    worked: float = 0.0  # seconds of the attempts before
    began: float | None = None  # this attempt
    now: float = 0.0
    _weight: float = 0.0
    _total: float = 0.0

    def feed(self, record: Record) -> None:
        """Take one record in."""
        event = record.event
        if isinstance(event, RunStart) and self.began is not None:
            self.worked += self.now - self.began  # the attempt before left no end
        self.now = max(self.now, record.t)
        if isinstance(event, RunStart):
            self.phases.clear()
            self.step = None  # until this attempt has one, its own progress is what there is to tell
            self.attempts.append((self.worked, event.price))
            self.began = record.t
            told = event.config.get("max_train_steps")
            self.max_steps = told if isinstance(told, int) and told > 0 else self.max_steps
        elif isinstance(event, Phase):
            self._phase(event, record.t)
        elif isinstance(event, Progress):
            self._progress(event, record.t)
        elif isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Host):
            self.host = event
        elif isinstance(event, Memory):
            self.memory = event
        elif isinstance(event, Validation):
            self.validation = event
        elif isinstance(event, RunEnd) and self.began is not None:
            self.worked, self.began = self.worked + record.t - self.began, None

    @property
    def cost(self) -> float | None:
        """Money spent so far, None where no price is known."""
        worked = self.worked + (self.now - self.began if self.began is not None else 0.0)
        return Bill.of(self.attempts, self.today).cost(worked)

    @property
    def eta(self) -> float | None:
        """Seconds of training to go; None when nobody trains any more."""
        if self.step is None or not self.max_steps or self.step_seconds is None or self.began is None:
            return None
        return max(0, self.max_steps - self.step.step) * self.step_seconds

    def _phase(self, event: Phase, t: float) -> None:
        if event.state == "start":
            self.phases.append(PhaseView(event.name, t, latest=t))
            return
        for view in [view for view in self.phases if view.name == event.name]:
            view.latest = t
            self.phases.remove(view)
            self.finished.append(view)

    def _progress(self, event: Progress, t: float) -> None:
        view = next((view for view in self.phases if view.name == event.phase), None)
        if view is None:
            view = PhaseView(event.phase, t, latest=t)
            self.phases.append(view)
        if view.total == 0:
            view.first, view.since = event.done, t
        elif event.done > view.done and view.done == view.first and not view.counts:
            view.first, view.since, view.counts = event.done, t, True
        view.done, view.total, view.latest, view.bytes = event.done, event.total, t, event.bytes
        if event.phase == "train" and event.total:
            self.max_steps = event.total

    def _step(self, event: Step) -> None:
        self.step = event
        if event.loss is not None:
            self._total = self._total * EMA_DECAY + event.loss
            self._weight = self._weight * EMA_DECAY + 1
            self.loss = self._total / self._weight
        if event.step_s is not None:
            before = self.step_seconds
            self.step_seconds = event.step_s if before is None else 0.9 * before + 0.1 * event.step_s


class PlainTeller:
    """Lines for a log: everything that happens once, and every few seconds how far it is."""

    def __init__(self, seconds: float = PLAIN_SECONDS) -> None:
        self.story = Story()
        self._seconds = seconds
        self._next = 0.0

    def lines(self, record: Record) -> list[str]:
        """The lines a record is worth, perhaps none."""
        self.story.feed(record)
        event = record.event
        stamp = time.strftime("%H:%M:%S", time.localtime(record.t))
        if isinstance(event, (Step, Progress)):
            last = isinstance(event, Progress) and event.done == event.total
            if isinstance(event, Progress) and (event.phase == "train" or self.story.step is not None):
                return []
            if record.t < self._next and not last:
                return []
            self._next = record.t + self._seconds
            text = step_line(self.story) if isinstance(event, Step) else progress_line(event, self.story)
            return [f"{stamp} {text}"]
        text = describe(event)
        lines = [f"{stamp} {text}"] if text else []
        if isinstance(event, RunEnd) and self.story.step is not None:
            lines.insert(0, f"{stamp} {step_line(self.story)}")
        return lines


def step_line(story: Story) -> str:
    """``step 120/200  loss 0.0831  lr 9.2e-05  1.23 s/step  ETA 1:38``."""
    step = story.step
    if step is None:
        return ""
    parts = [say("step ", "ステップ ") + (f"{step.step}/{story.max_steps}" if story.max_steps else f"{step.step}")]
    if story.loss is not None:
        parts.append(f"loss {story.loss:.4f}")
    if step.lr and step.lr[0] is not None:
        parts.append(f"lr {step.lr[0]:.3g}")
    if story.step_seconds is not None:
        parts.append(f"{story.step_seconds:.3g} s/step")
    if story.eta is not None:
        parts.append(f"ETA {clock(story.eta)}")
    return "  ".join(parts)


def vitals_line(story: Story) -> str:
    """``val 0.0563 @ 1000  vram 20.3/24.0 GB  gpu 97% 71 °C 430 W  $1.96``, as far as it is known."""
    parts = []
    if story.validation is not None and story.validation.loss is not None:
        parts.append(f"val {story.validation.loss:.4f} @ {story.validation.step}")
    card = story.host.gpus[0] if story.host is not None and story.host.gpus else {}
    total, peak = card.get("total"), story.memory.peak if story.memory is not None else None
    if isinstance(total, (int, float)) and peak is not None:
        parts.append(f"vram {peak / (1 << 30):.1f}/{total / (1 << 30):.1f} GB")
    readings = [(card.get("util"), "%"), (card.get("temperature"), " °C"), (card.get("watts"), " W")]
    known = [f"{value:.0f}{unit}" for value, unit in readings if isinstance(value, (int, float))]
    if known:
        parts.append("gpu " + " ".join(known))
    elif story.host is not None and story.host.ram and story.host.ram_total:
        parts.append(f"ram {story.host.ram / (1 << 30):.1f}/{story.host.ram_total / (1 << 30):.1f} GB")
    if story.cost is not None:
        parts.append(cost_text(story.cost, guessed=Bill.of(story.attempts, story.today).guessed))
    return "  ".join(parts)


def progress_line(event: Progress, story: Story) -> str:
    """``latents 12/24  5.2/s  14 MB  ETA 0:02``."""
    parts = [
        f"{clean(event.phase)} {event.done}/{event.total}" if event.total else f"{clean(event.phase)} {event.done}"
    ]
    view = next((view for view in story.phases if view.name == event.phase), None)
    if view is not None and view.rate is not None:
        parts.append(rate_text(view.rate))
        if event.bytes:
            parts.append(written_text(event.bytes))
        if view.eta is not None and event.done < event.total:
            parts.append(f"ETA {clock(view.eta)}")
    return "  ".join(parts)


def describe(event: Event) -> str:
    """One line for an event that happens once; empty for the stream of readings."""
    match event:
        case RunStart():
            at = (
                say(f"resumes at step {event.from_step}", f"ステップ {event.from_step} から再開")
                if event.from_step
                else say("starts", "開始")
            )
            return say(f"attempt {event.attempt} {at}", f"試行 {event.attempt} {at}") + (
                f"  ({clean(event.gpu)})" if event.gpu else ""
            )
        case Phase(state="start"):
            return f"{clean(event.name)} …"
        case Phase():
            return f"{clean(event.name)}: {clean(event.state)}" if event.state != "done" else ""
        case Plan():
            return clean(f"plan: {event.resident} blocks resident, {event.streamed} streamed, {event.reason}")
        case Validation(loss=float()):
            base = f"  ({say('predicting zero', 'ゼロ予測')} {event.base:.4f})" if event.base is not None else ""
            return f"{say('validation', '検証')} {event.step}  loss {event.loss:.4f}{base}"
        case Sample():
            return clean(f"sample {event.step}  {event.path}  {event.prompt[:60]!r}")
        case Checkpoint():
            return clean(f"save {event.kind} {event.step}  {event.path}  ({event.bytes / 1e6:.1f} MB)")
        case Control():
            return clean(told_answer(event.command, event.result, event.message))
        case Warned():
            return clean(f"{weight(event.fix)}: {event.message} {event.fix}".rstrip())
        case Failed():
            return clean(f"{say('error', 'エラー')}: {event.message} {event.fix}".rstrip())
        case Hook(state="waiting"):
            return clean(
                say(
                    f"{event.name} runs in {event.seconds or 0:.0f} s: {event.message}",
                    f"{event.seconds or 0:.0f} 秒後に {event.name} を実行: {event.message}",
                )
            )
        case Hook():
            return clean(f"{event.name}: {_hook_word(event.state)} {event.message}".rstrip())
        case RunEnd(state="failed"):
            return state_word(event.state)  # the error before it said why
        case RunEnd():
            return clean(
                event.reason
                if event.reason.startswith(event.state)
                else f"{state_word(event.state)} {event.reason}".rstrip()
            )
    return ""


def _hook_word(state: str) -> str:
    words = {"started": say("started", "開始"), "done": say("done", "完了"), "failed": say("failed", "失敗"),
             "timeout": say("took too long and was ended", "時間切れで終了"), "cancelled": say("cancelled", "取り消し")}  # fmt: skip
    return words.get(state, state)


def weight(fix: str) -> str:
    """What to call a warning: one that asks for nothing is a note."""
    return say("warning", "警告") if fix else say("note", "お知らせ")


def clock(seconds: float) -> str:
    """``1:05`` or ``2:03:00``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def written_text(size: int) -> str:
    """``14 MB``; kB below one (1 MB = 10^6 bytes)."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def rate_text(rate: float) -> str:
    """``5.2/s``, or ``3.1 s`` each when slower than one a second."""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s/it"
