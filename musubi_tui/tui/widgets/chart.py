"""The loss of a run as a curve one can walk along: raw band, moving average, validation, samples and saves on the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from textual.events import Click, MouseDown, MouseEvent, MouseScrollDown, MouseScrollUp
from textual.message import Message

from engine.config.language import say
from musubi_tui.runs.pyramid import Blocks, Column, Shape, Smoother, quantile, reduce, shape
from musubi_tui.tui.remembered import RunLook
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.widgets.axis import AXES, Axis
from musubi_tui.tui.widgets.lines import Line, Lines, Span, fit, justify
from musubi_tui.tui.widgets.plot import Canvas, Scale, number

DECAYS: Final = (0.0, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_LABEL = 6  # cells left of the plot
_WHEEL_ZOOM, _WHEEL_PAN = 1.5, 0.1
_UNICODE: Final = {"tick": "┤", "edge": "│", "corner": "└", "axis": "─", "mark": "┬", "sample": "▲", "save": "◆", "val": "◇", "cursor": "┊"}  # fmt: skip
_ASCII: Final = {"tick": "+", "edge": "|", "corner": "+", "axis": "-", "mark": "+", "sample": "^", "save": "#", "val": "o", "cursor": "|"}  # fmt: skip


class LossChart(Lines):
    """Draws a ``RunView``. The window and the cursor are in units of the x axis; None follows the newest step."""

    can_focus = True
    ALLOW_SELECT = False  # a drag would paint, and there is no text that it could select

    class Moved(Message):
        """The cursor stands elsewhere."""

    class Changed(Message):
        """It is drawn in another way: axis, scale, average, zoom."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, rows=8)
        self._pressed_at = 0
        self._window_left: tuple[float, float] | None = (
            None  # the zoom of the last time, until there are steps to judge it by
        )
        self.view: RunView | None = None
        self.axis = AXES[0]
        self.logarithmic = False
        self.raw = True
        self.only_validation = False
        self.clip = True
        self.window: tuple[float, float] | None = None
        self.cursor: float | None = None
        self._decay = 3
        self._shown_title = ""
        self._known_axis: tuple[RunView, str, Axis] | None = None
        self._smoother = Smoother(DECAYS[self._decay])

    def put_back(self, look: RunLook) -> None:
        """As it was left; a window that the run no longer reaches is not."""
        self.axis = look.axis if look.axis in AXES else AXES[0]
        self.logarithmic, self.raw, self.clip, self.only_validation = look.logarithmic, look.raw, look.clip, look.only_validation  # fmt: skip
        self._decay = max(1, min(len(DECAYS) - 1, look.decay))
        self._smoother = Smoother(DECAYS[self._decay])
        self._window_left = look.window

    def look(self) -> dict[str, Any]:
        """What ``put_back`` needs."""
        return {
            "axis": self.axis, "logarithmic": self.logarithmic, "raw": self.raw, "clip": self.clip, "only_validation": self.only_validation,
            "decay": self._decay, "window": self.window,
        }  # fmt: skip

    # -- what a person may change

    def smooth(self, by: int) -> None:
        """A longer or shorter moving average."""
        self._decay = max(1, min(len(DECAYS) - 1, self._decay + by))
        self._smoother = Smoother(DECAYS[self._decay])
        self._changed()

    def next_axis(self) -> None:
        """Step, epoch, images, time, cost."""
        self.axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        self.window = self.cursor = None
        self._changed()

    def toggle(self, what: str) -> None:
        """``logarithmic``, ``raw``, ``clip`` or ``only_validation`` on or off."""
        setattr(self, what, not getattr(self, what))
        self._changed()

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Closer (``factor`` above 1) around the cursor, or the newest step; 0 shows everything. ``around`` stays where it is."""
        low, high = self._range()
        if factor == 0:
            self.window = None
        else:
            full_low, full_high = self._axis().full()
            centre = high if self.cursor is None else self.cursor
            width = (high - low) / factor
            before = width / 2 if around is None else (around - low) / factor
            centre = centre if around is None else around
            low = max(full_low, min(centre - before, full_high - width))
            high = min(full_high, low + width)
            whole = width >= full_high - full_low
            self.window = None if whole or high - low < (full_high - full_low) * 1e-6 else (low, high)
        self._changed()

    def pan(self, share: float) -> None:
        """Move the window by a part of its width."""
        if self.window is None:
            return
        low, high = self.window
        full_low, full_high = self._axis().full()
        by = max(full_low - low, min(full_high - high, (high - low) * share))
        self.window = (low + by, high + by)
        self._changed()

    def _changed(self) -> None:
        self.draw()
        self.post_message(self.Changed())

    def walk(self, columns: int) -> None:
        """Move the cursor; past the right end it follows the newest step again."""
        low, high = self._range()
        here = high if self.cursor is None else self.cursor
        there = here + columns * (high - low) / max(1, self._columns())
        self._put_cursor(None if there >= high else max(low, there))

    def _put_cursor(self, value: float | None) -> None:
        self.cursor = value
        self.draw()
        self.post_message(self.Moved())

    # -- the mouse

    def _under(self, event: MouseEvent) -> float | None:
        """The value of the x axis under the pointer; None beside the curve."""
        column = event.x - self.gutter.left - _LABEL
        if self.view is None or not len(self.view.steps) or not 0 <= column < self._columns():
            return None
        low, high = self._range()
        return low + (column + 0.5) * (high - low) / self._columns()

    def _roll(self, event: MouseEvent, factor: float) -> None:
        event.stop()
        under = self._under(event)
        if event.shift or event.ctrl:
            self.pan(_WHEEL_PAN if factor < 1 else -_WHEEL_PAN)
        elif under is not None:
            self.zoom(factor, under)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Closer to what is under the pointer; with shift to the left."""
        self._roll(event, _WHEEL_ZOOM)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Further away; with shift to the right."""
        self._roll(event, 1 / _WHEEL_ZOOM)

    def on_mouse_down(self, event: MouseDown) -> None:
        """Remember where: a drag is no click."""
        self._pressed_at = event.x

    def on_click(self, event: Click) -> None:
        """The cursor goes there; right of the newest step it follows again."""
        under = self._under(event)
        if under is None or abs(event.x - self._pressed_at) > 1:
            return
        event.stop()
        axis = self._axis()
        self._put_cursor(None if under >= axis.value(-1) else under)

    @property
    def cursor_step(self) -> float:
        """The step under the cursor, infinity when it follows."""
        if self.cursor is None or self.view is None or not len(self.view.steps):
            return math.inf
        return float(self.view.steps.step[self._axis().place(self.cursor)])

    @property
    def title(self) -> str:
        """What is drawn, for the border."""
        parts = [
            say("loss", "損失"),
            " " + ("log" if self.logarithmic else "lin"),
            f"ema {self._decay_text()}",
            f"x:{self._axis().name}",
        ]
        if self._axis().missing:
            parts.append(self._axis().missing)
        return "  ".join(parts + (["clip"] if self.clip else []) + (["zoom"] if self.window else []))

    # -- drawing

    def feed(self, view: RunView) -> None:
        """A newer moment of the run."""
        self.view = view
        if self._window_left is not None and len(view.steps):
            low, high = self._axis().full()
            left, self._window_left = self._window_left, None
            self.window = left if left[0] < high and left[1] > low and left[1] - left[0] < high - low else None
        self.draw()

    def draw(self) -> None:
        """Compute the lines; only changed cells are painted."""
        if self.size.width < 20 or self.size.height < 3:
            return
        if self._shown_title != self.title:  # setting it repaints the whole panel
            self._shown_title = self.title
            self.border_title = self.title
        self.show(self._draw(self.size.width, self.size.height))

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.draw()

    def _draw(self, width: int, height: int) -> list[Line]:
        view = self.view
        if view is None or not len(view.steps):
            return [[(" " + self._waiting(), "muted")]]
        signs = _ASCII if self._ascii else _UNICODE
        labelled = height >= 12
        rows, columns = height - 1 - labelled, width - _LABEL
        low, high = self._range()
        axis, steps = self._axis(), view.steps
        places = axis.buckets(low, high, columns * 2)
        raw = shape(steps.loss, steps.blocks["loss"], places)
        ema = np.full(columns * 2, np.nan)
        filled = places[1:] > places[:-1]
        ema[filled] = self._average(places[1:][filled] - 1)
        validation = self._validation(view, axis, low, high, columns)
        ceiling = self._ceiling(steps.loss, int(places[0]), int(places[-1]))
        scale = self._scale(raw, ema, ceiling, [value for _, value in validation])
        canvas = Canvas(columns, rows)
        if self.raw and not self.only_validation:
            canvas.band("raw", scale, raw.low, raw.high)
            canvas.curve("raw", scale, raw.last)
        if not self.only_validation:
            canvas.curve("ema", scale, ema)
        if self.only_validation and len(validation) > 1:
            dots = np.full(columns * 2, np.nan)
            for column, value in validation:
                dots[min(column, columns * 2 - 1)] = value
            canvas.curve("val", scale, dots)
        for column, value in validation:
            spot = scale.height(value)
            if spot is not None:
                canvas.sign(column, spot, signs["val"], "val")
        if self.cursor is not None:
            canvas.upright(self._column(self.cursor, low, high, columns), "cursor", " ")
        lines: list[Line] = []
        for row, cells in enumerate(canvas.lines(ascii_only=self._ascii)):
            label = f"{number(scale.value(1 - (row + 0.5) / rows)):>5}" if row % _every(rows) == 0 else " " * 5
            edge = signs["tick"] if label.strip() else signs["edge"]
            lines.append([(label + edge, "muted"), *cells])
        for row, legend in enumerate(self._legend(view, axis)[: max(0, rows - 1) if rows > 8 else min(3, rows - 1)]):
            lines[row] = justify(lines[row], legend, width)
        lines += self._axis_lines(view, axis, low, high, columns, scale, labelled, signs)
        return lines

    def _axis_lines(
        self, view: RunView, axis: Axis, low: float, high: float, columns: int, scale: Scale, labelled: bool, signs: dict[str, str]
    ) -> list[Line]:  # fmt: skip
        cells: list[tuple[str, str]] = [(signs["axis"], "muted")] * columns
        ticks = axis.ticks(low, high, columns)
        for column, _ in ticks:
            cells[column] = (signs["mark"], "muted")
        marks = [(saved.step, signs["save"]) for saved in view.saved]
        marks += [(picture.step, signs["sample"]) for picture in view.pictures]
        for step, sign in marks:
            place = self._column(axis.of_step(view.steps, step), low, high, columns)
            if 0 <= place < columns:
                taken = cells[place][1] == "mark" and cells[place][0] != sign and place > 0
                cells[place - 1 if taken else place] = (sign, "mark")
        spans: list[Span] = [(f"{number(scale.value(0)):>5}{signs['corner']}", "muted")]
        for text, role in cells:
            if spans[-1][1] == role:
                spans[-1] = (spans[-1][0] + text, role)
            else:
                spans.append((text, role))
        end = axis.text(high)
        if not labelled:
            return [justify(spans, [(end, "muted")], columns + _LABEL)]
        text_cells = [" "] * columns
        for column, value in ticks:
            label = axis.text(value)
            if column + len(label) < columns - len(end) - 22:
                text_cells[column : column + len(label)] = list(label)
        names = f"{signs['sample']} {say('sample', 'サンプル')} {signs['save']} {say('save', '保存')}  {end}"
        return [spans, justify([(" " * _LABEL + "".join(text_cells), "muted")], [(names, "muted")], columns + _LABEL)]

    def _legend(self, view: RunView, axis: Axis) -> list[list[Span]]:
        place = len(view.steps) - 1 if self.cursor is None else axis.place(self.cursor)
        step = int(view.steps.step[place])
        past = [entry.loss for entry in view.validations if entry.step <= step and entry.loss is not None]
        raw, ema = float(view.steps.loss[place]), float(self._average(np.array([place]))[0])
        raw_sign, ema_sign, val_sign = (":", "*", "o") if self._ascii else ("⣿", "━", "◇")
        first: list[Span] = [(f" raw {raw_sign}  ", "raw"), (f"ema {ema_sign}  ", "ema"), (f"val {val_sign} ", "val")]
        second: list[Span] = [(f" {step} ", "bold" if self.cursor is not None else ""), (f"raw {number(raw)} ", "raw")]
        third: list[Span] = [(f" ema {number(ema)} ", "ema")]
        if past:
            third.append((f"val {number(past[-1])} ", "val"))
        if axis.name != "step":
            second.insert(0, (f" {axis.name} {axis.text(axis.value(place))}", ""))
        if self.cursor is None and view.adjusted is not None:
            word = say("better", "改善") if view.adjusted < 0 else say("worse", "悪化")
            return [first, second, third, [(f" t-adj {view.adjusted:+.4f} {word} ", "muted")]]
        return [first, second, third]

    def _waiting(self) -> str:
        if self.view is None:
            return say("reading the run …", "run を読み込み中 …")
        if self.view.alive:
            return say("no step yet", "まだステップがありません") + (f": {self.view.phase}" if self.view.phase else "")
        if self.view.state == "queued":
            return say("it waits in the queue", "キューで待機中")
        return say("no steps", "ステップはありません")

    def _average(self, places: Column) -> Column:
        """The moving average after these steps."""
        assert self.view is not None
        return self._smoother.at(self.view.steps.loss, self.view.steps.generation, places)

    def _ceiling(self, loss: Column, begin: int, end: int) -> float:
        """Above which value of the window outliers are cut; infinity when they are not."""
        if not self.clip:
            return math.inf
        return quantile(loss[begin : end + 1 : max(1, (end - begin) // 20_000)], 0.99) or math.inf

    def _scale(self, raw: Shape, ema: Column, ceiling: float, validation: list[float]) -> Scale:
        shown = [ema, np.asarray(validation, np.float64)]
        if self.raw and not self.only_validation:
            shown += [np.minimum(raw.low, ceiling), np.minimum(raw.high, ceiling)]
        elif self.only_validation and validation:
            shown = [np.asarray(validation, np.float64)]
        return Scale.of(np.concatenate(shown), log=self.logarithmic).rounded()

    def _validation(self, view: RunView, axis: Axis, low: float, high: float, columns: int) -> list[tuple[int, float]]:
        found = []
        for entry in view.validations:
            column = self._column(axis.of_step(view.steps, entry.step), low, high, columns * 2)
            if entry.loss is not None and 0 <= column < columns * 2:
                found.append((column, entry.loss))
        return found

    # -- the x axis

    def _axis(self) -> Axis:
        """What the steps are drawn over now."""
        if self.view is None:
            return Axis(self.axis, np.empty(0))
        if self._known_axis is None or self._known_axis[0] is not self.view or self._known_axis[1] != self.axis:
            self._known_axis = (self.view, self.axis, Axis.of(self.axis, self.view))
        return self._known_axis[2]

    def _range(self) -> tuple[float, float]:
        return self.window or self._axis().full()

    def _columns(self) -> int:
        return max(1, self.size.width - _LABEL)

    @staticmethod
    def _column(value: float, low: float, high: float, columns: int) -> int:
        return min(columns - 1, math.floor((value - low) / (high - low) * columns)) if low <= value <= high else -1

    @property
    def _ascii(self) -> bool:
        glyphs = getattr(self.app, "glyphs", None)
        return glyphs is not None and glyphs.name == "ascii"

    def _decay_text(self) -> str:
        return f"{DECAYS[self._decay]:g}".lstrip("0")


Curve = tuple[Column, "Blocks | None", str]  # values, their extremes, a role


def small_curve(
    x: Column, curves: Sequence[Curve], width: int, height: int, *, ascii_only: bool = False, level: float | None = None, log: bool = False
) -> list[list[Span]]:  # fmt: skip
    """Curves in few cells with the ends of the scale at the left, and a dotted line at ``level``, as far as it is on the scale."""
    if not len(x):
        return [fit([("", "")], width)]
    label = 8
    columns = (width - label) * 2
    shapes = [reduce(x, y, float(x[0]), float(max(x[-1], x[0] + 1)), columns, blocks) for y, blocks, _ in curves]
    shown = [end for drawn in shapes for end in (drawn.low, drawn.high)]
    scale = Scale.of(np.concatenate(shown), log=log)
    canvas = Canvas(width - label, height)
    if level is not None and scale.low <= level <= scale.high:
        canvas.level("clip", scale, level)
    for drawn, (_, _, role) in zip(shapes, curves):
        canvas.band(role, scale, drawn.low, drawn.high)
        canvas.curve(role, scale, drawn.last)
    lines = canvas.lines(ascii_only=ascii_only)
    edges = {0: scale.high, height - 1: scale.low}
    return [[(f"{number(edges[row]) if row in edges else '':>7} ", "muted"), *cells] for row, cells in enumerate(lines)]


def _every(rows: int) -> int:
    """One label in so many rows."""
    return 2 if rows <= 8 else 4
