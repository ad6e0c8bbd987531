"""By which address a machine is reached from outside: RunPod and Vast tell it to the container's first process.

A shell over SSH often lacks those variables, so the first process is asked too, where it may be (as root). What is known when an
engine starts is noted in the run: whoever looks later, with another environment, finds it there.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
from collections.abc import Mapping
from pathlib import Path

from engine.events.atomic import write_text_atomically
from engine.events.process import host_name
from engine.events.rundir import RunDirectory

_PROVIDERS = (("RUNPOD_PUBLIC_IP", "RUNPOD_TCP_PORT_22"), ("PUBLIC_IPADDR", "VAST_TCP_PORT_22"))
NAMES = tuple(name for pair in _PROVIDERS for name in pair)
FIRST_PROCESS = Path("/proc/1/environ")
_NOTE = "ssh.json"


def provider_environment() -> dict[str, str]:
    """Our environment, and what the provider told the first process of this machine about addresses."""
    try:
        told = FIRST_PROCESS.read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:  # another user's process, or no /proc
        told = []
    pairs = dict(entry.partition("=")[::2] for entry in told)
    return {name: pairs[name] for name in NAMES if pairs.get(name)} | dict(os.environ)


def ssh_address(name: str | None, environment: Mapping[str, str], run: RunDirectory | None = None) -> tuple[str, str]:
    """(user@host, port): the provider's, else what was noted when the run's engine started there, else the host's own ``name``."""
    user = getpass.getuser()
    found = _told(environment) or (_noted(run, name) if run is not None else None)
    if found is not None:
        return f"{user}@{found[0]}", found[1]
    return f"{user}@{name or 'HOST'}", ""


def note_address(run: RunDirectory) -> None:
    """Note the address of this machine in a run that starts here; a run can do without it."""
    found = _told(provider_environment())
    with contextlib.suppress(OSError):
        if found is None:
            (run.path / _NOTE).unlink(missing_ok=True)  # another machine's
        else:
            note = {"of": host_name(), "host": found[0], "port": found[1]}
            write_text_atomically(run.path / _NOTE, json.dumps(note) + "\n", durable=False)


def _told(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """(host, port) of the first provider that says both."""
    for host, port in _PROVIDERS:
        if environment.get(host) and environment.get(port, "").isdigit():
            return environment[host], environment[port]
    return None


def _noted(run: RunDirectory, name: str | None) -> tuple[str, str] | None:
    """What was noted, if the run was last started on the machine of that name."""
    try:
        note = json.loads((run.path / _NOTE).read_bytes())
        host, port = str(note["host"]), str(note["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (host, port) if note.get("of") == name and host and port.isdigit() else None
