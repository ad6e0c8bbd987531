"""Jobs: all runs, the chosen one in short, and the keys that steer it. The app opens here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from engine.config.language import say
from musubi_tui.tui.keymap import key
from musubi_tui.tui.runs_table import SORTS, arranged, columns, line, sort_word
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.run_card import RunCard
from musubi_tui.tui.widgets.run_list import RunList
from musubi_tui.tui.widgets.status_bar import Part

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot


class RunsPanel(Vertical):
    """The list with its header line and, while one filters, the filter."""

    ALLOW_MAXIMIZE = True


class JobsScreen(ModeScreen):
    """The list above, the card below."""

    MODE = "jobs"
    CSS_PATH = "jobs.tcss"
    AUTO_FOCUS = "RunList"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("jobs.new", "n", "new", say("new run", "新規"), show=True),
        key("jobs.resume", "r,R", "resume", say("resume", "再開"), show=True),
        key("jobs.pause", "p", "pause", say("pause", "一時停止"), show=True),
        key("jobs.stop", "s,X", "stop", say("stop", "停止"), show=True),
        key("jobs.filter", "slash", "filter", say("filter", "絞り込み"), display="/"),
        key("jobs.sort", "o", "sort", say("sort", "並べ替え")),
        key("jobs.clear", "escape", "clear", say("clear the filter", "絞り込みを解除")),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.sort = SORTS[0]
        self.words = ""
        self._waiting: dict[str, str] = {}  # folder of a run -> the command without an answer

    def panels(self) -> Iterable[Widget]:
        """Runs and card."""
        yield RunsPanel(Part(id="header"), RunList(id="list"), Part(id="empty"), id="runs")
        yield RunCard(id="card")

    def show(self, view: View) -> None:
        """Show these facts."""
        super().show(view)
        self.query_one(RunList).show(arranged(view.runs, self.words, self.sort), self.musubi.glyphs)
        self._show_card(view)
        self._show_frame(view)

    def _show_card(self, view: View) -> None:
        """The chosen run's card; another run's facts are not shown while its own are being read."""
        chosen = self.query_one(RunList).run
        folder = chosen.run_dir if chosen else ""
        detail = view.detail if view.detail and view.detail.now.run_dir == folder else None
        self.query_one(RunCard).show(detail, self.musubi.glyphs, self._waiting.get(folder, ""))

    def _show_frame(self, view: View) -> None:
        found = self.query_one(RunList)
        width = found.size.width
        shape = columns(width)
        titles = line([column.title for column in shape], shape, width, self.musubi.glyphs)
        self.query_one("#header", Part).show(" ".join(cell.text for cell in titles))
        count = f" ({len(found.runs)}/{len(view.runs)})" if self.words else ""
        title = say(f"runs  / filter{count}  o sort: {sort_word(self.sort)}", f"run  / 絞り込み{count}  o 並べ替え: {sort_word(self.sort)}")  # fmt: skip
        panel = self.query_one(RunsPanel)
        if panel.border_title != title:
            panel.border_title = title
        text = self._why_empty(view) if not found.runs and self.musubi.has_read else ""
        empty = self.query_one("#empty", Part)
        empty.show(text)
        empty.display = bool(text)
        found.set_class(bool(text), "-empty")

    def _why_empty(self, view: View) -> str:
        if view.runs:
            return say("No run fits the filter. Escape clears it.", "条件に合う run がありません。Esc で解除します。")
        return say(
            "No runs yet. n starts one from a preset.\nAt the shell `musubi-tui demo` trains a tiny model in a minute or two.",
            "まだ run がありません。n でプリセットから始められます。\nシェルの `musubi-tui demo` は小さなモデルを 1〜2 分で学習します。",
        )

    def cli_twin(self) -> str:
        """``runs show`` of the run under the cursor."""
        chosen = self.query_one(RunList).run
        return f"musubi-tui runs show {shlex.quote(chosen.id)}" if chosen else "musubi-tui runs list"

    def on_resize(self) -> None:
        """The header follows the columns."""
        self.call_after_refresh(lambda: self.show(self.musubi.view))

    def on_run_list_chosen(self, message: RunList.Chosen) -> None:
        """Read the chosen run in detail."""
        self.musubi.look_at(message.run.run_dir if message.run else "")
        self._show_card(self.musubi.view)

    def on_run_list_opened(self, message: RunList.Opened) -> None:
        """Open the run."""
        self.musubi.open_run(Path(message.run.run_dir))

    # Filter and order

    def action_filter(self) -> None:
        """Open the filter, or go back into it."""
        boxes = self.query("#filter")
        if boxes:
            boxes.first().focus()
            return
        hint = say("words, a|b, !without", "語、a|b、!除外")
        box = Input(self.words, placeholder=hint, compact=True, id="filter")
        self.query_one(RunsPanel).mount(box, before="#list")
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while one types."""
        self.words = event.value
        self.show(self.musubi.view)

    def on_input_submitted(self) -> None:
        """Back to the list; the filter stays."""
        self.query_one(RunList).focus()

    def action_clear(self) -> None:
        """Clear and close the filter."""
        self.words = ""
        self.query("#filter").remove()
        self.query_one(RunList).focus()
        self.show(self.musubi.view)

    def action_sort(self) -> None:
        """The next order."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.show(self.musubi.view)

    # Steering

    def action_new(self) -> None:
        """Ask for a preset and start it."""
        from musubi_tui.tui.screens.start import StartScreen

        self.app.push_screen(StartScreen(self.musubi.home))

    def action_pause(self) -> None:
        """Pause the run, or go on when it is paused."""
        chosen = self._alive()
        if chosen is not None:
            self._steer(chosen, "resume" if chosen.state == "paused" else "pause")

    def action_resume(self) -> None:
        """Go on with the run, whatever ended it."""
        from engine.events.status import ALIVE
        from musubi_tui.tui.steering import resume

        chosen = self.query_one(RunList).run
        if chosen is None:
            self._say_nothing_chosen()
        elif chosen.state in ALIVE and chosen.state != "paused":
            self.musubi.tell(say(f"{chosen.name} runs already.", f"{chosen.name} は実行中です。"))
        else:
            self._in_background(chosen, "resume", lambda: resume(chosen.run_dir))

    def action_stop(self) -> None:
        """Ask when to stop."""
        from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen

        chosen = self._alive()
        if chosen is None:
            return
        text = say(
            "A complete state is saved before the engine leaves. r goes on later, step for step as if it had not stopped.",
            "終了の前に完全な状態を保存します。後で r で再開すると、止めなかった場合と同じ結果になります。",
        )
        if chosen.stop_seconds is not None:
            text += say(
                f" It takes about {chosen.stop_seconds:.0f} s.", f" 約 {chosen.stop_seconds:.0f} 秒かかります。"
            )
        choices = (
            Choice("now", "n", say("now: after the step it is in", "今すぐ（現在のステップの後）")),
            Choice("save", "s", say("after the next save", "次の保存の後")),
            Choice("epoch", "e", say("at the end of the epoch", "エポックの終わり")),
        )

        def stop(when: str | None) -> None:
            if when:
                self._steer(chosen, "stop", when=when)

        title = say(f"Stop {chosen.name}?", f"{chosen.name} を停止しますか？")
        twin = f"musubi-tui runs stop {shlex.quote(chosen.id)} --when "
        self.app.push_screen(ConfirmScreen(title, text, choices, twin), stop)

    def _alive(self) -> Snapshot | None:
        """The run under the cursor when it can obey; else says why not."""
        from engine.events.status import ALIVE

        chosen = self.query_one(RunList).run
        if chosen is None:
            self._say_nothing_chosen()
            return None
        if chosen.state not in ALIVE:
            self.musubi.tell(say(f"{chosen.name} is {chosen.state}: nobody would obey.", f"{chosen.name} は {chosen.state} で、命令を受け付けません。"))  # fmt: skip
            return None
        return chosen

    def _say_nothing_chosen(self) -> None:
        self.musubi.tell(say("There is no run under the cursor.", "カーソル位置に run がありません。"))

    def _steer(self, chosen: Snapshot, command: str, **arguments: str) -> None:
        from musubi_tui.tui.steering import steer

        self._in_background(chosen, command, lambda: steer(chosen.run_dir, command, arguments))

    def _in_background(self, chosen: Snapshot, command: str, job: Callable[[], str]) -> None:
        """One command at a time per run: the next one waits for the answer, or for ten seconds without one."""
        if chosen.run_dir in self._waiting:
            self.musubi.tell(say(f"{self._waiting[chosen.run_dir]} has no answer yet.", f"{self._waiting[chosen.run_dir]} の応答待ちです。"))  # fmt: skip
            return
        self._waiting[chosen.run_dir] = command
        self.show(self.musubi.view)

        def answered() -> None:
            self._waiting.pop(chosen.run_dir, None)
            self.show(self.musubi.view)

        self.musubi.in_background(job, answered)
