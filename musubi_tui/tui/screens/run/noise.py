"""Loss by noise level as lines: how each range came along, or how high it stands, and whether levels are drawn as they should be."""

from __future__ import annotations

from collections.abc import Sequence

from engine.config.language import say
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.run_means import Bin, divergence
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.widgets.bars import gauge
from musubi_tui.tui.widgets.lines import Line
from musubi_tui.tui.widgets.plot import number

_ENOUGH = 200  # draws before anything is said about them
_FAR = 0.1  # nats; an honest sample of 200 in 20 ranges is at about 0.05


def levels(view: RunView, width: int, height: int, glyphs: Glyphs, *, heat: bool) -> list[Line]:
    """One line per range, noise at the top. ``heat``: the course of its loss over the run; else its height now."""
    known = [entry.mean for entry in view.bins if entry.mean is not None]
    if not known:
        return [[(say(" no timesteps told yet", " タイムステップ未記録"), "muted")]]
    highest = max(value for entry in view.bins for value in (entry.mean, *entry.course) if value is not None)
    top = highest if heat else max(known)
    room = max(6, width - 28)
    lines: list[Line] = []
    for entry in reversed(view.bins):
        mean = "" if entry.mean is None else number(entry.mean)
        bar = [(_course(entry, top, room, glyphs), "mark")] if heat else gauge((entry.mean or 0.0) / top if top > 0 else 0.0, room, glyphs, "mark")  # fmt: skip
        lines.append([(f" t {entry.low:.2f}-{entry.high:.2f} ", "muted"), *bar, (f" {mean:>5} n {entry.count}", "")])
    return [*lines, *_draws(view, width, glyphs)][: max(height, 1)]


def _course(entry: Bin, top: float, room: int, glyphs: Glyphs) -> str:
    """The course in ``room`` cells, oldest left, on the scale of all ranges."""
    course = entry.course
    if not course:
        return " " * room
    cells = [course[place * len(course) // room] for place in range(room)]
    steps = len(glyphs.spark) - 1
    return "".join(" " if value is None else glyphs.spark[round(min(1.0, value / top) * steps) if top > 0 else 0] for value in cells)  # fmt: skip


def _draws(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    room = max(4, (width - 36) // 2)
    drawn = _spark(view.drawn, room, glyphs)
    if not view.target:
        return [[(say(" drawn (low t to high) ", " 出現回数（t 小→大） "), "muted"), (drawn, "mark")]]
    target = _spark(view.target, room, glyphs)
    spans = [
        (say(" drawn ", " 実際 "), "muted"),
        (drawn, "mark"),
        (say("  target ", "  目標 "), "muted"),
        (target, "ema"),
    ]
    far = divergence(view.drawn, view.target)
    if far is not None and sum(view.drawn) >= _ENOUGH:
        verdict = say("ok", "正常") if far < _FAR else say("off target", "目標と相違")
        spans.append((f"  KL {far:.3f} {verdict}", "good" if far < _FAR else "warn"))
    return [spans]


def _spark(values: Sequence[float], room: int, glyphs: Glyphs) -> str:
    """Shares as heights from zero, neighbours together where there are more than cells."""
    cells = min(room, len(values))
    if not cells or not any(values):
        return ""
    sums = [sum(values[place * len(values) // cells : (place + 1) * len(values) // cells]) for place in range(cells)]
    wide = [(place + 1) * len(values) // cells - place * len(values) // cells for place in range(cells)]
    means = [total / count for total, count in zip(sums, wide)]
    steps, top = len(glyphs.spark) - 1, max(means)
    return "".join(glyphs.spark[round(mean / top * steps)] for mean in means)
