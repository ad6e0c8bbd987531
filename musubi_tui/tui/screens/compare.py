"""Compare: in which settings runs differ, and their losses laid over each other. The same values as ``runs compare``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.widget import Widget
from textual.widgets import Static

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.terminal_width import cells
from musubi_tui.tui.keymap import key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.grid import cut
from musubi_tui.tui.widgets.lines import Line, Lines, Span

if TYPE_CHECKING:
    from musubi_tui.runs.comparing import Compared
    from musubi_tui.tui.widgets.matrix import Matrix
    from musubi_tui.tui.widgets.overlay import Overlay

MOST = 6  # runs that can be told apart
_NAME = 22
_WIDE = 140
_READ_AGAIN_SECONDS = 5.0


class Settings(Lines):
    """The table: a line per setting, a column per run."""

    can_focus = True
    ALLOW_MAXIMIZE = True

    def on_resize(self) -> None:
        """Draw at the new size."""
        if isinstance(self.screen, CompareScreen):
            self.screen.draw()


class CompareScreen(ModeScreen):
    """The runs of ``app.compared``. They are read on a thread; a run that goes on is read again every few seconds."""

    MODE = "compare"
    CSS_PATH = "compare.tcss"
    AUTO_FOCUS = "#overlay"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("compare.axis", "x", "axis", say("x axis", "横軸"), show=True),
        key("compare.log", "L", "chart('logarithmic')", say("log", "対数軸"), show=True),
        key("compare.validation", "v", "chart('validation')", say("val only", "検証のみ"), show=True),
        key("compare.all", "equals_sign", "everything", say("all", "全設定"), show=True, display="="),
        key("compare.copy", "y", "copy", say("copy the table", "表をコピー")),
        key("compare.add", "a", "add", say("runs", "run を選び直す"), show=True),
        key("compare.remove", "r", "remove", say("remove the last run", "最後の run を外す")),
        key("compare.left", "left", "walk(-1)", say("cursor left", "カーソル左")),
        key("compare.right", "right", "walk(1)", say("cursor right", "カーソル右")),
        key("compare.far_left", "shift+left", "walk(-10)", say("cursor far left", "カーソル大きく左")),
        key("compare.far_right", "shift+right", "walk(10)", say("cursor far right", "カーソル大きく右")),
        key("compare.up", "up,k", "scroll(-1)", say("table up, prompt before", "表を上へ、前のプロンプト")),
        key("compare.down", "down,j", "scroll(1)", say("table down, next prompt", "表を下へ、次のプロンプト")),
        key("compare.picture", "enter,d", "picture", say("samples on the whole screen", "サンプルを全画面")),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Compared] = []
        self.everything = False
        self.top = 0
        self._read_of: tuple[object, ...] = ()
        self._reading = False

    def panels(self) -> Iterable[Widget]:
        """Table and curves, and what to do while there is nothing to compare."""
        from musubi_tui.tui.widgets.matrix import Matrix
        from musubi_tui.tui.widgets.overlay import Overlay

        yield Container(
            Settings(id="settings"), Vertical(Overlay(id="overlay"), Matrix(id="matrix"), id="curves"), id="compare"
        )
        yield Static(markup=False, id="nothing")

    def on_mount(self) -> None:
        """The hints of the panels."""
        self.query_one("#settings").border_subtitle = say("y copy", "y コピー")
        arrows = "<- ->" if self.musubi.glyphs.name == "ascii" else "←→"
        self.overlay.border_subtitle = say(f"{arrows} cursor", f"{arrows} カーソル")
        self.matrix.border_subtitle = say("up/down prompt  enter full", "上下 プロンプト  enter 全画面")
        self.matrix.display = False

    @property
    def matrix(self) -> Matrix:
        """The samples."""
        from musubi_tui.tui.widgets.matrix import Matrix

        return self.query_one(Matrix)

    @property
    def overlay(self) -> Overlay:
        """The curves."""
        from musubi_tui.tui.widgets.overlay import Overlay

        return self.query_one(Overlay)

    def show(self, view: View) -> None:
        """Show these facts; read the runs when they are others, or have moved."""
        super().show(view)
        if not self.is_current:
            return
        wanted = self.musubi.compared[:MOST]
        enough = len(wanted) > 1
        self.query_one("#compare").display = enough
        self.query_one("#nothing").display = not enough
        if not enough:
            self.query_one("#nothing", Static).update(
                say(
                    "Nothing to compare yet. On Jobs (1) mark two runs or more with space, then C.\n\n"
                    "At the shell: musubi-tui runs compare RUN RUN",
                    "まだ比較する run がありません。ジョブ画面（1）で space で 2 件以上に印を付け、C を押してください。\n\n"
                    "シェルでは: musubi-tui runs compare RUN RUN",
                )
            )
            return
        steps = {now.run_dir: (now.step, now.state) for now in view.runs}
        moment = (wanted, tuple(steps.get(run) for run in wanted), view.price)
        if moment != self._read_of and not self._reading:
            self._reading = True
            if self._read_of and self._read_of[0] == wanted:  # they go on: not at every step
                self.set_timer(_READ_AGAIN_SECONDS, lambda: self._read(moment))
            else:
                self._read(moment)

    def _read(self, moment: tuple[object, ...]) -> None:
        wanted, price = self.musubi.compared[:MOST], self.musubi.view.price

        def read() -> str:
            from engine.events.rundir import RunDirectory
            from musubi_tui.runs.comparing import compare_runs

            self.runs = compare_runs([RunDirectory(Path(run)) for run in wanted], price)
            return ""

        def done() -> None:
            self._reading, self._read_of = False, moment
            if self.is_mounted:
                self.draw()

        def refused(text: str) -> None:
            self._reading, self._read_of = False, moment
            self.musubi.tell(text, wrong=True)

        self.musubi.in_background(read, done, refused)

    def draw(self) -> None:
        """The table and the curves."""
        if not self.is_mounted:
            return
        table = self.query_one("#settings", Settings)
        title = say("what differs", "異なる設定") if not self.everything else say("all settings", "全設定")
        if table.border_title != title:
            table.border_title = title
        rows = self._rows()
        self.top = max(0, min(self.top, len(rows) - table.size.height + 1))
        width = table.size.width
        lines = [self._line("", [f"{run.letter} {clean(run.now.name)}" for run in self.runs], width, "bold")]
        lines += [self._line(name, values, width) for name, values in rows[self.top :]]
        table.show(lines)
        self.overlay.feed(self.runs)
        self._draw_samples()

    def _draw_samples(self) -> None:
        """The samples at the cursor; without any there is no panel."""
        matrix = self.matrix
        there = any(run.samples for run in self.runs)
        if matrix.display is not there:
            matrix.display = there
            self.set_class(there, "-samples")
        if there:
            axis, cursor = self.overlay.axis, self.overlay.cursor
            matrix.feed(self.runs, lambda run: run.step_at(axis, cursor))
            if matrix.border_title != matrix.title:
                matrix.border_title = matrix.title

    def _rows(self) -> list[tuple[str, list[str]]]:
        from musubi_tui.runs.comparing import result_rows, setting_rows

        if not self.runs:
            return []
        settings = setting_rows(self.runs, everything=self.everything)
        return (settings or [(say("(nothing differs)", "（違いなし）"), [""] * len(self.runs))]) + result_rows(
            self.runs
        )

    def _line(self, name: str, values: Sequence[str], width: int, role: str = "") -> Line:
        each = max(6, (width - _NAME) // max(1, len(values)) - 1)
        ellipsis = self.musubi.glyphs.ellipsis
        spans: list[Span] = [(fit(name, _NAME, ellipsis=ellipsis), "muted")]
        for value in shortened([clean(value) for value in values], each, ellipsis):
            spans.append((cut(value, each, ellipsis, keep_end="/" in value) + " ", role))
        return spans

    def cli_twin(self) -> str:
        """``runs compare`` of these runs."""
        names = " ".join(shlex.quote(Path(run).name) for run in self.musubi.compared[:MOST])
        by = f" --by {self.overlay.axis}" if self.overlay.axis != "step" else ""
        return f"musubi-tui runs compare {names or 'RUN RUN'}{by}{' --all' if self.everything else ''}"

    def on_resize(self) -> None:
        """Beside each other where there is room."""
        self.set_class(self.size.width >= _WIDE, "-wide")

    # Actions

    def action_axis(self) -> None:
        """Another axis."""
        self.overlay.next_axis()
        self._draw_samples()

    def action_chart(self, what: str) -> None:
        """A switch of the curves."""
        self.overlay.toggle(what)

    def action_walk(self, columns: int) -> None:
        """Move the cursor of the curves; the samples go with it."""
        self.overlay.walk(columns)
        self._draw_samples()

    def action_picture(self) -> None:
        """The samples at the cursor on the whole screen, to flick between."""
        from musubi_tui.tui.screens.picture import PictureScreen

        pictures = self.matrix.pictures() if self.runs else []
        if pictures:
            self.app.push_screen(PictureScreen(pictures, min(1, len(pictures) - 1), self.matrix.gallery))
        else:
            self.musubi.tell(say("There are no samples to compare.", "比較するサンプルがありません。"))

    def action_everything(self) -> None:
        """All settings, or those that differ."""
        self.everything, self.top = not self.everything, 0
        self.draw()

    def action_scroll(self, by: int) -> None:
        """The table up or down, or another prompt where the samples are focused."""
        if self.focused is self.matrix:
            self.matrix.choose(by)
            self._draw_samples()
            return
        self.top += by
        self.draw()

    def action_copy(self) -> None:
        """The table, cells apart by tabs."""
        head = "\t".join(["", *(run.now.id for run in self.runs)])
        self.musubi.copy("\n".join([head, *("\t".join([name, *values]) for name, values in self._rows())]))

    async def action_add(self) -> None:
        """Back to Jobs, where runs are marked."""
        await self.musubi.action_mode("jobs")

    def action_remove(self) -> None:
        """One run less."""
        if len(self.musubi.compared) > 2:
            self.musubi.compared = self.musubi.compared[:-1]
            self.show(self.musubi.view)


def shortened(values: Sequence[str], width: int, ellipsis: str) -> list[str]:
    """Values of which one is too long for ``width`` cells, without the folders that all of them begin with."""
    paths = [value for value in values if value.startswith("/")]
    shared = os.path.dirname(os.path.commonpath(paths)) if paths else ""
    if not shared.strip("/") or len(paths) < 2 or all(cells(value) <= width for value in values):
        return list(values)
    return [f"{ellipsis}{value.removeprefix(shared)}" if value in paths else value for value in values]
