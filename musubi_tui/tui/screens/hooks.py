"""The command that waits after a run's end: cancelled by one key on every screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.view import WaitingHook

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


def cancel_waiting(app: MusubiApp, run_dir: str) -> None:
    """Cancel what waits after the run that the screen is about (``run_dir``), else the only one that waits; of several, ask which."""
    waiting = [hook for hook in app.view.hooks if hook.state == "waiting"]
    found = [hook for hook in waiting if hook.run_dir == run_dir] or waiting
    if len(found) > 1:
        if not isinstance(app.screen, ConfirmScreen):
            _ask(app, found)
    elif found:
        _cancel(app, found[0].run_dir)
    else:
        app.tell(say("No command waits after a run.", "run の終了後に待機中のコマンドはありません。"))


def _ask(app: MusubiApp, found: Sequence[WaitingHook]) -> None:
    names = {now.run_dir: clean(now.name) for now in app.view.runs}
    choices = tuple(
        Choice(hook.run_dir, str(number), f"{hook.name}: {names.get(hook.run_dir, '')}")
        for number, hook in enumerate(found[:9], 1)
    )
    title = say("Cancel which command?", "どのコマンドを取り消しますか？")
    app.push_screen(
        ConfirmScreen(title, "", choices, "musubi-tui runs cancel-hooks RUN", complete=True),
        lambda run_dir: _cancel(app, run_dir) if run_dir else None,
    )


def _cancel(app: MusubiApp, run_dir: str) -> None:
    from musubi_tui.tui.acting import cancel_hook

    if run_dir in app.cancelling:
        app.tell(say("cancel_hooks has no answer yet.", "cancel_hooks の応答待ちです。"))
        return
    app.cancelling.add(run_dir)
    app.in_background(lambda: cancel_hook(run_dir), lambda: app.cancelling.discard(run_dir))
