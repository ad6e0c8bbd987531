"""The app's first screen, drawn before Textual is there: importing it takes most of a start, on a pod's network disk seconds.

Jobs is drawn as the app draws it (both take every text from ``runs_table``), other modes by their name alone. The terminal is handed
over as it stands: the app draws over the frame and reads whatever was typed meanwhile.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.modes import MODES
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.remembered import Remembered
from musubi_tui.tui.runs_table import (
    Facts,
    arranged,
    card_hint,
    columns,
    line,
    list_hint,
    list_title,
    names_of_several,
    reason_line,
    rows_of,
    titles_line,
    why_nothing,
)
from musubi_tui.tui.view import View

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"  # the alternative screen
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_BOLD, _DIM, _REVERSE, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[0m"
_LEAST = (80, 24)
_WIDE, _CARD_WIDTH, _CARD_HEIGHT = (140, 36), 70, 9  # as Jobs lays itself out
_PATIENCE_S = 0.15  # for the runs: on a volume that does not answer the frame comes without them
# How the keys of these actions are written; moved ones (``[keys]``) are written as they stand there until the app spells them.
KEYS = {
    "jobs.filter": "/", "jobs.sort": "o", "jobs.compare": "C", "jobs.archived": "A", "jobs.new": "n", "jobs.clear": "esc",
    "jobs.mark": "space", "jobs.resume": "r", "jobs.duplicate": "D", "jobs.open": "enter", "jobs.edit": "e", "jobs.log": "l",
    "jobs.outputs": "f", "jobs.fixes": "F",
}  # fmt: skip
_MENTION = re.compile(r"\{([a-z]+\.[a-z_]+)\}")
_BORDERS = {"unicode": ("╭", "─", "╮", "│", "╰", "╯"), "ascii": ("+", "-", "+", "|", "+", "+")}


def read_runs(home: Path) -> View | None:
    """The runs, if they can be read in a moment. The app reads them again, and says there what is wrong with them."""
    from musubi_tui.tui.runs_reader import RunsReader

    found: list[View] = []

    def read() -> None:
        try:
            found.append(RunsReader(home).listed())
        except (OSError, UserError):
            return  # the app's own reader meets the same and tells it

    reader = threading.Thread(target=read, name="first-runs", daemon=True)
    reader.start()
    reader.join(_PATIENCE_S)
    return found[0] if found else None


def jobs_lines(
    view: View | None, kept: Remembered, link: str, glyphs: Glyphs, size: tuple[int, int], keys: Mapping[str, str]
) -> list[str]:
    """The lines of Jobs, each as wide as the screen, with styles as escape sequences.

    ``view`` None: the runs are being read. ``keys``: the ones that were moved, by the id of their action.
    """
    width, height = size
    wide = width >= _WIDE[0] and height >= _WIDE[1]
    room = width - _CARD_WIDTH if wide else width
    rows = height - 3 if wide else height - 3 - _CARD_HEIGHT
    known = KEYS | {name: moved.split(",")[0].strip() for name, moved in keys.items()}
    body = _list(view, kept, glyphs, (room, rows), known)
    card = _box("", [], glyphs, (_CARD_WIDTH, rows) if wide else (room, _CARD_HEIGHT), _hinted(card_hint(), known))
    body = [left + right for left, right in zip(body, card, strict=True)] if wide else body + card
    return [mode_line("jobs", link, width), *body, " " * width, waiting_line(width)]


def mode_line(current: str, link: str, width: int) -> str:
    """The seven modes."""
    left = " musubi" + "".join(_mode(number, mode.title, mode.id == current) for number, mode in enumerate(MODES, 1))
    marked = f"[{_label(current)}]"
    text = fit(left, width - cells(link) - 1) + f"{link} "
    return text.replace(marked, f"{_BOLD}{marked}{_PLAIN}", 1)


def waiting_line(width: int) -> str:
    """Where the keys will stand."""
    return _DIM + fit(say(" starting", " 起動しています"), width) + _PLAIN


def _mode(number: int, title: str, current: bool) -> str:
    return f"[{number} {title}]" if current else f" {number} {title} "


def _label(current: str) -> str:
    return next((f"{number} {mode.title}" for number, mode in enumerate(MODES, 1) if mode.id == current), "")


def _list(
    view: View | None, kept: Remembered, glyphs: Glyphs, size: tuple[int, int], keys: Mapping[str, str]
) -> list[str]:
    width, rows = size
    hint = _hinted(list_hint(), keys)
    inner = width - 5  # border, padding, and the column that is kept free for the scrollbar
    if view is None:
        return _box("", ["", f"   {say('Reading the runs.', 'run を読み込んでいます。')}"], glyphs, size, hint)
    shown = arranged(
        rows_of(view, archived=kept.archived), kept.words, kept.sort, reverse=kept.reverse, queue=view.queue
    )
    facts = Facts(
        view.queue, bool(view.held), frozenset(kept.marked), view.archived, view.winners, names_of_several(shown)
    )
    hidden = 0 if kept.archived else len(view.archived)
    title = list_title(facts, len(shown), len(view.runs) + len(view.drafts) - hidden, kept.words, kept.sort, reverse=kept.reverse, hidden=hidden)  # fmt: skip
    shape = columns(inner, facts)
    lines = [_DIM + titles_line(inner, glyphs) + _PLAIN]
    for place, now in enumerate(shown[:rows]):
        texts = [column.text(now, glyphs) for column in shape]
        text = fit(" ".join(cell.text for cell in line(texts, shape, inner, glyphs, empty=glyphs.none)), inner)
        lines.append(text if place else _REVERSE + text + _PLAIN)
        lines += [_DIM + cell.text + _PLAIN for cell in reason_line(now, inner, glyphs, keys["jobs.fixes"])]
    if not shown:
        lines += ["", "", *(f"  {text}" for text in _hinted(why_nothing(view.runs, kept.words), keys).splitlines())]
    return _box(_hinted(title, keys), lines, glyphs, size, hint)


def _hinted(text: str, keys: Mapping[str, str]) -> str:
    """``keymap.hinted`` without Textual."""
    return _MENTION.sub(lambda found: keys.get(found[1], found[0]), text)


def _box(title: str, lines: Sequence[str], glyphs: Glyphs, size: tuple[int, int], hint: str) -> list[str]:
    """A border around lines; they may hold styles, which take no room."""
    width, rows = size
    a, b, c, side, d, e = _BORDERS[glyphs.name]
    head = f"{b} {fit(title, min(cells(title), width - 6), ellipsis=glyphs.ellipsis)} " if title else ""
    top = a + head + b * (width - 2 - cells(head)) + c
    whole = [text if _cells(text) <= width - 4 else fit(text, width - 4, ellipsis=glyphs.ellipsis) for text in lines]
    inner = [f"{side} {text}{' ' * (width - 4 - _cells(text))} {side}" for text in whole[: rows - 2]]
    inner += [side + " " * (width - 2) + side] * (rows - 2 - len(inner))
    return [top, *inner, f"{d}{b * (width - 5 - cells(hint))} {hint} {b}{e}"]


def _cells(text: str) -> int:
    for style in (_BOLD, _DIM, _REVERSE, _PLAIN):
        text = text.replace(style, "")
    return cells(text)


class FirstFrame:
    """The frame on the terminal, until the app takes over (``hand_over``) or something went wrong before it (``withdraw``)."""

    def __init__(self) -> None:
        self._stands = False
        self._attributes: list[object] | None = None

    def show(self, lines: Sequence[str]) -> None:
        """Draw it. What is typed meanwhile waits for the app, key by key as the app will read it, and is not drawn into the frame."""
        try:
            self._attributes = termios.tcgetattr(sys.stdin.fileno())
            quiet = termios.tcgetattr(sys.stdin.fileno())
            quiet[0] &= ~(termios.ICRNL | termios.IXON)
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, quiet)
        except termios.error:
            self._attributes = None
        self._stands = True
        self._write(ENTER + _HIDE_CURSOR + "\x1b[H" + "\r\n".join(lines))

    def hand_over(self) -> bool:
        """Let go of the terminal, which keeps showing the frame; whether there is one."""
        stood, self._stands = self._stands, False
        self._restore()
        return stood

    def withdraw(self) -> None:
        """Take the frame away, if it still stands: the terminal is as it was."""
        if self._stands:
            self._stands = False
            self._write(LEAVE + _SHOW_CURSOR)
        self._restore()

    def _restore(self) -> None:
        if self._attributes is not None:
            attributes, self._attributes = self._attributes, None
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, attributes)  # type: ignore[arg-type]

    @staticmethod
    def _write(text: str) -> None:
        stream = sys.__stderr__  # where the app draws
        if stream is not None:
            stream.write(text)
            stream.flush()


def window() -> tuple[int, int] | None:
    """Columns and lines of the terminal that the app will draw on; None when it is none, or too small for the screens."""
    stream = sys.__stderr__
    if stream is None or not stream.isatty() or os.environ.get("TEXTUAL_DRIVER"):
        return None
    size = shutil.get_terminal_size()
    return (size.columns, size.lines) if size.columns >= _LEAST[0] and size.lines >= _LEAST[1] else None


def frame_lines(
    home: Path,
    kept: Remembered,
    link: str,
    glyphs: Glyphs,
    size: tuple[int, int],
    keys: Mapping[str, str] = MappingProxyType({}),
    mode: str = "",
) -> tuple[list[str], View | None]:
    """The lines of the mode that the app opens on, and the runs if they were read for it. ``mode`` "": the one that was kept."""
    mode = mode or kept.mode
    if mode != "jobs":
        width, height = size
        return [mode_line(mode, link, width), *[" " * width] * (height - 2), waiting_line(width)], None
    view = read_runs(home)
    return jobs_lines(view, kept, link, glyphs, size, keys), view
