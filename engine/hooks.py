"""What happens after a run: a message to a webhook, a grace period that can be cancelled, and a command of the user's.

Whoever starts the engine decides what is allowed and hands it over in one environment variable, which is taken out of the
environment at once: nothing here reads a preset. A hook is a program with arguments, never a shell line; what it may want to
know stands in its environment. It runs when the run's end is on disk already, so that it may stop the machine.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from engine.config.language import say
from engine.events.control import Ack, unanswered, write_ack
from engine.events.reader import other_events
from engine.events.redaction import learn
from engine.events.sound_index import sound_index
from engine.events.types import Checkpoint, Control, Hook, Warned

if TYPE_CHECKING:
    from engine.attempt import Attempt

VARIABLE = "MUSUBI_TUI_HOOKS"
NAMES = ("on_finish", "on_error", "on_preempt")
CANCEL = "cancel_hooks"
DEFAULT_GRACE_SECONDS = 30.0
TIMEOUT_SECONDS = {"on_finish": 600.0, "on_error": 600.0, "on_preempt": 20.0}
_OUTPUT_LIMIT = 64 * 1024
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class HookPlan:
    """The commands that may run, how long a person has to cancel them, and where to send word."""

    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    notify_url: str = ""

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> HookPlan:
        """The plan in the environment, which no child of the engine inherits; an empty one when there is none."""
        text = environment.pop(VARIABLE, "")
        try:
            values = json.loads(text) if text else {}
            commands = {name: tuple(map(str, values[name])) for name in NAMES if values.get(name)}
            grace = float(values.get("grace_seconds", DEFAULT_GRACE_SECONDS))
            plan = cls(
                commands, grace if math.isfinite(grace) else DEFAULT_GRACE_SECONDS, str(values.get("notify_url", ""))
            )
        except (ValueError, TypeError, AttributeError):
            sys.stderr.write(f"{VARIABLE}: not understood, no hook runs\n")
            return cls()
        learn([plan.notify_url])
        return plan

    def after(self, name: str) -> HookPlan | None:
        """The part of the plan that concerns one hook; None when nothing is to happen."""
        command = self.commands.get(name)
        if not command and not self.notify_url:
            return None
        return replace(self, commands={name: command} if command else {})

    def text(self) -> str:
        """What ``take`` reads."""
        told: dict[str, Any] = {"grace_seconds": self.grace_seconds, **self.commands}
        return json.dumps(told | ({"notify_url": self.notify_url} if self.notify_url else {}))


def run_afterwards(plan: HookPlan, attempt: Attempt, name: str, hurried: threading.Event) -> None:
    """Send word, wait, run the hook; each step is an event. ``hurried`` ends all waiting: the machine goes down."""
    command = plan.commands.get(name, ())
    if not name or not (command or plan.notify_url):
        return
    values = _values(attempt)
    if plan.notify_url:
        from engine.notify import notify

        trouble = notify(plan.notify_url, values)
        if trouble:
            attempt.events.emit(
                Warned("notify_failed", trouble, say("Check notify_url.", "notify_url を確認してください。"))
            )
    if not command:
        return
    grace = 0.0 if name == "on_preempt" else max(0.0, plan.grace_seconds)
    if _may_run(attempt, name, grace, hurried):
        _run(attempt, name, command, values, hurried)


def _may_run(attempt: Attempt, name: str, grace: float, hurried: threading.Event) -> bool:
    """Wait out the grace period; False when somebody cancelled, or the machine goes down."""
    if grace:
        attempt.events.emit(Hook(name, "waiting", grace, say("`runs cancel-hooks RUN` cancels it.", "`runs cancel-hooks RUN` で取り消せます。")))  # fmt: skip
    deadline = time.monotonic() + grace
    while True:
        if _cancelled(attempt):
            attempt.events.emit(Hook(name, "cancelled"))
            return False
        left = deadline - time.monotonic()
        if left <= 0:
            return True
        attempt.keep_lease()
        if hurried.wait(min(_POLL_SECONDS, left)):
            attempt.events.emit(Hook(name, "cancelled", message=say("the machine goes down", "マシンが停止します")))
            return False


def _cancelled(attempt: Attempt) -> bool:
    """Answer what viewers asked for meanwhile: nothing can be done any more but cancel."""
    cancelled = False
    for command in unanswered(attempt.run):
        mine = command.command == CANCEL and not command.error
        cancelled = cancelled or mine
        message = "" if mine else command.error or say("The run has ended.", "run は終了しています。")
        result = "done" if mine else "refused"
        attempt.events.emit(Control(command.id, command.command, result, message, command.arguments))
        with contextlib.suppress(OSError):
            write_ack(attempt.run, Ack(command.id, command.command, result, message))
    return cancelled


def _run(
    attempt: Attempt, name: str, command: tuple[str, ...], values: dict[str, str], hurried: threading.Event
) -> None:
    limit = TIMEOUT_SECONDS[name]
    attempt.events.emit(Hook(name, "started", limit, command[0]))
    attempt.events.flush()  # the command may stop this machine
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command, cwd=attempt.run.path, env=os.environ | values, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            attempt.events.emit(Hook(name, "failed", 0.0, f"{command[0]}: {error.strerror or error}"))
            return
        code = _wait(attempt, process, limit, hurried)
        _log(name, output)
    seconds = round(time.monotonic() - began, 3)
    if code is None:
        attempt.events.emit(Hook(name, "timeout", seconds))
    else:
        attempt.events.emit(Hook(name, "failed" if code else "done", seconds, f"exit code {code}" if code else ""))


def _wait(attempt: Attempt, process: subprocess.Popen[bytes], limit: float, hurried: threading.Event) -> int | None:
    """The exit code, or None when the command had to be ended with everything it started."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_POLL_SECONDS)
        attempt.keep_lease()
        if hurried.is_set():
            deadline = min(deadline, time.monotonic() + 2.0)
            hurried.clear()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return None


def _log(name: str, output: IO[bytes]) -> None:
    """The end of what the command printed, into engine.log."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _OUTPUT_LIMIT))
    text = output.read().decode("utf-8", "replace").rstrip("\n")
    if text:
        sys.stderr.write("".join(f"[{name}] {line}\n" for line in text.split("\n")))
        sys.stderr.flush()


def _values(attempt: Attempt) -> dict[str, str]:
    """What a hook may want to know, as environment variables."""
    status, run = attempt.status, attempt.run
    checkpoints: list[Any] = [record.event for record in other_events(run.events, sound_index(run))]
    loras = [event.path for event in checkpoints if isinstance(event, Checkpoint) and event.kind == "lora"]
    return {
        "MUSUBI_TUI_RUN": str(run.path),
        "MUSUBI_TUI_RUN_ID": run.id,
        "MUSUBI_TUI_NAME": status.name or run.id,
        "MUSUBI_TUI_STATE": status.state,
        "MUSUBI_TUI_REASON": status.reason,
        "MUSUBI_TUI_STEP": str(status.step),
        "MUSUBI_TUI_MAX_STEPS": str(status.max_steps),
        "MUSUBI_TUI_EXIT_CODE": str(status.exit_code),
        "MUSUBI_TUI_HOURS": f"{status.seconds / 3600:.3f}",
        "MUSUBI_TUI_COST": "" if status.cost is None else f"{status.cost:.2f}",
        "MUSUBI_TUI_LORA": loras[-1] if loras else "",
    }
