"""Writes ``swap.jsonl``: a run of 2,000 steps of a 14B model on a 24 GB card that streams 16 of its 40 blocks.

    python -m tests.data.replay.record_swap

The real sink writes it; the clock and the numbers are made up, and this file says of every event what its fields mean. To keep
it small, four steps share a line (``merged``), as the engine's own sink merges them when a disk is slow. On the way: caching,
five sample sets with small real pictures beside the recording, eleven validations, a spike whose file is to blame, an hour in
which the card is too hot, a pause, a change of the learning rate, a save on demand, and two minutes in which somebody looks
at single blocks.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

from engine.events import sink as sink_module
from engine.events.types import (
    Block,
    Checkpoint,
    Control,
    Host,
    Memory,
    NoiseLevels,
    Phase,
    Plan,
    RunEnd,
    RunStart,
    Sample,
    Step,
    Swap,
    Validation,
    Warned,
)
from engine.events.types import Progress as ProgressEvent
from tests.data.replay.record import GIB, Recorder

TARGET = Path(__file__).with_name("swap.jsonl")
PICTURES = TARGET.with_name("swap-samples")
STEPS, MERGED, ITEMS, BLOCKS = 2000, 4, 48, 40
STREAMED = tuple(range(1, BLOCKS, 5)) + tuple(range(3, BLOCKS, 5))  # 16 blocks, spread between those that stay
SLOTS, COPY_MS, COMPUTE_MS = 4, 62.0, 71.0
SHIFT = 5.0  # of the noise levels towards noise
PROMPTS = ("a heron in ink, dawn mist", "雨の中の赤い狐、水墨画")
CONFIG = {  # the few values a viewer shows; run.toml has all
    "kind": "train", "family": "wan", "task": "t2v-14B", "output_name": "ink-motion", "max_train_steps": STEPS, "learning_rate": 1e-4,
    "optimizer_type": "adamw8bit", "lr_scheduler": "cosine", "network_dim": 32, "network_alpha": 16.0, "mixed_precision": "bf16",
    "gradient_accumulation_steps": 1, "numerics": "exact", "seed": 42, "max_grad_norm": 1.0, "timestep_sampling": "shift",
}  # fmt: skip
PLANNED = {"weights": 9.1, "adapter": 0.3, "optimizer": 0.3, "activations": 9.4, "other": 1.2, "peak": 20.6, "budget": 22.5, "pinned": 5.7}  # fmt: skip


def main() -> None:
    """Write the recording, its items and its pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        TARGET.write_bytes(record(Path(scratch)))
    TARGET.with_name("swap.items.jsonl").write_text("".join(items()), "utf-8")
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    for step in range(0, STEPS + 1, 500):
        for number in range(len(PROMPTS)):
            picture(step, number).save(PICTURES / picture_name(step, number), quality=70)


def record(folder: Path) -> bytes:
    """The whole run, written into ``folder`` by the sink; the content of its events.jsonl."""
    recorder = Recorder(folder)
    original, sink_module.time = sink_module.time, recorder
    try:
        # An engine process begins: attempt 1 from step 0. ``price``: dollars per hour.
        recorder.emit(RunStart(1, 0, CONFIG, "NVIDIA GeForce RTX 4090", 0.69))
        prepare(recorder)
        recorder.emit(Phase("train", "start"))
        between(recorder, 0)
        for step in range(MERGED, STEPS + 1, MERGED):
            train(recorder, step)
            between(recorder, step)
        recorder.emit(Checkpoint("/workspace/out/ink-motion.safetensors", "lora", 306_807_944, 1.1, STEPS), 1.1)
        recorder.emit(Phase("train", "done"))
        recorder.emit(RunEnd("done", ""), 0.1)
        recorder.close()
    finally:
        sink_module.time = original
    return (folder / "events.jsonl").read_bytes()


