"""Block swap as lanes: which transformer blocks stay on the GPU, which stream through the ring, and what waiting costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from engine.config.language import say
from engine.events.types import Block
from musubi_tui.runs.telling import clean
from musubi_tui.tui.glyphs import SETS
from musubi_tui.tui.run_view import MOST_BLOCKS, RunView
from musubi_tui.tui.widgets.grid import wrap
from musubi_tui.tui.widgets.lines import Line, Span, fit, justify

_SIGNS = {
    "unicode": {"resident": "■", "computing": "●", "ready": "▣", "loading": "▶", "cpu": "□"},
    "ascii": {"resident": "#", "computing": "@", "ready": "+", "loading": ">", "cpu": "."},
}
_ROLES = {"resident": "weights", "computing": "bold", "ready": "good", "loading": "accent", "cpu": "muted"}
_Value = TypeVar("_Value")
_FRESH_SECONDS = 12.0  # after which nobody knows what a block does


def states(view: RunView) -> list[str]:
    """The state of each block. Without news of single blocks the resident ones stand first: their number is known, their
    places are not. Old news only says which ones stay."""
    resident, streamed = counts(view)
    total = max(resident + streamed, max(view.blocks, default=-1) + 1)
    known = {index: block.state if block.state in _ROLES else "cpu" for index, block in view.blocks.items()}
    if not fresh(view):
        known = {index: state if state == "resident" else "cpu" for index, state in known.items()}
    if len(known) >= total:
        return [known[index] for index in range(total)]
    left = max(0, resident - sum(state == "resident" for state in known.values()))
    found = []
    for index in range(total):
        if index in known:
            found.append(known[index])
        else:
            found.append("resident" if left > 0 else "cpu")
            left -= 1
    return found


def fresh(view: RunView) -> bool:
    """Whether what is known of single blocks is of this moment."""
    return bool(view.blocks) and view.now - view.blocks_t < _FRESH_SECONDS


def lane(view: RunView, width: int, glyphs: str) -> list[Span]:
    """One cell per block; several blocks share one where there are more than cells, and the busiest is shown."""
    found = states(view)
    if not found:
        return []
    order = ("computing", "loading", "ready", "resident", "cpu")
    return [(_SIGNS[glyphs][state], _ROLES[state]) for state in _shared(found, width, lambda some: min(some, key=order.index))]  # fmt: skip


def counts(view: RunView) -> tuple[int, int]:
    """(resident, streamed) blocks: of the last swap reading, else of the plan."""
    news = view.swap or view.plan
    return (_believable(news.resident), _believable(news.streamed)) if news else (0, 0)


def _believable(count: int) -> int:
    return max(0, min(MOST_BLOCKS, count))


def summary(view: RunView) -> str:
    """The lanes in words."""
    resident, streamed = counts(view)
    if not streamed:
        if view.plan is None and not len(view.steps) and (view.alive or view.state == "queued"):
            return say("no memory plan yet", "メモリ計画はまだありません")
        blocks = f" ({resident})" if resident else ""
        return say(f"all blocks resident{blocks}, no swap", f"全ブロック常駐{blocks}、スワップなし")
    if fresh(view):
        found = states(view)
        ready, loading = found.count("ready"), found.count("loading")
        return say(f"{resident} res {ready} ready {loading} loading  ring {_slots(view)}", f"常駐 {resident} 準備済 {ready} 転送中 {loading}  リング {_slots(view)}")  # fmt: skip
    text = say(f"{resident} resident {streamed} streamed {_slots(view)} slots", f"常駐 {resident} 転送 {streamed} スロット {_slots(view)}")  # fmt: skip
    if view.swap and view.swap.stall_ms is not None:
        text += say(f" stall {view.swap.stall_ms:.0f} ms", f" 待ち {view.swap.stall_ms:.0f} ms")
    return text


def panel(view: RunView, width: int, glyphs: str) -> list[Line]:
    """The lanes of the large layout: lane, legend, ring, copy against compute, stalls per block, and why it is so."""
    streamed = counts(view)[1]
    if not streamed:
        return [[(" " + summary(view), "")], [(" ", ""), *lane(view, width - 2, glyphs)]]
    lines: list[Line] = [_numbers(view, width - 2), _lane_line(view, width, glyphs), _legend(view, glyphs), _ring(view, glyphs)]  # fmt: skip
    lines += _costs(view, width, glyphs)
    if view.plan is not None and view.plan.reason:
        lines += [[(f" {text}", "muted")] for text in wrap(clean(view.plan.reason), width - 2, 4)]
    return lines


def table(view: RunView, height: int, back: int, glyphs: str) -> list[Line]:
    """One line per block from the ``back``-th on: state, slot, copying, computing, waiting."""
    if not view.blocks:
        if not counts(view)[1]:
            return [[(" " + summary(view), "")]]
        return [[(say(" no word of single blocks yet: the engine tells them while somebody looks", " ブロック単位の情報はまだありません（表示中にエンジンが送ります）"), "muted")]]  # fmt: skip
    found = states(view)
    names = (say("block", "ブロック"), say("state", "状態"), say("slot", "スロット"), say("copy ms", "コピー ms"), say("compute ms", "計算 ms"), say("stall ms", "待ち ms"))  # fmt: skip
    widths = (9, 14, 10, 10, 12, 10)
    lines: list[Line] = [_cells([(" " + name, "muted") for name in names], widths)]
    first = max(0, min(back, len(found) - max(1, height - 1)))
    worst = max((block.stall_ms or 0.0 for block in view.blocks.values()), default=0.0)
    for index in range(first, min(len(found), first + height - 1)):
        block = view.blocks.get(index, Block(index))
        state = found[index]
        slot = "" if block.slot is None or state in ("cpu", "resident") else str(block.slot)
        waits = block.stall_ms or 0.0
        cells: list[Span] = [
            (f" {index}", ""), (f" {_SIGNS[glyphs][state]} {_words()[state]}", _ROLES[state]), (f" {slot}", ""),
            (f" {_ms(block.copy_ms)}", ""), (f" {_ms(block.compute_ms)}", ""), (f" {_ms(block.stall_ms)}", "warn" if waits and waits >= worst / 2 else ""),
        ]  # fmt: skip
        lines.append(_cells(cells, widths))
    return lines


def _cells(cells: Sequence[Span], widths: Sequence[int]) -> list[Span]:
    return [span for cell, width in zip(cells, widths) for span in fit([cell], width)]


def _words() -> dict[str, str]:
    return {
        "resident": say("resident", "常駐"), "computing": say("computing", "計算中"), "ready": say("ready", "準備済"),
        "loading": say("loading", "転送中"), "cpu": "CPU",
    }  # fmt: skip


def _slots(view: RunView) -> int:
    news = view.swap or view.plan
    return news.slots if news else 0


def _numbers(view: RunView, width: int) -> Line:
    """The numbers of every tenth block over the lane, as far as each block has a cell of its own."""
    resident, streamed = counts(view)
    total = len(states(view))
    text = [" "] * width
    if total <= width:
        for index in range(0, total, 10):
            label = str(index)
            if index + len(label) <= width:
                text[index : index + len(label)] = label
    words = f" {resident} + {streamed} {say('blocks', 'ブロック')}"
    return justify([(" " + "".join(text).rstrip(), "muted")], [(words, "muted")], width + 1)


def _lane_line(view: RunView, width: int, glyphs: str) -> Line:
    directions = {"forward": say("fwd", "前向き"), "backward": say("bwd", "後向き")}
    last = next((block.direction for block in view.blocks.values() if block.state == "computing"), "")
    word = f"  {directions[last]}" if fresh(view) and last in directions else ""
    return [(" ", ""), *lane(view, width - 2 - len(word), glyphs), (word, "bold")]


def _legend(view: RunView, glyphs: str) -> Line:
    resident, _ = counts(view)
    known = set(_ROLES) if fresh(view) else {"resident", "cpu"}
    legend: list[Span] = [(" ", "")]
    for state, word in _words().items():
        if state in known:
            legend += [(f"{_SIGNS[glyphs][state]} ", _ROLES[state]), (f"{word}{f' {resident}' if state == 'resident' else ''} ", "")]  # fmt: skip
    return legend


def _ring(view: RunView, glyphs: str) -> Line:
    """What is in the ring's slots, as far as it is told."""
    in_ring = sorted(
        (block for block in view.blocks.values() if block.slot is not None and block.state in ("computing", "ready", "loading")),
        key=lambda block: block.slot or 0,
    )  # fmt: skip
    if not in_ring or not fresh(view):
        return [(say(f" ring  {_slots(view)} slots", f" リング  {_slots(view)} スロット"), "")]
    spans: list[Span] = [(say(" ring ", " リング "), "muted")]
    for block in in_ring:
        share = f" {block.loaded:.0%}" if block.state == "loading" and block.loaded is not None else ""
        spans.append((f"[{block.index} {_SIGNS[glyphs][block.state]}{share}]", _ROLES[block.state]))
    return spans


