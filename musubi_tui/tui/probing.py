"""What pictures a terminal can show, asked of the terminal itself before the app takes it over.

One write, one answer: a query of kitty's graphics protocol, of the size of a cell, and of the terminal's attributes (DA1), which
every terminal answers, last. Waiting ends with that answer, or after half a second. The answer is remembered per terminal.

Sources: kitty's graphics protocol (https://sw.kovidgoyal.net/kitty/graphics-protocol/, "Querying support"), DEC STD 070 for DA1
(attribute 4: sixel), xterm's control sequences for ``CSI 16 t``.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from musubi_tui.tui import early_keys

PROBE_SECONDS = 0.5
_KITTY_QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_QUESTION = b"\x1b[16t\x1b[c"
_KITTY = re.compile(rb"\x1b_Gi=31[^;]*;OK\x1b\\")
_CELL = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_REMEMBERED_SECONDS = 30 * 86400
_MOST_REMEMBERED = 50
# Placeholders in text, which pictures inside an app need, are drawn by these alone of those that know kitty's protocol.
_PLACEHOLDERS = ("kitty", "ghostty")


@dataclass(frozen=True)
class Terminal:
    """``pictures``: "kitty", "sixel" or "". ``cell``: pixels of a character (width, height), (0, 0) when untold."""

    pictures: str = ""
    cell: tuple[int, int] = (0, 0)


def question(environment: Mapping[str, str]) -> bytes:
    """What to write. Kitty's query only where its answer would be used: tmux and screen would make it the window's title."""
    return (_KITTY_QUESTION if _has_placeholders(environment) else b"") + _QUESTION


def _has_placeholders(environment: Mapping[str, str]) -> bool:
    names = f"{environment.get('TERM', '')} {environment.get('TERM_PROGRAM', '')}".lower()
    behind = environment.get("TMUX") or environment.get("STY")
    return not behind and any(name in names for name in _PLACEHOLDERS)


def understand(answer: bytes, environment: Mapping[str, str]) -> Terminal:
    """What an answer to the question says."""
    size = _CELL.search(answer)
    cell = (int(size[2]), int(size[1])) if size else (0, 0)
    if _KITTY.search(answer) and _has_placeholders(environment):
        return Terminal("kitty", cell)
    attributes = _ATTRIBUTES.search(answer)
    if attributes and b"4" in attributes[1].split(b";")[1:]:
        return Terminal("sixel", cell)
    return Terminal("", cell)


def ask(timeout: float = PROBE_SECONDS) -> bytes | None:
    """The answer of the terminal on stdin and stdout; None where there is none. What was typed meanwhile is kept for the app."""
    import termios
    import tty

    try:
        descriptor, out = sys.stdin.fileno(), sys.stdout.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return None
    answer = b""
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        os.write(out, question(os.environ))
        deadline = time.monotonic() + timeout
        while _ATTRIBUTES.search(answer) is None and len(answer) < 4096:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(descriptor, 1024) if ready else b""
            if not data:
                return None
            answer += data
    except OSError:
        return None
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        early_keys.keep(answer)
    return answer


def find_terminal(
    environment: Mapping[str, str] | None = None, asking: Callable[[], bytes | None] = ask, cache: Path | None = None
) -> Terminal:
    """The terminal of this process: as it was remembered, else as it answers. A terminal that is silent is asked again next time."""
    environment = os.environ if environment is None else environment
    path = cache or cache_file(environment)
    name = "|".join(environment.get(part, "") for part in ("TERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TMUX", "SSH_CONNECTION"))  # fmt: skip
    known = _remembered(path)
    entry = known.get(name)
    if isinstance(entry, dict) and time.time() - float(entry.get("at", 0)) < _REMEMBERED_SECONDS:
        width, height = (int(size) for size in entry["cell"])
        return Terminal(str(entry["pictures"]), (width, height))
    answer = asking()
    if answer is None:
        return Terminal()
    found = understand(answer, environment)
    known[name] = {**asdict(found), "at": round(time.time())}
    _remember(path, known)
    return found


def cache_file(environment: Mapping[str, str]) -> Path:
    """Where terminals are remembered."""
    base = environment.get("XDG_CACHE_HOME") or os.path.join(
        environment.get("HOME") or os.path.expanduser("~"), ".cache"
    )
    return Path(base) / "musubi-tui" / "terminals.json"


def _remembered(path: Path) -> dict[str, object]:
    """What the file knows; nothing when it is missing or damaged: it can be asked again."""
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: entry for name, entry in known.items() if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.get("pictures") not in ("", "kitty", "sixel"):
        return False
    cell, at = entry.get("cell"), entry.get("at")
    sizes = (
        isinstance(cell, list) and len(cell) == 2 and all(isinstance(size, int) and 0 <= size < 1000 for size in cell)
    )
    return sizes and isinstance(at, (int, float))


def _remember(path: Path, known: dict[str, object]) -> None:
    """A cache: where it cannot be written, the terminal is asked each time."""
    from engine.events.atomic import write_text_atomically

    newest = dict(list(known.items())[-_MOST_REMEMBERED:])
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(newest), durable=False)
    except OSError:
        return