def prepare(recorder: Recorder) -> None:
    """Before the first step: phases open and close by name, and tell how far they are."""
    for name, seconds, file in (("scan", 0.8, 0), ("latents", 96.0, 8_400_000), ("text", 21.0, 1_050_000)):
        with recorder.phase(name, ITEMS, seconds, file):  # ``file``: bytes of what is written for each item
            pass
    recorder.emit(
        Warned("short_clips", "2 of 48 clips are shorter than 81 frames and are used with 49.")
    )  # no ``fix``: a note
    with recorder.phase("load", 40, 74.0):
        # The memory plan: blocks that stay and that stream, ring slots, where activations are kept, why, and in bytes what was
        # planned for each part, for everything at once (peak), against which budget, and host memory held for streaming.
        recorder.emit(
            Plan(
                BLOCKS - len(STREAMED), len(STREAMED), SLOTS, "gpu", "22.5 of 24.0 GB: 24 of 40 blocks stay, 16 stream through 4 slots",
                **{name: int(size * GIB) for name, size in PLANNED.items()},
            )
        )  # fmt: skip
    # How noise levels are drawn: the share of each of 20 ranges of the timestep from 0 to 1000.
    recorder.emit(NoiseLevels(tuple(round(share, 5) for share in target_shares(20))))


def train(recorder: Recorder, step: int) -> None:
    """Four steps in a line: means of loss and seconds, and of the last of them the rest."""
    noise = recorder.random
    hot, spike = 1200 < step <= 1440, 11.0 if step == 876 else 1.0
    level = shifted(1 / (1 + math.exp(-noise.gauss(0, 1))))
    slow = 1.16 if hot else 1.0
    forward, backward, optimizer = (
        round(seconds * slow * noise.uniform(0.98, 1.02), 3) for seconds in (2.9, 6.1, 0.16)
    )
    data, stall = round(0.02 + 0.01 * noise.random(), 3), round(max(0.0, noise.gauss(0.21, 0.06)), 3)
    rate = 1e-4 * min(1.0, step / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS)) * (0.5 if step > 1500 else 1.0)
    item = 31 if spike > 1 else (step * 11) % ITEMS
    seconds = round(data + stall + forward + backward + optimizer, 3)
    recorder.emit(
        Step(
            step=step, epoch=(step - 1) // ITEMS + 1, loss=round(loss_at(step, level, noise) * spike, 5),
            lr=(float(f"{rate:.4g}"), float(f"{16 * rate:.4g}")),  # two parameter groups: LoRA+ trains the up part faster
            grad_norm=round(0.45 * spike * math.exp(noise.gauss(0, 0.35)), 3), timesteps=(round(1000 * level, 1),),
            items=(f"{item:04}",),  # ids of items.jsonl
            step_s=seconds, data_s=data, forward_s=forward, backward_s=backward, optimizer_s=optimizer,
            stall_s=stall,  # waiting for weights on their way to the GPU
            merged=MERGED,
        ),
        MERGED * seconds,
    )  # fmt: skip
    if step % 20 == 0:
        recorder.emit(ProgressEvent("train", step, STEPS))
        readings(recorder, step, hot)
    if spike > 1:
        recorder.emit(Warned("loss_spike", "The loss of step 876 is 11 times the average (item 0031).", "Look at this clip and its caption."))  # fmt: skip


