"""Start the scanner and hear from it, without waiting: the app's side of ``musubi_tui.datasets.scanner``."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.datasets.board import Board

Hear = Callable[["Progress | Refused | Board"], None]


@dataclass(frozen=True)
class Progress:
    """``what`` is "scan", "decode" or "caches"."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Refused:
    """The dataset cannot be shown, and why."""

    text: str


class Scanning:
    """One scan under way. ``hear`` is called on another thread: progress, and at the end the board or a refusal."""

    def __init__(self, request: dict[str, Any], hear: Hear) -> None:
        self._hear = hear
        self._stopped = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "musubi_tui.datasets.scanner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._request = json.dumps(request).encode("utf-8")
        threading.Thread(target=self._listen, name="scan", daemon=True).start()

    def stop(self) -> None:
        """End it; nothing is heard any more."""
        self._stopped = True
        self._process.kill()

    def _listen(self) -> None:
        out, into = self._process.stdout, self._process.stdin
        if out is None or into is None:
            return
        last: Progress | Refused | Board = Refused(
            say("the scan ended without an answer.", "スキャンが応答せずに終了しました。")
        )
        try:
            into.write(self._request)
            into.close()
            for line in out:
                told = json.loads(line)
                if "bytes" in told:
                    board: Board = pickle.loads(out.read(told["bytes"]))
                    last = board
                    board.rows.searched  # noqa: B018 - made here, so that the first letter of a filter does not wait
                    break
                if "refused" in told:
                    last = Refused(told["refused"])
                    break
                self._say(Progress(told["what"], told["done"], told["total"]))
        except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
            last = Refused(str(error))
        self._process.wait()
        out.close()
        self._say(last)

    def _say(self, what: Progress | Refused | Board) -> None:
        if not self._stopped:
            self._hear(what)


def request(file: Path, family: str = "", *, decode: bool = False, trigger: str = "") -> dict[str, Any]:
    """What to scan. ``decode`` also looks at every pixel and every cache file."""
    return {"file": str(file), "family": family, "decode": decode, "trigger": trigger}
