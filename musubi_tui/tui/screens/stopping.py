"""The question when to stop a run, asked alike in Jobs and on the run screen. The answer is the ``when`` of the command."""

from __future__ import annotations

import math
import shlex

from engine.config.language import say
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.twins import twin_of


def when_to_stop(name: str, run_id: str, seconds: float | None) -> ConfirmScreen:
    """The dialog: now, save or epoch. ``seconds`` is how long a safe stop takes, where that is known."""
    text = say(
        "A complete state is saved before the engine leaves. Resumed later, the run goes on step for step as if it had not stopped.",
        "終了の前に完全な状態を保存します。後で再開すると、止めなかった場合と同じ結果になります。",
    )
    if seconds is not None:
        bound = math.ceil(seconds) or 1
        text += say(f" It takes about {bound} s.", f" 約 {bound} 秒かかります。")
    choices = (
        Choice("now", "n", say("now: after the step it is in", "今すぐ（現在のステップの後）")),
        Choice("save", "s", say("after the next save", "次の保存の後")),
        Choice("epoch", "e", say("at the end of the epoch", "エポックの終わり")),
    )
    title = say(f"Stop {name}?", f"{name} を停止しますか？")
    return ConfirmScreen(title, text, choices, f"{twin_of('jobs.stop', shlex.quote(run_id))} --when ")
