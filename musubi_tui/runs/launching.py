"""Starting the engine on a run directory, in a session of its own: it survives the terminal, SSH and this process."""

from __future__ import annotations

import os
import platform
import site
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import engine
from engine.config.language import say
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Lease, Status
from musubi_tui import served
from musubi_tui.runs.addresses import note_address
from musubi_tui.runs.hooking import PLAN_VARIABLE, hooks_environment

HANDSHAKE_SECONDS = 30.0
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, WSL2


def launch(
    run: RunDirectory,
    *,
    device: str = "auto",
    secrets: Mapping[str, str] | None = None,
    hooks: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start the engine and wait until it says that it runs, or is gone again (the exit code then tells why).

    ``device`` is the run's; ``secrets`` are environment variables for the engine alone; ``hooks`` those that allow it its
    hooks (default: the user's own of config.toml; an empty mapping: none). Raises ``UserError`` (lease_alive)
    when another process works in the run.
    """
    Lease.clear(run)
    allowed = hooks_environment(run) if hooks is None else hooks
    before = Status.read(run)
    if before is not None:
        me = ProcessIdentity.of_this_process()
        replace(before, state="starting", process=me, heartbeat=iso_time(time.time()), exit_code=None, reason="", ended="").write(run)  # fmt: skip
    note_address(run)
    log = os.open(run.engine_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine", os.fspath(run.path)],
            cwd=run.path,
            env=engine_environment(device) | dict(secrets or {}) | dict(allowed),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(log)
    deadline = time.monotonic() + HANDSHAKE_SECONDS
    while time.monotonic() < deadline and process.poll() is None and not _runs(run, process.pid):
        time.sleep(0.02)
    if process.poll() not in (None, 0):  # another start of the same run may have been faster
        lease = Lease.read(run)
        if lease is not None and lease.alive(run):
            raise lease.refusal(run)
    record_stillborn(run, process)
    return process


def record_stillborn(run: RunDirectory, process: subprocess.Popen[bytes]) -> None:
    """When the engine ended without a word of its own, write down that it failed to start."""
    if process.poll() in (None, 0):
        return
    status = Status.read(run)
    if status is not None and status.state in ALIVE and status.process == ProcessIdentity.of_this_process():
        reason = say(
            f"the engine ended with code {process.returncode} before it could start; see {run.engine_log}",
            f"エンジンは開始前に終了しました（コード {process.returncode}）。{run.engine_log} を見てください",
        )
        replace(status, state="failed", exit_code=1, reason=reason, ended=iso_time(time.time())).write(run)


def engine_environment(device: str) -> dict[str, str]:
    """The environment of the engine process: ours, one torch thread on a CPU, and the package where it is not installed."""
    environment = with_package(os.environ)
    for name in (PLAN_VARIABLE, served.VARIABLE, "TEXTUAL_DRIVER"):  # of this process alone
        environment.pop(name, None)
    if "OMP_NUM_THREADS" not in environment and (device == "cpu" or (device == "auto" and not gpu_visible())):
        environment["OMP_NUM_THREADS"] = "1"  # more threads than free cores made a tiny run 60 times slower
    return environment


def with_package(inherited_environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with which ``python -P -m`` finds this package, installed or not."""
    environment = dict(inherited_environment)
    root = str(Path(engine.__file__).resolve().parents[1])
    inherited = environment.get("PYTHONPATH", "")
    if inherited or not _installed(root):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, inherited)))
    return environment


def gpu_visible() -> bool:
    """Whether torch may find a GPU here, without asking torch."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(os.path.exists(device) for device in _GPU_DEVICES)


def _installed(root: str) -> bool:
    """Whether Python finds ``root`` by itself: a site folder, or named in a ``.pth`` file (an editable install)."""
    folders = {os.path.realpath(folder) for folder in [*site.getsitepackages(), site.getusersitepackages()]}
    if root in folders:
        return True
    for folder in folders:
        for pth in Path(folder).glob("*.pth"):
            if root in pth.read_text("utf-8", "replace").splitlines():
                return True
    return False


def _runs(run: RunDirectory, pid: int) -> bool:
    status = Status.read(run)
    return status is not None and status.process is not None and status.process.pid == pid
