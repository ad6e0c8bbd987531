"""Where everything an engine prints goes: engine.log, without secrets, and without a lost line when the engine is killed.

What Python writes is redacted by its stream and goes straight to the file. Native libraries write to descriptors 1 and 2 behind Python's
back; those lead into a pipe, and a small forked process at its other end masks each line before it reaches the disk. It is a
process and not a thread, because a thread dies with ``kill -9`` while lines still stand in the pipe; this one reads to the
end and leaves when the last writer is gone. Masking the file afterwards instead would leave secrets in it exactly when nobody can.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import signal
import sys
from pathlib import Path

from engine.events.redaction import RedactingStream, redact

_LINE_LIMIT = 64 * 1024  # a longer line is masked and written in pieces
_ENDS = (b"\n", b"\r")  # progress bars end their lines with the latter


def collect_output(log: Path) -> None:
    """Send what this process and its children print to ``log``. Raises ``OSError``. Call it before threads are started."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(writing)
        _mask_until_the_end(reading, file)
        os._exit(0)
    os.close(reading)
    sys.stdout = RedactingStream(_text(file))  # type: ignore[assignment]
    sys.stderr = RedactingStream(_text(file))  # type: ignore[assignment]
    for descriptor in (1, 2):  # after the streams: one that is dropped may close its descriptor
        os.dup2(writing, descriptor)
    os.close(writing)
    faulthandler.enable(file)
    # It recommends, in every run, a package that only 4-bit weights on a CPU would use.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def _text(file: int) -> io.TextIOWrapper:
    """A stream that writes each line at once and leaves ``file`` open when it goes."""
    raw = io.FileIO(file, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True)


def _mask_until_the_end(reading: int, file: int) -> None:
    """The forked process: lines in, masked lines out. Signals meant for the engine are not its own."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in (0, 1, 2):  # a launcher's pipe must not be held open by this process
        if descriptor not in (reading, file):
            os.close(descriptor)
    waiting = b""
    while data := os.read(reading, 1 << 16):
        waiting += data
        end = max(waiting.rfind(mark) for mark in _ENDS) + 1
        if not end and len(waiting) > _LINE_LIMIT:
            end = len(waiting)
        _write(file, waiting[:end])
        waiting = waiting[end:]
    _write(file, waiting)


def _write(file: int, data: bytes) -> None:
    masked = redact(data.decode("utf-8", "backslashreplace")).encode("utf-8", "backslashreplace")
    while masked:
        try:
            masked = masked[os.write(file, masked) :]
        except OSError:  # the disk is full: the engine must not wait for its log
            return
