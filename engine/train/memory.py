"""What lies in memory while training, by what it is for. Reads counters of the allocator: the device is not waited for."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from engine.events.types import Memory
from engine.train.step import TrainStep


def measure_memory(step: TrainStep) -> Memory:
    """Bytes of weights, adapter and optimizer; on a CUDA device also what the allocator holds, and activations as the
    difference between its peak and its present fill between two steps."""
    weights = _bytes(step.transformer.parameters())
    adapter = _bytes(step.parameters)
    states = _bytes(
        value for entry in step.optimizer.state.values() for value in entry.values() if torch.is_tensor(value)
    )
    if step.device.type != "cuda":
        return Memory(weights=weights, adapter=adapter, optimizer=states)
    used = torch.cuda.memory_stats(step.device)
    allocated, peak = used["allocated_bytes.all.current"], used["allocated_bytes.all.peak"]
    return Memory(
        weights=weights,
        adapter=adapter,
        optimizer=states,
        activations=max(0, peak - allocated),
        other=max(0, allocated - weights - adapter - states),
        allocated=allocated,
        reserved=used["reserved_bytes.all.current"],
        peak=peak,
    )


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
