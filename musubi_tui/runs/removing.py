"""Deleting a run for good: what goes, what stays, and never under the hands of a living engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Lease, Status, true_state
from musubi_tui.runs import allowing
from musubi_tui.runs.home import known_homes
from musubi_tui.runs.queue import entry_of
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.resuming import run_option
from musubi_tui.runs.state_words import state_word


@dataclass(frozen=True)
class Removal:
    """What deleting a run means. Sizes in bytes; ``kept`` are folders outside the run that stay."""

    run: RunDirectory
    states: int
    loras: tuple[tuple[Path, int], ...]
    other: int
    kept: tuple[Path, ...]

    @property
    def total(self) -> int:
        return self.states + self.other + sum(size for _, size in self.loras)


def plan_removal(run: RunDirectory) -> Removal:
    """What would be deleted. Raises ``UserError``: the run lives (run_alive), or the folder is no run (not_a_run)."""
    refuse_unless_removable(run)
    states = other = 0
    loras = []
    for folder, _, names in os.walk(run.path):
        for name in names:
            path = Path(folder, name)
            size = path.lstat().st_size
            if path.is_relative_to(run.state):
                states += size
            elif path.suffix == ".safetensors":
                loras.append((path, size))
            else:
                other += size
    output = run_option(run, "run", "output_dir")
    outside = [Path(output)] if output and not Path(output).is_relative_to(run.path) else []
    return Removal(run, states, tuple(sorted(loras)), other, tuple(path for path in outside if path.exists()))


def remove(run: RunDirectory, tell: Callable[[str], object] = lambda text: None) -> None:
    """Delete the directory and its line in the index. Raises ``UserError`` as ``plan_removal`` does, and ``OSError``.

    The lease is taken first, so that nobody resumes what is being deleted (``tell`` hears why that takes long); then the directory gets a hidden name, so that
    nobody lists half of it.
    """
    refuse_unless_removable(run)
    Lease.acquire(run, tell=tell)
    hidden = run.path.with_name(f".removed-{run.id}-{os.getpid()}")
    run.path.rename(hidden)
    shutil.rmtree(hidden)
    allowing.forget(run)
    Registry().forget(run.path)


def size_text(count: int) -> str:
    """Bytes as a person reads them: ``184 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def refuse_unless_removable(run: RunDirectory) -> None:
    """Raise ``UserError`` for a run that lives, and for a folder that no run ever made."""
    status = Status.read(run)
    at_home = any(run.path.parent == home / "runs" for home in known_homes())
    if run.path.is_symlink() or not (at_home or (status is not None and run.run_toml.is_file())):
        raise UserError.of(
            "not_a_run",
            say(f"{run.path} is not a run directory.", f"{run.path} は run フォルダーではありません。"),
            say("Only folders of runs are deleted.", "削除できるのは run のフォルダーだけです。"),
            file=run.path,
        )
    lease = Lease.read(run)
    state = true_state(run, status)
    if state in ALIVE or (lease is not None and lease.alive(run)):
        raise UserError.of(
            "run_alive",
            say(f"The run {run.id} is {state_word(state)}.", f"run {run.id} は {state_word(state)} です。"),
            say(f"Stop it first: `musubi-tui runs stop {run.id}`.", f"先に停止してください: `musubi-tui runs stop {run.id}`。"),
            file=run.path,
        )  # fmt: skip
    for home in known_homes():
        if entry_of(home, run) is not None:
            raise UserError.of(
                "run_queued",
                say(f"The run {run.id} is in the queue.", f"run {run.id} はキューに入っています。"),
                say(f"Take it out first: `musubi-tui queue rm {run.id}`.", f"先に外してください: `musubi-tui queue rm {run.id}`。"),
                file=run.path,
            )  # fmt: skip
