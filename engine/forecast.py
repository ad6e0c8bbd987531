"""The plan of a run that begins, told as its ``plan`` event, and as a warning when the card has not that much.

What is planned here is training alone, from the items that are really trained and the memory the device has free now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from engine.config.language import say
from engine.config.schema import OPTIONS
from engine.events.types import Plan
from engine.planner.facts import Machine, summarise
from engine.planner.lines import gib
from engine.planner.memory import train_lines
from engine.planner.request import PlanRequest
from engine.planner.transformer import find_transformer

if TYPE_CHECKING:
    from engine.workplace import Workplace


def foretell(place: Workplace) -> None:
    """Emit the plan. Families that cannot be planned have none."""
    job = place.job
    values = job.config.values()
    if job.spec.transformer is None:
        return
    request = PlanRequest(
        values=values,
        spec=job.spec,
        task=job.task,
        transformer=find_transformer(job.spec, job.task.name, place.model_file("dit")),
        data=summarise(place.scan, job.spec),
        machine=_machine(place.device),
        unbuilt=frozenset(name for name, option in OPTIONS.items() if option.status_of(values[name]) != "built"),
    )
    sizes = {line.id: int(line.amount or 0) for line in train_lines(request)}
    peak = sum(sizes.values())
    swapped = int(request.active("blocks_to_swap") or 0)
    job.events.emit(
        Plan(
            resident=request.transformer.blocks - swapped,
            streamed=swapped,
            stash="recomputed" if request.checkpointing else "kept",
            reason=say(f"{gib(peak)} at most", f"最大 {gib(peak)}"),
            **_parts(sizes),
            budget=request.machine.total,
        )
    )
    total = request.machine.total
    if total is not None and peak > total:
        job.warn(
            "plan_does_not_fit",
            say(f"Training is planned to take {gib(peak)}, and the card has {gib(total)} free: it may run out of memory.",
                f"学習には約 {gib(peak)} 必要ですが、GPU の空きは {gib(total)} です。メモリ不足になる可能性があります。"),
            say("`musubi-tui plan PRESET` lists what would help.", "`musubi-tui plan プリセット` で対策を確認できます。"),
        )  # fmt: skip


def _parts(sizes: Mapping[str, int]) -> dict[str, int]:
    """The planned bytes in the parts in which memory is measured. What the allocator hands out is measured, so the driver's own
    part and what the allocator wastes are not in the peak that is compared with it."""
    beside = sizes.get("context", 0) + sizes.get("allocator", 0)
    passing = ("activations", "working", "gradients")
    parts = {name: sizes.get(name, 0) for name in ("weights", "adapter", "optimizer")}
    return {**parts, "activations": sum(sizes.get(name, 0) for name in passing), "peak": sum(sizes.values()) - beside}


def _machine(device: torch.device) -> Machine:
    """The device, with what is free on it now as its total."""
    if device.type != "cuda":
        return Machine()
    free, _ = torch.cuda.mem_get_info(device)
    return Machine(total=int(free))
