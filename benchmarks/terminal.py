"""A pseudo-terminal that counts: what a program writes and when, what it costs, and how it behaves when nobody reads.

It answers the questions a terminal is asked (synchronised output, status) after ``delay_s`` each way, as a slow link would.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence

_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;:?$<>=]*[ -/]*[@-~]|[\]P][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>])")
_ANSWERS = {b"\x1b[?2026$p": b"\x1b[?2026;2$y", b"\x1b[5n": b"\x1b[0n", b"\x1b[c": b"\x1b[?62;22c"}


class Terminal:
    """Runs ``command`` in a window of ``size`` (columns, rows). Use as a context manager: the program is ended with it."""

    def __init__(
        self, command: Sequence[str], size: tuple[int, int], environment: Mapping[str, str], *, delay_s: float = 0.0
    ) -> None:
        self.started = time.monotonic()
        self.size = size
        self.chunks: list[tuple[float, int]] = []  # (seconds since the start, bytes)
        self.raw = b""
        self._delay = delay_s
        self._owed: list[tuple[float, bytes]] = []
        self._exit: int | None = None
        self._plain = b""
        self._plain_upto = 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(command[0], list(command), {**environment, "COLUMNS": str(size[0]), "LINES": str(size[1])})
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], size[0] * 8, size[1] * 16))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._exit is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def pump(self, seconds: float) -> int:
        """Read for that long; the bytes that came. Returns sooner when the program has ended."""
        before, end = len(self.raw), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._read(min(left, 0.02)):
            pass
        return len(self.raw) - before

    def until(self, *texts: str, seconds: float = 60.0) -> float:
        """Read until every text was drawn; seconds since the start. Raises ``TimeoutError`` with the end of what came."""
        wanted = [text.encode() for text in texts]
        end = time.monotonic() + seconds
        while not all(text in self.plain() for text in wanted):
            if time.monotonic() > end or not self._read(0.02):
                raise TimeoutError(f"{texts} not drawn; last: {self.plain()[-1500:].decode('utf-8', 'replace')}")
        return self.chunks[-1][0]

    def plain(self) -> bytes:
        """Everything drawn since ``forget``, without escape sequences."""
        self._plain = _ESCAPES.sub(b"", self._plain + self.raw[self._plain_upto :])
        self._plain_upto = len(self.raw)
        return self._plain

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.plain()
        self._plain = b""

    def keys(self, text: str) -> None:
        """Type."""
        os.write(self.fd, text.encode())

    def waiting(self) -> int:
        """Bytes the program has written that nobody has read."""
        return int(struct.unpack("i", fcntl.ioctl(self.fd, termios.FIONREAD, b"\0\0\0\0"))[0])

    def cpu_seconds(self) -> float:
        """CPU time of the program so far (all threads). Linux."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, seconds: float = 20.0) -> int:
        """Read until the program ends; its exit code."""
        self.pump(seconds)
        if self._exit is None:
            raise TimeoutError("the program goes on")
        return self._exit

    def _read(self, seconds: float) -> bool:
        """Take in what there is, answer what is due. False when the program has ended."""
        now = time.monotonic()
        for due, answer in [entry for entry in self._owed if entry[0] <= now]:
            self._owed.remove((due, answer))
            os.write(self.fd, answer)
        if not select.select([self.fd], [], [], seconds)[0]:
            return self._exit is None
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:  # Linux says EIO when the other side is closed
            data = b""
        if not data:
            if self._exit is None:
                self._exit = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return False
        self.raw += data
        self.chunks.append((time.monotonic() - self.started, len(data)))
        for question, answer in _ANSWERS.items():
            self._owed += [(time.monotonic() + self._delay, answer)] * data.count(question)
        return True


def plain_environment(home: str, **more: str) -> dict[str, str]:
    """An environment in which only ``home`` is known: no settings, no language, no multiplexer, no SSH, no switches of Python."""
    # PYTHON: a start is warm when the modules are compiled, as an install leaves them.
    dropped = ("LC_", "MUSUBI_", "PYTHON", "SSH_", "TMUX", "TEXTUAL", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {
        "LANG": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor", "OMP_NUM_THREADS": "1",
        "MUSUBI_TUI_HOME": f"{home}/home", "XDG_CONFIG_HOME": f"{home}/config",
        "XDG_STATE_HOME": f"{home}/state", "XDG_CACHE_HOME": f"{home}/cache",
    } | more  # fmt: skip
