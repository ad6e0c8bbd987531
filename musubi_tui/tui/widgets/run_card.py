"""The chosen run: how far, how well, what it left, what it warns of. Seven lines, more where there is room."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.markup import escape

from engine.config.language import say
from musubi_tui.runs.money import money as as_money
from musubi_tui.runs.plain_text import clean
from musubi_tui.runs.state_words import state_word
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.numbers import duration, fit, means, per_step, small, wrapped
from musubi_tui.tui.runs_table import local_time, money
from musubi_tui.tui.view import Detail, View
from musubi_tui.tui.widgets.lines import Lines
from musubi_tui.tui.widgets.status_bar import hook_text

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot

_LINES = 7
_VRAM, GIB = 20, 1 << 30
_TALL = 24  # lines from which the card shows more than the run in short
_CURVE_ROWS, _SPARKS, _OUTPUTS, _TOLD = 8, 24, 8, 4


class RunCard(Lines, can_focus=True):
    """``show_run`` gives it the run. Tall cards add the curve, all that was made and all that was warned of."""

    ALLOW_MAXIMIZE = True
    HELP = say("The run under the cursor, in short.", "カーソル位置の run の概要。")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, rows=_LINES)
        self._redraw: Callable[[], None] = lambda: None

    def show_run(self, detail: Detail | None, view: View, glyphs: Glyphs, waiting: str = "") -> None:
        """Show a run; ``waiting`` is the command that has no answer yet."""
        self._redraw = lambda: self.show_run(detail, view, glyphs, waiting)
        title = escape(clean(detail.now.name)) if detail else ""
        if self.border_title != title:
            self.border_title = title
        width, height = max(20, self.size.width), self.size.height
        texts = card_lines(detail, view, glyphs, width, height, waiting, partial(hinted, self.app)) if detail else []
        self.show([[(fit(text, width, ellipsis=glyphs.ellipsis), "")] for text in texts])

    def show_draft(self, name: str, path: str, glyphs: Glyphs) -> None:
        """Show what is no run yet; ``path``: the preset, empty for the wizard."""
        self._redraw = lambda: self.show_draft(name, path, glyphs)
        title = escape(clean(name))
        if self.border_title != title:
            self.border_title = title
        texts = [
            f"{glyphs.state('draft')} {state_word('draft')}",
            say(f"changes that were not saved: {clean(path)}", f"保存していない変更: {clean(path)}") if path else say("questions of the wizard that were not answered to the end", "途中のウィザード"),
            hinted(self.app, say("{jobs.open} goes on with it", "{jobs.open} で続けます")),
        ]  # fmt: skip
        width = max(20, self.size.width)
        self.show([[(fit(text, width, ellipsis=glyphs.ellipsis), "")] for text in texts])

    def on_resize(self) -> None:
        """Draw at the new size."""
        self._redraw()


def card_lines(
    detail: Detail, view: View, glyphs: Glyphs, width: int, height: int, waiting: str, hint: Callable[[str], str]
) -> list[str]:
    """The lines, top down; the folder only where there is room. ``hint`` writes keys in place of the actions that texts name."""
    now = detail.now
    if now.kind == "cache":
        done, total = sum(one[1] for one in detail.encoded), sum(one[2] for one in detail.encoded)
        share, right = (done / total if total else 0.0), f"{done}/{total}" if total else ""
    else:
        share, right = _steps(now)
    room = max(10, width - cells(right) - 2)
    lines = [
        f"{glyphs.bar(share, room)}  {right}",
        _learning(detail, glyphs, curve=height < _TALL),
        _state(now, view, glyphs, waiting),
        _made(now),
    ]
    folder = f"{say('folder', 'フォルダー')} {_home_short(now.run_dir)}"
    besides = [line for line in (_set_up(detail), _memory(detail, glyphs, width)) if line]
    notes = [line for line in (_version(detail), *_attention(detail, view, hint)) if line]
    without = _state(now, view, glyphs, waiting, reason=False)
    if lines[2] != without and cells(lines[2]) > width:  # why it ends or ended is not to be cut off
        lines[2] = without
        notes.insert(0, clean(now.reason))
    fetch = [hint(_fetching())] if detail.fetch else []
    if height >= _TALL:
        notes = [part for line in (*notes, *fetch) for part in wrapped(line, width)]
        return [*lines[:3], *besides, lines[3], *notes, folder, *_more(detail, glyphs, width)][:height]
    told = _told(now, 1)
    if not any(entry["fix"] for entry in now.warnings[-1:]) and not now.errors:  # a mere note goes first
        fetch, told = [*fetch, *told], []
    notes = [part for line in notes for part in wrapped(line, width)][: _LINES - len(lines)] + told
    if room := max(0, _LINES - len(lines) - len(notes)):
        notes += fetch[:room]
    left = _LINES - len(lines) - len(notes)
    besides = besides[-max(0, left) :] if left > 0 else []  # the memory rather than the setting
    if left > len(besides):
        notes.insert(0, folder)
    return [*lines[:3], *besides, lines[3], *notes][:_LINES]


def _set_up(detail: Detail) -> str:
    """``data 214 items, batch 4, rank 32   out ~/out``."""
    known = detail.outline
    if known is None:
        return ""
    facts = [say(f"{known.items} items", f"{known.items} 件")] if known.items else []
    facts += [say("batch ", "バッチ ") + "/".join(map(str, known.batches))] if known.batches else []
    facts += [say(f"rank {known.rank}", f"ランク {known.rank}")] if known.rank is not None else []
    inside = os.path.join(detail.now.run_dir, "")
    out = (
        f"   {say('out', '出力')} {_home_short(known.output)}" if facts and not known.output.startswith(inside) else ""
    )
    return say("data ", "データ ") + ", ".join(facts) + out if facts else ""


def _memory(detail: Detail, glyphs: Glyphs, width: int) -> str:
    """``vram ▕███  ▏ 18.9/24.0G   peak 21.2G   swap 16/40   wait 6%``; nothing before the engine told of it."""
    memory, swap, parts = detail.memory, detail.swap, []
    if memory is not None and memory.peak:
        parts.append(say(f"peak {memory.peak / GIB:.1f}G", f"ピーク {memory.peak / GIB:.1f}G"))
    if swap is not None and swap.streamed:
        blocks = f"{swap.streamed}/{swap.resident + swap.streamed}"
        parts.append(say(f"swap {blocks}", f"スワップ {blocks}"))
        if swap.stall_ms is not None and detail.now.step_seconds:
            share = round(swap.stall_ms / 10 / detail.now.step_seconds)
            parts.append(say(f"wait {share}%", f"待ち {share}%"))
    if memory is not None and (memory.reserved or memory.allocated) and detail.card:
        held, card = memory.reserved or memory.allocated or 0, detail.card
        numbers = f"{held / GIB:.1f}/{card / GIB:.1f}G"
        room = min(_VRAM, width - cells("   ".join(["vram [] " + numbers, *parts])))
        left, right = "[]" if glyphs.name == "ascii" else "▕▏"
        bar = f"{left}{glyphs.bar(held / card, room)}{right} " if room > 3 else ""
        parts.insert(0, f"vram {bar}{numbers}")
    return "   ".join(parts)


def _steps(now: Snapshot) -> tuple[float, str]:
    """How much of the training is done, and the words for it."""
    steps = f"{now.step}/{now.max_steps}" if now.max_steps else say(f"step {now.step}", f"ステップ {now.step}")
    words = "  ".join(filter(None, [steps, f"ep {now.epoch}" if now.epoch is not None else ""]))
    return (now.step / now.max_steps if now.max_steps else 0.0), words


def _encoded(detail: Detail) -> str:
    """``cache run: 24/24 latents, 24/24 text``, or that it is one."""
    words = {"latents": say("latents", "latent"), "text": say("text", "テキスト")}
    parts = [f"{done}/{total} {words[phase]}" for phase, done, total in detail.encoded]
    told = ": " + ", ".join(parts) if parts else ""
    return say("cache run", "キャッシュの run") + told


def _more(detail: Detail, glyphs: Glyphs, width: int) -> list[str]:
    """What a tall card adds."""
    now, lines = detail.now, []
    if len(detail.losses) > 1:
        high, low = small(max(detail.losses)), small(min(detail.losses))
        lines += ["", say(f"loss of the last steps, {low} to {high}", f"直近の loss（{low}〜{high}）")]
        lines += glyphs.chart(detail.losses[-width:], _CURVE_ROWS)
    made = [output for output in now.outputs if output["kind"] != "state"][-_OUTPUTS:]
    if made:
        lines += ["", say("made, newest last", "出力（新しいものが最後）")]
        lines += [
            f"{output['step']:>7}  {output['kind']:<6}  {clean(os.path.basename(output['path']))}" for output in made
        ]
    if detail.fetch:
        line = say("bring it home, typed there: ", "手元のマシンで: ") + clean(detail.fetch)
        lines += ["", *wrapped(line, width)]
    told = [part for line in _told(now, _TOLD) for part in wrapped(line, width)]
    return [*lines, *(["", *told] if told else [])]


def _told(now: Snapshot, most: int) -> list[str]:
    """The last warnings and errors, and what to do about each."""
    from musubi_tui.runs.telling import weight

    told = [(weight(entry["fix"]), entry) for entry in now.warnings]
    told += [(say("error", "エラー"), entry) for entry in now.errors]
    lines = []
    count = say(f" (last of {len(told)})", f"（{len(told)} 件中の最新）") if len(told) > most == 1 else ""
    for word, entry in told[-most:]:
        lines.append(clean(f"! {word}{count}: {entry['message']}"))
        lines += [clean(f"  {entry['fix']}")] if entry["fix"] else []
    return lines


def _attention(detail: Detail, view: View, hint: Callable[[str], str]) -> list[str]:
    """What a person should know or do about this run, first things first."""
    now, lines = detail.now, []
    if now.state == "gone":
        lines.append(
            say(
                "Its folder was moved or deleted by hand; {jobs.delete} takes it off the list.",
                "フォルダーが移動・削除されています。{jobs.delete} で一覧から外せます。",
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
    if now.state == "orphaned" and now.kind == "cache":
        lines.append(hint(_cache_vanished(detail)))
    elif now.state == "orphaned":
        state = next((output["step"] for output in reversed(now.outputs) if output["kind"] == "state"), None)
        where = say(f"from the state of step {state}", f"ステップ {state} の状態から") if state is not None else say("from the start: no state was saved", "最初から（保存された状態なし）")  # fmt: skip
        lines.append(
            say(
                f"Its process vanished at step {now.step}. {{jobs.resume}} goes on {where}.",
                f"ステップ {now.step} でプロセスが消えました。{{jobs.resume}} で{where}再開します。",
            )
        )
    place = view.queue.get(now.run_dir)
    if place is not None and view.held:
        lines.append(
            clean(
                say(
                    f"The queue is held: {view.held} - {{jobs.resume}} goes on with this run.",
                    f"キューは保留中: {view.held} - {{jobs.resume}} でこの run から続行。",
                )
            )
        )
    elif place is not None:
        lines.append(
            say(
                f"Number {place} of those that wait: {{jobs.earlier}} earlier, {{jobs.later}} later.",
                f"待機 {place} 番目: {{jobs.earlier}} で前へ、{{jobs.later}} で後へ。",
            )
        )
    lines += [hook_text(hook) for hook in view.hooks if hook.run_dir == now.run_dir]
    lines = [hint(line) for line in lines]
    if now.notes:
        note = now.notes[-1]
        lines.append(say(f"note at {note['step']}: {note['text']}", f"メモ（{note['step']}）: {note['text']}"))
    return lines


def _fetching() -> str:
    return say("{jobs.fetch} copies the line that brings it home.", "{jobs.fetch} で手元に持ち帰る行をコピーします。")


def _cache_vanished(detail: Detail) -> str:
    """Items, not steps: what is encoded stays on the disk."""
    phase = next((one for one in reversed(detail.encoded)), None)
    if phase is None:
        return say("Its process vanished before anything was encoded. {jobs.resume} goes on.",
                   "エンコード前にプロセスが消えました。{jobs.resume} で再開します。")  # fmt: skip
    name, done, total = phase
    words = {"latents": say("latents", "latent"), "text": say("texts", "テキスト")}
    return say(f"Its process vanished at {done} of {total} {words.get(name, name)}. {{jobs.resume}} goes on; what is encoded stays.",
               f"{words.get(name, name)} {done}/{total} 件でプロセスが消えました。{{jobs.resume}} で続きから再開します（エンコード済みは残ります）。")  # fmt: skip


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
    """``$4.81 of $11.20``, or how to have money counted."""
    if now.cost is not None:
        of = (
            say(f" of {as_money(now.cost_total)}", f" / {as_money(now.cost_total)}")
            if now.cost_total is not None
            else ""
        )
        return say("cost ", "費用 ") + money(now) + of
    if view.price is None and now.hours:
        return say("no price: $ sets it", "料金未設定: $ で設定")
    return ""


def _learning(detail: Detail, glyphs: Glyphs, *, curve: bool) -> str:
    now = detail.now
    if now.kind == "cache":
        return _encoded(detail)
    if now.loss is None:
        return say("no loss yet", "loss はまだありません")
    sparks = glyphs.sparkline(list(means(detail.losses, _SPARKS))) if curve else ""
    parts = [" ".join(filter(None, ["loss", sparks, small(now.loss)]))]
    if now.lr is not None:
        parts.append(f"lr {now.lr:.3g}")
    if detail.grad_norm is not None:
        parts.append(f"gn {small(detail.grad_norm)}")
    if now.validation and now.validation[-1]["loss"] is not None:
        parts.append(f"val {small(now.validation[-1]['loss'])}")
    return "   ".join(parts)


def _state(now: Snapshot, view: View, glyphs: Glyphs, waiting: str, *, reason: bool = True) -> str:
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
    parts += filter(None, [_money(now, view)])
    if reason and now.reason and not now.errors and now.state != "orphaned":
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
