"""``F``: the fixes that are proposed, what each would change, and applying those that are picked."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.events import Key

from engine.config.language import counted, say
from engine.config.problems import UserError
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.data.last import Wanted
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from musubi_tui.datasets.board import Board
    from musubi_tui.datasets.mending import Plan
    from musubi_tui.tui.app import MusubiApp

_PREVIEWED = 7
_WIDTH = 72


class FixScreen(Dialog[bool]):
    """Dismissed with True when something was changed."""

    CSS_PATH = "fixing.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("fix.close", "escape,q", "dismiss(False)", say("close", "閉じる")),
        key("fix.apply", "enter", "apply", say("apply", "適用")),
    ]

    def __init__(self, board: Board, wanted: Wanted) -> None:
        super().__init__()
        self._board, self._wanted = board, wanted
        proposed = [finding for finding in board.findings if finding.fix]
        self.fixes, self._more = proposed[:9], len(proposed[9:])
        self.picked: set[str] = set()
        self._plan: Plan | None = None

    def compose(self) -> ComposeResult:
        """The fixes, the preview, the keys."""
        with Vertical(id="fix"):
            yield Plain(say("Which fixes?", "どの修正を適用しますか？"), classes="title")
            yield Plain(id="fixes")
            yield Plain(id="preview")
            yield Plain(
                hinted(
                    self.app,
                    say(
                        "1-9 pick, {fix.apply} applies, {fix.close} closes. Nothing is deleted: files are set aside with a record, {data.undo} takes it back.",
                        "1-9 で選択、{fix.apply} で適用、{fix.close} で閉じます。削除はせず、記録とともによけます。{data.undo} で取り消せます。",
                    ),
                ),
                classes="text",
            )

    def on_mount(self) -> None:
        """Show them."""
        self._show()

    def cli_twin(self) -> str:
        """``data doctor`` with the same fixes."""
        words = ["musubi-tui", "data", "doctor", self._wanted.file]
        words += ["--family", self._wanted.family] if self._wanted.family else []
        words += ["--trigger", self._wanted.trigger] if self._wanted.trigger else []
        for fix in self.picked:
            words += ["--fix", fix]
        return shlex.join(words)

    def own_keys(self) -> Iterable[tuple[str, str]]:
        """The digits."""
        return [("1-9", say("pick or drop a fix", "修正を選ぶ・外す"))]

    def on_key(self, event: Key) -> None:
        """A digit picks or drops a fix."""
        if event.key.isdigit() and 1 <= int(event.key) <= len(self.fixes):
            event.stop()
            event.prevent_default()
            self.picked ^= {self.fixes[int(event.key) - 1].fix}
            self._show()
            self._preview()

    def _show(self) -> None:
        if not self.fixes:
            lines = [
                hinted(
                    self.app,
                    say(
                        "Nothing to mend is known. {data.doctor} looks closer.",
                        "修正の提案はありません。{data.doctor} で詳しく調べます。",
                    ),
                )
            ]
        else:
            lines = [f"{number} [{'x' if finding.fix in self.picked else ' '}] {clean(finding.title)}" for number, finding in enumerate(self.fixes, 1)]  # fmt: skip
            if self._more:
                lines.append(say(f"and {self._more} more, once some of these are applied", f"ほか {self._more} 件 (適用後に表示)"))  # fmt: skip
            if not self._board.decoded:
                lines.append(
                    say("D on the screen below looks closer for more.", "下の画面で D を押すと詳しく調べます。")
                )
        self.query_one("#fixes", Plain).update("\n".join(lines))

    def _preview(self) -> None:
        picked = tuple(sorted(self.picked))
        self.run_worker(lambda: self._make_plan(picked), thread=True, group="plan", exclusive=True, exit_on_error=False)

    def _make_plan(self, picked: tuple[str, ...]) -> None:
        from engine.data.findings import Diagnosis
        from engine.data.tokens import ESTIMATE, open_counter
        from musubi_tui.datasets.mending import plan

        opened = self._board.opened
        try:
            counter = ESTIMATE if opened.tokenizer is None else open_counter(opened.tokenizer, opened.spec)
            diagnosis = Diagnosis(self._board.findings, {}, (), {})
            made: Plan | str = plan(opened, diagnosis, picked, trigger=self._wanted.trigger, counter=counter)
        except (UserError, OSError) as error:
            made = str(error)
        self.app.call_from_thread(self._planned, picked, made)

    def _planned(self, picked: tuple[str, ...], made: Plan | str) -> None:
        from musubi_tui.datasets.telling import change_line

        if picked != tuple(sorted(self.picked)) or not self.is_attached:
            return
        self._plan = None if isinstance(made, str) else made
        if isinstance(made, str):
            lines = [made]
        else:
            lines = [fit(clean(change_line(change)), _WIDTH) for change in made.changes[:_PREVIEWED]]
            rest = len(made.changes) - len(lines)
            lines += [say(f"and {rest} more", f"ほか {rest} 件")] if rest > 0 else []
            lines += [say(f"left: {clean(text)}", f"そのまま: {clean(text)}") for text in made.left[:2]]
        self.query_one("#preview", Plain).update("\n".join(lines))

    def action_apply(self) -> None:
        """Make the changes, off this thread."""
        if self._plan is None or not self._plan.changes:
            return
        changes, opened, self._plan = self._plan.changes, self._board.opened, None

        def job() -> str:
            from musubi_tui.datasets.mending import apply

            apply(opened, changes)
            return say(
                f"{counted(len(changes), 'change')} made. {{data.undo}} takes {'it' if len(changes) == 1 else 'them'} back.",
                f"{len(changes)} 件変更しました。{{data.undo}} で取り消せます。",
            )

        def done() -> None:
            if self.is_attached:
                self.dismiss(True)

        app = cast("MusubiApp", self.app)
        app.in_background(job, done, lambda text: app.tell(clean(text), wrong=True))
