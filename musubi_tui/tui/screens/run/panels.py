"""What stands in the panels of the run screen: a view in, lines of spans out. No widget, no clock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

from engine.config.language import say
from musubi_tui.runs.telling import clean
from musubi_tui.tui.alerts import Alert
from musubi_tui.tui.glyphs import Glyphs, state_word
from musubi_tui.tui.numbers import duration, per_step
from musubi_tui.tui.run_view import Picture, RunView
from musubi_tui.tui.widgets import lanes
from musubi_tui.tui.widgets.bars import FILLS, course, gauge, gib, labelled, stacked
from musubi_tui.tui.widgets.chart import small_curve
from musubi_tui.tui.widgets.lines import Line, Span, fit, justify, width_of
from musubi_tui.tui.widgets.picture import Thumbnail
from musubi_tui.tui.widgets.plot import number

_STATE_ROLES = {"running": "good", "starting": "good", "done": "good", "failed": "bad", "orphaned": "bad"}
PARTS = ("weights", "adapter", "optimizer", "activations", "other")


def header(view: RunView, width: int, glyphs: Glyphs, note: str = "") -> list[Line]:
    """Two lines: what it is and how far, and the bar with the last save or a note."""
    percent = f" {view.step * 100 // view.max_steps}%" if view.max_steps else ""
    word = state_word(view.state)
    name = clean(view.name)
    left: list[Span] = [
        (f" {glyphs.state(view.state)} ", _STATE_ROLES.get(view.state, "warn")),
        (name[:24] if width < 100 else name[:48], "bold"),
        (f" {word}", _STATE_ROLES.get(view.state, "warn")),
    ]
    if width >= 120:
        left.append((f"  {_kind(view)}", "muted"))
    doing = (
        f"  {view.phase} {view.progress[1]}/{view.progress[2]}"
        if view.progress and view.phase not in ("", "train")
        else ""
    )
    left.append((f"  {view.step}/{view.max_steps}{percent}" if view.max_steps else "", ""))
    left.append((doing, "accent"))
    right: list[Span] = []
    if view.epoch is not None:
        right.append((say(f"  ep {view.epoch}", f"  エポック {view.epoch}"), ""))
    if view.step_seconds is not None:
        right.append((f"  {per_step(view.step_seconds)} s/step", ""))
        if width >= 120:
            p50, p95 = view.step_quantile(0.5), view.step_quantile(0.95)
            right.append((f" (p50 {per_step(p50)} p95 {per_step(p95)})", "muted"))
    if view.eta_seconds is not None:
        right.append((f"  ETA {duration(view.eta_seconds)}", "bold"))
    if view.cost is not None:
        whole = f" / ${view.projected_cost:.2f}" if view.projected_cost is not None and width >= 120 else ""
        right.append((f"  ${view.cost:.2f}{whole}", ""))
    right.append((" ", ""))
    return [justify(left, right, width), _progress(view, width, glyphs, note)]


def _progress(view: RunView, width: int, glyphs: Glyphs, note: str) -> list[Span]:
    marks: list[Span] = []
    if note:
        marks = [(f" {note[: width - 14]} ", "warn")]
    elif view.saved:
        marks = [(say(f" saved {view.saved[-1].step} ", f" 保存 {view.saved[-1].step} "), "mark")]
    done = view.step / view.max_steps if view.max_steps else 0.0
    if view.progress and view.phase not in ("", "train") and view.progress[2]:
        done = view.progress[1] / view.progress[2]
    room = max(8, width - 2 - width_of(marks))
    return justify([(" ", ""), *gauge(done, room, glyphs, "good" if view.alive else "mark")], marks, width)


def _kind(view: RunView) -> str:
    names = [view.config.get("family"), view.config.get("task")]
    rank = view.config.get("network_dim")
    return clean(" ".join([*(str(name) for name in names if name), *([f"r{rank}"] if rank else [])]))


def vitals(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """Four lines for the small layout: memory, time, swap, the rest."""
    return [_memory_line(view, width, glyphs), _time_line(view, width, glyphs), _swap_line(view, width, glyphs), _rest_line(view, width, glyphs)]  # fmt: skip


def _memory_line(view: RunView, width: int, glyphs: Glyphs) -> Line:
    bar_width = 24
    if view.memory is None or view.memory.allocated is None:
        host = view.host
        if host is None or not host.ram_total:
            return [(say(" mem  no reading yet", " メモリ  測定前"), "muted")]
        bar = stacked([(host.ram or 0, "weights"), (max(0, (host.ram_used or 0) - (host.ram or 0)), "other")], host.ram_total, bar_width, glyphs)  # fmt: skip
        return [(" ram  ", "muted"), *bar, (f" {gib(host.ram)} of {gib(host.ram_used)}/{gib(host.ram_total)}G", ""), (say("  no GPU", "  GPU なし") if not host.gpus else "", "muted")]  # fmt: skip
    memory = view.memory
    parts = [(float(getattr(memory, part) or 0), part) for part in PARTS]
    total = _gpu_total(view) or memory.peak or memory.reserved or 1
    text = f" {gib(memory.allocated)}/{gib(total)}G peak {gib(memory.peak)}"
    detail = f"  W{gib(memory.weights)} A{gib(memory.adapter)} O{gib(memory.optimizer)} L{gib(memory.activations)}"
    return [(" vram ", "muted"), *stacked(parts, float(total), bar_width, glyphs), (text, ""), (detail, "muted")]


def _gpu_total(view: RunView) -> int | None:
    totals = [card.get("total") for card in view.host.gpus if card.get("total")] if view.host else []
    return int(totals[0]) if totals and isinstance(totals[0], int) else None


def _time_line(view: RunView, width: int, glyphs: Glyphs) -> Line:
    split = view.split
    if not split.total:
        return [(say(" time  no step yet", " 時間  ステップ前"), "muted")]
    parts = [("data", split.data), ("fwd", split.forward), ("bwd", split.backward), ("opt", split.optimizer), ("wait", split.stall)]  # fmt: skip
    text = f" {per_step(split.total)} s"
    stalled = round(100 * (split.stall + split.data) / split.total)
    words = say(f"  {stalled}% waiting", f"  待ち {stalled}%")
    return [(" time ", "muted"), *labelled(parts, split.total, width - 6 - len(text) - 16, glyphs), (text, "bold"), (words, "warn" if stalled >= 15 else "muted")]  # fmt: skip


def _swap_line(view: RunView, width: int, glyphs: Glyphs) -> Line:
    text = lanes.summary(view)
    cells = lanes.lane(view, max(8, width - 9 - len(text)), glyphs.name) if lanes.counts(view)[1] else []
    return [(" swap ", "muted"), *cells, ("  " if cells else "", ""), (text, "")]


def _rest_line(view: RunView, width: int, glyphs: Glyphs) -> Line:
    steps = view.steps
    if not len(steps):
        return [("", "")]
    room = max(8, (width - 58) // 2)
    tail = slice(-2000, None)
    spans: list[Span] = [(" lr ", "muted"), (f"{number(float(steps.lr[-1]), 7)} ", ""), (course(steps.step, steps.lr, room, glyphs, steps.blocks["lr"]), "mark")]  # fmt: skip
    spans += [("  gnorm ", "muted"), (f"{number(float(steps.grad_norm[-1]))} ", ""), (course(steps.step[tail], steps.grad_norm[tail], room, glyphs), "mark")]  # fmt: skip
    return [*spans, ("  " + _card(view), "")]


def _card(view: RunView) -> str:
    if view.host is None or not view.host.gpus:
        return ""
    card = view.host.gpus[0]
    facts = [(card.get("util"), "%"), (card.get("temperature"), "°C"), (card.get("watts"), "W")]
    return "gpu " + " ".join(f"{value:.0f}{unit}" for value, unit in facts if isinstance(value, (int, float)))


def memory(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """The memory panel of the large layout."""
    lines: list[Line] = []
    if view.memory is not None and view.memory.allocated is not None:
        reading = view.memory
        total = _gpu_total(view) or reading.peak or reading.reserved or 1
        parts = [(float(getattr(reading, part) or 0), part) for part in PARTS]
        lines.append([(" ", ""), *stacked(parts, float(total), width - 10, glyphs), (f" {(reading.allocated or 0) * 100 // total}%", "bold")])  # fmt: skip
        names = {"weights": say("weights", "重み"), "adapter": "LoRA", "optimizer": say("optimizer", "オプティマイザ"), "activations": say("activations", "活性値"), "other": say("other", "その他")}  # fmt: skip
        signs = FILLS[glyphs.name]
        cells: list[list[Span]] = [
            [(f" {signs[place % len(signs)]} ", part), (f"{names[part]} ", ""), (f"{gib(getattr(reading, part))} G", "bold")]
            for place, part in enumerate(PARTS)
        ]  # fmt: skip
        free = max(0, total - (reading.reserved or reading.allocated or 0))
        cells.append([(say("   free ", "   空き "), "muted"), (f"{gib(free)} G", "")])
        lines += [[*fit(cells[row], width // 2), *fit(cells[row + 1], width - width // 2)] for row in (0, 2, 4)]
        lines.append([(say(f"   allocated {gib(reading.allocated)} G  reserved {gib(reading.reserved)} G", f"   割当 {gib(reading.allocated)} G  予約 {gib(reading.reserved)} G"), "")])  # fmt: skip
        lines.append(
            [
                (
                    say(
                        f"   peak {gib(reading.peak)} G of {gib(total)} G",
                        f"   最大 {gib(reading.peak)} G / {gib(total)} G",
                    ),
                    "bold",
                )
            ]
        )
        if view.plan is not None and view.plan.reason:
            lines.append([(say("   plan: ", "   計画: ") + clean(view.plan.reason), "muted")])
    elif view.memory is not None:
        text = f" LoRA {gib(view.memory.adapter)} G  optimizer {gib(view.memory.optimizer)} G  weights {gib(view.memory.weights)} G"
        lines.append([(text, "")])
    host = view.host
    if host is not None and host.ram_total:
        pinned = f"  pinned {gib(host.pinned)} G" if host.pinned else ""
        lines.append([(f" RAM {gib(host.ram_used)}/{gib(host.ram_total)} G  {say('engine', 'エンジン')} {gib(host.ram)} G{pinned}", "")])  # fmt: skip
        if not host.gpus:
            lines.insert(0, [(" ", ""), *stacked([(host.ram or 0, "weights"), (max(0, (host.ram_used or 0) - (host.ram or 0)), "other")], host.ram_total, width - 2, glyphs)])  # fmt: skip
    if host is not None:
        disk = (
            f"  {say('disk', 'ディスク')} {host.disk_free / 1e9:.0f} GB {say('free', '空き')}" if host.disk_free else ""
        )
        lines.append([(" " + (_card(view) or say("no GPU", "GPU なし")) + disk, "")])
    return lines or [[(say(" no reading yet", " 測定前"), "muted")]]


def rates(view: RunView, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """The learning rate."""
    return _small(view, "lr", width, height, glyphs)


def gradients(view: RunView, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """The gradient norm."""
    return _small(view, "grad_norm", width, height, glyphs)


def _small(view: RunView, name: str, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    steps = view.steps
    return [*small_curve(steps.step, getattr(steps, name), width, height, ascii_only=glyphs.name == "ascii", role="mark", blocks=steps.blocks[name])]  # fmt: skip


def times(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """Where a step's time goes, a line per part."""
    split = view.split
    parts = [("fwd", split.forward), ("bwd", split.backward), ("opt", split.optimizer), ("data", split.data), ("wait", split.stall)]  # fmt: skip
    if not split.total:
        return [[(say(" no step yet", " ステップ前"), "muted")]]
    room = width - 19
    lines: list[Line] = []
    for name, seconds in parts[:3]:
        share = seconds / split.total
        lines.append(
            [(f" {name:<4} ", "muted"), *gauge(share, room, glyphs, "mark"), (f" {seconds:6.3f} {share:4.0%}", "")]
        )
    rest = "  ".join(f"{name} {seconds:.3f} {seconds / split.total:.0%}" for name, seconds in parts[3:])
    return [*lines, [(f" {rest}", "muted")]]


