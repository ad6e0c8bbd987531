"""Block swap as lanes: which transformer blocks stay on the GPU, which stream through the ring, and what waiting costs."""

from __future__ import annotations

from engine.config.language import say
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.widgets.lines import Line, Span

_SIGNS = {
    "unicode": {"resident": "■", "compute": "●", "ready": "▣", "loading": "▶", "cpu": "□"},
    "ascii": {"resident": "#", "compute": "@", "ready": "+", "loading": ">", "cpu": "."},
}
_ROLES = {"resident": "weights", "compute": "bold", "ready": "good", "loading": "accent", "cpu": "muted"}


def lane(view: RunView, width: int, glyphs: str) -> list[Span]:
    """One cell per block (several blocks share one where there are more than cells). Without news of single blocks the
    resident ones stand first: their number is known, their places are not."""
    resident, streamed = counts(view)
    total = max(resident + streamed, max(view.blocks, default=-1) + 1)
    if not total:
        return []
    states = ["resident"] * resident + ["cpu"] * (total - resident)
    for index, state in view.blocks.items():
        states[index] = state if state in _ROLES else "cpu"
    cells = min(width, total)
    signs = _SIGNS[glyphs]
    shown = [states[place * total // cells] for place in range(cells)]
    return [(signs[state], _ROLES[state]) for state in shown]


def counts(view: RunView) -> tuple[int, int]:
    """(resident, streamed) blocks: of the last swap reading, else of the plan."""
    news = view.swap or view.plan
    return (news.resident, news.streamed) if news else (0, 0)


def summary(view: RunView) -> str:
    """The lanes in words."""
    resident, streamed = counts(view)
    if not streamed:
        if view.plan is None and not len(view.steps) and view.alive:
            return say("no memory plan yet", "メモリ計画はまだありません")
        blocks = f" ({resident})" if resident else ""
        return say(f"all blocks resident{blocks}, no swap", f"全ブロック常駐{blocks}、スワップなし")
    slots = (view.swap or view.plan).slots  # type: ignore[union-attr]
    text = say(
        f"{resident} resident {streamed} streamed {slots} slots", f"常駐 {resident} 転送 {streamed} スロット {slots}"
    )
    if view.swap and view.swap.stall_ms is not None:
        text += say(f" stall {view.swap.stall_ms:.0f} ms", f" 待ち {view.swap.stall_ms:.0f} ms")
    return text


def panel(view: RunView, width: int, glyphs: str) -> list[Line]:
    """The lanes of the large layout: lane, legend, ring, copy against compute, and why the plan is as it is."""
    resident, streamed = counts(view)
    blocks = lane(view, width - 2, glyphs)
    if not streamed:
        return [[(" " + summary(view), "")], [(" ", ""), *blocks]]
    signs = _SIGNS[glyphs]
    slots = (view.swap or view.plan).slots  # type: ignore[union-attr]
    words = {
        "resident": say("resident", "常駐"), "compute": say("compute", "計算"), "ready": say("ready", "準備済"),
        "loading": say("loading", "転送"), "cpu": "CPU",
    }  # fmt: skip
    known = set(_ROLES) if view.blocks else {"resident", "cpu"}
    legend: list[Span] = [(" ", "")]
    for state, word in words.items():
        if state in known:
            legend.append((f"{signs[state]} ", _ROLES[state]))
            legend.append((f"{word}{f' {resident}' if state == 'resident' else ''} ", ""))
    lines: list[Line] = [
        [(f" {resident} + {streamed} {say('blocks', 'ブロック')}", "muted")],
        [(" ", ""), *blocks],
        legend,
        [(say(f" ring  {slots} slots", f" リング  {slots} スロット"), "")],
    ]
    swap = view.swap
    if swap is not None:
        if swap.copy_ms is not None and swap.compute_ms is not None:
            lines.append([(say(f" block copy {swap.copy_ms:.0f} ms, compute {swap.compute_ms:.0f} ms", f" ブロック: コピー {swap.copy_ms:.0f} ms、計算 {swap.compute_ms:.0f} ms"), "")])  # fmt: skip
        if swap.stall_ms is not None:
            busy = view.step_seconds
            share = f" ({swap.stall_ms / 10 / busy:.0f}%)" if busy else ""
            lines.append([(say(f" stall {swap.stall_ms:.0f} ms{share}, {swap.not_ready} not ready", f" 待ち {swap.stall_ms:.0f} ms{share}、間に合わず {swap.not_ready}"), "warn" if swap.not_ready else "")])  # fmt: skip
        if swap.bytes_h2d:
            lines.append(
                [(say(f" to the GPU {swap.bytes_h2d / 1e9:.1f} GB", f" GPU へ {swap.bytes_h2d / 1e9:.1f} GB"), "")]
            )
    if view.plan is not None and view.plan.reason:
        from musubi_tui.runs.telling import clean

        text = clean(view.plan.reason)
        lines += [[(" " + text[start : start + width - 2], "muted")] for start in range(0, len(text), width - 2)]
    return lines
