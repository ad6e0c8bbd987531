"""The question when to stop a run, asked alike in Jobs and on the run screen. The answer is the ``when`` of the command."""

from __future__ import annotations

import shlex

from engine.config.language import say
from musubi_tui.runs.stopping import StopTime, stop_words
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.twins import twin_of


def when_to_stop(name: str, run_id: str, bound: StopTime | None, *, trains: bool = True) -> ConfirmScreen:
    """The dialog: now, save or epoch. ``bound`` is how long a safe stop takes, where that is known; a run that only encodes has none."""
    text = say(
        "A complete state is saved before the engine leaves. Resumed later, the run goes on step for step as if it had not stopped.",
        "終了の前に完全な状態を保存します。後で再開すると、止めなかった場合と同じ結果になります。",
    ) + say(" ", "") + stop_words(bound)  # fmt: skip
    if not trains:
        text = say(
            "What is encoded stays; it goes on from there.", "エンコード済みのものは残り、続きから再開できます。"
        )
    choices = (
        Choice("now", "n", say("now: after the step it is in", "今すぐ（現在のステップの後）")),
        Choice("save", "s", say("after the next save", "次の保存の後")),
        Choice("epoch", "e", say("at the end of the epoch", "エポックの終わり")),
    )
    title = say(f"Stop {name}?", f"{name} を停止しますか？")
    return ConfirmScreen(title, text, choices, f"{twin_of('jobs.stop', shlex.quote(run_id))} --when ")
