"""``musubi-tui`` for shell scripts under test: every command, and the engines it starts, run in forks of one warm process.

A page of the docs calls the program ten times and the engine three times; as processes of their own they would import torch anew each
time. That real processes start is what ``test_keys_only``, the demo's and the tmux tests are for.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_CLIENT = """\
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode("utf-8", "surrogateescape")
socket.send_fds(line, [len(request).to_bytes(8, "big")], [0, 1, 2])
line.sendall(request)
answer = line.recv(16)
sys.exit(int(answer) if answer else 70)
"""


class Preloaded:
    """The warm process. Put ``folder`` on the PATH of a script; ``end`` ends it and the engines that still run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._engines = folder / "engines"
        address = str(folder / "s")
        client = folder / "client.py"
        client.write_text(_CLIENT.format(address=address))
        tool = folder / "musubi-tui"
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{client}" "$@"\n')
        tool.chmod(0o755)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen()
        _warm_up()
        self._pid = os.fork()
        if self._pid == 0:
            with suppress(BaseException):
                _serve(listening, self._engines)
            os._exit(1)
        listening.close()

    def script(self, text: str, cwd: Path, environment: Mapping[str, str], seconds: float = 240.0) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run a bash script that stops at the first error."""
        path = f"{self.folder}:{environment['PATH']}"
        return subprocess.run(
            ["bash", "-eu", "-c", text],
            cwd=cwd,
            env={**environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def end(self) -> None:
        """Nothing of it goes on."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for pid in self._engines.read_text().split() if self._engines.exists() else ():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(pid), signal.SIGKILL)


def _warm_up() -> None:
    """Import what the commands and the engine import."""
    import engine.stages
    import musubi_tui.cli.root
    from engine.families import get_family

    get_family("wan").load_model()
    assert engine.stages
    assert musubi_tui.cli.root


def _serve(listening: socket.socket, engines: Path) -> None:
    while True:
        line, _ = listening.accept()
        head, descriptors, _, _ = socket.recv_fds(line, 8, 3)
        size, request = int.from_bytes(head, "big"), b""
        while len(request) < size:
            request += line.recv(size - len(request))
        arguments, cwd, environment = json.loads(request.decode("utf-8", "surrogateescape"))
        pid = os.fork()
        if pid == 0:
            _in_place(descriptors, cwd, environment, partial(_command, arguments, engines))
        for descriptor in descriptors:
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        line.sendall(str(code).encode())
        line.close()


def _command(arguments: Sequence[str], engines: Path) -> int:
    from musubi_tui.cli.root import run
    from musubi_tui.runs import launching

    class Engine(ForkedEngine):
        record = engines

    launching.subprocess = SimpleNamespace(Popen=Engine, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT)  # type: ignore[attr-defined]
    return run(arguments)


class ForkedEngine:
    """What ``launch`` wants of ``Popen``: an engine in a session of its own, forked instead of started."""

    record: Path

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: int, **_: Any) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            from engine.__main__ import main

            os.setsid()
            nothing = os.open(os.devnull, os.O_RDONLY)
            _in_place([nothing, os.dup(stdout), os.dup(stdout)], str(cwd), env, lambda: main([command[-1]]))
        with self.record.open("a") as file:
            file.write(f"{self.pid}\n")

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """As ``Popen`` does."""
        os.kill(self.pid, number)


def _in_place(descriptors: Sequence[int], cwd: str, environment: Mapping[str, str], work: Any) -> None:
    """In a child: take these streams, folder and environment, do the work, and be gone with its code."""
    code = 1
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - a traceback is what a person would see, too
        import traceback

        traceback.print_exc(file=sys.stderr)
        sys.stderr.flush()
    finally:
        os._exit(code)
