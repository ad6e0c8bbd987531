"""The states of a run in the person's language. Light to import: every list and screen uses it."""

from __future__ import annotations

from engine.config.language import say


def state_word(state: str) -> str:
    """The state in the user's language."""
    words = {
        "queued": say("queued", "待機"), "starting": say("starting", "開始中"), "running": say("running", "実行中"),
        "paused": say("paused", "一時停止"), "stopping": say("stopping", "停止中"), "done": say("done", "完了"),
        "stopped": say("stopped", "停止"), "preempted": say("preempted", "中断"), "failed": say("failed", "失敗"),
        "orphaned": say("orphaned", "消失"), "gone": say("gone", "削除済み"),
        "draft": say("draft", "下書き"),
    }  # fmt: skip
    return words.get(state, state)


def told_answer(command: str, result: str, message: str = "") -> str:
    """What the engine answered to a command, as it is told: ``save: done``, ``pause: accepted - The run waits after this step.``"""
    if (command, result, message) == ("cancel_hooks", "done", ""):
        return say("The command after the run is cancelled.", "終了後のコマンドを取り消しました。")
    commands = {
        "pause": say("pause", "一時停止"), "resume": say("resume", "再開"), "save": say("save", "保存"),
        "sample": say("sample", "サンプル"), "stop": say("stop", "停止"), "set": say("set", "変更"),
        "cancel_hooks": say("cancel hooks", "コマンドの取り消し"),
    }  # fmt: skip
    results = {"done": say("done", "完了"), "accepted": say("accepted", "受付"), "refused": say("refused", "拒否")}
    answer = f"{commands.get(command, command)}: {results.get(result, result)}"
    return answer + (f" - {message}" if message else "")


def takes_no_commands(name: str, state: str) -> str:
    """The sentence for a command to a run whose engine does not work."""
    return say(
        f"{name} is not running ({state_word(state)}): there is nothing to control.",
        f"{name} は実行中ではないため（{state_word(state)}）、操作できません。",
    )
