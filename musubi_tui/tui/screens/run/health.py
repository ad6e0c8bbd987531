"""The run's health as lines: what holds, what does not, and what it may mean. Only what is measured is judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.config.language import say
from musubi_tui.runs.pyramid import Column, median
from musubi_tui.tui.alerts import Alert
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.widgets.grid import wrap
from musubi_tui.tui.widgets.lines import Line, fit, width_of
from musubi_tui.tui.widgets.plot import number

_WINDOW = 500  # steps that are judged
_STILL = 0.005  # of the loss: less change than this over two windows is none
_SLOWER = 1.1


def alert_lines(found: Sequence[Alert], height: int, glyphs: Glyphs, back: int = 0) -> list[Line]:
    """One line per alert, from the ``back``-th on."""
    if not found:
        return [[(f" {glyphs.state('done')} ", "good"), (say("nothing to worry about", "問題ありません"), "")]]
    signs = {"bad": glyphs.state("failed"), "warn": "!"}
    first = max(0, min(back, len(found) - height))
    return [[(f" {signs[alert.role]} ", alert.role), (alert.text, "")] for alert in found[first : first + height]]


def health(view: RunView, found: Sequence[Alert], width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Checks that hold two to a line, then the alerts, then hints."""
    good = glyphs.state("done")
    holds = [[(f" {good} ", "good"), (text, "")] for text in _holds(view, found)]
    lines: list[Line] = []
    for place in range(0, len(holds), 2):
        pair = holds[place : place + 2]
        if sum(width_of(part) for part in pair) <= width - 2 and len(pair) == 2:
            lines.append([*fit(pair[0], max(width // 2, width_of(pair[0]) + 1)), *pair[1]])
        else:
            lines += pair
    lines += _wrapped(found, width, glyphs)
    lines += [[(" ? ", "accent"), (text, "")] for text in _hints(view)]
    return lines[:height]


def clip_level(view: RunView) -> float | None:
    """Above which gradient norm gradients are cut; None where they are not, or it is not told."""
    level = view.config.get("max_grad_norm")
    return float(level) if isinstance(level, (int, float)) and not isinstance(level, bool) and level > 0 else None


def _holds(view: RunView, found: Sequence[Alert]) -> list[str]:
    codes = {alert.code for alert in found}
    checks = []
    if view.alive and view.heartbeat is not None and "silent" not in codes:
        checks.append(say("heartbeat", "応答あり"))
    if len(view.steps) and "not_finite" not in codes:
        checks.append(say("loss finite", "loss 正常"))
    if view.host is not None and view.host.disk_free and "disk" not in codes:
        checks.append(say("disk", "ディスク"))
    clipped = _clip_rate(view)
    if clipped is not None:
        checks.append(say(f"clip rate {clipped:.0%}", f"クリップ率 {clipped:.0%}"))
    pace = _pace(view)
    if pace is not None and pace < _SLOWER:
        checks.append(
            say(f"pace {pace - 1:+.0%} s/step vs first {_WINDOW}", f"速度 最初の {_WINDOW} 比 {pace - 1:+.0%}")
        )
    checks += _validation(view)
    return checks


def _validation(view: RunView) -> list[str]:
    measured = [entry for entry in view.validations if entry.loss is not None]
    if not measured:
        return []
    last, best = measured[-1], min(measured, key=lambda entry: entry.loss or 0.0)
    zero = (
        "" if last.base is None else say(f" (predicting zero {number(last.base)})", f"（ゼロ予測 {number(last.base)}）")
    )
    where = "" if best is last else say(f", best {number(best.loss or 0.0)} @ {best.step}", f"、最良 {number(best.loss or 0.0)} @ {best.step}")  # fmt: skip
    return [f"val {number(last.loss or 0.0)} @ {last.step}{where}{zero}"]


def _hints(view: RunView) -> list[str]:
    hints = []
    pace = _pace(view)
    if pace is not None and pace >= _SLOWER:
        hints.append(say(f"slower: {pace - 1:+.0%} s/step vs the first {_WINDOW} steps", f"遅くなっています: 最初の {_WINDOW} ステップ比 {pace - 1:+.0%}"))  # fmt: skip
    measured = [entry for entry in view.validations if entry.loss is not None]
    if len(measured) >= 3:
        lowest = min(entry.loss or 0.0 for entry in measured)
        if all((entry.loss or 0.0) > 1.02 * lowest for entry in measured[-2:]):
            best = next(entry for entry in measured if entry.loss == lowest)
            hints.append(say(f"validation rises since {best.step}: overfitting?", f"検証損失がステップ {best.step} から上昇: 過学習?"))  # fmt: skip
    change = _change(view.steps.loss)
    if change is not None and view.alive and abs(change) < _STILL:
        hints.append(say(f"plateau: loss {change:+.1%} over {2 * _WINDOW} steps", f"停滞: {2 * _WINDOW} ステップで loss {change:+.1%}"))  # fmt: skip
    return hints


def _clip_rate(view: RunView) -> float | None:
    level, tail = clip_level(view), view.steps.grad_norm[-_WINDOW:]
    tail = tail[np.isfinite(tail)]
    return float((tail > level).mean()) if level is not None and len(tail) >= 20 else None


def _pace(view: RunView) -> float | None:
    """Seconds per step now, as a multiple of the first ones (without the very first, which warm up)."""
    if len(view.steps) < 2 * _WINDOW:
        return None
    first, now = median(view.steps.step_s[20:_WINDOW]), median(view.steps.step_s[-_WINDOW:])
    return now / first if first and now is not None else None


def _change(loss: Column) -> float | None:
    """How the mean loss of the last window differs from that of the one before it."""
    if len(loss) < 4 * _WINDOW:
        return None
    before, now = loss[-2 * _WINDOW : -_WINDOW], loss[-_WINDOW:]
    before, now = before[np.isfinite(before)], now[np.isfinite(now)]
    return float(now.mean() / before.mean() - 1) if len(before) and len(now) and before.mean() > 0 else None


def _wrapped(found: Sequence[Alert], width: int, glyphs: Glyphs) -> list[Line]:
    signs = {"bad": glyphs.state("failed"), "warn": "!"}
    lines: list[Line] = []
    for alert in found:
        first, *rest = wrap(alert.text, width - 3, 2)
        lines.append([(f" {signs[alert.role]} ", alert.role), (first, "")])
        lines += [[("   ", ""), (text, "")] for text in rest]
    return lines
