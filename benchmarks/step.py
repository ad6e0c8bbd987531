"""What the training loop costs over a loop written by hand: the same tiny Wan, batch, LoRA and optimizer on the CPU.

    python benchmarks/step.py [--pairs N]

Runs the loop of ``engine.train`` (its step, its accounting, its events) and a plain PyTorch loop in turns, one step each,
and prints the median of each and of the ratio of the pairs. The aim is a ratio of at most 1.05.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: two threads on a busy machine measure each other

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.attempt import Attempt
from engine.config import load_config
from engine.data.batches import BatchPlan
from engine.data.items import Bucket, Item
from engine.data.loader import Batch
from engine.events.rundir import RunDirectory
from engine.families import get_family
from engine.job import Job
from engine.networks.build import build_network
from engine.train.loop import train

PRESET = """
family = "wan"
task = "t2v-1.3B"
dit = "tiny.safetensors"
network_dim = 16
network_alpha = 16
learning_rate = 1e-3
optimizer_type = "adamw"
mixed_precision = "no"
gradient_checkpointing = false
discrete_flow_shift = 3.0
[[datasets]]
image_directory = "pictures"
"""
SHAPE = (1, 16, 1, 32, 32)
RATE, RANK = 1e-3, 16


class Lora(nn.Module):
    """The usual wrapper: base plus up(down(x))."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(self.down(x))


def wan() -> nn.Module:
    """The tiny Wan of the demo: 4 blocks, width 256."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    model = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096, freq_dim=256,
        ffn_dim=512, num_layers=4,
    )  # fmt: skip
    return model.requires_grad_(False).eval()


def batch() -> dict[str, Any]:
    """One picture of 256x256 and its caption."""
    generator = torch.Generator().manual_seed(1)
    return {
        "latents": torch.randn(SHAPE, generator=generator),
        "t5": [torch.randn(30, 4096, generator=generator).bfloat16()],
    }


def by_hand() -> Callable[[], None]:
    """One step of a plain loop, without logging."""
    model = wan()
    for block in model.blocks:
        for name, child in list(block.named_modules()):
            if isinstance(child, nn.Linear):
                parent = block.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], Lora(child))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, fused=True)
    data = batch()

    def step() -> None:
        latents = data["latents"]
        noise = torch.randn_like(latents)
        u = torch.sigmoid(torch.randn(1))
        t = 3.0 * u / (1 + 2.0 * u)
        noisy = (1 - t.view(-1, 1, 1, 1, 1)) * latents + t.view(-1, 1, 1, 1, 1) * noise
        text = torch.zeros(1, 512, 4096)
        text[0, :30] = data["t5"][0]
        prediction = model(noisy, t * 1000, text, return_dict=False)[0]
        loss = F.mse_loss(prediction, noise - latents)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def in_turns(pairs: int, warm_up: int = 5) -> list[tuple[float, float]]:
    """(engine, by hand) seconds per step. The engine's loop asks for a batch once per step: there the other one runs."""
    hand, data = by_hand(), batch()
    item = Item(
        id="0:a", dataset=0, name="a", path=Path("a.png"), caption="", width=256, height=256, kind="image", start=0,
        bucket=Bucket(256, 256), latent_cache=Path("a"), text_cache=Path("a"), repeats=1, batch_size=1,
    )  # fmt: skip
    plan = BatchPlan([item], seed=1)
    times: list[tuple[float, float]] = []

    def source() -> Iterator[Batch]:
        for number in itertools.count():
            begin = time.perf_counter()
            hand()
            given = time.perf_counter()
            yield Batch(dict(data), (item,), number + 1, 0)
            times.append((time.perf_counter() - given, given - begin))

    with tempfile.TemporaryDirectory() as folder:
        preset = Path(folder) / "preset.toml"
        preset.write_text(PRESET)
        config = load_config(preset, {"max_train_steps": pairs + warm_up + 1}).config
        run = RunDirectory.create(Path(folder), "bench")
        job = Job(Attempt(run), config)
        model, family = wan(), get_family("wan").load_model()
        network = build_network(config, model, family)
        train(job, family, model, network, source(), plan, device=torch.device("cpu"))
        job.finish("done")
    return times[warm_up:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60, help="steps of each loop (at least 30)")
    pairs = in_turns(max(30, parser.parse_args().pairs))
    engine, hand = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"engine {engine * 1000:.1f} ms   by hand {hand * 1000:.1f} ms   {len(pairs)} pairs, one CPU thread")
    print(f"ratio {ratio:.3f} (median of pairs; aim: at most 1.05)")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
