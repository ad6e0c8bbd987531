"""What a card tells, with a driver that answers what it is told to."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pynvml
import pytest

from engine.events.lines import decode_line, encode_line
from engine.machine import Machine, throttle


class Driver:
    """An NVIDIA driver: one card, and a list of what it refuses."""

    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_PCIE_UTIL_RX_BYTES, NVML_PCIE_UTIL_TX_BYTES = pynvml.NVML_PCIE_UTIL_RX_BYTES, pynvml.NVML_PCIE_UTIL_TX_BYTES

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses

    def __getattr__(self, name: str):
        if name.startswith("nvmlClocksThrottleReason"):
            return getattr(pynvml, name)
        if name in self.refuses:
            return self.refuse
        return {
            "nvmlDeviceGetPowerUsage": lambda card: 412_000,
            "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=20 << 30, total=24 << 30),
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card: pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
            "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=97),
            "nvmlDeviceGetTemperature": lambda card, sensor: 88,
            "nvmlDeviceGetComputeRunningProcesses": lambda card: [
                SimpleNamespace(pid=os.getpid(), usedGpuMemory=18 << 30), SimpleNamespace(pid=1, usedGpuMemory=None),
            ],
            "nvmlDeviceGetPcieThroughput": lambda card, direction: 9_800_000 if direction == pynvml.NVML_PCIE_UTIL_RX_BYTES else 200_000,
        }[name]  # fmt: skip

    @staticmethod
    def refuse(*arguments: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def read(monkeypatch: pytest.MonkeyPatch, tmp_path, driver: Driver):
    monkeypatch.setattr("engine.machine._open_gpus", lambda: (driver, ["card"]))
    host = Machine(tmp_path).read()
    assert decode_line(encode_line(1, 0.0, host)).event == host
    return host


def test_a_card_tells_load_heat_neighbours_and_traffic(monkeypatch, tmp_path):
    host = read(monkeypatch, tmp_path, Driver())
    assert host.gpus == (
        {
            "util": 97, "temperature": 88, "watts": 412.0, "used": 20 << 30, "total": 24 << 30, "throttle": "heat",
            "processes": 2, "ours": 18 << 30, "pcie_in": 9_800_000_000, "pcie_out": 200_000_000,
        },
    )  # fmt: skip
    assert host.ram_total


def test_what_a_card_refuses_is_none_and_the_rest_is_told(monkeypatch, tmp_path):
    refused = (
        "nvmlDeviceGetPcieThroughput",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    )
    card = read(monkeypatch, tmp_path, Driver(*refused)).gpus[0]
    assert (card["util"], card["used"]) == (97, 20 << 30)
    assert [card[name] for name in ("throttle", "processes", "ours", "pcie_in", "pcie_out")] == [None] * 5


@pytest.mark.parametrize(
    ("bits", "word"),
    [
        (0, ""), (pynvml.nvmlClocksThrottleReasonGpuIdle, ""), (pynvml.nvmlClocksThrottleReasonSwPowerCap, "power"),
        (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown | pynvml.nvmlClocksThrottleReasonSwPowerCap, "heat"),
        (pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown, "brake"),
    ],
)  # fmt: skip
def test_why_a_card_is_slow_in_one_word(bits, word):
    assert throttle(pynvml, bits) == word
