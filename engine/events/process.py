"""Who a process is: pid alone is not enough, since pids are reused and machines restart."""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process of one boot of one machine. ``started`` is its start time as the system counts it (only compared)."""

    host: str
    boot_id: str
    pid: int
    started: str
    namespace: str = ""  # pid namespace: two containers of one machine share the boot id but not the pids

    @classmethod
    def of_this_process(cls) -> ProcessIdentity:
        """Who we are."""
        pid = os.getpid()
        return cls(host_name(), boot_id(), pid, process_start(pid) or "", pid_namespace())

    def here(self) -> bool:
        """Whether its pid can be looked up from here: same host, same boot, same pid namespace."""
        return self.host == host_name() and self.boot_id == boot_id() and self.namespace == pid_namespace()

    def of_another_boot(self) -> bool:
        """Whether it ran under this host's name in another boot: here before the restart, or on a machine of the same name."""
        return self.host == host_name() and self.boot_id != boot_id()

    def runs_here(self) -> bool:
        """Whether the very same process is alive on this machine (a zombie is not, nor is another process with its pid)."""
        return self.here() and self.started != "" and process_start(self.pid) == self.started


@cache
def host_name() -> str:
    """The name of this machine or container."""
    return socket.gethostname()


@cache
def boot_id() -> str:
    """Something that changes when the machine restarts, and only then: the time of the boot moves with every clock correction."""
    try:
        if sys.platform == "darwin":
            import subprocess

            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # hidden by a sandbox
        return f"boot-{int(time.time() - uptime_seconds())}"


def uptime_seconds() -> float:
    """How long this machine has been up, sleep included."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    import psutil

    return time.time() - float(psutil.boot_time())


@cache
def pid_namespace() -> str:
    """The pid namespace of this process (Linux), or nothing."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """When the process ``pid`` started, in the system's own count; None when there is no such living process."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the command before it may contain anything
        return None if fields[0] in "ZX" else fields[19]
    import subprocess

    # Not psutil's create_time, which moves with every correction of the clock: a day later a living process is another.
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    found = subprocess.run(command, env={"LC_ALL": "C", "TZ": "UTC0"}, capture_output=True, text=True, check=False)
    state, _, started = found.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
