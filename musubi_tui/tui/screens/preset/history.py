"""``H``: the versions of the preset, what each changed since its parent, and the runs that were made of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import OptionList
from textual.widgets.option_list import Option as ListOption

from engine.config.language import say
from musubi_tui.presets.lineage import Chapter
from musubi_tui.runs.snapshot import Snapshot, brief
from musubi_tui.runs.state_words import state_word
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import small
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.screens.preset.ask import Choices
from musubi_tui.tui.widgets.plain import Plain, entitle, safe

_MOST_RUNS = 50  # of one version
NEXT = "next"


class HistoryScreen(Dialog[tuple[str, str]]):
    """Dismissed with ("open", a preset), ("run", the id of a run to compare with), or ("next", "") for another version."""

    CSS_PATH = "history.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("history.close", "escape,q,H", "dismiss", say("close", "閉じる")),
        key("history.down", "j", "cursor(1)", say("next", "次")),
        key("history.up", "k", "cursor(-1)", say("previous", "前")),
        key("history.next", "D", "next", say("make the next version", "次のバージョンを作成")),
    ]

    def __init__(self, preset: Path, chapters: Sequence[tuple[Chapter, Sequence[Snapshot]]], glyphs: Glyphs) -> None:
        super().__init__()
        self._preset, self._chapters, self._glyphs = preset, chapters, glyphs
        self._answers: list[tuple[str, str] | None] = []

    def compose(self) -> ComposeResult:
        """The keys, and the list."""
        lines = list(self._lines())
        self._answers = [answer for _, answer in lines]
        with Vertical(id="history"):
            yield Plain(
                hinted(
                    self.app,
                    say(
                        "enter opens the version, or compares with the run  {history.next} next version",
                        "enter バージョンを開く・run と比較  {history.next} 次のバージョン",
                    ),
                ),
                classes="keys",
            )
            yield Choices(*(ListOption(safe(text), disabled=answer is None) for text, answer in lines), markup=False, compact=True)  # fmt: skip

    def _lines(self) -> Iterator[tuple[str, tuple[str, str] | None]]:
        """(text, what it answers); texts that are only read answer nothing."""
        here = say("(open)", "（編集中）")
        for chapter, runs in self._chapters:
            version = chapter.version
            words = (version.label, version.preset.name, version.created[:10], version.note)
            mark = here if version.preset == self._preset else ""
            yield "  ".join(filter(None, (*words, mark))), ("open", str(version.preset))
            if version.parent is not None:
                gone = say("its parent is gone, or one of the two has errors", "親がないか、どちらかにエラーがあります")
                yield f"    {say('changed', '変更')}: {chapter.changes or gone}", None
            for now in runs:
                yield f"    {_run_line(now, self._glyphs)}", ("run", now.id)
            more = len(chapter.runs) - len(runs)
            if more:
                yield f"    {say(f'{more} older runs', f'それ以前の run {more} 件')}", None
            if not chapter.runs:
                yield f"    {say('no runs yet', 'run はまだありません')}", None

    def on_mount(self) -> None:
        """The title; the cursor begins on the version that is open."""
        self.query_one("#history").border_subtitle = hinted(
            self.app, say("{history.close} close", "{history.close} 閉じる")
        )
        entitle(self.query_one("#history"), say(f"history of {self._preset.name}", f"{self._preset.name} の履歴"))
        places = [n for n, answer in enumerate(self._answers) if answer == ("open", str(self._preset))]
        self.query_one(OptionList).highlighted = places[0] if places else 0

    def cli_twin(self) -> str:
        """``presets versions``."""
        return f"musubi-tui presets versions {shlex.quote(str(self._preset))}"

    def action_cursor(self, by: int) -> None:
        """Down or up."""
        found = self.query_one(OptionList)
        found.action_cursor_down() if by > 0 else found.action_cursor_up()

    def action_next(self) -> None:
        """Another version."""
        self.dismiss((NEXT, ""))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take it."""
        event.stop()
        self.dismiss(self._answers[event.option_index])


def read_history(preset: Path) -> list[tuple[Chapter, list[Snapshot]]]:
    """Versions and runs as the screen shows them. Reads files: for a thread."""
    from musubi_tui.presets.lineage import history_of

    return [(chapter, [brief(run) for run in chapter.runs[:_MOST_RUNS]]) for chapter in history_of(preset)]


def _run_line(now: Snapshot, glyphs: Glyphs) -> str:
    steps = f"{now.step}/{now.max_steps}" if now.max_steps else ""
    loss = f"loss {small(now.loss)}" if now.loss is not None else ""
    best = min((one["loss"] for one in now.validation if one["loss"] is not None), default=None)
    checked = say(f"best val {small(best)}", f"検証の最小 {small(best)}") if best is not None else ""
    return "  ".join(filter(None, (f"{glyphs.state(now.state)} {now.id}", state_word(now.state), steps, loss, checked)))
