"""Writes ``interrupted.jsonl``: a run of 200 steps on a rented GPU, as viewers and docs replay it.

    python tests/data/replay/record.py

The real sink writes it; only the clock and the numbers are made up. The run streams a third of its blocks, is killed at
step 130 (the last state is of step 100, so steps 101 to 130 are done twice), is preempted at step 160 with a state, and ends.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.events import sink as sink_module
from engine.events.sink import EventSink
from engine.events.types import (
    Checkpoint,
    Control,
    Event,
    Host,
    Memory,
    Phase,
    Plan,
    Progress,
    RunEnd,
    RunStart,
    Sample,
    Step,
    Swap,
    Validation,
    Warned,
)

TARGET = Path(__file__).with_name("interrupted.jsonl")
GIB = 1 << 30
STEPS, STEP_SECONDS, ITEMS = 200, 1.23, 37
CONFIG = {
    "kind": "train", "family": "qwen_image", "task": "t2i", "output_name": "ink-wash", "max_train_steps": STEPS,
    "learning_rate": 1e-4, "optimizer_type": "adamw8bit", "lr_scheduler": "cosine", "network_dim": 32, "network_alpha": 32.0,
    "mixed_precision": "bf16", "gradient_accumulation_steps": 1, "numerics": "exact", "seed": 42,
}  # fmt: skip


class Recorder:
    """Emits events at times of its own choosing: every event is written before the clock moves on."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_780_000_000.0
        self.random = random.Random(7)
        self.folder = folder
        self._sink = self._open(1)

    def time(self) -> float:
        """The made-up clock."""
        return self.now

    def emit(self, event: Event, after: float = 0.0) -> None:
        """One event, ``after`` seconds later."""
        self.now += after
        self._sink.emit(event)

    def next_attempt(self, number: int, from_step: int, after: float) -> None:
        """A new engine process goes on with the run."""
        self._sink.close()
        self.now += after
        self._sink = self._open(number)
        self.emit(RunStart(number, from_step, CONFIG, "NVIDIA H200", 2.79))

    def close(self) -> None:
        """Nothing follows."""
        self._sink.close()

    @contextmanager
    def phase(self, name: str, units: int, seconds: float, unit_bytes: int = 0) -> Iterator[None]:
        """A phase that reports progress while it takes its time; ``unit_bytes``: what it writes for each unit."""
        self.emit(Phase(name, "start"))
        for done in range(units + 1):
            self.emit(Progress(name, done, units, done * unit_bytes), seconds / (units + 1))
        yield
        self.emit(Phase(name, "done"), 0.1)

    def _open(self, attempt: int) -> EventSink:
        return EventSink(self.folder / "events.jsonl", self.folder / "steps.idx", attempt=attempt)


def loss_at(step: int, t: float, noise: random.Random) -> float:
    """A falling loss that depends on the noise level ``t`` in (0, 1), as a diffusion model's does."""
    return (0.05 + 0.11 * math.exp(-step / 60)) * (0.5 + 1.6 * (1 - t) ** 2) * math.exp(noise.gauss(0, 0.12))


def train(recorder: Recorder, first: int, last: int) -> None:
    """Steps ``first`` to ``last`` with everything that happens between them."""
    noise = recorder.random
    for step in range(first, last + 1):
        t = 1 / (1 + math.exp(-noise.gauss(0, 1)))
        data, stall = 0.02 + 0.02 * noise.random(), max(0.0, noise.gauss(0.04, 0.03))
        forward, backward, optimizer = 0.40 + 0.02 * noise.random(), 0.61 + 0.03 * noise.random(), 0.09
        lr = 1e-4 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        spike = 9.0 if step == 87 else 1.0
        recorder.emit(
            Step(
                step=step, epoch=(step - 1) // ITEMS + 1, loss=loss_at(step, t, noise) * spike, lr=(lr,),
                grad_norm=0.3 * spike * math.exp(noise.gauss(0, 0.2)), timesteps=(round(1000 * t, 3),),
                items=(f"{(step * 11) % ITEMS:04}",), step_s=data + stall + forward + backward + optimizer, data_s=data,
                forward_s=forward, backward_s=backward, optimizer_s=optimizer, stall_s=stall,
            ),
            STEP_SECONDS,
        )  # fmt: skip
        recorder.emit(Progress("train", step, STEPS))
        if step % 4 == 0:
            recorder.emit(readings(recorder))
        if step % 10 == 0:
            recorder.emit(Memory(int(9.1 * GIB), int(0.3 * GIB), int(0.6 * GIB), int(6.4 * GIB), int(0.8 * GIB), int(17.2 * GIB), int(18.9 * GIB), int(21.2 * GIB)))  # fmt: skip
            recorder.emit(Swap(40, 20, 4, 31.0 + noise.random(), 38.0 + noise.random(), 40 * stall, 20 * 312 << 20, int(stall > 0.08)))  # fmt: skip
        if step == 87:
            recorder.emit(Warned("loss_spike", "The loss of step 87 is 9 times the average (item 0032).", "Look at this picture and its caption."))  # fmt: skip
        if step % 50 == 0:
            checkpoint(recorder, step)
            sample(recorder, step)
            recorder.emit(Validation(step, 0.05 + 0.11 * math.exp(-step / 60), {"0": 0.19, "250": 0.11, "500": 0.07, "750": 0.05}, 0.31))  # fmt: skip
        if step == 110:
            recorder.emit(Control("1780000500000-a1b2c3", "set", "done", "learning_rate_factor = 0.5", {"key": "learning_rate_factor", "value": 0.5}))  # fmt: skip


