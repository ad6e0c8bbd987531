"""Whether the numbers in a cache file are numbers: NaN and infinity are found in the bytes themselves, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.cache_files import read_header

_CHUNK = 4 * 1024 * 1024  # values looked at at once
Values = npt.NDArray[Any]
Test = Callable[[Values], npt.NDArray[np.bool_]]


def _ieee(values: Values) -> npt.NDArray[np.bool_]:
    return np.logical_not(np.isfinite(values))


# safetensors dtype -> (how the bytes are read, which of them are not finite). Whole numbers cannot be wrong.
_TESTS: dict[str, tuple[str, Test]] = {
    "F64": ("<f8", _ieee),
    "F32": ("<f4", _ieee),
    "F16": ("<f2", _ieee),
    "BF16": ("<u2", lambda bits: (bits & 0x7F80) == 0x7F80),
    "F8_E4M3": ("<u1", lambda bits: (bits & 0x7F) == 0x7F),
    "F8_E5M2": ("<u1", lambda bits: (bits & 0x7C) == 0x7C),
}


def not_finite(path: Path) -> dict[str, int]:
    """Tensor name -> how many of its values are NaN or infinite; only those that have any.

    Raises ``DamagedCache`` and ``OSError`` as ``read_header`` does.
    """
    read_header(path)  # whole, or it raises
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    found = {}
    for name, entry in entries.items():
        if name == "__metadata__" or entry["dtype"] not in _TESTS:
            continue
        reading, test = _TESTS[entry["dtype"]]
        first, last = entry["data_offsets"]
        count = (last - first) // np.dtype(reading).itemsize
        bad = _count(path, 8 + length + first, count, reading, test)
        if bad:
            found[name] = bad
    return found


def _count(path: Path, offset: int, count: int, reading: str, test: Test) -> int:
    bad = 0
    with path.open("rb") as file:
        file.seek(offset)
        for start in range(0, count, _CHUNK):
            size = min(_CHUNK, count - start)
            values = np.frombuffer(file.read(size * np.dtype(reading).itemsize), reading)
            bad += int(np.count_nonzero(test(values)))
    return bad
