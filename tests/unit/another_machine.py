"""A real process that takes itself for one of another machine: another host name or boot, and a clock that is off."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

_BELIEF = """
import sys, time
from dataclasses import replace
from pathlib import Path
from engine.events import process
process.host_name, process.boot_id = lambda: sys.argv[1], lambda: sys.argv[2]
true_time = time.time
time.time = lambda: true_time() + float(sys.argv[3])
"""


@contextlib.contextmanager
def another_machine(
    script: str, *arguments: object, host: str, boot: str, ahead: float = 0
) -> Iterator[subprocess.Popen[str]]:
    """Run ``script``, which finds ``arguments`` in ``sys.argv[4:]``, until its first line of output; killed at the end."""
    command = [sys.executable, "-c", _BELIEF + script, host, boot, str(ahead), *map(os.fspath, arguments)]  # type: ignore[call-overload]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()
