"""A tiny Wan, its adapter and a run that listens: what the training tests stand on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from engine.config.network_args import NetworkArguments
from engine.data.batches import BatchPlan
from engine.data.items import Bucket, Item
from engine.families import get_family
from engine.job import StopRequest
from engine.networks.lora import LoraNetwork

CPU = torch.device("cpu")
FAMILY = get_family("wan").load_model()


def tiny_wan(seed: int = 0) -> nn.Module:
    """26,000 weights, two blocks, frozen."""
    torch.manual_seed(seed)
    model = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32, freq_dim=32,
        ffn_dim=64, num_layers=2, rope_max_seq_len=32,
    )  # fmt: skip
    return model.requires_grad_(False).eval()


def adapter(model: nn.Module, *, rank: int = 4, seed: int = 1, **options: Any) -> LoraNetwork:
    """An adapter on ``model``; options of ``NetworkArguments`` and ``LoraNetwork.create``."""
    own = {key: options.pop(key) for key in list(options) if key in NetworkArguments.__dataclass_fields__}
    torch.manual_seed(seed)
    return LoraNetwork.create(model, FAMILY, rank=rank, arguments=NetworkArguments(**own), **options)


def items(count: int, batch_size: int = 1) -> list[Item]:
    """Items without files."""
    return [
        Item(
            id=f"0:{n}", dataset=0, name=str(n), path=Path(f"{n}.png"), caption=f"item {n}", width=64, height=64,
            kind="image", start=0, bucket=Bucket(64, 64, 1), latent_cache=Path(f"{n}.l"), text_cache=Path(f"{n}.t"),
            repeats=1, batch_size=batch_size,
        )
        for n in range(count)
    ]  # fmt: skip


def tensors(batch: Sequence[Item]) -> dict[str, Any]:
    """What the caches of these items hold: latents (B, 16, 1, 8, 8) and ragged text."""
    latents, text = [], []
    for item in batch:
        generator = torch.Generator().manual_seed(int(item.name))
        latents.append(torch.randn(16, 1, 8, 8, generator=generator))
        text.append(torch.randn(3 + int(item.name) % 4, 32, generator=generator).bfloat16())
    return {"latents": torch.stack(latents), "t5": text}


@dataclass
class FakeBatch:
    tensors: dict[str, Any]
    items: tuple[Item, ...]
    epoch: int
    position: int


def batches(plan: BatchPlan, start: int = 0) -> Iterator[FakeBatch]:
    """Endless batches of the plan from ``start`` on."""
    while True:
        epoch, position, indices = plan.at(start)
        chosen = tuple(plan.items[index] for index in indices)
        yield FakeBatch(tensors(chosen), chosen, epoch, position)
        start += 1


@dataclass
class FakeJob:
    """The part of a job that training talks to. ``script`` runs before each look at the stop request."""

    path: Path
    config: Any
    script: Any = None
    stop_requested: StopRequest | None = None
    paused: bool = False
    told: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    queue: list[Any] = field(default_factory=list)
    acks: list[tuple[str, str, str]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    resumed_from: int = -1
    attempt: int = 1
    saved_by: int = -1
    hear: Any = None  # what a request to stop is told to

    def __post_init__(self) -> None:
        self.run = SimpleNamespace(state=self.path / "state", output=self.path / "output")
        self.spec = FAMILY.spec
        self.task = FAMILY.spec.task(None)
        self.events = SimpleNamespace(emit=self.told.append)

    @contextmanager
    def phase(self, name: str) -> Iterator[Any]:
        yield SimpleNamespace(update=lambda done, total: None)

    def warn(self, code: str, message: str, fix: str = "") -> None:
        self.warnings.append(code)

    def commands(self) -> list[Any]:
        if self.script:
            self.script(self)
        taken, self.queue = self.queue, []
        return taken

    def ack(self, command: Any, result: str, message: str = "") -> None:
        self.acks.append((command.command, result, message))

    def resumed_at(self, step: int) -> None:
        self.resumed_from = step

    def goes_on_from(self, attempt: int) -> None:
        self.saved_by = attempt

    def on_stop(self, action: Any) -> None:
        self.hear = action

    def set_step(self, step: int, max_steps: int) -> None:
        self.steps.append(step)

    def of(self, kind: type) -> list[Any]:
        """Events of one kind."""
        return [event for event in self.told if isinstance(event, kind)]


def options(**changes: Any) -> SimpleNamespace:
    """A resolved configuration with what training reads; ``changes`` by option name."""
    sections: dict[str, dict[str, Any]] = {
        "run": {"numerics": "exact", "seed": 7, "output_dir": None, "output_name": "x", "training_comment": None},
        "model": {"dit": Path("/models/tiny.safetensors"), "vae": None},
        "network": {"network_module": "networks.lora_wan", "network_dim": 4, "network_alpha": 4.0,
                    "network_dropout": None, "network_args": None, "lora_dialects": ["musubi"]},
        "training": {"max_train_steps": 8, "max_train_epochs": None, "gradient_accumulation_steps": 1,
                     "gradient_checkpointing": False, "gradient_checkpointing_cpu_offload": False,
                     "mixed_precision": "no", "max_grad_norm": 1.0, "guidance_scale": 1.0, "full_bf16": False,
                     "full_fp16": False},
        "optimizer": {"optimizer_type": "adamw", "optimizer_args": None, "learning_rate": 1e-2,
                      "lr_scheduler": "constant", "lr_warmup_steps": 0},
        "timesteps": {"timestep_sampling": "shift", "discrete_flow_shift": 3.0, "sigmoid_scale": 1.0,
                      "weighting_scheme": "none", "logit_mean": 0.0, "logit_std": 1.0, "mode_scale": 1.29,
                      "min_timestep": None, "max_timestep": None, "preserve_distribution_shape": False},
        "memory": {"fp8_base": False},
        "save": {"save_every_n_epochs": None, "save_every_n_steps": None, "save_last_n_epochs": None,
                 "save_last_n_steps": None, "save_state": False, "save_state_on_train_end": False,
                 "save_precision": None, "save_state_every_minutes": 10.0, "keep_states": 2, "no_metadata": False},
        "sampling": {"sample_every_n_steps": None, "sample_every_n_epochs": None, "sample_at_first": False, "sample_after_steps": None},
        "validation": {"validation_items": 4, "validate_every_n_steps": None},
        "metadata": {"metadata_title": None, "metadata_author": None, "metadata_description": None,
                     "metadata_license": None, "metadata_tags": None, "metadata_reso": None, "metadata_arch": None},
    }  # fmt: skip
    for name, value in changes.items():
        owner = next(section for section in sections.values() if name in section)
        owner[name] = value
    return SimpleNamespace(**{name: SimpleNamespace(**values) for name, values in sections.items()})
