"""Losses of several runs over one axis. Each run has a colour and, so that it shows without colour, its letter on its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.config.language import say
from musubi_tui.runs.comparing import AXES, Compared, extent
from musubi_tui.runs.money import money
from musubi_tui.runs.plain_text import clean
from musubi_tui.runs.pyramid import Column, reduce
from musubi_tui.tui.glyphs import UNICODE
from musubi_tui.tui.numbers import duration, small
from musubi_tui.tui.widgets.lines import Line, Lines, Span, fit, justify
from musubi_tui.tui.widgets.plot import Canvas, Scale, number

ROLES = ("ema", "val", "mark", "warn", "good", "bad")  # one per run
_LABEL = 6  # cells left of the plot
_LETTERS_EVERY = 24  # cells between two letters of a curve


class Overlay(Lines):
    """``feed`` gives it the runs. ``cursor`` is a place on the axis; None stands at the end of each run."""

    can_focus = True
    ALLOW_MAXIMIZE = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, rows=8)
        self.runs: Sequence[Compared] = ()
        self.axis = AXES[0]
        self.logarithmic = False
        self.validation = False
        self.cursor: float | None = None

    def feed(self, runs: Sequence[Compared]) -> None:
        """Other runs, or a newer moment of them."""
        self.runs = runs
        self.draw()

    def next_axis(self) -> None:
        """Step, time, cost; cost is passed over while no price is known."""
        place = AXES.index(self.axis)
        choices = [*AXES[place + 1 :], *AXES[: place + 1]]
        self.axis = next(axis for axis in choices if axis != "cost" or any(run.bill.known for run in self.runs))
        self.cursor = None
        self.draw()

    def toggle(self, what: str) -> None:
        """``logarithmic`` or ``validation`` on or off."""
        setattr(self, what, not getattr(self, what))
        self.draw()

    def walk(self, columns: int) -> None:
        """Move the cursor; past the right end it is gone again."""
        found = extent(self.runs, self.axis)
        if found is None:
            return
        low, high = found
        here = high if self.cursor is None else self.cursor
        there = here + columns * (high - low) / max(1, self.size.width - _LABEL)
        self.cursor = None if there >= high else max(low, there)
        self.draw()

    @property
    def title(self) -> str:
        """For the border."""
        what = say("validation", "検証") if self.validation else say("loss", "損失") + " ema .98"
        axes = {"step": say("step", "ステップ"), "time": say("time", "時間"), "cost": say("cost", "費用")}
        text = f"{what}  {say('aligned by', '軸:')} {axes[self.axis]}"
        return text + ("  log" if self.logarithmic else "")

    def draw(self) -> None:
        """Compute the lines; only changed cells are painted."""
        if self.size.width < 20 or self.size.height < 3:
            return
        if self.border_title != self.title:  # setting it repaints the whole panel
            self.border_title = self.title
        self.show(self._draw(self.size.width, self.size.height))

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.draw()

    def _draw(self, width: int, height: int) -> list[Line]:
        found = extent(self.runs, self.axis)
        if found is None:
            return [[(say(" no steps yet", " まだステップがありません"), "muted")]]
        low, high = found
        rows, columns = height - 1, width - _LABEL
        curves = [self._curve(run, low, high, columns * 2) for run in self.runs]
        scale = Scale.of(np.concatenate(curves), log=self.logarithmic).rounded()
        canvas = Canvas(columns, rows)
        for run, role, curve in zip(self.runs, ROLES, curves):
            canvas.curve(role, scale, curve)
            self._letters(canvas, run, role, curve, scale)
        plain = getattr(self.app, "glyphs", UNICODE).name == "ascii"
        if self.cursor is not None:
            place = min(columns - 1, int((self.cursor - low) / (high - low) * columns))
            canvas.upright(place, "cursor", " ")
        lines: list[Line] = []
        for row, cells in enumerate(canvas.lines(ascii_only=plain)):
            label = f"{number(scale.value(1 - (row + 0.5) / rows)):>5}" if row % 2 == 0 else " " * 5
            edge = ("+" if label.strip() else "|") if plain else ("┤" if label.strip() else "│")
            lines.append([(label + edge, "muted"), *cells])
        for row, legend in enumerate(self._legend()[: max(0, rows - 1)]):
            lines[row] = justify(lines[row], legend, width)
        corner, dash = ("+", "-") if plain else ("└", "─")
        axis: list[Span] = [(f"{number(scale.value(0)):>5}{corner}{dash * columns}", "muted")]
        lines.append(justify(fit(axis, width), [(f" {self._place(high)}", "muted")], width))
        return lines

    def _letters(self, canvas: Canvas, run: Compared, role: str, curve: Column, scale: Scale) -> None:
        """The run's letter on its curve now and then, each run at other columns; a short curve has it at its end."""
        first = 4 + 2 * (ord(run.letter) - ord("A")) * 4
        drawn = [column for column, value in enumerate(curve) if scale.height(float(value)) is not None]
        places = [column for column in range(first, len(curve), _LETTERS_EVERY * 2) if column in drawn] or drawn[-1:]
        for column in places:
            canvas.sign(column, scale.height(float(curve[column])) or 0.0, run.letter, role)

    def _curve(self, run: Compared, low: float, high: float, dots: int) -> Column:
        """One value per dot column; NaN where the run has none."""
        x = run.x(self.axis)
        if x is None or not len(x):
            return np.full(dots, np.nan)
        if not self.validation:
            return reduce(x, run.loss, low, high, dots).last
        curve = np.full(dots, np.nan)
        for entry in run.now.validation:
            if entry["loss"] is not None:
                there = float(np.interp(entry["step"], run.step, x))
                curve[min(dots - 1, int((there - low) / (high - low) * dots))] = entry["loss"]
        return curve

    def _legend(self) -> list[list[Span]]:
        lines: list[list[Span]] = []
        for run, role in zip(self.runs, ROLES):
            x = run.x(self.axis)
            end = float(x[-1]) if x is not None and len(x) else 0.0
            value = run.at(self.axis, end if self.cursor is None else self.cursor)
            name = clean(run.now.name)[:16]
            lines.append([(f" {run.letter} ", role), (f"{name} ", "muted"), (f"{small(value) or '-':>6} ", role)])
        if self.cursor is not None:
            lines.append([(f" @ {self._place(self.cursor)} ", "muted")])
        return lines

    def _place(self, value: float) -> str:
        if self.axis == "time":
            return duration(value)
        return money(value) if self.axis == "cost" else f"{math.floor(value)}"
