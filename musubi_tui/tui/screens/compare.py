"""Compare: in which settings runs differ, and their losses laid over each other. The same values as ``runs compare``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.markup import escape
from textual.widget import Widget
from textual.widgets import Input

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.filtering import fits
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain, entitle

if TYPE_CHECKING:
    from musubi_tui.runs.comparing import Compared
    from musubi_tui.runs.snapshot import Snapshot
    from musubi_tui.tui.screens.compare_table import Row, Settings
    from musubi_tui.tui.widgets.matrix import Matrix
    from musubi_tui.tui.widgets.overlay import Overlay

MOST = 6  # runs that can be told apart
_WIDE = 140
_TABLE, _CURVES = 60, 76  # cells that the table has at least, and that it leaves to the curves
_READ_AGAIN_SECONDS = 5.0


class CompareScreen(ModeScreen):
    """The runs that were marked on Jobs. They are read on a thread; a run that goes on is read again every few seconds."""

    MODE = "compare"
    CSS_PATH = "compare.tcss"
    AUTO_FOCUS = "#overlay"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("compare.add", "a", "add", say("add run", "run を選び直す"), show=True),
        key("compare.remove", "r", "remove", say("remove run", "run を外す"), show=True),
        key("compare.winner", "w", "winner", say("winner", "最良に選ぶ"), show=True),
        key("compare.merge", "M", "merge", say("merge/EMA", "マージ/EMA"), show=True),
        key("compare.run_before", "left_square_bracket", "choose(-1)", say("the run before", "前の run"), display="["),
        key("compare.run_next", "right_square_bracket", "choose(1)", say("the next run", "次の run"), display="]"),
        key("compare.axis", "x", "axis", say("axis: step, time, cost", "横軸: ステップ・時間・費用")),
        key("compare.log", "L", "chart('logarithmic')", say("log", "対数軸")),
        key("compare.validation", "v", "chart('validation')", say("val only", "検証のみ")),
        key("compare.all", "equals_sign", "everything", say("all settings", "全設定"), display="="),
        key("compare.filter", "slash", "filter", say("filter the settings", "設定の絞り込み"), display="/"),
        key("compare.clear", "escape", "clear", say("clear the filter", "絞り込みを解除")),
        key("compare.copy", "y", "copy", say("copy the table", "表をコピー")),
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
        self.words = ""
        self._read_of: tuple[object, ...] = ()
        self._reading = False

    def panels(self) -> Iterable[Widget]:
        """Table and curves, and what to do while there is nothing to compare."""
        from musubi_tui.tui.screens.compare_table import Settings
        from musubi_tui.tui.widgets.matrix import Matrix
        from musubi_tui.tui.widgets.overlay import Overlay

        yield Container(
            Vertical(Settings(id="settings"), id="table"),
            Vertical(Overlay(id="overlay"), Matrix(id="matrix"), id="curves"),
            id="compare",
        )
        yield Plain(id="nothing")

    def on_mount(self) -> None:
        """The hints of the panels."""
        arrows = (
            "{compare.left}/{compare.right}" if self.musubi.glyphs.name == "ascii" else "{compare.left}{compare.right}"
        )
        before = "{compare.run_before} {compare.run_next}"
        for panel, words in (
            (self.table, say(f"{before} run  {{compare.all}} all rows  {{compare.filter}} filter  {{compare.copy}} copy",
                             f"{before} run  {{compare.all}} 全設定  {{compare.filter}} 絞り込み  {{compare.copy}} コピー")),
            (self.overlay, say(f"{{compare.axis}} step/time/cost  {{compare.log}} log  {{compare.validation}} val only  {arrows} cursor",
                               f"{{compare.axis}} ステップ/時間/費用  {{compare.log}} 対数  {{compare.validation}} 検証のみ  {arrows} カーソル")),
            (self.matrix, say("up/down prompt  {compare.picture} full", "上下 プロンプト  {compare.picture} 全画面")),
        ):  # fmt: skip
            panel.border_subtitle = escape(hinted(self.app, words))
        self.matrix.display = False

    @property
    def table(self) -> Settings:
        """The settings."""
        from musubi_tui.tui.screens.compare_table import Settings

        return self.query_one(Settings)

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

    @property
    def chosen(self) -> Snapshot | None:
        """The run under the table's cursor."""
        place = self.table.chosen
        return self.runs[place].now if place < len(self.runs) else None

    def wanted(self) -> tuple[str, ...]:
        """The runs that were compared last, those that are still there."""
        there = {now.run_dir for now in self.musubi.view.runs if now.state != "gone"}
        return tuple(run for run in self.musubi.remembered.compared if run in there)[:MOST]

    def show(self, view: View) -> None:
        """Show these facts; read the runs when they are others, or have moved."""
        super().show(view)
        if not self.is_current or not self.musubi.has_read:
            return
        wanted = self.wanted()
        enough = len(wanted) > 1
        self.query_one("#compare").display = enough
        self.query_one("#nothing").display = not enough
        if not enough:
            self.runs, self._read_of = [], ()
            self.query_one("#nothing", Plain).update(self._how_to(view))
            return
        steps = {now.run_dir: (now.step, now.state) for now in view.runs}
        moment = (wanted, tuple(steps.get(run) for run in wanted), view.price)
        if moment != self._read_of and not self._reading:
            self._reading = True
            if self._read_of and self._read_of[0] == wanted:  # they go on: not at every step
                self.set_timer(_READ_AGAIN_SECONDS, lambda: self._read(moment))
            else:
                self._read(moment)
        elif self.runs:
            self.draw()  # the winner may be another one

    def _how_to(self, view: View) -> str:
        marked = len(self.musubi.remembered.marked)
        already = say(f" ({marked} is marked)", f"（現在 {marked} 件）") if marked else ""
        none = say(
            "There are no runs yet: n on Jobs starts one.\n\n",
            "まだ run がありません。ジョブ画面の n で開始します。\n\n",
        )
        return ("" if view.runs else none) + say(
            f"Nothing to compare yet. On Jobs (1) mark two runs or more with space{already}, then C.\n"
            "The marks are kept: they are compared again the next time.\n\n"
            "At the shell: musubi-tui runs compare RUN RUN",
            f"まだ比較する run がありません。ジョブ画面（1）で space で 2 件以上に印を付け{already}、C を押してください。\n"
            "印は保存され、次回も同じ run を比較します。\n\n"
            "シェルでは: musubi-tui runs compare RUN RUN",
        )

    def _read(self, moment: tuple[object, ...]) -> None:
        wanted, price = self.wanted(), self.musubi.view.price

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
        if not self.is_mounted or not self.runs:
            return
        from musubi_tui.runs.comparing import best_of

        table, rows = self.table, self._rows()
        kept = [row for row in rows if fits(self.words, row[0])]
        title = say("what differs", "異なる設定") if not self.everything else say("all settings", "全設定")
        if self.words:
            title += say(f"  / {len(kept)} of {len(rows)}", f"  / {len(kept)}/{len(rows)} 件")
        if table.border_title != title:
            table.border_title = title
        if self.has_class("-wide"):
            width = max(_TABLE, min(table.wanted_width(self.runs, rows) + 4, self.size.width - _CURVES))
            self.query_one("#table").styles.width = width
        table.fill(self.runs, kept, best_of(self.runs), self.musubi.glyphs)
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
            entitle(matrix, matrix.title)

    def _rows(self) -> list[Row]:
        from musubi_tui.runs.comparing import result_rows, setting_rows

        settings = setting_rows(self.runs, everything=self.everything)
        rows = (settings or [(say("(nothing differs)", "（違いなし）"), [""] * len(self.runs))]) + result_rows(
            self.runs
        )
        winners = self.musubi.view.winners
        if any(run.now.run_dir in winners for run in self.runs):
            words = [say("winner", "最良") if run.now.run_dir in winners else "" for run in self.runs]
            rows.insert(0, (say("picked", "選択"), words))
        return rows

    def cli_twin(self) -> str:
        """``runs compare`` of these runs."""
        names = " ".join(shlex.quote(Path(run).name) for run in self.wanted())
        by = f" --by {self.overlay.axis}" if self.overlay.axis != "step" else ""
        return f"musubi-tui runs compare {names or 'RUN RUN'}{by}{' --all' if self.everything else ''}"

    def on_resize(self) -> None:
        """Beside each other where there is room."""
        wide = self.size.width >= _WIDE
        self.set_class(wide, "-wide")
        if not wide:
            self.query_one("#table").styles.width = "1fr"

    def on_settings_resized(self) -> None:
        """Draw the table in its new room."""
        self.draw()

    def on_settings_chosen(self) -> None:
        """Another run under the cursor."""
        self.draw()

    # Actions

    def action_axis(self) -> None:
        """Another axis."""
        self.overlay.next_axis()
        self._draw_samples()

    def action_chart(self, what: str) -> None:
        """A switch of the curves."""
        self.overlay.toggle(what)

    def action_walk(self, columns: int) -> None:
        """Move the cursor of the curves, and the samples with it; in the table the cursor over the runs."""
        if self.focused is self.table:
            self.action_choose(1 if columns > 0 else -1)
            return
        self.overlay.walk(columns)
        self._draw_samples()

    def action_choose(self, by: int) -> None:
        """The table's cursor on another run."""
        if self.runs:
            self.table.chosen = max(0, min(len(self.runs) - 1, self.table.chosen + by))
            self.draw()

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
        self.everything, self.table.top = not self.everything, 0
        self.draw()

    def action_scroll(self, by: int) -> None:
        """The table up or down, or another prompt where the samples are focused."""
        if self.focused is self.matrix:
            self.matrix.choose(by)
            self._draw_samples()
            return
        self.table.top += by
        self.draw()

    def action_copy(self) -> None:
        """The table, cells apart by tabs."""
        if self.runs:
            head = "\t".join(["", *(run.now.id for run in self.runs)])
            self.musubi.copy("\n".join([head, *("\t".join([name, *values]) for name, values in self._rows())]))

    async def action_add(self) -> None:
        """Back to Jobs, where runs are marked."""
        await self.musubi.action_mode("jobs")

    def action_remove(self) -> None:
        """Take the run under the cursor out of the comparison, and its mark away."""
        if self.chosen is None:
            return
        if len(self.runs) < 3:
            self.musubi.tell(
                say(
                    "Two runs are the least; {compare.add} marks others.",
                    "比較には 2 件必要です。{compare.add} で選び直せます。",
                )
            )
            return
        gone, kept = self.chosen.run_dir, self.musubi.remembered
        self.musubi.remember(
            compared=tuple(run for run in self.wanted() if run != gone),
            marked=tuple(run for run in kept.marked if run != gone),
        )
        self.show(self.musubi.view)

    def action_winner(self) -> None:
        """Pick the run under the cursor as the winner over the others, or take its mark away."""
        from musubi_tui.tui.acting import pick

        chosen = self.chosen
        if chosen is not None:
            others = [run.now.run_dir for run in self.runs if run.now.run_dir != chosen.run_dir]
            away = chosen.run_dir in self.musubi.view.winners
            self.musubi.in_background(lambda: pick(chosen.run_dir, others, chosen.step, away=away))

    def action_merge(self) -> None:
        """Say where merging will be, and which file it will start from."""
        if self.chosen is None:
            return
        winners = self.musubi.view.winners
        now = next((run.now for run in self.runs if run.now.run_dir in winners), self.chosen)
        made = [output["path"] for output in now.outputs if output["kind"] == "lora"]
        file = clean(made[-1]) if made else say("none was saved", "まだ保存されていません")
        self.musubi.tell(
            say(f"Merging and EMA come with Tools (6): not built yet, here or at the shell. The newest LoRA of {clean(now.name)}: {file}",
                f"マージと EMA はツール画面（6）で対応予定です（シェルも未実装）。{clean(now.name)} の最新 LoRA: {file}")
        )  # fmt: skip

    # Filter

    def action_filter(self) -> None:
        """Open the filter of the settings, or go back into it."""
        if not self.runs:
            return
        boxes = self.query("#filter")
        if not boxes:
            box = Field(
                self.words, placeholder=say("words, a|b, !without", "語、a|b、!除外"), compact=True, id="filter"
            )
            self.query_one("#table").mount(box, before=0)
            box.focus()
        else:
            boxes.first().focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while one types."""
        self.words, self.table.top = event.value, 0
        self.draw()

    def on_input_submitted(self) -> None:
        """Back to the table; the filter stays."""
        self.table.focus()

    def action_clear(self) -> None:
        """Clear and close the filter."""
        boxes = self.query("#filter")
        if boxes or self.words:
            self.words = ""
            boxes.remove()
            self.table.focus()
            self.draw()
