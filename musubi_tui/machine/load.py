"""How busy the machine is: GPUs by the driver, memory, and the free space of the home's disk. Rounded to what a person reads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.planner.host_memory import memory_bytes

_GB = 1_000_000_000


@dataclass(frozen=True)
class GpuLoad:
    """One card now: percent, degrees Celsius, watts, gigabytes. None where the driver does not say."""

    name: str
    percent: int | None
    celsius: int | None
    watts: int | None
    used: int
    total: int


@dataclass(frozen=True)
class MachineLoad:
    """Whole gigabytes; ``disk_free`` is None where it cannot be told. ``busy``: a run of this machine is active."""

    gpus: tuple[GpuLoad, ...]
    ram_used: int
    ram_total: int
    disk_free: int | None
    busy: bool


def read_load(home: Path, *, busy: bool) -> MachineLoad:
    """The load of now."""
    total, available, _ = memory_bytes()
    existing = home
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        disk: int | None = shutil.disk_usage(existing).free // _GB
    except OSError:
        disk = None
    return MachineLoad(_read_gpus(), round((total - available) / _GB), round(total / _GB), disk, busy)


def _read_gpus() -> tuple[GpuLoad, ...]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_read_gpu(card) for card in cards)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _read_gpu(card: Any) -> GpuLoad:
    import pynvml

    name = pynvml.nvmlDeviceGetName(card)
    memory = pynvml.nvmlDeviceGetMemoryInfo(card)
    milliwatts = _reading(pynvml.nvmlDeviceGetPowerUsage, card)
    use = _reading(pynvml.nvmlDeviceGetUtilizationRates, card)
    return GpuLoad(
        name=(name.decode() if isinstance(name, bytes) else str(name)).removeprefix("NVIDIA "),
        percent=None if use is None else int(use.gpu),
        celsius=_reading(pynvml.nvmlDeviceGetTemperature, card, pynvml.NVML_TEMPERATURE_GPU),
        watts=None if milliwatts is None else milliwatts // 1000,
        used=round(memory.used / _GB),
        total=round(memory.total / _GB),
    )


def _reading(read: Callable[..., Any], *arguments: Any) -> Any:
    """What the driver says, or None: not every card tells everything."""
    import pynvml

    try:
        return read(*arguments)
    except pynvml.NVMLError:
        return None