def readings(recorder: Recorder) -> Host:
    """The machine, busy."""
    noise = recorder.random
    card = {"util": 96 + noise.randrange(4), "temperature": 68 + noise.randrange(5), "watts": 400 + 30 * noise.random(), "used": int(18.9 * GIB), "total": 141 * GIB}  # fmt: skip
    return Host((card,), 11 * GIB, 61 * GIB, 128 * GIB, int(6.2 * GIB), 212 * 10**9)


def checkpoint(recorder: Recorder, step: int) -> None:
    """The LoRA and a resume state."""
    recorder.emit(Checkpoint(f"/workspace/out/ink-wash-step{step:08}.safetensors", "lora", 295_146_576, 0.9, step), 0.9)
    recorder.emit(Checkpoint(f"/workspace/musubi-tui/runs/ink-wash/state/{step:08}-1", "state", 885_000_000, 2.4, step), 2.4)  # fmt: skip


def sample(recorder: Recorder, step: int) -> None:
    """Two previews."""
    with recorder.phase("sample", 8, 9.6):
        for number, prompt in enumerate(("a heron in ink, dawn mist", "雨の中の赤い狐、水墨画")):
            path = f"/workspace/out/sample/ink-wash_{step:06}_{number:02}.png"
            recorder.emit(Sample(path, prompt, 42 + number, step))


def prepare(recorder: Recorder, *, cached: bool) -> None:
    """Everything before the first step."""
    with recorder.phase("scan", ITEMS, 0.4):
        pass
    if cached:
        recorder.emit(
            Warned("cache_current", f"{ITEMS} of {ITEMS} latent files are up to date and are not encoded again.")
        )
    else:
        with recorder.phase("latents", ITEMS, 14.0, 262_400):
            pass
        with recorder.phase("text", ITEMS, 6.0):
            recorder.emit(
                Warned("caption_cut", "1 caption is longer than 1024 tokens and is cut: long.txt", "Shorten it.")
            )
    with recorder.phase("load", 60, 41.0):
        recorder.emit(Plan(40, 20, 4, "gpu", "24.0 GB budget: 40 of 60 blocks stay, 20 stream through 4 slots"))


def record(folder: Path) -> bytes:
    """The whole run, written into ``folder`` by the sink; the content of its events.jsonl."""
    recorder = Recorder(folder)
    original, sink_module.time = sink_module.time, recorder
    try:
        recorder.emit(RunStart(1, 0, CONFIG, "NVIDIA H200", 2.79))
        prepare(recorder, cached=False)
        recorder.emit(Phase("train", "start"))
        recorder.emit(Validation(0, 0.33, {"0": 0.51, "250": 0.36, "500": 0.27, "750": 0.2}, 0.31), 4.0)
        sample(recorder, 0)
        train(recorder, 1, 130)
        recorder.next_attempt(2, 100, after=95.0)  # after a kill
        prepare(recorder, cached=True)
        recorder.emit(Phase("train", "start"))
        train(recorder, 101, 160)
        checkpoint(recorder, 160)
        recorder.emit(Phase("train", "interrupted"))
        recorder.emit(RunEnd("preempted", "preempted (SIGTERM); saved"), 0.1)
        recorder.next_attempt(3, 160, after=1800.0)
        prepare(recorder, cached=True)
        recorder.emit(Phase("train", "start"))
        train(recorder, 161, STEPS)
        recorder.emit(Checkpoint("/workspace/out/ink-wash.safetensors", "lora", 295_146_576, 0.9, STEPS), 0.9)
        recorder.emit(Phase("train", "done"))
        recorder.emit(RunEnd("done", ""), 0.1)
        recorder.close()
    finally:
        sink_module.time = original
    return (folder / "events.jsonl").read_bytes()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        TARGET.write_bytes(record(Path(scratch)))
