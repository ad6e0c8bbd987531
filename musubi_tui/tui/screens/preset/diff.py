"""``d``: what the draft would train differently, against the saved file, the defaults, its base, the version before,
another preset, or a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll

from engine.config.language import say
from engine.config.problems import UserError
from engine.config.schema import OPTIONS
from engine.events.redaction import redact
from musubi_tui.presets import versus
from musubi_tui.presets.completing import working_folder
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.form import shown, shown_plainly
from musubi_tui.presets.versus import Side
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.screens.preset.ask import Answer, ListScreen, PathScreen
from musubi_tui.tui.widgets.grid import wrap
from musubi_tui.tui.widgets.plain import Plain, entitle

_MOST_RUNS = 500
_MOST_LINES = 6  # of a long value


class DiffScreen(Dialog[None]):
    """The differences to one side; keys choose another side. ``side`` is the first one."""

    CSS_PATH = "diff.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("diff.saved", "s", "against('saved')", say("against the saved file", "保存済みファイルと比較")),
        key("diff.defaults", "f", "against('defaults')", say("against the defaults", "デフォルトと比較")),
        key("diff.base", "b", "against('base')", say("against its base preset", "base と比較")),
        key("diff.parent", "v", "against('parent')", say("against the version before", "前のバージョンと比較")),
        key("diff.last", "r", "against('last')", say("against the last run", "直近の run と比較")),
        key("diff.run", "a", "any_run", say("against any run", "任意の run と比較")),
        key("diff.preset", "p", "preset", say("against another preset", "別のプリセットと比較")),
        key("diff.close", "escape,q,d", "dismiss", say("close", "閉じる")),
        key("diff.up", "up,k", "scroll(-1)", say("up", "上")),
        key("diff.down", "down,j", "scroll(1)", say("down", "下")),
        key("diff.page_up", "pageup,ctrl+u", "scroll(-12)", say("page up", "前のページ")),
        key("diff.page_down", "pagedown,ctrl+d,space", "scroll(12)", say("page down", "次のページ")),
    ]

    def __init__(self, draft: Draft, side: Side) -> None:
        super().__init__()
        self._draft, self._side = draft, side

    def compose(self) -> ComposeResult:
        """The keys, and the differences below."""
        with Vertical(id="diff"):
            yield Plain(
                hinted(
                    self.app,
                    say(
                        "{diff.saved} saved  {diff.defaults} defaults  {diff.base} base  {diff.parent} parent  {diff.last} last run  "
                        "{diff.run} any run  {diff.preset} preset",
                        "{diff.saved} 保存済み  {diff.defaults} デフォルト  {diff.base} base  {diff.parent} 前の版  {diff.last} 直近の run  "
                        "{diff.run} 任意の run  {diff.preset} 他",
                    ),
                ),
                classes="keys",
            )
            yield VerticalScroll(Plain(id="differences"), can_focus=False)

    def on_mount(self) -> None:
        """Show the first side."""
        self._show(lambda: self._side)

    def on_resize(self) -> None:
        """The columns follow the width."""
        self.call_after_refresh(self._draw)

    def cli_twin(self) -> str:
        """``presets diff`` of the file with the same side; for the saved file the command that makes the changes."""
        if self._side.twin is None:
            return self._draft.twin()
        return f"musubi-tui presets diff {shlex.quote(str(self._draft.path))} {self._side.twin}".strip()

    def _show(self, find: Callable[[], Side]) -> None:
        try:
            self._side = find()
        except (UserError, OSError) as error:
            self.query_one("#differences", Plain).update(str(error))
            return
        self._draw()
        self.query_one(VerticalScroll).scroll_home(animate=False)

    def _draw(self) -> None:
        frame = self.query_one("#diff")
        frame.border_subtitle = hinted(self.app, say("{diff.close} close", "{diff.close} 閉じる"))
        entitle(frame, say(f"{self._draft.path.name} against {self._side.title}", f"{self._draft.path.name} と {self._side.title}"))  # fmt: skip
        width = max(20, self.query_one(VerticalScroll).size.width)
        text = Text()
        for line, style in difference_lines(self._draft, self._side, width):
            text.append(f"{line}\n", style)
        self.query_one("#differences", Plain).update(text)

    def action_against(self, what: str) -> None:
        """Another side."""
        draft = self._draft
        find: dict[str, Callable[[], Side]] = {
            "saved": lambda: versus.saved_side(draft),
            "defaults": lambda: versus.default_side(draft),
            "base": lambda: versus.base_side(draft),
            "parent": lambda: versus.parent_side(draft),
            "last": lambda: versus.run_side(versus.last_run(draft.path)),
        }
        self._show(find[what])

    def action_any_run(self) -> None:
        """Choose a run."""
        from musubi_tui.runs.finding import list_runs

        runs = {run.id: run for run in list_runs()[:_MOST_RUNS]}
        if not runs:
            self._show(lambda: versus.run_side(versus.last_run(self._draft.path)))
            return

        def answer(chosen: str | None) -> None:
            if chosen:
                self._show(lambda: versus.run_side(runs[chosen]))

        title = say("Compare with which run?", "どの run と比較しますか？")
        self.app.push_screen(ListScreen(title, [Answer(name, name) for name in runs]), answer)

    def action_preset(self) -> None:
        """Ask for another preset."""

        def answer(word: str | None) -> None:
            if word:
                self._show(lambda: versus.preset_side(word))

        title = say(
            "Compare with which preset? A path, or a name of the library.",
            "どのプリセットと比較しますか？（パスまたはライブラリの名前）",
        )
        self.app.push_screen(PathScreen(title, "", working_folder()), answer)

    def action_scroll(self, by: int) -> None:
        """Up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def difference_lines(draft: Draft, side: Side, width: int) -> Iterator[tuple[str, str]]:
    """(line, style): the options that differ in three columns, then the lines of the text that do."""
    found = versus.differences_to(draft, side)
    name_width = min(max((len(one.key) for one in found), default=0), 32)
    value = max(8, (width - name_width - 4) // 2)
    head = f"{fit('', name_width)}  {fit(say('here', 'この下書き'), value)}  {side.title}"
    if found:
        yield fit(head, width), "dim"
    for one in found:
        mine, theirs = (_cell(one.key, part) for part in (one.left, one.right))
        columns = zip_longest(*(wrap(text, value, _MOST_LINES) for text in (mine, theirs)), fillvalue="")
        for place, (left, right) in enumerate(columns):
            yield f"{fit('' if place else one.key, name_width)}  {fit(left, value)}  {fit(right, value)}", ""
    lines = versus.line_difference(draft, side)
    if not found and not lines:
        yield say("No difference.", "違いはありません。"), ""
    elif not found:
        yield say("No option differs.", "項目の違いはありません。"), ""
    if lines:
        yield "", ""
    for line in lines:
        plain = "".join(character if character.isprintable() else " " for character in line)
        style = "bold" if line[:1] in "+-" and line[:3] not in ("+++", "---") else "dim"
        yield plain, style


def _cell(key: str, value: object) -> str:
    if value == "<redacted>":
        return "<redacted>"
    return redact(shown(OPTIONS[key], value) if key in OPTIONS else shown_plainly(value))
