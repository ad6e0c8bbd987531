"""The chosen run on seven lines: how far, how well, what it left, what it warns of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.glyphs import Glyphs, state_word
from musubi_tui.tui.numbers import cells, duration, per_step, small
from musubi_tui.tui.runs_table import local_time, money
from musubi_tui.tui.view import Detail, View
from musubi_tui.tui.widgets.status_bar import Part, hook_text

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot

_LINES = 7


class RunCard(Vertical, can_focus=True):
    """``show`` gives it the run."""

    ALLOW_MAXIMIZE = True
    HELP = say("The run under the cursor, in short.", "カーソル位置の run の概要。")

    def compose(self) -> ComposeResult:
        """Seven lines."""
        for number in range(_LINES):
            yield Part(id=f"card-{number}")

    def show(self, detail: Detail | None, view: View, glyphs: Glyphs, waiting: str = "") -> None:
        """Show a run; ``waiting`` is the command that has no answer yet."""
        title = escape(clean(detail.now.name)) if detail else ""
        if self.border_title != title:
            self.border_title = title
        texts = card_lines(detail, view, glyphs, max(20, self.content_size.width), waiting) if detail else []
        for number in range(_LINES):
            self.query_one(f"#card-{number}", Part).show(texts[number] if number < len(texts) else "")


def card_lines(detail: Detail, view: View, glyphs: Glyphs, width: int, waiting: str = "") -> list[str]:
    """The lines, top down; the folder only where there is room."""
    now = detail.now
    steps = f"{now.step}/{now.max_steps}" if now.max_steps else say(f"step {now.step}", f"ステップ {now.step}")
    right = "  ".join(filter(None, [steps, f"ep {now.epoch}" if now.epoch is not None else ""]))
    room = max(10, width - cells(right) - 2)
    done = now.step / now.max_steps if now.max_steps else 0.0
    lines = [f"{glyphs.bar(done, room)}  {right}", _learning(detail, glyphs), _state(now, glyphs, waiting)]
    lines.append("   ".join(filter(None, [_made(now), _money(now, view)])))
    rest = [line for line in (_version(detail), *_attention(detail, view)) if line] + _told(now)
    if len(lines) + len(rest) < _LINES:
        lines.append(f"{say('folder', 'フォルダー')} {_home_short(now.run_dir)}")
    return [*lines, *rest][:_LINES]


def _told(now: Snapshot) -> list[str]:
    """The last warning or error, and what to do about it."""
    from musubi_tui.runs.telling import weight

    told = [(weight(entry["fix"]), entry) for entry in now.warnings]
    told += [(say("error", "エラー"), entry) for entry in now.errors]
    if not told:
        return []
    word, entry = told[-1]
    count = f"{len(told)} " if len(told) > 1 else ""
    return [clean(f"! {count}{word}: {entry['message']}"), clean(f"  {entry['fix']}".rstrip())]


def _attention(detail: Detail, view: View) -> list[str]:
    """What a person should know or do about this run, first things first."""
    now, lines = detail.now, []
    if now.state == "gone":
        lines.append(
            say(
                "Its folder was moved or deleted by hand; d takes it off the list.",
                "フォルダーが移動・削除されています。d で一覧から外せます。",
            )
        )
    if detail.elsewhere:
        lines.append(
            clean(
                say(
                    f"It works on {now.host}: watched from here, resumed only there.",
                    f"{now.host} で実行中です。ここでは監視のみ、再開はできません。",
                )
            )
        )
    if now.state == "orphaned":
        state = next((output["step"] for output in reversed(now.outputs) if output["kind"] == "state"), None)
        where = say(f"from the state of step {state}", f"ステップ {state} の状態から") if state is not None else say("from the start: no state was saved", "最初から（保存された状態なし）")  # fmt: skip
        lines.append(
            say(
                f"Its process vanished at step {now.step}. r goes on {where}.",
                f"ステップ {now.step} でプロセスが消えました。r で{where}再開します。",
            )
        )
    place = view.queue.get(now.run_dir)
    if place is not None and view.held:
        lines.append(
            clean(
                say(
                    f"The queue is held: {view.held} r goes on with this run.",
                    f"キューは保留中: {view.held} r でこの run から続行。",
                )
            )
        )
    elif place is not None:
        lines.append(
            say(f"Number {place} of those that wait: K earlier, J later.", f"待機 {place} 番目: K で前へ、J で後へ。")
        )
    lines += [hook_text(hook) for hook in view.hooks if hook.run_dir == now.run_dir]
    return lines


def _version(detail: Detail) -> str:
    """``v2 of ink.toml, since v1: learning_rate 1e-4 -> 5e-5 (half the rate)``."""
    origin = detail.origin
    if origin is None or not (origin.parent or origin.version > 1):
        return ""
    text = say(f"v{origin.version} of {origin.preset.name}", f"{origin.preset.name} の v{origin.version}")
    if origin.changes:
        text += say(f", since the parent: {origin.changes}", f"、親からの変更: {origin.changes}")
    return clean(text + (f" ({origin.note})" if origin.note else ""))


def _money(now: Snapshot, view: View) -> str:
    """``4.81 of 11.20``, or how to have money counted."""
    if now.cost is not None:
        of = say(f" of {now.cost_total:.2f}", f" / {now.cost_total:.2f}") if now.cost_total is not None else ""
        return say("cost ", "費用 ") + money(now) + of
    if view.price is None and now.hours:
        return say("no price: $ sets it", "料金未設定: $ で設定")
    return ""


def _learning(detail: Detail, glyphs: Glyphs) -> str:
    now = detail.now
    if now.loss is None:
        return say("no loss yet", "loss はまだありません")
    parts = [" ".join(filter(None, ["loss", glyphs.sparkline(list(detail.losses)), small(now.loss)]))]
    if now.lr is not None:
        parts.append(f"lr {now.lr:.3g}")
    if detail.grad_norm is not None:
        parts.append(f"gn {small(detail.grad_norm)}")
    if now.validation and now.validation[-1]["loss"] is not None:
        parts.append(f"val {small(now.validation[-1]['loss'])}")
    return "   ".join(parts)


def _state(now: Snapshot, glyphs: Glyphs, waiting: str) -> str:
    parts = [f"{glyphs.state(now.state)} {state_word(now.state)}"]
    if waiting:
        parts.append(say(f"{waiting}: waiting for the engine", f"{waiting}: エンジンの応答待ち"))
    if now.progress and now.progress["phase"] != "train":
        parts.append(f"{now.progress['phase']} {now.progress['done']}/{now.progress['total']}")
    elif now.phase and now.eta_seconds is None:
        parts.append(now.phase)
    if now.step_seconds is not None:
        parts.append(f"{per_step(now.step_seconds)} s/it")
    if now.eta_seconds is not None:
        parts.append(f"ETA {duration(now.eta_seconds)}")
    if now.attempt > 1:
        parts.append(say(f"attempt {now.attempt}", f"試行 {now.attempt}"))
    if now.reason and not now.errors and now.state != "orphaned":
        parts.append(now.reason)
    return clean("   ".join(parts))


def _made(now: Snapshot) -> str:
    names = {"sample": say("last sample", "最新サンプル"), "lora": say("last LoRA", "最新 LoRA"), "state": say("last state", "最新の状態")}  # fmt: skip
    last = {output["kind"]: output for output in now.outputs}
    parts = [f"{names[kind]} {last[kind]['step']}" for kind in names if kind in last]
    if now.started:
        parts.append(say("started ", "開始 ") + local_time(now.started))
    return "   ".join(parts) or say("nothing saved yet", "まだ何も保存されていません")


def _home_short(path: str) -> str:
    """``~`` for the person's home."""
    home = os.path.expanduser("~")
    return clean("~" + path[len(home) :] if path.startswith(home + os.sep) else path)
