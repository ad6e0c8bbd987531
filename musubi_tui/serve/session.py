"""The app behind one page: a process that speaks Textual's web protocol on its pipes.

Packets are a letter (D data, M a JSON object about the terminal, P a file), four bytes of length, big end first, and the content. Only what
a terminal needs passes: text out, keys and sizes in. Files and links that an app may hand to a browser are let fall.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from engine.events.redaction import redact
from musubi_tui.runs.launching import with_package
from musubi_tui.runs.plain_text import clean
from musubi_tui.served import VARIABLE

_PACKET_LIMIT = 16 << 20
_PRELUDE = b"__GANGLION__\n"
_ERROR_LIMIT = 4096
_PATIENCE_S = 3.0
_KEPT_OUT = ("TMUX", "SSH_CONNECTION", "SSH_TTY", "EDITOR", "VISUAL")  # of the server's own terminal

Send = Callable[[bytes], Awaitable[None]]


class Session:
    """One app. ``run`` returns when it has ended; ``stop`` ends it."""

    def __init__(self, process: asyncio.subprocess.Process, send: Send) -> None:
        self._process = process
        self._send = send
        self._errors = b""

    @classmethod
    async def start(cls, width: int, height: int, send: Send) -> Session:
        """Start an app of that size; what it draws goes to ``send``. Raises ``OSError``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "musubi_tui",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment(width, height),
        )  # fmt: skip
        return cls(process, send)

    async def run(self) -> None:
        """Hand on what the app draws until it ends; then say what went wrong, if something did."""
        errors = asyncio.create_task(self._read_errors())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            await self._read_packets()
        if await self._ended(_PATIENCE_S):
            await errors
            if self._process.returncode and self._errors:
                lines = redact(self._errors.decode("utf-8", "replace")).splitlines()
                text = "\r\n".join(map(clean, lines))
                with contextlib.suppress(ConnectionError):
                    await self._send(f"\x1b[?1049l\x1b[?1000l\x1b[?1003l\x1b[0m\r\n{text}\r\n".encode())
        else:
            errors.cancel()

    async def _read_packets(self) -> None:
        out = self._process.stdout
        assert out is not None
        await out.readuntil(_PRELUDE)
        while True:
            kind = await out.readexactly(1)
            size = int.from_bytes(await out.readexactly(4), "big")
            if size > _PACKET_LIMIT:
                raise ValueError(size)
            content = await out.readexactly(size)
            if kind == b"D":
                await self._send(content)
            elif kind == b"M" and json.loads(content).get("type") == "exit":
                return

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(4096):
            self._errors = (self._errors + data)[-_ERROR_LIMIT:]

    async def keys(self, text: str) -> None:
        """What was typed, pasted or clicked."""
        await self._write(b"D", text.encode("utf-8", "replace"))

    async def tell(self, **facts: Any) -> None:
        """Something about the terminal: its size, whether it has the focus."""
        await self._write(b"M", json.dumps(facts).encode())

    async def _write(self, kind: bytes, content: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(ConnectionError, RuntimeError):  # the app has ended; the page hears of it by itself
            pipe.write(kind + len(content).to_bytes(4, "big") + content)
            await pipe.drain()

    async def stop(self) -> None:
        """Ask the app to leave; an app that does not is ended. Runs go on."""
        if self._process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self.tell(type="quit")
        for end in (self._process.terminate, self._process.kill):
            if await self._ended(_PATIENCE_S):
                return
            with contextlib.suppress(ProcessLookupError):
                end()
        await self._process.wait()

    async def _ended(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._process.wait()
        return self._process.returncode is not None


def environment(width: int, height: int) -> dict[str, str]:
    """The app's environment: ours, the size, the driver for browsers, and the mark that closes what a browser must not reach."""
    kept = {name: value for name, value in os.environ.items() if name not in _KEPT_OUT}
    return with_package(kept) | {
        VARIABLE: "1",
        "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TERM": "xterm-256color",
        "TERM_PROGRAM": "textual",
        "COLUMNS": str(width),
        "ROWS": str(height),
    }