def _costs(view: RunView, width: int, glyphs: str) -> list[Line]:
    swap = view.swap
    lines: list[Line] = []
    if swap is not None and swap.copy_ms is not None and swap.compute_ms is not None:
        hidden = "" if swap.hidden is None else say(f", {swap.hidden:.0%} hidden", f"、{swap.hidden:.0%} 隠蔽")
        lines.append([(say(f" block: copy {swap.copy_ms:.0f} ms, compute {swap.compute_ms:.0f} ms{hidden}", f" ブロック: コピー {swap.copy_ms:.0f} ms、計算 {swap.compute_ms:.0f} ms{hidden}"), "")])  # fmt: skip
    stalls = [view.blocks[index].stall_ms or 0.0 if index in view.blocks else 0.0 for index in range(len(states(view)))]
    if any(stalls):
        levels = "·" + SETS[glyphs].spark if glyphs == "unicode" else SETS[glyphs].spark
        top = max(stalls)
        cells = _shared(stalls, width - 2, max)
        lines.append([(" " + "".join(levels[min(len(levels) - 1, round(stall / top * (len(levels) - 1)))] for stall in cells), "warn")])  # fmt: skip
    if swap is not None and swap.stall_ms is not None:
        busy = view.step_seconds
        share = f" ({swap.stall_ms / 10 / busy:.0f}%)" if busy else ""
        lines.append([(say(f" stall {swap.stall_ms:.0f} ms per step{share}, {swap.not_ready} not ready", f" 待ち {swap.stall_ms:.0f} ms/ステップ{share}、間に合わず {swap.not_ready}"), "warn" if swap.not_ready else "")])  # fmt: skip
    if swap is not None and swap.bytes_h2d:
        rate = view.host.gpus[0].get("pcie_in") if view.host is not None and view.host.gpus else None
        at = say(f" at {rate / 1e9:.1f} GB/s", f"、{rate / 1e9:.1f} GB/s") if isinstance(rate, (int, float)) else ""
        lines.append([(say(f" to the GPU {swap.bytes_h2d / 1e9:.1f} GB{at}", f" GPU へ {swap.bytes_h2d / 1e9:.1f} GB{at}"), "")])  # fmt: skip
    return lines


def _shared(values: Sequence[_Value], width: int, choose: Callable[[Sequence[_Value]], _Value]) -> list[_Value]:
    """The values in at most ``width`` cells: where several share one, ``choose`` says what is shown."""
    cells = min(width, len(values))
    edges = [place * len(values) // cells for place in range(cells + 1)] if cells > 0 else [0]
    return [choose(values[start:stop]) for start, stop in pairwise(edges)]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
