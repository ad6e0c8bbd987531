"""Readers that leave early: in ``musubi-tui data scan x.toml | head -1`` the command works on and ends with its own exit code.

Writing to a pipe that nobody reads fails, or the system kills the writer, and which of the two and when depends on how quick the reader
was. An exit code that a script relies on must not: what is written after the reader left goes nowhere, silently. Commands that go
on until a run ends ask ``has_left`` and leave as well.
"""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any


class _Pipe(io.FileIO):
    """The file descriptor of ``stream``, whose other end may be closed; it stays open when this object goes."""

    left = False

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._first = stream  # it would close the descriptor when it goes

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]  # None: not now, of a pipe that does not block
        """The bytes written; after the reader left all of them count as written."""
        try:
            return super().write(data)
        except BrokenPipeError:
            self.left = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for programs that are started from here, too
            os.close(nowhere)
            return len(data)


def outlive_readers() -> None:
    """Make stdout and stderr of this process bear that their reader leaves. Terminals stay as they are."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.fileno()
        except (OSError, ValueError):  # no file of the system's: nobody can leave
            continue
        if not stream.isatty():
            stream.flush()
            buffer = io.BufferedWriter(_Pipe(stream))
            lines = stream.line_buffering
            setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=lines))


def has_left(stream: IO[str]) -> bool:
    """Whether the reader of ``stream`` was found gone."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return isinstance(raw, _Pipe) and raw.left
