"""Where runs can go on this machine: one at a time per GPU, or one at all where there is none."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.alive import heartbeat_age
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Lease
from musubi_tui.machine.gpus import read_gpus
from musubi_tui.runs.launching import gpu_visible
from musubi_tui.runs.preempting import running_here
from musubi_tui.runs.queue import Entry
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.resuming import run_option

CPU = "cpu"
_LATELY_SECONDS = 3600.0
ONE_GPU = "gpu"  # of a kind that is not told apart by number (Apple, AMD)


def machine_slots() -> list[str]:
    """The GPUs of this machine by number; ``gpu`` for one that has none; ``cpu`` without any."""
    numbers = [str(gpu.index) for gpu in read_gpus()]
    return numbers or ([ONE_GPU] if gpu_visible() else [CPU])


def chosen_gpus(words: str | None) -> tuple[str, ...] | None:
    """The GPUs that ``--gpus`` names, else those of CUDA_VISIBLE_DEVICES; None when neither is given.

    Raises ``UserError`` (no_such_gpu) for a number that this machine does not have.
    """
    text = words if words is not None else os.environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    chosen = tuple(word.strip() for word in text.split(",") if word.strip() and word.strip() != "-1")
    there = [slot for slot in machine_slots() if slot.isdigit()]
    unknown = [word for word in chosen if word not in there and (word.isdigit() or words is not None)]
    if unknown:
        raise UserError.of(
            "no_such_gpu",
            say(f"This machine has no GPU {', '.join(unknown)}.", f"このマシンに GPU {', '.join(unknown)} はありません。"),
            say(f"It has: {', '.join(there) or 'none'}.", f"使用できる GPU: {', '.join(there) or 'なし'}。"),
            key="gpus",
        )  # fmt: skip
    return chosen


def slots_for(entry: Entry, machine: list[str]) -> list[str]:
    """The slots that ``entry`` may take, best first."""
    if entry.device == "cpu" or entry.gpus == () or machine == [CPU]:
        return [CPU]
    return list(entry.gpus) if entry.gpus is not None else machine


def environment_of(slot: str) -> dict[str, str]:
    """What tells the engine where to compute."""
    if slot == ONE_GPU:
        return {}
    # by the numbers of the driver, as nvidia-smi shows them; CUDA's own order is by speed
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "" if slot == CPU else slot}


def taken_by_others(own: Collection[Path], machine: list[str]) -> set[str]:
    """The slots of runs that live on this machine and were not started by the queue (``own`` are its runs)."""
    taken: set[str] = set()
    for entry in Registry().runs():
        run = RunDirectory(entry.path)
        if entry.gone or run.path in own or not (entry.summary.state in ALIVE or _ended_lately(entry.summary.ended)):
            continue
        lease = Lease.read(run)  # held after the end, too, while a hook waits or runs
        for process in {one.process for one in running_here([run])} | ({lease.process} if lease else set()):
            if process.runs_here():
                taken |= _slots_of(run, process.pid, machine)
    return taken


def _ended_lately(ended: str | None) -> bool:
    return ended is not None and heartbeat_age(ended) < _LATELY_SECONDS


def _slots_of(run: RunDirectory, pid: int, machine: list[str]) -> set[str]:
    if machine == [CPU] or run_option(run, "run", "device") == "cpu":
        return {CPU}
    if machine == [ONE_GPU]:
        return {ONE_GPU}
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {machine[0]}
    for variable in variables:
        if variable.startswith(b"CUDA_VISIBLE_DEVICES="):
            first = variable.partition(b"=")[2].decode("utf-8", "replace").split(",")[0].strip()
            return {first} if first not in ("", "-1") else {CPU}
    return {machine[0]}
