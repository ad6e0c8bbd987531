"""What stands in the panels of the run screen: a view in, lines of spans out. No widget, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engine.config.language import say
from musubi_tui.runs.costs import cost_text
from musubi_tui.runs.money import money
from musubi_tui.runs.state_words import state_word
from musubi_tui.runs.telling import clean
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import duration, fit, per_step, wrapped
from musubi_tui.tui.run_view import LogLine, RunView
from musubi_tui.tui.screens.run.health import clip_level
from musubi_tui.tui.screens.run.memory import card_words, memory_line
from musubi_tui.tui.widgets import lanes
from musubi_tui.tui.widgets.bars import course, gauge, labelled
from musubi_tui.tui.widgets.chart import small_curve
from musubi_tui.tui.widgets.lines import Line, Span, justify, width_of
from musubi_tui.tui.widgets.plot import number

_LEAST_BAR = 8
_LEAST_NAME = 12  # cells of a name before the pace makes room for it
_STATE_ROLES = {"running": "good", "starting": "good", "done": "good", "failed": "bad", "orphaned": "bad"}


def header(view: RunView, width: int, glyphs: Glyphs, note: str = "", beside: Sequence[Span] = ()) -> list[Line]:
    """Two lines: what it is and how far, and the bar with what is ``beside`` the run (a countdown first), a note, the last save.

    Where it does not all fit the name is cut, then the epoch and the pace go; state and step stay.
    """
    percent = f" {view.step * 100 // view.max_steps}%" if view.max_steps else ""
    role = _STATE_ROLES.get(view.state, "warn")
    after: list[Span] = [(f" {state_word(view.state)}", role)]
    if width >= 120:
        after.append((f"  {_kind(view)}", "muted"))
    doing = "" if view.phase in ("", "train") else f"  {clean(view.phase)}"
    if doing and view.progress and view.progress[0] == view.phase:
        doing += f" {view.progress[1]}/{view.progress[2]}"
    after.append((f"  {view.step}/{view.max_steps}{percent}" if view.max_steps else "", ""))
    after.append((doing, "accent"))
    sign, name, right = f" {glyphs.state(view.state)} ", clean(view.name), _pace(view, width)
    most = cells(name)
    while right and width - cells(sign) - width_of(after) - width_of(right) < min(most, _LEAST_NAME):
        right = right[1:]
    room = width - cells(sign) - width_of(after) - width_of(right)
    shown = fit(name, max(1, min(most, room)), ellipsis=glyphs.ellipsis).rstrip()
    return [
        justify([(sign, role), (shown, "bold"), *after], right, width),
        _progress(view, width, glyphs, note, beside),
    ]


def _pace(view: RunView, width: int) -> list[Span]:
    """How fast, how long, how much; what can be missed first comes first."""
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
        whole = f" / {money(view.projected_cost)}" if view.projected_cost is not None and width >= 120 else ""
        right.append((f"  {cost_text(view.cost, guessed=view.bill.guessed)}{whole}", ""))
    return [*right, (" ", "")]


def _progress(view: RunView, width: int, glyphs: Glyphs, note: str, beside: Sequence[Span]) -> list[Span]:
    told = [
        *(span for span in beside if span[1] == "warn"),
        (note, "warn"),
        *(span for span in beside if span[1] != "warn"),
    ]
    told = [span for span in told if span[0]]
    if not told and view.saved:
        told = [(say(f"saved {view.saved[-1].step}", f"保存 {view.saved[-1].step}"), "mark")]
    marks: list[Span] = []
    room = width - _LEAST_BAR - 2
    for text, role in told:
        if not marks or cells(text) + 2 <= room:  # the first of them as far as there is room, others whole
            shown = fit(text, min(cells(text), room - 2), ellipsis=glyphs.ellipsis)
            marks.append((f" {shown} ", role))
            room -= cells(shown) + 2
    done = view.step / view.max_steps if view.max_steps else 0.0
    if view.progress and view.phase not in ("", "train") and view.progress[0] == view.phase and view.progress[2]:
        done = view.progress[1] / view.progress[2]
    room = max(_LEAST_BAR, width - 2 - width_of(marks))
    return justify([(" ", ""), *gauge(done, room, glyphs, "good" if view.alive else "mark")], marks, width)


def _kind(view: RunView) -> str:
    names = [view.config.get("family"), view.config.get("task")]
    rank = view.config.get("network_dim")
    return clean(" ".join([*(str(name) for name in names if name), *([f"r{rank}"] if rank else [])]))


def vitals(view: RunView, width: int, glyphs: Glyphs) -> list[Line]:
    """Four lines for the small layout: memory, time, swap, the rest."""
    return [memory_line(view, width, glyphs), _time_line(view, width, glyphs), _swap_line(view, width, glyphs), _rest_line(view, width, glyphs)]  # fmt: skip


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
    lane = lanes.lane(view, max(8, width - 9 - cells(text)), glyphs.name) if lanes.counts(view)[1] else []
    return [(" swap ", "muted"), *lane, ("  " if lane else "", ""), (text, "")]


def _rest_line(view: RunView, width: int, glyphs: Glyphs) -> Line:
    steps = view.steps
    if not len(steps):
        return [(f" {card_words(view)}", "")]
    room = max(8, (width - 58) // 2)
    tail = slice(-2000, None)
    spans: list[Span] = [(" lr ", "muted"), (f"{float(steps.lr[-1]):.3g} ", ""), (course(steps.step, steps.lr, room, glyphs, steps.blocks["lr"]), "mark")]  # fmt: skip
    spans += [("  gnorm ", "muted"), (f"{number(float(steps.grad_norm[-1]))} ", ""), (course(steps.step[tail], steps.grad_norm[tail], room, glyphs), "mark")]  # fmt: skip
    return [*spans, ("  " + card_words(view), "")]


def rates(view: RunView, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """The learning rate, of several parameter groups on a logarithmic scale."""
    steps = view.steps
    curves = [(group, None, "raw") for group in steps.groups] + [(steps.lr, steps.blocks["lr"], "mark")]
    return [*small_curve(steps.step, curves, width, height, ascii_only=glyphs.name == "ascii", log=len(curves) > 1)]


def rates_title(view: RunView) -> str:
    """The rates of all groups as they are now."""
    now = [f"{rate:.3g}" for rate in (view.last.lr if view.last else ()) if rate is not None]
    return say("learning rate", "学習率") + "".join(f" {rate}" for rate in dict.fromkeys(now[:3]))


def gradients(view: RunView, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """The gradient norm on a logarithmic scale, and where it is clipped."""
    steps = view.steps
    curves = [(steps.grad_norm, steps.blocks["grad_norm"], "mark")]
    return [
        *small_curve(
            steps.step, curves, width, height, ascii_only=glyphs.name == "ascii", level=clip_level(view), log=True
        )
    ]


def gradients_title(view: RunView) -> str:
    """With the limit, where there is one."""
    level = clip_level(view)
    return say("grad norm", "勾配ノルム") + ("" if level is None else f"  clip {level:g}")


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


def log(told: Sequence[LogLine], height: int, back: int = 0, *, wrap: int = 0) -> list[Line]:
    """The last of these lines of the log, ``back`` lines further up; with ``wrap`` long ones go on below, in so many cells."""
    stop = max(0, len(told) - back)
    lines: list[Line] = []
    for line in reversed(told[max(0, stop - height) : stop]):
        stamp = datetime.fromtimestamp(line.t).strftime("%H:%M:%S")
        first, *others = wrapped(clean(line.text), wrap - 11) if wrap > 20 else [clean(line.text)]
        rows: list[Line] = [[(f" {stamp} ", "muted"), (first, line.role)]]
        lines[:0] = [*rows, *([(" " * 10, ""), (text, line.role)] for text in others)]
    return lines[-height:]
