"""``python -m engine.watchman RUN_DIR``: waits for its engine's end, and does what the engine could not do if it was killed.

A process that the kernel kills (host memory used up, a crash in a driver) says nothing, and the machine it worked on is paid for until
somebody looks. So an engine that may run a hook or send word after a failure has a small process beside it. When the engine
is gone without its last word, the run's end is written down as failed, with the reason as far as the system tells, and ``on_error``
follows as after any other failure. It never takes a run that somebody else goes on with.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from engine.attempt import Attempt
from engine.config.language import say
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Lease, Status
from engine.events.types import Failed
from engine.hooks import VARIABLE, HookPlan, run_afterwards
from engine.signals import SignalWatch

_ENGINE = "MUSUBI_TUI_WATCHED"  # who is watched, for the process that starts to watch
_POLL_SECONDS = 1.0 if sys.platform == "linux" else 10.0  # elsewhere each look starts a program
HOOK = "on_error"


def start_watchman(run: RunDirectory, plan: HookPlan) -> None:
    """Have this process watched, where something is to happen when it is killed. Without a watchman the run goes on all the same."""
    allowed = plan.after(HOOK)
    if allowed is None:
        return
    values = {VARIABLE: allowed.text(), _ENGINE: json.dumps(asdict(ProcessIdentity.of_this_process()))}
    try:
        # In the engine's session: who ends the whole group by hand ends its watchman too.
        subprocess.Popen([sys.executable, "-P", "-m", "engine.watchman", os.fspath(run.path)], env=os.environ | values, stdin=subprocess.DEVNULL)  # fmt: skip
    except OSError as error:
        sys.stderr.write(say(f"No watchman: {error}. on_error will not run if the engine is killed.\n",
                             f"監視プロセスを起動できません: {error}。エンジンが強制終了されても on_error は実行されません。\n"))  # fmt: skip


def watch(run: RunDirectory, engine: ProcessIdentity, plan: HookPlan) -> None:
    """Return when the engine has ended by itself, or when what follows its death is done. Raises ``UserError`` as ``Attempt`` does."""
    killed_before = killed_for_memory()
    _wait_for_end(engine)
    status = Status.read(run) if run.exists() else None
    lease = Lease.read(run)
    if status is None or status.state not in ALIVE or status.process != engine:
        return  # it said its last word, or somebody goes on with the run
    if lease is not None and lease.process != engine:
        return
    for_memory = killed_for_memory() > killed_before
    _finish(run, plan, *_why(run, for_memory=for_memory))


def _finish(run: RunDirectory, plan: HookPlan, code: str, reason: str, fix: str) -> None:
    hurried = threading.Event()
    signals = SignalWatch()
    attempt = Attempt(run, to_end=True)
    signals.tell(first=lambda name: hurried.set(), again=lambda name, number: attempt.leave_at_once(name, number))
    attempt.on_end(lambda hook: run_afterwards(plan, attempt, hook, hurried))
    attempt.events.emit(Failed(code, reason, fix))
    attempt.finish("failed", reason, 1, hook=HOOK)


def _why(run: RunDirectory, *, for_memory: bool) -> tuple[str, str, str]:
    """(code, what happened, what to do)."""
    if for_memory:
        return (
            "host_memory",
            say("The system killed the engine: the memory of this machine (not of the GPU) is used up.",
                "システムがエンジンを強制終了しました。このマシンのメモリ（GPU のメモリではありません）が足りません。"),
            say("Take a machine with more memory, or swap fewer blocks to it, then resume the run.",
                "メモリの多いマシンを使うか、blocks_to_swap を減らしてから再開してください。"),
        )  # fmt: skip
    return (
        "engine_vanished",
        say("The engine is gone without a word: it was killed, or it crashed.", "エンジンが何も残さず終了しました（強制終了またはクラッシュ）。"),
        say(f"The end of {run.engine_log} may tell why; resume the run.", f"{run.engine_log} の末尾に理由があるかもしれません。run は再開できます。"),
    )  # fmt: skip


def _wait_for_end(engine: ProcessIdentity) -> None:
    """Until the process is gone. At once where the system tells (Linux), else at the next look."""
    handle = None
    with contextlib.suppress(OSError, AttributeError):  # an old kernel, a sandbox, another system
        handle = os.pidfd_open(engine.pid)
    try:
        while engine.runs_here():
            if handle is None:
                time.sleep(_POLL_SECONDS)
            else:
                select.select([handle], [], [])
    finally:
        if handle is not None:
            os.close(handle)


def killed_for_memory(groups: Path = Path("/sys/fs/cgroup"), mine: Path = Path("/proc/self/cgroup")) -> int:
    """How many processes of this container, else of the machine, were killed for lack of memory; 0 where nothing tells."""
    counts = map(_oom_kills, [*_told_by(groups, mine), Path("/proc/vmstat")])
    return next((count for count in counts if count is not None), 0)


def _told_by(groups: Path, mine: Path) -> Iterator[Path]:
    """Where the kernel counts for our group: of both versions of control groups, as a container sees them and as the host does."""
    own = ""
    with contextlib.suppress(OSError, ValueError):
        lines = [line.split(":", 2) for line in mine.read_text().splitlines()]
        own = next((path for _, kinds, path in lines if "memory" in kinds.split(",")), lines[-1][2]).lstrip("/")
    for folder in (groups / own, groups / "memory" / own, groups, groups / "memory"):
        yield from (folder / "memory.events", folder / "memory.oom_control")


def _oom_kills(file: Path) -> int | None:
    """None where the file does not tell."""
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def main(arguments: list[str]) -> int:
    """Watch the engine of the run in the only argument."""
    plan = HookPlan.take(os.environ)
    engine = ProcessIdentity(**json.loads(os.environ.pop(_ENGINE)))
    watch(RunDirectory(Path(arguments[0])), engine, plan)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
