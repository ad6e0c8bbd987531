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
from musubi_tui.tui.runs_table import local_time
from musubi_tui.tui.view import Detail
from musubi_tui.tui.widgets.status_bar import Part

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

    def show(self, detail: Detail | None, glyphs: Glyphs, waiting: str = "") -> None:
        """Show a run; ``waiting`` is the command that has no answer yet."""
        title = escape(clean(detail.now.name)) if detail else ""
        if self.border_title != title:
            self.border_title = title
        texts = card_lines(detail, glyphs, max(20, self.content_size.width), waiting) if detail else []
        for number in range(_LINES):
            self.query_one(f"#card-{number}", Part).show(texts[number] if number < len(texts) else "")


def card_lines(detail: Detail, glyphs: Glyphs, width: int, waiting: str = "") -> list[str]:
    """The lines, top down."""
    from musubi_tui.runs.telling import weight

    now = detail.now
    steps = f"{now.step}/{now.max_steps}" if now.max_steps else say(f"step {now.step}", f"ステップ {now.step}")
    right = "  ".join(filter(None, [steps, f"ep {now.epoch}" if now.epoch is not None else ""]))
    room = max(10, width - cells(right) - 2)
    done = now.step / now.max_steps if now.max_steps else 0.0
    lines = [f"{glyphs.bar(done, room)}  {right}", _learning(detail, glyphs), _state(now, glyphs, waiting)]
    lines += [_made(now, glyphs), f"{say('folder', 'フォルダー')} {_home_short(now.run_dir)}"]
    told = [(weight(entry["fix"]), entry) for entry in now.warnings]
    told += [(say("error", "エラー"), entry) for entry in now.errors]
    if told:
        word, entry = told[-1]
        count = f"{len(told)} " if len(told) > 1 else ""
        lines.append(clean(f"! {count}{word}: {entry['message']}"))
        lines.append(clean(f"  {entry['fix']}".rstrip()))
    return lines


def _learning(detail: Detail, glyphs: Glyphs) -> str:
    now = detail.now
    if now.loss is None:
        return say("no loss yet", "loss はまだありません")
    parts = [f"loss {glyphs.sparkline(list(detail.losses))} {small(now.loss)}"]
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
    if now.reason and not now.errors:
        parts.append(now.reason)
    return clean("   ".join(parts))


def _made(now: Snapshot, glyphs: Glyphs) -> str:
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