def bins(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """The loss by noise level, and how often each was drawn."""
    known = [entry.mean for entry in view.bins if entry.mean is not None]
    if not known:
        return [[(say(" no timesteps told yet", " タイムステップ未記録"), "muted")]]
    top = max(known)
    room = max(6, width - 30)
    lines: list[Line] = []
    for entry in reversed(view.bins):
        mean = "" if entry.mean is None else number(entry.mean)
        bar = gauge((entry.mean or 0.0) / top if top > 0 else 0.0, room, glyphs, "mark")
        lines.append([(f" t {entry.low:.2f}-{entry.high:.2f} ", "muted"), *bar, (f" {mean:>5} n {entry.count}", "")])
    drawn = [float(entry.count) for entry in view.bins]
    lines.append(
        [(say(" drawn (low t to high) ", " 出現回数（t 小→大） "), "muted"), (glyphs.sparkline(drawn), "mark")]
    )
    return lines


def log(view: RunView, width: int, height: int, back: int = 0) -> list[Line]:
    """The last lines of the log, ``back`` lines further up."""
    stop = max(0, len(view.log) - back)
    lines: list[Line] = []
    for line in view.log[max(0, stop - height) : stop]:
        stamp = datetime.fromtimestamp(line.t).strftime("%H:%M:%S")
        lines.append([(f" {stamp} ", "muted"), (clean(line.text), line.role)])
    return lines


def alert_lines(found: Sequence[Alert], height: int, glyphs: Glyphs) -> list[Line]:
    """One line per alert."""
    if not found:
        return [[(f" {glyphs.state('done')} ", "good"), (say("nothing to worry about", "問題ありません"), "")]]
    signs = {"bad": glyphs.state("failed"), "warn": "!"}
    return [[(f" {signs[alert.role]} ", alert.role), (alert.text, "")] for alert in found[:height]]


def health(view: RunView, found: Sequence[Alert], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Checks that hold, then the alerts."""
    good = glyphs.state("done")
    lines: list[Line] = [*_wrapped(found, width, glyphs)] if found else []
    checks = (
        [say("loss finite", "loss 正常")]
        if len(view.steps) and not any("loss" in a.text for a in found if a.role == "bad")
        else []
    )
    if view.heartbeat is not None and view.alive:
        checks.append(say("heartbeat", "応答あり"))
    if view.host is not None and view.host.disk_free and not any("disk" in a.text for a in found):
        checks.append(say("disk", "ディスク"))
    spans: list[Span] = []
    for check in checks:
        spans += [(f" {good} ", "good"), (f"{check}  ", "")]
    if view.validations and view.validations[-1].loss is not None and view.validations[-1].base:
        last = view.validations[-1]
        lines.insert(0, [(f" val {number(float(last.loss or 0))} @ {last.step}", "val"), (say(f"  (predicting zero {number(float(last.base or 0))})", f"  （ゼロ予測 {number(float(last.base or 0))}）"), "muted")])  # fmt: skip
    return [spans, *lines][:height]


def _wrapped(found: Sequence[Alert], width: int, glyphs: Glyphs) -> list[Line]:
    signs = {"bad": glyphs.state("failed"), "warn": "!"}
    lines: list[Line] = []
    for alert in found:
        text = alert.text
        lines.append([(f" {signs[alert.role]} ", alert.role), (text[: width - 3], "")])
        if len(text) > width - 3:
            lines.append([("   ", ""), (text[width - 3 : 2 * (width - 3)], "")])
    return lines


def samples(
    pictures: Sequence[Picture],
    drawn: dict[str, Thumbnail],
    prompt: int,
    prompts: int,
    cell: tuple[int, int],
    height: int,
) -> list[Line]:
    """Pictures of one prompt along the timeline side by side, the newest right, their steps below."""
    if not pictures:
        return [[(say(" no samples yet; n makes one now", " サンプルはまだありません（n で今すぐ生成）"), "muted")]]
    width, rows = cell
    lines: list[list[Span]] = [[(" ", "")] for _ in range(rows + 1)]
    for place, picture in enumerate(pictures):
        thumbnail = drawn.get(picture.path, Thumbnail(problem="…"))
        for row in range(rows):
            cells: tuple[Span, ...] = thumbnail.lines[row] if row < len(thumbnail.lines) else ()
            if not thumbnail.lines and row == rows // 2:
                cells = ((_problem(thumbnail.problem)[: width - 1], "muted"),)
            lines[row] += fit(cells, width)
        newest = place == len(pictures) - 1
        lines[rows] += fit([(f"{say('step', 'ステップ')} {picture.step}", "bold" if newest else "muted")], width)
    last = pictures[-1]
    seed = f" seed {last.seed}" if last.seed is not None else ""
    text = f" {prompt + 1}/{prompts} {clean(last.prompt)}{seed}  {os.path.basename(clean(last.path))}"
    lines.append([(text, "muted")])
    return list(lines[:height])


def _problem(text: str) -> str:
    words = {
        "not on this machine": say("not here", "ここにはありません"),
        "not a picture": say("no picture", "画像ではありません"),
    }
    return words.get(text, text)