def readings(recorder: Recorder, step: int, hot: bool) -> None:
    """What lies on the card by what it is for, what streaming did since the last reading, and the machine."""
    noise = recorder.random
    activations, reserved = 9.3 + 0.5 * noise.random(), 20.4
    sizes = (9.1, 0.3, 0.3, activations, 1.1, 10.8 + noise.random(), reserved, 20.3 if step < 300 else 21.2)
    recorder.emit(Memory(*(int(size * GIB) for size in sizes)))
    recorder.emit(
        Swap(
            BLOCKS - len(STREAMED), len(STREAMED), SLOTS, round(COPY_MS + noise.random(), 1), round(COMPUTE_MS + noise.random(), 1),
            stall_ms=round(210 + 30 * noise.random(), 1), bytes_h2d=20 * 2 * len(STREAMED) * (362 << 20), not_ready=noise.randrange(3), hidden=0.89,
        )
    )  # fmt: skip
    card = {
        "util": 88 if hot else 97, "temperature": 89 if hot else 71 + noise.randrange(4), "watts": 410 if hot else 430,
        "used": int(21.9 * GIB), "total": 24 * GIB, "ours": int(20.9 * GIB), "processes": 2,  # somebody's browser is on the card, too
        "throttle": "heat" if hot else "", "pcie_in": 9_600_000_000, "pcie_out": 210_000_000,  # bytes per second
    }  # fmt: skip
    recorder.emit(Host((card,), 14 * GIB, 61 * GIB, 128 * GIB, int(5.7 * GIB), (212 - step // 40) * 10**9))


def between(recorder: Recorder, step: int) -> None:
    """What happens beside the steps."""
    if step % 64 == 0 and step:
        folder = f"/workspace/runs/ink-motion/state/{step:08}-1"
        recorder.emit(Checkpoint(folder, "state", 920_000_000, 2.8, step), 2.8)
    if step % 200 == 0:
        loss = 0.047 + 0.1 * math.exp(-step / 420) + (0.006 if step > 1700 else 0.0)
        # On fixed clips, noise and levels: mean loss, by range of the level, and the loss of predicting zero.
        recorder.emit(Validation(step, round(loss, 5), {"0.00-0.25": 0.21, "0.25-0.50": 0.12, "0.50-0.75": 0.07, "0.75-1.00": 0.05}, 0.312), 11.0)  # fmt: skip
        if step:
            recorder.emit(Checkpoint(f"/workspace/out/ink-motion-step{step:08}.safetensors", "lora", 306_807_944, 1.1, step), 1.1)  # fmt: skip
    if step % 500 == 0:
        with recorder.phase("sample", 4, 180.0):
            for number, prompt in enumerate(PROMPTS):
                recorder.emit(Sample(f"swap-samples/{picture_name(step, number)}", prompt, 42 + number, step))
    if step in (40, 1000):
        watched(recorder)
    if step == 1400:
        command(recorder, "pause", "accepted", "The run waits after this step.")
        recorder.now += 600
        command(recorder, "resume", "done", "The run goes on.")
    if step == 1500:
        command(recorder, "set", "done", "learning_rate_factor = 0.5", key="learning_rate_factor", value=0.5)
    if step == 1600:
        recorder.emit(Checkpoint(f"/workspace/out/ink-motion-step{step:08}.safetensors", "lora", 306_807_944, 1.1, step), 1.1)  # fmt: skip
        command(recorder, "save", "done", "/workspace/runs/ink-motion/state/00001600-1")


def command(recorder: Recorder, name: str, result: str, message: str, **arguments: object) -> None:
    """A viewer's command and the engine's answer."""
    recorder.emit(Control(f"{int(recorder.now * 1000)}-5e1f", name, result, message, arguments), 0.4)


def watched(recorder: Recorder) -> None:
    """One step of which single blocks are told, because somebody looks: first where each stands, then what changes."""
    for index in range(BLOCKS):
        recorder.emit(Block(index, "cpu" if index in STREAMED else "resident"))
    forward = list(range(BLOCKS))
    coming = [index for index in forward + forward[::-1] if index in STREAMED]
    slots: dict[
        int, int
    ] = {}  # block -> its slot of the ring, in the order of their copies; the last one is on its way
    for turn, index in enumerate(forward + forward[::-1]):
        direction = "forward" if turn < BLOCKS else "backward"
        while coming and len(slots) < SLOTS and coming[0] not in slots:
            for before in list(slots)[-1:]:
                recorder.emit(Block(before, "ready", slots[before], 1.0))
            free = next(slot for slot in range(SLOTS) if slot not in slots.values())
            slots[coming[0]] = free
            recorder.emit(Block(coming.pop(0), "loading", free, recorder.random.choice((0.19, 0.38, 0.62, 0.81)), direction=direction))  # fmt: skip
        streamed = index in STREAMED
        recorder.emit(
            Block(
                index, "computing", slots.get(index), None, round(COPY_MS + recorder.random.random(), 1) if streamed else None,
                round(COMPUTE_MS + recorder.random.random(), 1), round(max(0.0, recorder.random.gauss(4, 8)), 1) if streamed else None, direction,
            ),
            0.11 if direction == "forward" else 0.23,
        )  # fmt: skip
        recorder.emit(Block(index, "cpu" if streamed else "resident"))
        slots.pop(index, None)


def shifted(level: float) -> float:
    """Towards noise: s t / (1 + (s - 1) t)."""
    return SHIFT * level / (1 + (SHIFT - 1) * level)


def target_shares(ranges: int) -> Iterator[float]:
    """The share of draws in each range: of a normal variable through the logistic function and the shift."""

    def below(level: float) -> float:
        if level <= 0 or level >= 1:
            return max(0.0, min(1.0, level))
        before = level / (SHIFT - (SHIFT - 1) * level)  # the inverse of the shift
        return 0.5 * (1 + math.erf(math.log(before / (1 - before)) / math.sqrt(2)))

    return (below((place + 1) / ranges) - below(place / ranges) for place in range(ranges))


def loss_at(step: int, level: float, noise: random.Random) -> float:
    """A falling loss that depends on the noise level, as a diffusion model's does."""
    return (0.05 + 0.1 * math.exp(-step / 400)) * (0.5 + 1.6 * (1 - level) ** 2) * math.exp(noise.gauss(0, 0.1))


def items() -> Iterator[str]:
    """items.jsonl: id -> file, the hash of its caption, size, bucket."""
    for number in range(ITEMS):
        path = f"/workspace/clips/heron_{number:03}.mp4" if number != 31 else "/workspace/clips/title_card.mp4"
        yield json.dumps({"id": f"{number:04}", "path": path, "bucket": [832, 480, 81]}) + "\n"


def picture_name(step: int, number: int) -> str:
    """As a person would name it."""
    return f"{step:06}_{number:02}.jpg"


def picture(step: int, number: int) -> Image.Image:
    """A landscape that comes out of the noise while the run goes on."""
    width, height = 96, 60
    noise = random.Random(step * 2 + number)
    view = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(view)
    sky, ink = ((236, 226, 205), (46, 54, 62)) if number == 0 else ((120, 132, 148), (176, 60, 36))
    for row in range(height):
        share = row / height
        draw.line([(0, row), (width, row)], tuple(int(tone * (1 - 0.45 * share)) for tone in sky))
    draw.ellipse((62, 8, 82, 28), (222, 96, 64) if number == 0 else (208, 210, 214))
    for ridge in range(3):
        tone = tuple(int(part + (255 - part) * (0.5 - 0.2 * ridge)) for part in ink)
        line = [(x, 34 + 8 * ridge + 6 * math.sin(x / (9 + 4 * ridge) + ridge + number)) for x in range(width + 1)]
        draw.polygon([(0, height), *line, (width, height)], tone)
    draw.line([(26, 58), (28, 30), (34, 22), (42, 24)], ink, 2)
    draw.ellipse((20, 30, 34, 42), ink)
    share = math.exp(-step / 380)
    grain = Image.new("RGB", (24, 15))
    grain.putdata([tuple(noise.randrange(256) for _ in range(3)) for _ in range(24 * 15)])
    return Image.blend(
        view, ImageChops.add_modulo(grain.resize((width, height)), Image.new("RGB", (width, height))), share
    )


if __name__ == "__main__":
    main()
