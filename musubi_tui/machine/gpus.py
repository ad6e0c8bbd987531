"""NVIDIA GPUs, asked of the driver through nvidia-ml-py: no CUDA context, no torch, milliseconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One card. Memory in bytes; ``cuda`` is the newest CUDA the driver can run."""

    index: int
    name: str
    total: int
    free: int
    driver: str
    cuda: str

    def as_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)


def read_gpus() -> list[Gpu]:
    """Every NVIDIA GPU the driver shows; none when there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        number = pynvml.nvmlSystemGetCudaDriverVersion()
        cuda = f"{number // 1000}.{number % 1000 // 10}"
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            name = _text(pynvml.nvmlDeviceGetName(handle))
            found.append(Gpu(index, name, int(memory.total), int(memory.free), driver, cuda))
        return found
    except pynvml.NVMLError:  # a driver that loads but does not answer: as good as none
        return []
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
