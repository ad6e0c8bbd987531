"""The line that brings a run's LoRA and samples home, to be typed on the machine at home.

Rented machines know by which address they are reached (``addresses``). Anywhere else the host's own name must do.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from engine.events.process import host_name
from engine.events.rundir import RunDirectory
from musubi_tui.runs.addresses import NAMES, provider_environment, ssh_address
from musubi_tui.runs.snapshot import Snapshot

_FROM_AFAR = ("SSH_CONNECTION", "SSH_TTY", *NAMES)
_CONTAINERS = ("/.dockerenv", "/run/.containerenv")


def is_away(now: Snapshot, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the person sits elsewhere than the run's files: another host's run, or ``sits_elsewhere``."""
    return bool(now.host and now.host != host_name()) or sits_elsewhere(environment)


def sits_elsewhere(environment: Mapping[str, str] | None = None) -> bool:
    """Whether the person sits elsewhere than this machine: an SSH session, a rented machine, a container."""
    known = provider_environment() if environment is None else environment
    return any(known.get(name) for name in _FROM_AFAR) or any(os.path.exists(sign) for sign in _CONTAINERS)


def fetch_line(now: Snapshot, environment: Mapping[str, str] | None = None) -> str:
    """``rsync`` over ssh of the LoRA files that still exist and the samples; empty when there are none."""
    paths = _wanted(now)
    if not paths:
        return ""
    host, port = _address(now, environment)
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
    host, port = _address(now, environment)
    return shlex.join(["scp", "-r", *(["-P", port] if port else []), *(f"{host}:{path}" for path in paths), "."])


def _wanted(now: Snapshot) -> list[str]:
    loras = [entry["path"] for entry in now.outputs if entry["kind"] == "lora" and os.path.exists(entry["path"])]
    samples = [entry["path"] for entry in now.outputs if entry["kind"] == "sample"]
    folders = {str(Path(path).parent) for path in samples if os.path.isabs(path)}
    return [*loras, *sorted(folder for folder in folders if os.path.isdir(folder))]


def _address(now: Snapshot, environment: Mapping[str, str] | None) -> tuple[str, str]:
    known = provider_environment() if environment is None else environment
    return ssh_address(now.host, known, RunDirectory(Path(now.run_dir)))
