"""The lines that bring home what a run made: shown whole, and copied at once, from Jobs and from the run screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


def show_fetch(app: MusubiApp, run_dir: str, twin: str) -> None:
    """Read what there is to fetch, copy the rsync line, and show it with the scp line; say so where nothing was made yet."""
    found: list[str] = []

    def read() -> str:
        from engine.events.rundir import RunDirectory
        from musubi_tui.runs.fetching import copy_line, fetch_line
        from musubi_tui.runs.snapshot import snapshot

        now = snapshot(RunDirectory(Path(run_dir)))
        found.extend(filter(None, (now.name, clean(fetch_line(now)), clean(copy_line(now)))))
        return "" if len(found) == 3 else say("This run has made no LoRA or sample that is here.", "ここにある LoRA やサンプルはまだありません。")  # fmt: skip

    def show() -> None:
        if len(found) == 3 and not isinstance(app.screen, ConfirmScreen):
            name, rsync, scp = found
            app.copy(rsync, tell=False)
            app.push_screen(_question(name, rsync, scp, twin), lambda choice: app.copy(scp) if choice else None)

    app.in_background(read, show)


def _question(name: str, rsync: str, scp: str, twin: str) -> ConfirmScreen:
    title = say(f"Bring {clean(name)} home", f"{clean(name)} を手元へ")
    text = say(
        f"Copied, to be typed on your own machine:\n{rsync}\n\nWithout rsync there:\n{scp}",
        f"コピーしました。手元のマシンで実行してください:\n{rsync}\n\nrsync がない場合:\n{scp}",
    )
    return ConfirmScreen(title, text, (Choice("scp", "s", say("copy the scp line instead", "代わりに scp の行をコピー")),), twin, complete=True)  # fmt: skip
