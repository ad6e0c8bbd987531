"""How much memory a process here may use: the machine's, or less when a container says so."""

from __future__ import annotations

from pathlib import Path

_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def memory_bytes() -> tuple[int, int, bool]:
    """(total, available, whether a container's limit is the smaller one). A pod's /proc/meminfo shows the whole host."""
    import psutil

    memory = psutil.virtual_memory()
    for limit_file, used_file in _CGROUP_FILES:
        limit = _number(limit_file)
        if limit is not None and limit < memory.total:
            used = _number(used_file) or 0
            return limit, min(memory.available, max(0, limit - used)), True
    return memory.total, memory.available, False


def _number(path: str) -> int | None:
    """The number in a kernel file; None when it is absent or says ``max``."""
    try:
        return int(Path(path).read_text().strip())
    except (OSError, ValueError):
        return None
