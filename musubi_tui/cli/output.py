"""How commands speak: data on stdout, narration and complaints on stderr, and one set of exit codes.

A complaint is one paragraph: where, what, and what to do about it. Nothing here imports rich: most commands print a few
lines and must start in a blink.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import IO, Any, Final, TypeVar

from engine.config.language import say
from engine.config.problems import Problem
from engine.config.spelling import readable, spelled
from musubi_tui.terminal_width import cells

F = TypeVar("F", bound=Callable[..., Any])

OK: Final = 0  # also a run that was asked to stop
JOB_FAILED: Final = 1
WRONG_INPUT: Final = 2  # a missing path too
MISSING_REQUIREMENT: Final = 3  # a package, a GPU, disk space
PREEMPTED: Final = 75  # saved, ready to be resumed
INTERRUPTED: Final = 130  # before a run existed, or by the second Ctrl-C

_NARROWEST = 8  # cells that a column of a table keeps
_ENDS = frozenset(" /\\-_,=|。、")  # a cell may be broken behind these
_EIGHT_BIT = re.compile("[\x7f-\x9f]")
_RED, _YELLOW, _BOLD, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"


def print_json(value: Any) -> None:
    """Print ``value`` on stdout as indented JSON; paths and other strangers as their text."""
    sys.stdout.write(safe_json(json.dumps(value, ensure_ascii=False, indent=2, default=str, allow_nan=False)) + "\n")


def safe_json(text: str) -> str:
    """JSON that may be shown on a terminal: what JSON does not escape but a terminal obeys (DEL, the 8-bit controls) is escaped."""
    return _EIGHT_BIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_line(text: str) -> None:
    """A line of data on stdout; names that are no valid Unicode are escaped, what would steer the terminal is replaced."""
    shown = "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in spelled(text))
    sys.stdout.write(shown + "\n")


def print_hanging(text: str, column: int) -> None:
    """A line of data on stdout. On a terminal that is too narrow for it, it goes on in further lines that begin at ``column``."""
    if not sys.stdout.isatty():
        return print_line(text)
    import shutil

    width = shutil.get_terminal_size().columns
    head = next((n for n in range(len(text)) if cells(text[:n]) >= column), len(text))
    first, *rest = _in_lines(text[head:], max(_NARROWEST, width - cells(text[:head])))
    print_line(text[:head] + first)
    for line in rest:
        print_line(" " * column + line)
    return None


def narrate(text: str = "") -> None:
    """A sentence for the person at the terminal: stderr, so that stdout stays data."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def in_colour(stream: IO[str]) -> bool:
    """Whether escape codes are welcome on ``stream``: a terminal, no NO_COLOR, not TERM=dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_problems(problems: Iterable[Problem]) -> None:
    """One paragraph per problem on stderr, ``error:`` or ``warning:`` in front (a word, never colour alone)."""
    colour = in_colour(sys.stderr)
    for problem in problems:
        word = say("error:", "エラー:") if problem.severity == "error" else say("warning:", "警告:")
        if colour:
            word = f"{_BOLD}{_RED if problem.severity == 'error' else _YELLOW}{word}{_RESET}"
        narrate(f"{word} {harmless(str(replace(problem, message=readable(problem.message))))}")


def harmless(text: str) -> str:
    """``text`` with neither secrets nor control characters but line ends: values of files and arguments are quoted in it."""
    from engine.events.redaction import redact  # its patterns take longer than the app has for its start

    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in redact(spelled(text)))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Iterable[int] = ()) -> None:
    """An aligned table on stdout; the columns whose index is in ``right`` are aligned to the right (numbers).

    On a terminal that is too narrow for it, cells run over several lines; into a pipe each row is one line.
    """
    table = [list(headers), *[[harmless(str(value)).replace("\n", " ") for value in row] for row in rows]]
    widths = [max(cells(row[column]) for row in table) for column in range(len(headers))]
    if sys.stdout.isatty():
        import shutil

        widths = _narrowed(widths, shutil.get_terminal_size().columns - 2 * (len(widths) - 1))
    to_the_right = frozenset(right)
    colour = in_colour(sys.stdout)
    for index, row in enumerate(table):
        for pieces in zip_longest(*(_in_lines(cell, width) for cell, width in zip(row, widths)), fillvalue=""):
            parts = []
            for column, piece in enumerate(pieces):
                blanks = " " * (widths[column] - cells(piece))
                parts.append(blanks + piece if column in to_the_right else piece + blanks)
            line = "  ".join(parts).rstrip()
            sys.stdout.write((f"{_BOLD}{line}{_RESET}" if colour and index == 0 else line) + "\n")


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Widths whose sum is at most ``room``: the widest give way, the first column last. As they are where that leaves too little."""
    if sum(widths) <= room:
        return widths
    first = widths[0] if 2 * widths[0] <= room else min(widths[0], room // len(widths))
    rest, room = widths[1:], room - first
    most = max((level for level in range(_NARROWEST, max(rest, default=0) + 1) if sum(min(one, level) for one in rest) <= room), default=0)  # fmt: skip
    return [first, *(min(one, most) for one in rest)] if most else widths


def _in_lines(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken where a word, a folder or a part of a name ends, if there is such a place."""
    lines: list[str] = []
    while cells(text) > width:
        most = next(n for n in range(len(text), 0, -1) if cells(text[:n]) <= width or n == 1)
        second_half = range(most, most // 2, -1)
        blanks = (n for n in second_half if text[n : n + 1] == " " or text[n - 1] == " ")
        end = next(blanks, None) or next((n for n in second_half if text[n - 1] in _ENDS), most)
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*lines, text] if text or not lines else lines


def tenths() -> Callable[[str, int, int], None]:
    """Tells how far files are, given (file, done, in all): one line of narration per tenth."""
    told: dict[str, int] = {}

    def tell(name: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if told.get(name) != tenth:
            told[name] = tenth
            narrate(f"{name}: {10 * tenth} %")

    return tell


def in_japanese(text: str) -> Callable[[F], F]:
    """Give a command its long help in Japanese where that is the user's language; the docstring is the English one."""

    def told(command: F) -> F:
        command.__doc__ = say(command.__doc__ or "", text)
        return command

    return told
