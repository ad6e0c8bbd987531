"""What a stage works with: its configuration, a way to tell the world, and what the world asks of it. Torch-free.

A stage reads ``job.stop_requested`` between its units of work, saves what it must, and raises ``Interrupted``. It never looks
at signals, control files or status files itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine.attempt import Attempt
from engine.budget import LIMITS, PRICE_VARIABLE, Budget, price_of
from engine.config.language import say
from engine.events.control import Ack, Command, unanswered, write_ack
from engine.events.types import Control, Phase, Progress, Warned
from engine.events.viewers import Viewers
from engine.families import get_family

if TYPE_CHECKING:
    from engine.config import Config
    from engine.events.rundir import RunDirectory
    from engine.events.sink import EventSink
    from engine.families import FamilySpec, TaskSpec

PROGRESS_SECONDS = 0.1
UNHEARD_SECONDS = 8.0  # a command that no stage asked for by then is refused
_SUMMARY = (
    "family", "task", "output_name", "max_train_steps", "learning_rate", "optimizer_type", "lr_scheduler",
    "network_dim", "network_alpha", "mixed_precision", "gradient_accumulation_steps", "numerics", "seed",
    "max_grad_norm", "timestep_sampling",
)  # fmt: skip


@dataclass(frozen=True)
class StopRequest:
    """The run is asked to end: by a signal ("preempted"), or by a person or a budget ("stopped"), ``when`` "now", "save" or "epoch"."""

    reason: Literal["preempted", "stopped"]
    when: str = "now"
    source: str = ""  # "SIGTERM", the id of the command, "budget"
    explanation: str = ""  # for a person, where the source alone says too little
    deadline: float | None = None  # seconds since 1970: when the machine will be gone, where a notice says so


class Interrupted(Exception):
    """Raised by a stage after it saved what the request demands."""

    def __init__(self, request: StopRequest) -> None:
        self.request = request
        super().__init__(f"{request.reason} by {request.source}" if request.source else request.reason)


class PhaseProgress:
    """How far a phase is; ``update`` may be called as often as one likes."""

    def __init__(self, name: str, events: EventSink) -> None:
        self._name = name
        self._events = events
        self._next = 0.0
        self._last: Progress | None = None
        self._sent: Progress | None = None

    def update(self, done: int, total: int, bytes_written: int = 0) -> None:
        """``done`` of ``total`` units (0: unknown). At most ten events a second reach the log, the last one always."""
        self._last = Progress(self._name, done, total, bytes_written)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PROGRESS_SECONDS
            self.close()

    def close(self) -> None:
        """Send what was held back."""
        if self._last is not None and self._last != self._sent:
            self._sent = self._last
            self._events.emit(self._last)


class Job:
    """One job of the engine. ``helps``: it is another process's (``engine.ranks``). ``run``: its directory; ``spec``, ``task``: the family's facts; ``events``: where to tell things."""

    helps = False

    def __init__(
        self,
        attempt: Attempt,
        config: Config,
        *,
        kind: str = "train",
        changes: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        """``changes``: what each attempt was started with, by its number; the stage gets them as commands, oldest first."""
        self._attempt = attempt
        self.config = config
        self.kind = kind
        self.run: RunDirectory = attempt.run
        self.events: EventSink = attempt.events
        self.spec: FamilySpec = get_family(config.get("family"))
        self.task: TaskSpec = self.spec.task(config.get("task"))
        self.viewers = Viewers(self.run)  # whoever streams blocks asks it before it tells of single ones
        self._lock = threading.Lock()
        self._stop: StopRequest | None = None
        self._on_stop: Callable[[StopRequest], None] = lambda request: None
        self._paused = False
        self._commands: list[tuple[float, Command]] = []  # (when it was seen, command) for the stage
        self._seen: set[str] = set()
        self._phases: list[str] = []
        self._listening: int | None = None  # how many phases were open when a stage last asked for commands
        self._changes = {
            f"attempt-{number}-{key}": (number, Command(f"attempt-{number}-{key}", "set", {"key": key, "value": value}))
            for number, values in sorted((changes or {}).items())
            for key, value in values.items()
            if key not in LIMITS  # the configuration has them already
        }
        self._price = price_of(config, os.environ)
        self._budget = Budget.of(config)
        self._commands += [(float("inf"), command) for _, command in self._changes.values()]
        self._refuse_old_commands()
        attempt.start(self._summary(), self._price)
        if self._budget.max_cost is not None and self._price is None:
            self._warn_of_missing_price()
        attempt.on_tick(self._tick)

    @property
    def attempt(self) -> int:
        """Which attempt at this run this is, from 1."""
        return self._attempt.number

    @contextmanager
    def phase(self, name: str) -> Iterator[PhaseProgress]:
        """A part of the work that viewers show by name. Phases may nest."""
        progress = PhaseProgress(name, self.events)
        self._phases.append(name)
        self._attempt.update(phase=name)
        self.events.emit(Phase(name, "start"))
        state = "failed"
        try:
            yield progress
            state = "done"
        except Interrupted:
            state = "interrupted"
            raise
        finally:
            progress.close()
            self.events.emit(Phase(name, state))
            with self._lock:
                self._listening = None if self._listening == len(self._phases) else self._listening
                self._phases.pop()
            if self._phases:
                self._attempt.update(phase=self._phases[-1])

    def warn(self, code: str, message: str, fix: str = "") -> None:
        """Tell a person something; the run goes on."""
        self.events.emit(Warned(code, message, fix))

    def set_step(self, step: int, max_steps: int) -> None:
        """Where the run stands (status.json follows within a second)."""
        self._attempt.update(step=step, max_steps=max_steps)

    def resumed_at(self, step: int) -> None:
        """Say from which step this attempt really goes on, when the newest state was passed over."""
        if step != self._attempt.from_step:
            self._attempt.start_again_from(step, self._summary(), self._price)

    def goes_on_from(self, attempt: int) -> None:
        """Say which attempt saved the state that is resumed: what it was started with is in there, with what came later."""
        with self._lock:
            self._commands = [
                (since, command)
                for since, command in self._commands
                if self._changes.get(command.id, (attempt + 1,))[0] > attempt
            ]

    @property
    def stop_requested(self) -> StopRequest | None:
        """What asks this job to end, if anything does."""
        return self._stop

    @property
    def paused(self) -> bool:
        """Whether a person wants the job to wait. A request to stop ends the waiting."""
        return self._paused and self._stop is None

    def request_stop(self, request: StopRequest) -> None:
        """Ask the job to end. A preemption outranks what a person asked for."""
        with self._lock:
            if self._stop is None or request.reason == "preempted" or self._stop.reason == "stopped":
                self._stop = request
        asked = _STOP_ANSWERS[request.when] if request.reason == "stopped" else request.source
        self._attempt.update(state="stopping", reason=request.explanation or asked)
        self._on_stop(request)

    def on_stop(self, action: Callable[[StopRequest], None]) -> None:
        """Call ``action`` at once with each request to stop, on the thread that brings it."""
        self._on_stop = action
        if self._stop is not None:
            action(self._stop)

    def commands(self) -> list[Command]:
        """Commands the stage must carry out (save, sample, set), each of which it answers with ``ack``."""
        with self._lock:
            self._listening = len(self._phases)
            commands, self._commands = [command for _, command in self._commands], []
        return commands

    def ack(self, command: Command, result: str, message: str = "") -> None:
        """Answer a command ("done", "accepted" or "refused", with the reason) and journal it."""
        self.events.emit(Control(command.id, command.command, result, message, command.arguments))
        try:
            write_ack(self.run, Ack(command.id, command.command, result, message))
        except OSError as error:
            self.warn("ack_not_written", str(error))

    def finish(self, state: str, reason: str = "", exit_code: int = 0) -> None:
        """End the run: nothing can be told afterwards."""
        self._attempt.finish(state, reason, exit_code)

    def _summary(self) -> dict[str, Any]:
        values = {name: self.config.get(name) for name in _SUMMARY} | {"task": self.task.name}
        return {"kind": self.kind, **{name: value for name, value in values.items() if value is not None}}

    def _refuse_old_commands(self) -> None:
        for command in unanswered(self.run):
            self._seen.add(command.id)
            late = say("It was meant for an earlier attempt.", "以前の実行に対するコマンドです。")
            self.ack(command, "refused", command.error or late)

    def _tick(self) -> None:
        """What the heartbeat's thread does a few times a second."""
        self._look_for_commands()
        reason = self._budget.spent(*self._attempt.spent()) if self._stop is None else ""
        if reason:
            self.warn("budget_spent", reason, say("To go on: `runs resume RUN --set max_cost=…` (or max_hours).", "続けるには `runs resume RUN --set max_cost=…`（または max_hours）。"))  # fmt: skip
            self.request_stop(StopRequest("stopped", "now", "budget", reason))

    def _warn_of_missing_price(self) -> None:
        self.warn(
            "no_price",
            say("max_cost is set, but no price per hour is known: money is not counted.", "max_cost がありますが、1 時間あたりの料金が不明なため計算できません。"),
            say(f"Set price_per_hour or {PRICE_VARIABLE}, or use max_hours.", f"price_per_hour か {PRICE_VARIABLE} を設定するか、max_hours を使ってください。"),
        )  # fmt: skip

    def _look_for_commands(self) -> None:
        """Read new control files; runs on the heartbeat's thread."""
        now = time.monotonic()
        for command in unanswered(self.run):
            if command.id not in self._seen:
                self._seen.add(command.id)
                self._take(command, now)
        unheard: list[Command] = []
        with self._lock:
            if self._listening is None:
                unheard = [command for since, command in self._commands if now - since > UNHEARD_SECONDS]
                self._commands = [entry for entry in self._commands if entry[1] not in unheard]
        for command in unheard:
            phase = self._phases[-1] if self._phases else say("starting", "開始処理中")
            reason = say(f"Nothing takes {command.command!r} now (phase: {phase}).", f"現在は {command.command!r} を受け付けません（フェーズ: {phase}）。")  # fmt: skip
            if self._stop is not None:
                reason = say("The run is being stopped.", "停止処理中です。")
            self.ack(command, "refused", reason)

    def _take(self, command: Command, now: float) -> None:
        if command.error:
            self.ack(command, "refused", command.error)
        elif command.command == "stop":
            when = str(command.arguments.get("when", "now"))
            self.request_stop(StopRequest("stopped", when, command.id))
            self.ack(command, "accepted", _STOP_ANSWERS[when])
        elif command.command == "pause":
            self._pause(command, True, say("The run waits after this step.", "このステップの後で一時停止します。"))
        elif command.command == "resume":
            self._pause(command, False, say("The run goes on.", "再開しました。"))
        elif command.command == "cancel_hooks":
            self.ack(
                command,
                "refused",
                say("No hook is waiting: the run goes on.", "待機中のフックはありません（実行中）。"),
            )
        elif command.command == "set" and command.arguments.get("key") in LIMITS:
            self._change_budget(command)
        else:
            with self._lock:
                self._commands.append((now, command))

    def _change_budget(self, command: Command) -> None:
        key, value = str(command.arguments["key"]), command.arguments.get("value")
        try:
            self._budget = self._budget.changed(key, value)
        except ValueError as refusal:
            self.ack(command, "refused", str(refusal))
        else:
            self.ack(command, "done", f"{key} = {value}")

    def _pause(self, command: Command, paused: bool, message: str) -> None:
        if self._stop is not None:
            self.ack(command, "refused", say("The run is being stopped.", "停止処理中です。"))
        elif self._paused == paused:
            self.ack(command, "refused", say("It is paused already.", "すでに一時停止中です。") if paused else say("It is not paused.", "一時停止していません。"))  # fmt: skip
        else:
            self._paused = paused
            self._attempt.update(state="paused" if paused else "running")
            self.ack(command, "accepted" if paused else "done", message)


_STOP_ANSWERS = {
    "now": say("The run saves and stops after this step.", "このステップの後、保存して停止します。"),
    "save": say("The run stops after the next save.", "次の保存の後に停止します。"),
    "epoch": say("The run stops at the end of this epoch.", "このエポックの終わりに停止します。"),
}
