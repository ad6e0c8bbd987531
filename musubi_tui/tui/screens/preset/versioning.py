"""Versions of the preset in the editor: what became of them, going to another one, and making the next."""

from __future__ import annotations

import shlex
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.presets import versus
from musubi_tui.tui.screens.preset.filing import Filing


class Versioning(Filing):
    """What ``H`` and ``D`` do."""

    def action_history(self) -> None:
        """Versions and runs, read beside the screen."""
        from musubi_tui.tui.screens.preset.history import HistoryScreen, read_history

        draft = self.draft
        if draft is None:
            return
        path, found = draft.path, []

        def read() -> str:
            found.extend(read_history(path))
            return ""

        def answer(chosen: tuple[str, str] | None) -> None:
            what, word = chosen or ("", "")
            if what == "open" and Path(word) != path:
                self.open_word(word)
            elif what == "run":
                self._open_diff(lambda: _side_of_run(word))
            elif what == "next":
                self.action_next_version()

        def show() -> None:
            self.app.push_screen(HistoryScreen(path, found, self.musubi.glyphs), answer)

        self.musubi.in_background(read, show, self.say_note)

    def action_next_version(self) -> None:
        """Ask for a note, make the next version of the saved file, and go on in that."""
        from musubi_tui.presets.versions import make, plan_next
        from musubi_tui.tui.screens.ask import AskScreen

        draft = self.draft
        if draft is None:
            return
        if draft.dirty:
            self.say_note(say("The next version is made of the saved file: {preset.save} first", "次のバージョンは保存済みファイルから作成します。先に {preset.save} で保存してください"))  # fmt: skip
            return
        try:
            plan = plan_next(draft.path)
        except UserError as error:
            self.say_note(str(error))
            return
        twin = f"musubi-tui presets duplicate {shlex.quote(str(draft.path))}"
        made: list[Path] = []

        def job(note: str) -> str:
            made.append(make(plan, note).preset)
            return say(f"made {made[-1].name}", f"{made[-1].name} を作成しました")

        self.app.push_screen(
            AskScreen(
                say("Make the next version of the preset?", "プリセットの次のバージョンを作成しますか？"),
                "\n".join(f"{source.name} -> {target}" for source, target in plan.copies),
                job,
                lambda note: f"{twin} --note {shlex.quote(note)}" if note else twin,
                hint=say("a note: what you want to try", "メモ: 試したいこと"),
                may_be_empty=True,
            ),
            lambda _: self.open_word(str(made[-1])) if made else None,
        )


def _side_of_run(word: str) -> versus.Side:
    from musubi_tui.runs.finding import find_run

    return versus.run_side(find_run(word))
