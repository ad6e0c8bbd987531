"""Memory as lines: what lies on the card by what it is for, what was planned, the highest so far, and who else is there."""

from __future__ import annotations

from engine.config.language import say
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.widgets.bars import FILLS, gib, stacked
from musubi_tui.tui.widgets.lines import Line, Span, fit, width_of

PARTS = ("weights", "adapter", "optimizer", "activations", "other")
_OTHERS_WORTH_TELLING = 256 << 20  # bytes; below, it is the driver


def memory_line(view: RunView, width: int, glyphs: Glyphs) -> Line:
    """The card's memory in one line; the machine's where there is no card."""
    memory = view.memory
    if memory is None or memory.allocated is None:
        host = view.host
        if host is None or not host.ram_total:
            return [(say(" mem  no reading yet", " メモリ  測定前"), "muted")]
        return [(" ram  ", "muted"), *_host_bar(view, 24, glyphs), (say(f" {gib(host.ram)} of {gib(host.ram_used)}/{gib(host.ram_total)}G", f" この run {gib(host.ram)}、全体 {gib(host.ram_used)}/{gib(host.ram_total)}G"), ""), (say("  no GPU", "  GPU なし") if not host.gpus else "", "muted")]  # fmt: skip
    total = gpu_total(view) or memory.peak or memory.reserved or 1
    words: list[Span] = [(say(f" {gib(_used(view))}/{gib(total)}G peak {gib(memory.peak)}", f" {gib(_used(view))}/{gib(total)}G 最大 {gib(memory.peak)}"), "")]  # fmt: skip
    if view.plan is not None and view.plan.peak is not None:
        words.append((say(f" plan {gib(view.plan.peak)}", f" 計画 {gib(view.plan.peak)}"), "accent"))
    words.append((f" W{gib(memory.weights)} A{gib(memory.activations)} L{gib((memory.adapter or 0) + (memory.optimizer or 0))}", "muted"))  # fmt: skip
    return [(" vram ", "muted"), *_bar(view, float(total), max(10, width - 7 - width_of(words)), glyphs), *words]


