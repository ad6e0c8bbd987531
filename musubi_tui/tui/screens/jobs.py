"""Jobs: all runs, the chosen one in short, and the keys that steer it. The app opens here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.events import Click
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Input

from engine.config.language import say
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.runs_table import (
    DRAFT,
    SORTS,
    Facts,
    arranged,
    card_hint,
    column_at,
    list_hint,
    list_title,
    names_of_several,
    rows_of,
    titles_line,
    why_nothing,
)
from musubi_tui.tui.screens.jobs_actions import GONE
from musubi_tui.tui.screens.jobs_keys import KEYS
from musubi_tui.tui.screens.jobs_looking import JobsLooking
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.run_card import RunCard
from musubi_tui.tui.widgets.run_list import RunList
from musubi_tui.tui.widgets.status_bar import Part

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot


_WIDE = (140, 36)


class RunsPanel(Vertical):
    """The list with its header line and, while one filters, the filter."""

    ALLOW_MAXIMIZE = True


class Header(Part):
    """The titles of the columns; a click sorts by one, a second click the other way round."""

    def on_click(self, event: Click) -> None:
        """Sort."""
        event.stop()
        if isinstance(self.screen, JobsScreen):
            width = self.screen.query_one(RunList).line_width
            self.screen.sort_by(column_at(event.x, width).sort)


class JobsScreen(JobsLooking):
    """The list above, the card below."""

    MODE = "jobs"
    CSS_PATH = "jobs.tcss"
    AUTO_FOCUS = "RunList"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self) -> None:
        super().__init__()
        kept = self.musubi.remembered
        self.sort = kept.sort if kept.sort in SORTS else SORTS[0]
        self.reverse, self.words, self.show_archived = kept.reverse, kept.words, kept.archived
        self._choose_layout(self.app.size)  # before the first frame, so that it is drawn once

    @property
    def marked(self) -> tuple[str, ...]:
        """Run directories, in the order in which they were marked; kept until the mark is taken away."""
        return self.musubi.remembered.marked

    def panels(self) -> Iterable[Widget]:
        """Runs and card."""
        runs = RunsPanel(Header(id="header"), RunList(id="list"), Part(id="empty"), id="runs")
        yield Container(runs, RunCard(id="card"), id="jobs")

    def show(self, view: View) -> None:
        """Show these facts."""
        super().show(view)
        if self.musubi.has_read:
            there = {now.run_dir for now in view.runs}
            self.musubi.remember(marked=tuple(run for run in self.marked if run in there))
        shown, found = self._arranged(view), self.query_one(RunList)
        facts = Facts(
            view.queue, bool(view.held), frozenset(self.marked), view.archived, view.winners, names_of_several(shown)
        )
        found.show(shown, self.musubi.glyphs, facts)
        wanted = self.musubi.cursor_wanted
        if wanted and any(now.run_dir == wanted for now in view.runs):
            self.musubi.cursor_wanted = ""
            found.choose(next((place for place, now in enumerate(found.runs) if now.run_dir == wanted), found.cursor))
        self._show_card(view)
        self._show_frame(view)

    def _choose_layout(self, size: Size) -> None:
        self.set_class(size.width >= _WIDE[0] and size.height >= _WIDE[1], "-wide")

    def _arranged(self, view: View) -> tuple[Snapshot, ...]:
        return arranged(
            rows_of(view, archived=self.show_archived), self.words, self.sort, reverse=self.reverse, queue=view.queue
        )

    def _show_card(self, view: View) -> None:
        """The chosen run's card; another run's facts are not shown while its own are being read."""
        if self.draft is not None:
            self.query_one(RunCard).show_draft(self.draft.name, self.draft.path, self.musubi.glyphs)
            return
        folder = self.chosen.run_dir if self.chosen else ""
        detail = view.detail if view.detail and view.detail.now.run_dir == folder else None
        self.query_one(RunCard).show_run(detail, view, self.musubi.glyphs, self._waiting.get(folder, ""))

    def _show_frame(self, view: View) -> None:
        found = self.query_one(RunList)
        self.query_one("#header", Part).show(titles_line(found.line_width, self.musubi.glyphs))
        hidden = len(view.archived) if not self.show_archived else 0
        marked = Facts(marked=frozenset(self.marked))
        title = list_title(marked, len(found.runs), len(view.runs) + len(view.drafts) - hidden, self.words, self.sort, reverse=self.reverse, hidden=hidden)  # fmt: skip
        title = hinted(self.musubi, title)
        panel = self.query_one(RunsPanel)
        if panel.border_title != title:
            panel.border_title = title
        text = (
            hinted(self.musubi, why_nothing(view.runs, self.words)) if not found.runs and self.musubi.has_read else ""
        )
        empty = self.query_one("#empty", Part)
        empty.show(text)
        empty.display = bool(text)
        found.set_class(bool(text), "-empty")

    def on_resize(self) -> None:
        """Beside each other where there is room; the header follows the columns."""
        self._choose_layout(self.size)
        self.call_after_refresh(lambda: self.show(self.musubi.view))

    def on_run_list_chosen(self, message: RunList.Chosen) -> None:
        """Read the chosen run in detail."""
        self.musubi.reader.look_at(message.run.run_dir if message.run else "")
        self._show_card(self.musubi.view)

    def on_run_list_opened(self, message: RunList.Opened) -> None:
        """Open the run."""
        if message.run.state == DRAFT:
            self.open_draft()
        elif message.run.state == GONE:
            self._existing()
        else:
            self.musubi.open_run(Path(message.run.run_dir))

    # Filter and order

    def on_mount(self) -> None:
        """The hints of the panels. A filter that was kept is shown, so that nobody wonders where the runs are."""
        self.query_one("#runs").border_subtitle = Content(hinted(self.app, list_hint()))
        self.query_one("#card").border_subtitle = Content(hinted(self.app, card_hint()))
        if self.words:
            self.call_after_refresh(self._show_filter)

    def _show_filter(self) -> Input:
        box = Field(self.words, placeholder=say("words, a|b, !without", "語、a|b、!除外"), compact=True, id="filter")
        self.query_one(RunsPanel).mount(box, before="#list")
        return box

    def action_filter(self) -> None:
        """Open the filter, or go back into it."""
        boxes = self.query("#filter")
        (boxes.first() if boxes else self._show_filter()).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while one types."""
        self.words = event.value
        self.show(self.musubi.view)

    def on_input_submitted(self) -> None:
        """Back to the list; the filter stays."""
        self.musubi.remember(words=self.words)
        self.query_one(RunList).focus()

    def action_clear(self) -> None:
        """Clear and close the filter."""
        self.words = ""
        self.query("#filter").remove()
        self.query_one(RunList).focus()
        self._keep_order()

    def action_sort(self) -> None:
        """The next order."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self._keep_order()

    def action_reverse(self) -> None:
        """The other way round."""
        self.reverse = not self.reverse
        self._keep_order()

    def sort_by(self, sort: str) -> None:
        """This order, or the same the other way round."""
        if sort:
            self.reverse = not self.reverse if sort == self.sort else False
            self.sort = sort
            self._keep_order()

    def action_archived(self) -> None:
        """Show or hide what is archived."""
        self.show_archived = not self.show_archived
        self._keep_order()

    def _keep_order(self) -> None:
        self.musubi.remember(sort=self.sort, reverse=self.reverse, words=self.words, archived=self.show_archived)
        self.show(self.musubi.view)

    # Comparing

    def action_mark(self) -> None:
        """Mark the run, or take the mark away; the cursor goes on."""
        if self.chosen is None:
            self._say_nothing_chosen()
            return
        run = self.chosen.run_dir
        marked = tuple(other for other in self.marked if other != run) if run in self.marked else (*self.marked, run)
        self.musubi.remember(marked=marked, **({"compared": marked} if len(marked) > 1 else {}))
        self.show(self.musubi.view)
        self.query_one(RunList).action_move(1)

    async def action_compare(self) -> None:
        """Open Compare with the marked runs; with one mark, that run and the one under the cursor."""
        wanted = self.marked
        if len(wanted) < 2 and self.chosen is not None and self.chosen.run_dir not in wanted:
            wanted = (*wanted, self.chosen.run_dir)
        if len(wanted) < 2:
            self.musubi.tell(
                say("Mark two runs or more with {jobs.mark}.", "{jobs.mark} で 2 件以上の run に印を付けてください。")
            )
            return
        self.musubi.remember(compared=wanted)
        await self.musubi.action_mode("compare")
