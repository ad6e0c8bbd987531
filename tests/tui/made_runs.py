"""Run directories in every state, made from written facts: no engine, the same on every machine."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity, host_name
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Checkpoint, Failed, Phase, RunEnd, RunStart, Sample, Step, Validation, Warned
from musubi_tui.machine.load import GpuLoad, MachineLoad
from musubi_tui.runs.home import Home

LOAD = MachineLoad((GpuLoad("H200", 97, 71, 412, 19, 141),), 61, 128, 212, busy=True)


@dataclass
class Made:
    """What a run is like."""

    name: str
    state: str
    stamp: str
    family: str = "wan"
    step: int = 0
    max_steps: int = 10000
    steps: int = 0  # written to the log
    reason: str = ""
    alive: bool = False
    kind: str = "train"


STORY = (
    Made("ink-style", "running", "20261121-081500", step=4312, steps=300, alive=True),
    Made("dance-v3", "queued", "20261121-081400", max_steps=2000),
    Made("figurine", "done", "20261121-070000", "qwen_image", 3000, 3000, 200),
    Made(
        "mascot",
        "failed",
        "20261120-230000",
        "qwen_image",
        0,
        2000,
        reason="out of memory at step 0: asked for 27.9 GB",
    ),
    Made("浮世絵の猫と犬の長い長い名前のテスト用", "preempted", "20261120-210000", "wan", 820, 2000, 120),
    Made("paused-one", "paused", "20261120-200000", "wan", 100, 2000, 100, alive=True),
)


def make_run(home: Path, made: Made) -> RunDirectory:
    """One run directory."""
    run = RunDirectory(home / "runs" / f"{made.name}-{made.stamp}")
    run.path.mkdir(parents=True, mode=0o700)
    run.run_toml.write_text('kind = "train"\n', encoding="utf-8")
    began = time.mktime((2026, 11, 21, 8, 0, 0, 0, 0, 0))
    process = ProcessIdentity.of_this_process() if made.alive else ProcessIdentity(host_name(), "another boot", 1, "1")
    Status(
        state=made.state,
        process=process,
        heartbeat=iso_time(time.time()),
        phase="train" if made.state in ("running", "paused") else "",
        step=made.step,
        max_steps=made.max_steps,
        reason=made.reason,
        started=iso_time(began) if made.state != "queued" else "",
        name=made.name,
        family=made.family,
        kind=made.kind,
    ).write(run)
    if made.steps or made.state == "failed":
        _write_events(run, made)
    return run


def _write_events(run: RunDirectory, made: Made) -> None:
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(attempt=1, config={"max_train_steps": made.max_steps}, gpu="NVIDIA H200"))
    sink.emit(Phase("train", "start"))
    first = made.step - made.steps + 1
    for step in range(first, made.step + 1):
        loss = 0.08 + 0.16 * math.exp(-(step - first) / 80)
        sink.emit(Step(step=step, epoch=7, loss=loss, lr=(9.2e-5,), grad_norm=0.34, step_s=1.23))
    if made.steps:
        sink.emit(Sample(path="sample.png", prompt="a heron", seed=42, step=made.step - made.step % 100))
        sink.emit(Checkpoint(path="x.safetensors", kind="lora", bytes=184_000_000, step=made.step - made.step % 200))
        sink.emit(Validation(step=made.step, loss=0.0874, base=1.0))
    if made.state == "running":
        sink.emit(Warned("grad_spike", "grad-norm spike 4.1 at 4307 [red]not markup[/red].", ""))
    if made.state == "failed":
        sink.emit(Failed("out_of_memory", made.reason, "Use a smaller resolution."))
        sink.emit(RunEnd("failed", made.reason))
    sink.close()


def home_with(folder: Path, *runs: Made) -> Home:
    """A home with these runs."""
    for made in runs:
        make_run(folder, made)
    return Home(folder, "test", True)


def still_machine(monkeypatch: Any, load: MachineLoad = LOAD) -> None:
    """The machine's load is always this, wherever the test runs."""
    monkeypatch.setattr("musubi_tui.tui.runs_reader.read_load", lambda home, *, busy: load)