def memory(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """The memory panel of the large layout: now, planned, highest; the neighbours; the machine."""
    lines: list[Line] = []
    if view.memory is not None and view.memory.allocated is not None:
        lines += _card_lines(view, width, glyphs)
    elif view.memory is not None:
        lines += _table(view, width, glyphs)
    host = view.host
    if host is not None and host.ram_total:
        pinned = f"  pinned {gib(host.pinned)} G" if host.pinned else ""
        lines.append([(f" RAM {gib(host.ram_used)}/{gib(host.ram_total)} G  {say('engine', 'エンジン')} {gib(host.ram)} G{pinned}", "")])  # fmt: skip
        if not host.gpus:
            lines.insert(0, [(" ", ""), *_host_bar(view, width - 2, glyphs)])
    if host is not None:
        disk = say(f"  disk {host.disk_free / 1e9:.0f} GB free", f"  ディスク空き {host.disk_free / 1e9:.0f} GB") if host.disk_free else ""  # fmt: skip
        lines.append([(" " + (card_words(view) or say("no GPU", "GPU なし")) + disk, "")])
    return lines or [[(say(" no reading yet", " 測定前"), "muted")]]


def memory_title(view: RunView) -> str:
    """Which card, and how large."""
    total = gpu_total(view)
    if view.memory is None or view.memory.allocated is None or total is None:
        return say("memory", "メモリ")
    return f"VRAM  {gib(total)} GiB"


def gpu_total(view: RunView) -> int | None:
    """Bytes of the first card."""
    totals = [card.get("total") for card in view.host.gpus if card.get("total")] if view.host else []
    return int(totals[0]) if totals and isinstance(totals[0], int) else None


def card_words(view: RunView) -> str:
    """How busy and warm the first card is."""
    if view.host is None or not view.host.gpus:
        return ""
    card = view.host.gpus[0]
    facts = [(card.get("util"), "%"), (card.get("temperature"), "°C"), (card.get("watts"), "W")]
    return "gpu " + " ".join(f"{value:.0f}{unit}" for value, unit in facts if isinstance(value, (int, float)))


def others(view: RunView) -> tuple[int, int] | None:
    """(bytes, processes) on the card that are not ours; None where that cannot be told or is nothing but the driver.

    The driver knows our bytes, except in a container; there, what our allocator holds is taken off.
    """
    if view.host is None or not view.host.gpus:
        return None
    card = view.host.gpus[0]
    used, ours, processes = card.get("used"), card.get("ours"), card.get("processes")
    if ours is None and view.memory is not None:
        ours = view.memory.reserved
    if not isinstance(used, int) or not isinstance(ours, int):
        return None
    rest, count = used - ours, processes - 1 if isinstance(processes, int) else 0
    return (rest, max(0, count)) if rest >= _OTHERS_WORTH_TELLING or (count > 0 and rest > 0) else None


def _card_lines(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    memory = view.memory
    assert memory is not None
    total = gpu_total(view) or memory.peak or memory.reserved or 1
    room = width - 10
    lines: list[Line] = [[(" ", ""), *_bar(view, float(total), room, glyphs), (f" {_used(view) * 100 // total}%", "bold")]]  # fmt: skip
    lines += _table(view, width, glyphs)
    lines.append(_peak_line(view, total))
    free = max(0, total - (memory.reserved or memory.allocated or 0))
    lines.append([(say(f" reserved {gib(memory.reserved)} G  free {gib(free)} of {gib(total)} G", f" 予約 {gib(memory.reserved)} G  空き {gib(free)} / {gib(total)} G"), "")])  # fmt: skip
    rest = others(view)
    if rest is not None:
        others_word = "process" if rest[1] == 1 else "processes"
        who = say(f"{rest[1]} other {others_word}", f"他のプロセス {rest[1]} 個") if rest[1] else say("others and the driver", "他のプロセスとドライバ")  # fmt: skip
        lines.append([(f" {who} {gib(rest[0])} G", "warn" if rest[1] else "muted")])
    if len(view.memory_course) > 2:
        minutes = say(" 10 min ", " 10 分 ")
        lines.append([(minutes, "muted"), (glyphs.sparkline([float(size) for size in view.memory_course[-(width - 10) :]]), "mark")])  # fmt: skip
    return lines


def _table(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """Each part now and as planned."""
    words = {"weights": say("wghts", "重み"), "adapter": "LoRA", "optimizer": say("optim", "最適"), "activations": say("activ", "活性"), "other": say("other", "他")}  # fmt: skip
    signs, first = FILLS[glyphs.name], 8
    column = max(7, (width - first) // 6)
    heads: list[Span] = [(f" {signs[place % len(signs)]}{words[part]}", part) for place, part in enumerate(PARTS)]
    lines: list[Line] = [[(" " * first, ""), *(span for head in heads for span in fit([head], column)), (say("  all", "  計"), "muted")]]  # fmt: skip
    lines.append(
        _row(say(" now", " 現在"), [*(getattr(view.memory, part) for part in PARTS), _used(view)], first, column)
    )
    plan = view.plan
    planned = [*(getattr(plan, part) for part in PARTS), plan.peak] if plan is not None else []
    if any(size is not None for size in planned):
        lines.append(_row(say(" planned", " 計画"), planned, first, column))
    return lines


def _peak_line(view: RunView, total: int) -> Line:
    memory, plan = view.memory, view.plan
    assert memory is not None
    at = say(f" @ step {view.peak_step}", f" @{view.peak_step}") if view.peak_step else ""
    spans: list[Span] = [(say(f" peak {gib(memory.peak)} G{at}", f" 最大 {gib(memory.peak)} G{at}"), "bold")]
    if plan is not None and plan.peak and memory.peak:
        off = memory.peak - plan.peak
        share = off / plan.peak
        words = say(f"  plan {gib(plan.peak)} G ({off / (1 << 30):+.1f}, {share:+.0%})", f"  計画 {gib(plan.peak)} G ({off / (1 << 30):+.1f}, {share:+.0%})")  # fmt: skip
        spans.append((words, "warn" if share > 0.05 or memory.peak > total * 0.97 else "good"))
    return spans


def _row(name: str, sizes: list[int | None], first: int, column: int) -> Line:
    cells = [span for size in sizes[:-1] for span in fit([(f"  {gib(size)}", "")], column)]
    return [*fit([(name, "muted")], first), *cells, (f"  {gib(sizes[-1])}", "bold")]


def _used(view: RunView) -> int:
    """Bytes in use while a step is at its fullest: the sum of the parts."""
    return sum(getattr(view.memory, part) or 0 for part in PARTS)


def _bar(view: RunView, total: float, width: int, glyphs: Glyphs) -> list[Span]:
    return stacked([(float(getattr(view.memory, part) or 0), part) for part in PARTS], total, width, glyphs)


def _host_bar(view: RunView, width: int, glyphs: Glyphs) -> list[Span]:
    host = view.host
    assert host is not None
    parts = [(float(host.ram or 0), "weights"), (float(max(0, (host.ram_used or 0) - (host.ram or 0))), "other")]
    return stacked(parts, float(host.ram_total or 1), width, glyphs)
