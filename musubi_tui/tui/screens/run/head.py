"""The header of the run screen: the run, and beside it what the status bar of the other screens has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, cast

from engine.config.language import say
from musubi_tui.runs.fetching import sits_elsewhere
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.screens.mode import ShowsView
from musubi_tui.tui.screens.run import panels
from musubi_tui.tui.screens.run.looks import RememberingScreen
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.lines import Lines, Span
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.status_bar import active_text, gpu_text, hook_text

if TYPE_CHECKING:
    from textual.app import App

    from engine.events.rundir import RunDirectory
    from musubi_tui.tui.run_view import RunView

_ROOM_FOR_CARDS = 140  # columns


class HeadedScreen(RememberingScreen, ShowsView):
    """The part of the run screen that draws its two lines and the mode bar above them."""

    def __init__(self, source: RunSource) -> None:
        super().__init__(source)
        self._known = View()  # what the app knows of all runs

    @property
    def glyphs(self) -> Glyphs:
        """The app's set."""
        return cast(Glyphs, getattr(self.app, "glyphs", UNICODE))

    def show(self, view: View) -> None:
        """What the app knows beside this run: a command that counts down, another run, the cards."""
        cards = view.machine is not None and self.size.width >= _ROOM_FOR_CARDS
        self.query_one(ModeBar).facts = gpu_text(view.machine) if cards and view.machine else ""
        self._known = view
        self.draw_head()

    def draw_head(self) -> None:
        """The header and the mode bar, from what there is."""
        view = self.view
        if view is None or not self.is_mounted:
            return
        head = self.query_one("#head", Lines)
        told = beside(self.app, self._known, self.source.run, view, self.glyphs)
        head.show(panels.header(view, head.size.width, self.glyphs, self.note, told))
        self.query_one(ModeBar).draw()


def beside(app: App[Any], known: View, run: RunDirectory | None, view: RunView, glyphs: Glyphs) -> list[Span]:
    """First things first: a command that counts down, another run that works, how to fetch what was made."""
    mine = str(run.path) if run is not None else ""
    names = {now.run_dir: clean(now.name) for now in known.runs}
    told: list[Span] = []
    for hook in sorted(known.hooks, key=lambda hook: hook.run_dir != mine):
        whose = "" if hook.run_dir == mine else f"{names.get(hook.run_dir, '')} "
        told.append((f"! {whose}{hinted(app, hook_text(hook))}", "warn"))
    if known.active is not None and known.active.run_dir != mine:
        told.append((active_text(known.active, glyphs), "muted"))
    if view.live and not view.alive and view.saved and _elsewhere():
        told.append((hinted(app, say("{run.fetch} brings it home", "{run.fetch} で持ち帰る")), "mark"))
    return told


@cache
def _elsewhere() -> bool:
    """It does not change while the app is open, and is asked for with every frame."""
    return sits_elsewhere()
