"""The list of runs, drawn line by line: a thousand runs cost what is visible, and a change repaints the cells that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.config.language import say
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.keymap import key, shown_key
from musubi_tui.tui.runs_table import NO_FACTS, Cell, Facts, column_at, columns, line, reason_line
from musubi_tui.tui.theme import STATE_COLOURS

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot


class RunList(ScrollView, can_focus=True):
    """``show`` gives it the runs; it says ``Chosen`` when the cursor moves to another run and ``Opened`` on Enter."""

    HELP = say(
        "The runs of this machine and of the volumes it shares. The state is judged by the process and its heartbeat.",
        "このマシンと共有ボリュームの run。状態はプロセスとハートビートから判断しています。",
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        key("jobs.up", "up,k", "move(-1)", say("previous run", "前の run")),
        key("jobs.down", "down,j", "move(1)", say("next run", "次の run")),
        key("jobs.page_up", "pageup,ctrl+u", "page(-1)", say("page up", "前のページ")),
        key("jobs.page_down", "pagedown,ctrl+d", "page(1)", say("page down", "次のページ")),
        key("jobs.first", "home", "move(-1000000)", say("first run", "最初の run")),
        key("jobs.last", "end,G", "move(1000000)", say("last run", "最後の run")),
        key("jobs.open", "enter", "open", say("open", "開く"), show=True),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "run-list--success", "run-list--warning", "run-list--error", "run-list--cursor", "run-list--reason",
    }  # fmt: skip
    DEFAULT_CSS = """
    RunList > .run-list--success { color: $success; }
    RunList > .run-list--warning { color: $warning; }
    RunList > .run-list--error { color: $error; }
    RunList > .run-list--reason { color: $text-muted; }
    RunList > .run-list--cursor { text-style: reverse; }
    RunList { scrollbar-size-horizontal: 0; scrollbar-gutter: stable; }
    """

    class Chosen(Message):
        """The cursor stands on another run."""

        def __init__(self, run: Snapshot | None) -> None:
            super().__init__()
            self.run = run

    class Opened(Message):
        """A run is to be opened."""

        def __init__(self, run: Snapshot) -> None:
            super().__init__()
            self.run = run

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.runs: tuple[Snapshot, ...] = ()
        self.cursor = 0
        self._glyphs = UNICODE
        self._facts = NO_FACTS
        self._lines: list[tuple[int, tuple[Cell, ...]]] = []  # (which run, the cells)

    @property
    def run(self) -> Snapshot | None:
        """The run under the cursor."""
        return self.runs[self.cursor] if self.cursor < len(self.runs) else None

    def show(self, runs: tuple[Snapshot, ...], glyphs: Glyphs, facts: Facts = NO_FACTS) -> None:
        """Show these; the cursor stays on its run."""
        before = self.run
        self.runs, self._glyphs, self._facts = runs, glyphs, facts
        places = [place for place, now in enumerate(runs) if before and now.run_dir == before.run_dir]
        self.cursor = places[0] if places else min(self.cursor, max(0, len(runs) - 1))
        self._lay_out()
        if before is None or self.run is None or before.run_dir != self.run.run_dir:
            self.post_message(self.Chosen(self.run))

    def on_resize(self) -> None:
        """Lay the columns out for another width."""
        self._lay_out()

    @property
    def line_width(self) -> int:
        """Cells of a line; the column of the scrollbar is kept free, so that lines never move when it appears."""
        return self.scrollable_content_region.width or self.size.width

    def _lay_out(self) -> None:
        width = self.line_width
        shape = columns(width, self._facts)
        lines: list[tuple[int, tuple[Cell, ...]]] = []
        for place, now in enumerate(self.runs):
            texts = [column.text(now, self._glyphs) for column in shape]
            lines.append((place, line(texts, shape, width, self._glyphs, empty=self._glyphs.none)))
            reason = reason_line(now, width, self._glyphs, shown_key(self.app, "jobs.fixes"))
            if reason:
                lines.append((place, reason))
        before, self._lines = self._lines, lines
        self.virtual_size = Size(width, len(lines))
        self._repaint(before, lines)

    def _repaint(self, before: list[tuple[int, tuple[Cell, ...]]], after: list[tuple[int, tuple[Cell, ...]]]) -> None:
        top = self.scroll_offset.y
        dirty = []
        for y in range(top, top + self.size.height):
            old = before[y] if y < len(before) else None
            new = after[y] if y < len(after) else None
            if old == new:
                continue
            if old and new and old[0] == new[0] and len(old[1]) == len(new[1]):
                dirty += [Region(n.x, y - top, n.width, 1) for o, n in zip(old[1], new[1]) if o != n]
            else:
                dirty.append(Region(0, y - top, self.size.width, 1))
        if dirty:
            self.refresh(*dirty)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        y += self.scroll_offset.y
        width, style = self.size.width, self.rich_style
        if y >= len(self._lines):
            return Strip.blank(width, style)
        place, found = self._lines[y]
        if place == self.cursor:
            style += self.get_component_rich_style("run-list--cursor", partial=True)
        now = self.runs[place]
        segments = []
        for cell in found:
            segments += [Segment(cell.text, style + self._colour(now, cell, len(found))), Segment(" ", style)]
        return Strip(segments).adjust_cell_length(width, style)

    def _colour(self, now: Snapshot, cell: Cell, count: int) -> Style:
        if count == 1:
            return self.get_component_rich_style("run-list--reason", partial=True)
        colour = STATE_COLOURS.get(now.state)
        if colour and cell.text.startswith(self._glyphs.state(now.state) + " "):
            return self.get_component_rich_style(f"run-list--{colour}", partial=True)
        return Style.null()

    def _first_line(self, place: int) -> int:
        return next((y for y, (owner, _) in enumerate(self._lines) if owner == place), 0)

    def choose(self, place: int) -> None:
        """Put the cursor on a run."""
        place = max(0, min(len(self.runs) - 1, place))
        if place == self.cursor or not self.runs:
            return
        old, self.cursor = self.cursor, place
        y = self._first_line(place)
        top = self.scroll_offset.y
        self.scroll_to_region(Region(0, y, 1, 1), animate=False, force=True)
        if self.scroll_offset.y == top:
            lines = [n for n, (owner, _) in enumerate(self._lines) if owner in (old, place)]
            self.refresh(*[Region(0, n - top, self.size.width, 1) for n in lines])
        self.post_message(self.Chosen(self.run))

    def action_move(self, by: int) -> None:
        """Up or down."""
        self.choose(self.cursor + by)

    def action_top(self) -> None:
        """The first run (``gg``)."""
        self.choose(0)

    def topic_at(self, x: int) -> str:
        """Which explanation belongs to a cell of a line."""
        return f"column.{column_at(x, self.line_width).id}"

    def action_page(self, by: int) -> None:
        """A page up or down."""
        self.choose(self.cursor + by * max(1, self.size.height - 1))

    def action_open(self) -> None:
        """Open the run under the cursor."""
        if self.run is not None:
            self.post_message(self.Opened(self.run))

    def on_click(self, event: Click) -> None:
        """A click chooses, a double click opens."""
        y = event.y + self.scroll_offset.y
        if y < len(self._lines):
            self.choose(self._lines[y][0])
            if event.chain > 1:
                self.action_open()
