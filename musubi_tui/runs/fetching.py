"""The line that brings a run's LoRA and samples home, to be typed on the machine at home.

Rented machines know by which address they are reached: RunPod and Vast put it into the environment. Anywhere else the host's
own name must do.
"""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from engine.events.process import host_name
from musubi_tui.runs.snapshot import Snapshot

_PROVIDERS = (("RUNPOD_PUBLIC_IP", "RUNPOD_TCP_PORT_22"), ("PUBLIC_IPADDR", "VAST_TCP_PORT_22"))
_FROM_AFAR = ("SSH_CONNECTION", "SSH_TTY", *(name for pair in _PROVIDERS for name in pair))
_CONTAINERS = ("/.dockerenv", "/run/.containerenv")


def is_away(now: Snapshot, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the person sits elsewhere than the run's files: another host's run, an SSH session, a rented machine, a container."""
    environment = os.environ if environment is None else environment
    if (now.host and now.host != host_name()) or any(environment.get(name) for name in _FROM_AFAR):
        return True
    return any(os.path.exists(sign) for sign in _CONTAINERS)


def fetch_line(now: Snapshot, environment: Mapping[str, str] | None = None) -> str:
    """``rsync`` over ssh of the LoRA files that still exist and the samples; empty when there are none."""
    paths = _wanted(now)
    if not paths:
        return ""
    host, port = ssh_address(now.host, os.environ if environment is None else environment)
    shell = ["-e", f"ssh -p {port}"] if port else []
    first, *others = paths
    words = [
        "rsync",
        "-av",
        "--progress",
        *shell,
        f"{host}:{first}",
        *(f":{path}" for path in others),
        f"./{now.name}/",
    ]
    return shlex.join(words)


def copy_line(now: Snapshot, environment: Mapping[str, str] | None = None) -> str:
    """The same with ``scp``, for machines without rsync."""
    paths = _wanted(now)
    if not paths:
        return ""
    host, port = ssh_address(now.host, os.environ if environment is None else environment)
    return shlex.join(["scp", "-r", *(["-P", port] if port else []), *(f"{host}:{path}" for path in paths), "."])


def _wanted(now: Snapshot) -> list[str]:
    loras = [entry["path"] for entry in now.outputs if entry["kind"] == "lora" and os.path.exists(entry["path"])]
    samples = [entry["path"] for entry in now.outputs if entry["kind"] == "sample"]
    folders = {str(Path(path).parent) for path in samples if os.path.isabs(path)}
    return [*loras, *sorted(folder for folder in folders if os.path.isdir(folder))]


def ssh_address(name: str | None, environment: Mapping[str, str]) -> tuple[str, str]:
    """(user@host, port): the provider's, else the host's own ``name``."""
    user = getpass.getuser()
    for host, port in _PROVIDERS:
        if environment.get(host) and environment.get(port, "").isdigit():
            return f"{user}@{environment[host]}", environment[port]
    return f"{user}@{name or 'HOST'}", ""
