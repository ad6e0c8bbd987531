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
        return {
            "util": _ask(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu),
            "temperature": _ask(lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
            "watts": None if milliwatts is None else milliwatts / 1000,
            "used": memory.used if memory else None,
            "total": memory.total if memory else None,
        }


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
