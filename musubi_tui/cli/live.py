"""Followers of a run at the terminal: bars and a step line that update in place, or plain lines for pipes and screen readers."""

from __future__ import annotations

import os
import sys
import time
from typing import IO, TYPE_CHECKING, Protocol

from engine.events.lines import Record, encode_line
from engine.events.types import Phase, Progress, Step
from musubi_tui.cli.output import safe_json
from musubi_tui.runs.telling import (
    PhaseView,
    PlainTeller,
    Story,
    clean,
    clock,
    describe,
    rate_text,
    step_line,
    vitals_line,
    written_text,
)

if TYPE_CHECKING:
    from rich.console import Group

_BAR = 28
_FRAMES_PER_SECOND = 5


class Display(Protocol):
    """Takes records, shows something."""

    def feed(self, records: list[Record]) -> None:
        """Show these, too."""
        ...

    def close(self) -> None:
        """Leave the terminal as lines."""
        ...


def make_display(stream: IO[str], *, plain: bool = False, today: float | None = None) -> Display:
    """Bars on a terminal, else lines. ``plain``, ``TERM=dumb`` and a stdout that is not a terminal mean lines.

    ``today``: the price of an hour, for a run that knew none.
    """
    in_place = stream.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return LiveDisplay(stream, today) if in_place and not plain else PlainDisplay(stream)


class PlainDisplay:
    """One line per thing that happens, a step line every few seconds."""

    def __init__(self, stream: IO[str], seconds: float = 5.0) -> None:
        self._stream = stream
        self._teller = PlainTeller(seconds)

    def feed(self, records: list[Record]) -> None:
        """Write the lines of these records."""
        lines = [line for record in records for line in self._teller.lines(record)]
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing is open."""


class JsonDisplay:
    """The events themselves, one JSON object per line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def feed(self, records: list[Record]) -> None:
        """Write these records as they stand in events.jsonl."""
        for record in records:
            self._stream.write(safe_json(encode_line(record.seq, record.t, record.event).decode("utf-8")))
        self._stream.flush()

    def close(self) -> None:
        """Nothing is open."""


class LiveDisplay:
    """Bars of the open phases and the step line at the bottom; what happens once scrolls away above them."""

    def __init__(self, stream: IO[str], today: float | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._story = Story(today=today)
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0
        self._changed = True
        self._live.start()

    def feed(self, records: list[Record]) -> None:
        """Take records in; draws at most a few times a second."""
        for record in records:
            self._story.feed(record)
            event = record.event
            if isinstance(event, (Step, Progress)) or (isinstance(event, Phase) and event.state == "start"):
                continue
            text = self._finished(event.name) if isinstance(event, Phase) else describe(event)
            if text:
                self._print(text)
        now = time.monotonic()
        self._changed = self._changed or bool(records)
        if self._changed and now >= self._next:
            self._changed = False
            self._next = now + 1 / _FRAMES_PER_SECOND
            self._live.update(self._lines(), refresh=True)

    def close(self) -> None:
        """Remove the bars, leave the last step line."""
        from rich.console import Group

        self._live.update(Group(), refresh=True)
        self._live.stop()
        if self._story.step is not None:
            self._print(step_line(self._story))

    def _print(self, text: str) -> None:
        self._live.console.print(text, markup=False, soft_wrap=True)

    def _finished(self, name: str) -> str:
        view = next((view for view in reversed(self._story.finished) if view.name == name), None)
        if view is None or not view.total:
            return ""
        return f"{bar(view)}  {clock(view.latest - view.began)}"

    def _lines(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        training = self._story.step is not None  # then the step line below has the only ETA
        lines = [
            Text(bar(view, pace=not training or view.name != "train", eta=not training)) for view in self._story.phases
        ]
        if self._story.step is not None:
            lines += [Text(line) for line in (step_line(self._story), vitals_line(self._story)) if line]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)


def bar(view: PhaseView, *, pace: bool = True, eta: bool = True) -> str:
    """``latents ██████░░░░ 12/24  5.2/s  ETA 0:02``, without rate and ETA when ``pace`` is off."""
    if not view.total:
        return f"{clean(view.name):<12} …"
    full = round(_BAR * min(1.0, view.done / view.total))
    parts = [f"{clean(view.name):<12} {'█' * full}{'░' * (_BAR - full)} {view.done}/{view.total}"]
    if pace and view.rate is not None:
        parts.append(rate_text(view.rate))
        if view.bytes:
            parts.append(written_text(view.bytes))
        if eta and view.eta is not None and view.done < view.total:
            parts.append(f"ETA {clock(view.eta)}")
    return "  ".join(parts)
