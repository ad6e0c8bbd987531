"""What the machine is doing right now: GPUs, memory, disk. Torch-free and cheap enough for every five seconds."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.events.types import Host


class Machine:
    """Reads the machine's state. Without an NVIDIA driver it simply has no GPUs."""

    def __init__(self, folder: Path) -> None:
        import psutil

        self._folder = folder
        self._psutil = psutil
        self._process = psutil.Process()
        self._nvml, self._gpus = _open_gpus()

    def gpu_names(self) -> str:
        """Names of the visible GPUs, comma separated; empty without one."""
        return ", ".join(map(self._name, self._gpus))

    def read(self) -> Host:
        """One reading. What cannot be read is None."""
        memory = self._psutil.virtual_memory()
        return Host(
            gpus=tuple(self._read_gpu(gpu) for gpu in self._gpus),
            ram=self._process.memory_info().rss,
            ram_used=memory.total - memory.available,
            ram_total=memory.total,
            disk_free=_ask(lambda: shutil.disk_usage(self._folder).free),
        )

    def _name(self, gpu: Any) -> str:
        return str(_ask(lambda: self._nvml.nvmlDeviceGetName(gpu)) or "GPU")

    def _read_gpu(self, gpu: Any) -> dict[str, Any]:
        nvml = self._nvml
        milliwatts = _ask(lambda: nvml.nvmlDeviceGetPowerUsage(gpu))
        memory = _ask(lambda: nvml.nvmlDeviceGetMemoryInfo(gpu))
        reasons = _ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))
        return {
            "util": _ask(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu),
            "temperature": _ask(lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            "watts": None if milliwatts is None else milliwatts / 1000,
            "used": memory.used if memory else None,
            "total": memory.total if memory else None,
            "throttle": None if reasons is None else throttle(nvml, reasons),
            **self._processes(gpu),
            **self._traffic(gpu),
        }

    def _processes(self, gpu: Any) -> dict[str, int | None]:
        """How many processes use the card, and what this one has of its memory (in a container the driver may not know us)."""
        found = _ask(lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(gpu))
        if found is None:
            return {"processes": None, "ours": None}
        mine = [entry.usedGpuMemory for entry in found if entry.pid == os.getpid()]
        return {"processes": len(found), "ours": mine[0] if mine else None}

    def _traffic(self, gpu: Any) -> dict[str, int | None]:
        """Bytes per second over PCIe, as the driver counts them in 20 ms."""
        nvml = self._nvml

        def count(direction: int) -> int | None:
            kilobytes = _ask(lambda: nvml.nvmlDeviceGetPcieThroughput(gpu, direction))
            return None if kilobytes is None else int(kilobytes) * 1000

        return {"pcie_in": count(nvml.NVML_PCIE_UTIL_RX_BYTES), "pcie_out": count(nvml.NVML_PCIE_UTIL_TX_BYTES)}


def throttle(nvml: Any, reasons: int) -> str:
    """Why a card runs slower than it could, by what a person can do about it; empty for no reason that costs anything."""
    heat = nvml.nvmlClocksThrottleReasonHwThermalSlowdown | nvml.nvmlClocksThrottleReasonSwThermalSlowdown
    brake = nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown | nvml.nvmlClocksThrottleReasonHwSlowdown
    names = (("heat", heat), ("brake", brake), ("power", nvml.nvmlClocksThrottleReasonSwPowerCap))
    return next((name for name, bits in names if reasons & bits), "")


def _open_gpus() -> tuple[Any, list[Any]]:
    """nvml and the handles of the GPUs this process may use."""
    try:
        import pynvml
    except ImportError:
        return None, []
    try:
        pynvml.nvmlInit()
        chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            return pynvml, [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        handles = []
        for word in filter(None, map(str.strip, chosen.split(","))):
            with contextlib.suppress(pynvml.NVMLError, ValueError):
                is_uuid = word.startswith(("GPU-", "MIG-"))
                find = pynvml.nvmlDeviceGetHandleByUUID if is_uuid else pynvml.nvmlDeviceGetHandleByIndex
                handles.append(find(word if is_uuid else int(word)))
        return pynvml, handles
    except pynvml.NVMLError:
        return None, []


def _ask(question: Callable[[], Any]) -> Any:
    """The answer, or None when the driver or the disk has none (each card supports another subset)."""
    try:
        return question()
    except (OSError, RuntimeError):
        return None
    except Exception as error:
        if type(error).__module__.startswith("pynvml"):
            return None
        raise
