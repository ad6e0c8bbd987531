"""``python -m musubi_tui.datasets.scanner FILE``: scans a dataset for the app, in a process of its own.

Standard output carries lines of JSON (progress, a refusal) and at the end the board, pickled for the app that started this process. The app
never waits for it: it reads on a thread.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import sys
import time
from pathlib import Path
from typing import IO, Any

from engine.config.problems import UserError

_STEP_SECONDS = 0.1  # between two words about progress


class Teller:
    """Writes progress, not too often."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._next = 0.0

    def progress(self, what: str, done: int, total: int) -> None:
        """After each file."""
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _STEP_SECONDS
            self.say({"what": what, "done": done, "total": total})

    def say(self, value: dict[str, Any]) -> None:
        """One line."""
        self._out.write(json.dumps(value).encode("utf-8") + b"\n")
        self._out.flush()


def make_board(request: dict[str, Any], teller: Teller) -> Any:
    """Scan, and examine as far as asked. Raises ``UserError``."""
    from engine.data.doctor import Examination
    from engine.data.findings import Questions
    from engine.data.items import path_text
    from engine.data.summary import bucket_summary
    from engine.data.survey import survey
    from engine.data.tokens import ESTIMATE, open_counter
    from musubi_tui.datasets.board import Board, frequent_words, make_rows
    from musubi_tui.datasets.opening import open_dataset, scan_index, scan_opened
    from musubi_tui.datasets.words import survey_lines

    began = time.monotonic()
    gc.disable()  # this process makes many objects that all stay, and ends
    opened = open_dataset(Path(request["file"]), request.get("family") or None)
    decode = bool(request.get("decode"))
    with scan_index() as index:
        found = scan_opened(opened, index=index, progress=lambda done, total: teller.progress("scan", done, total))
        lines = survey_lines(survey(opened.config, found, measure=index.clip_info))
    counter = ESTIMATE if opened.tokenizer is None or not decode else open_counter(opened.tokenizer, opened.spec)
    questions = Questions(str(request.get("trigger", "")), counter, decode)
    diagnosis = Examination(opened.config, found, opened.spec, questions, teller.progress).run()
    rows = make_rows(opened, found)
    return Board(
        opened,
        rows,
        bucket_summary(opened.config, found),
        lines,
        diagnosis.findings,
        (*opened.config.warnings, *found.warnings, *found.errors),
        frequent_words([item.caption for item in {path_text(item, "path"): item for item in found.items}.values()]),
        time.monotonic() - began,
        decode,
        not found.errors and bool(found.items),
    )


def main() -> None:
    """Read the request from standard input, answer on standard output."""
    os.nice(5)  # the screen comes first
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between
    teller = Teller(out)
    try:
        board = make_board(json.loads(sys.stdin.read()), teller)
    except UserError as error:
        teller.say({"refused": str(error)})
        return
    except OSError as error:
        teller.say({"refused": f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")})
        return
    data = pickle.dumps(board, protocol=5)
    teller.say({"bytes": len(data)})
    out.write(data)
    out.flush()


if __name__ == "__main__":
    main()
