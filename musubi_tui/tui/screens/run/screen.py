"""The run screen: panels that draw one frozen view a second, and keys that steer the engine by control files.

A thread reads (``RunSource.view``) when the timer asks, never twice at once, and posts what is new; while nothing is new
nothing is drawn. Panels that are not shown are not computed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message

from engine.config.language import say
from engine.events.viewers import LOOK_SECONDS, look
from musubi_tui.terminal_width import cells
from musubi_tui.tui.alerts import Alert, alerts
from musubi_tui.tui.images import kind_now
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.screens.picture import PictureScreen
from musubi_tui.tui.screens.run import health, memory, noise, panels
from musubi_tui.tui.screens.run.head import HeadedScreen
from musubi_tui.tui.screens.run.keys import KEYS
from musubi_tui.tui.screens.run.panel import Panel
from musubi_tui.tui.screens.run.pictures import Strip, samples
from musubi_tui.tui.widgets import lanes
from musubi_tui.tui.widgets.chart import LossChart
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.key_line import KeyLine
from musubi_tui.tui.widgets.lines import Line, Lines
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.picture import Thumbnail

TICK_SECONDS = 1.0
_LISTS = frozenset({"log", "blocks", "alerts"})  # tabs that are longer than their panel
_WHEEL_LINES = 3
_CHARTS = frozenset({"rates", "gradients", "bins", "samples"})
_WIDE = (140, 40)
_TALL = 46  # lines from which on the log may be long without squeezing the panels above it


class RunScreen(HeadedScreen):
    """One run. ``source`` says which, and whether it can be steered."""

    CSS_PATH = "run.tcss"
    AUTO_FOCUS = "#loss"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Looked(Message):
        """A new moment of the run, or why it could not be read."""

        def __init__(self, view: RunView | None, problem: str = "") -> None:
            super().__init__()
            self.view, self.problem = view, problem

    def __init__(self, source: RunSource) -> None:
        super().__init__(source)
        self.heat = True  # loss by timestep as a course; else as heights
        self.strip = Strip()
        self._titles: dict[str, str] = {}
        self._tab_ends: list[int] = []  # the first cell behind each tab's word in the title
        self._looked = -LOOK_SECONDS
        self._look, self._gone = threading.Event(), threading.Event()
        self._charted = 0.0

    # -- frame

    def compose(self) -> ComposeResult:
        """Panels of both layouts; the stylesheet says which are shown."""
        yield ModeBar("run")
        yield Lines(id="head", rows=2)
        with Horizontal(id="body"):
            with Vertical(id="left"):
                chart = LossChart(id="loss")
                chart.add_class("panel")
                yield chart
                yield Panel(id="vitals", classes="panel")
                with Horizontal(id="small"):
                    yield from (Panel(id=name, classes="panel") for name in ("rates", "gradients", "times"))
                with Horizontal(id="strips"):
                    yield from (Panel(id=name, classes="panel") for name in ("bins", "samples"))
            with Vertical(id="right"):
                yield from (Panel(id=name, classes="panel") for name in ("memory", "swap", "health"))
        yield Panel(id="bottom", classes="panel")
        yield Field(placeholder=say("words of the log, a|b, !without", "ログの語、a|b、!除外"), compact=True, id="find")
        yield KeyLine()

    def on_mount(self) -> None:
        """Name the panels and begin to look."""
        for name, title in (
            ("vitals", say("vitals", "状態")), ("times", say("step time", "ステップ時間")), ("rates", say("learning rate", "学習率")),
            ("gradients", say("grad norm", "勾配ノルム")), ("bins", say("loss by timestep", "タイムステップ別の損失")),
            ("samples", say("samples", "サンプル")), ("memory", say("memory", "メモリ")), ("swap", say("block swap", "ブロックスワップ")),
            ("health", say("health", "健康")),
        ):  # fmt: skip
            self._entitle(name, title)
        for name, keys in (("samples", say("↑↓ prompt  {run.picture} A/B, full", "↑↓ プロンプト  {run.picture} A/B・全画面")), ("memory", say("{run.headroom} headroom", "{run.headroom} 余裕")), ("bins", say("{run.heat} course/height", "{run.heat} 推移/高さ")), ("swap", say("{run.blocks} per-block table", "{run.blocks} ブロック表")), ("health", say("{run.alerts} all alerts", "{run.alerts} 全ての警告"))):  # fmt: skip
            self.query_one(f"#{name}").border_subtitle = Content(hinted(self.app, keys))
        chart = self.query_one(LossChart)
        arrows = "{run.left}/{run.right}" if self.glyphs.name == "ascii" else "{run.left}{run.right}"
        words = say("{run.smooth_less}/{run.smooth_more} smooth  {run.log} log  {run.axis} axis  %s cursor",
                    "{run.smooth_less}/{run.smooth_more} 平滑  {run.log} 対数  {run.axis} 横軸  %s カーソル") % arrows  # fmt: skip
        chart.border_subtitle = Content(hinted(self.app, words))
        words = say(
            "{run.tab} next  {run.find} find  {run.level} level  {run.wrap} wrap  {run.copy} copy  {app.zoom} zoom",
            "{run.tab} 次へ  {run.find} 絞り込み  {run.level} レベル  {run.wrap} 折り返し  {run.copy} コピー  {app.zoom} 拡大",
        )
        self.query_one("#bottom").border_subtitle = Content(hinted(self.app, words))
        self.put_back()
        self._follow()
        self.set_interval(TICK_SECONDS, self._look.set)
        self._look.set()

    def on_unmount(self) -> None:
        """The thread ends; what was changed a moment ago is kept."""
        self.keep_look()
        self._gone.set()
        self._look.set()

    def on_resize(self) -> None:
        """Small or large layout."""
        wide = self.size.width >= _WIDE[0] and self.size.height >= _WIDE[1]
        self.set_class(wide, "-wide")
        self.set_class(wide and self.size.height >= _TALL, "-tall")
        self.call_after_refresh(self.draw)

    # -- reading

    @work(thread=True, group="reader")
    def _follow(self) -> None:
        before: RunView | None = None
        while True:
            self._look.wait()
            self._look.clear()
            if self._gone.is_set():
                return
            if not self.is_current:
                continue
            try:
                view = self.source.view()
            except OSError as error:
                self.post_message(self.Looked(None, str(error)))
                continue
            self._say_that_somebody_looks(view)
            if view is not before or (self.note and time.monotonic() > self.note_until):
                before = view
                self.post_message(self.Looked(view))

    def _say_that_somebody_looks(self, view: RunView) -> None:
        """So that an engine that streams blocks tells of single ones. On the reader's thread."""
        run, now = self.source.run, time.monotonic()
        if run is not None and view.alive and lanes.counts(view)[1] and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            look(run)

    def look_soon(self) -> None:
        """Read the run without waiting for the next tick."""
        self._look.set()

    def on_run_screen_looked(self, message: Looked) -> None:
        """Draw the new moment."""
        if message.view is None:
            self.tell(message.problem)
            return
        self.view = message.view
        if time.monotonic() > self.note_until:
            self.note = ""
        self.draw(charts=self._charts_are_due())

    def _charts_are_due(self) -> bool:
        """Always, but on a slow link every other second: charts are most of what is written."""
        link, now = getattr(self.app, "link", None), time.monotonic()
        if link is not None and link.eco and now - self._charted < 2 * TICK_SECONDS - 0.1:
            return False
        self._charted = now
        return True

    def on_screen_resume(self) -> None:
        """Catch up."""
        known = getattr(self.app, "view", None)
        if known is not None:
            self.show(known)
        self._look.set()

    # -- drawing

    def draw(self, *, charts: bool = True) -> None:
        """Everything that is shown, from the view there is; the numbers alone without ``charts``."""
        view = self.view
        if view is None or not self.is_mounted:
            return
        found = alerts(view)
        with self.app.batch_update():
            self.draw_head()
            if charts:
                self.query_one(LossChart).feed(view)
            for name, make in self._makers(view, found).items():
                if charts or name not in _CHARTS:
                    self._fill(name, make)
            self._entitle("rates", panels.rates_title(view))
            self._entitle("gradients", panels.gradients_title(view))
            self._entitle("memory", memory.memory_title(view))
            self._title_tabs(len(found))

    def _makers(self, view: RunView, found: Sequence[Alert]) -> dict[str, Callable[[tuple[int, int]], list[Line]]]:
        """What draws each panel, from its (width, height)."""
        glyphs = self.glyphs
        return {
            "vitals": lambda size: panels.vitals(view, size[0], glyphs),
            "rates": lambda size: panels.rates(view, *size, glyphs),
            "gradients": lambda size: panels.gradients(view, *size, glyphs),
            "times": lambda size: panels.times(view, size[0], glyphs),
            "bins": lambda size: noise.levels(view, *size, glyphs, heat=self.heat),
            "samples": lambda size: self._samples(view, size),
            "memory": lambda size: memory.memory(view, size[0], glyphs),
            "swap": lambda size: lanes.panel(view, size[0], glyphs.name),
            "health": lambda size: health.health(view, found, *size, glyphs),
            "bottom": lambda size: self._tab_lines(view, size),
        }

    def _entitle(self, name: str, title: str) -> None:
        if self._titles.get(name) != title:  # setting it repaints the whole panel
            self._titles[name] = title
            self.query_one(f"#{name}").border_title = Content(title)

    def _fill(self, name: str, make: Callable[[tuple[int, int]], list[Line]]) -> None:
        panel = self.query_one(f"#{name}", Lines)
        if panel.is_on_screen and panel.size.width > 4 and panel.size.height > 0:
            panel.show(make((panel.size.width, panel.size.height)))

    def _title_tabs(self, count: int) -> None:
        names = {"log": self._log_title(), "samples": say("samples", "サンプル"), "t-hist": say("t-hist", "t 分布"),
                 "blocks": say("blocks", "ブロック"), "alerts": say("alerts", "警告") + (f" {count}" if count else "")}  # fmt: skip
        words = [f"{self.glyphs.cursor}{names[tab]}" if tab == self.tab else names[tab] for tab in self.TABS]
        self._tab_ends = [cells("  ".join(words[: place + 1])) for place in range(len(words))]
        self._entitle("bottom", "  ".join(words))

    def _tab_lines(self, view: RunView, size: tuple[int, int]) -> list[Line]:
        width, height = size
        if self.tab == "samples":
            return self._samples(view, size)
        if self.tab == "t-hist":
            return noise.levels(view, width, height, self.glyphs, heat=self.heat)
        if self.tab == "blocks":
            self.back = max(0, min(self.back, len(view.blocks) - height + 1))
            return lanes.table(view, height, self.back, self.glyphs.name) if view.blocks else lanes.panel(view, width, self.glyphs.name)  # fmt: skip
        if self.tab == "alerts":
            self.back = max(0, min(self.back, len(alerts(view)) - height))
            return health.alert_lines(alerts(view), height, self.glyphs, self.back)
        told = self._log(view)
        self.back = max(0, min(self.back, len(told) - height))
        return panels.log(told, height, self.back, wrap=width if self.wrap else 0)

    def _samples(self, view: RunView, size: tuple[int, int]) -> list[Line]:
        chart = self.query_one(LossChart)
        chosen, cell = self.strip.choose(view, chart.cursor_step, size)
        if not chosen and not view.alive:  # no engine that could make one
            return [[(say(" no samples", " サンプルはありません"), "muted")]]
        kind = kind_now(self.app)
        if kind != "off" and self.strip.missing(chosen, cell, kind != "ascii"):
            self._draw_pictures()
        drawn = self.strip.drawn if kind != "off" else dict.fromkeys((picture.path for picture in chosen), Thumbnail(problem="off"))  # fmt: skip
        prompts = len(self.strip.prompts(view))
        return samples(chosen, drawn, self.strip.prompt, prompts, cell, size[1], partial(hinted, self.app))

    @work(thread=True, group="pictures", exclusive=True)
    def _draw_pictures(self) -> None:
        if self.strip.fill():
            self.app.call_from_thread(self.draw)

    # -- looking around

    def action_smooth(self, by: int) -> None:
        """Another average."""
        self.query_one(LossChart).smooth(by)

    def action_chart(self, what: str) -> None:
        """A switch of the chart."""
        self.query_one(LossChart).toggle(what)

    def action_axis(self) -> None:
        """Another x axis."""
        self.query_one(LossChart).next_axis()

    def action_zoom(self, factor: float) -> None:
        """Closer or further away."""
        self.query_one(LossChart).zoom(factor)

    def action_pan(self, share: float) -> None:
        """Along the axis."""
        self.query_one(LossChart).pan(share)

    def action_walk(self, columns: int) -> None:
        """Move the cursor."""
        chart = self.query_one(LossChart)
        chart.walk(columns)
        if self.maximized is None:
            chart.focus()

    def on_loss_chart_changed(self) -> None:
        """Seen like this the next time."""
        self.keep_soon()

    def on_loss_chart_moved(self) -> None:
        """The samples follow the cursor."""
        view = self.view
        if view is not None:
            self._fill("samples", lambda size: self._samples(view, size))
            if self.tab == "samples":
                self._fill("bottom", lambda size: self._samples(view, size))

    def action_picture(self) -> None:
        """The sample under the cursor on the whole screen, with the one before it to flick to."""
        view = self.view
        if view is None:
            return
        pictures = self.strip.of_prompt(view)
        if not pictures:
            self.tell(say("no samples yet", "サンプルはまだありません"))
            return
        step = self.query_one(LossChart).cursor_step
        place = max((place for place, picture in enumerate(pictures) if picture.step <= step), default=0)
        self.app.push_screen(PictureScreen(pictures, place, self.strip.gallery))

    def action_tab(self, by: int) -> None:
        """Another tab of the lowest panel."""
        self.action_show_tab(self.TABS[(self.TABS.index(self.tab) + by) % len(self.TABS)])

    def on_panel_title_clicked(self, message: Panel.TitleClicked) -> None:
        """The tab under the pointer."""
        tab = next((tab for tab, end in zip(self.TABS, self._tab_ends) if message.cell < end), None)
        if message.panel.id == "bottom" and tab is not None:
            self.action_show_tab(tab)

    def on_panel_rolled(self, message: Panel.Rolled) -> None:
        """The wheel scrolls the lowest panel, or changes the prompt of the samples."""
        listed = message.panel.id == "bottom" and self.tab in _LISTS
        if listed or message.panel.id == "samples" or (message.panel.id == "bottom" and self.tab == "samples"):
            self._scroll(message.by * (_WHEEL_LINES if listed else 1), listed=listed)

    def action_show_tab(self, tab: str) -> None:
        """This tab."""
        self.tab, self.back = tab, 0
        self.keep_soon()
        if self.maximized is None:
            self.query_one("#bottom").focus()
        self.draw()

    def show_log(self) -> None:
        """The log alone on the screen; the key of the zoom shows the rest again."""
        self.action_show_tab("log")
        self.maximize(self.query_one("#bottom"))

    def action_scroll(self, by: int) -> None:
        """The log up and down, or another prompt."""
        in_samples = self.focused is not None and self.focused.id == "samples"
        self._scroll(by, listed=self.tab in _LISTS and not in_samples)

    def _scroll(self, by: int, *, listed: bool) -> None:
        if listed:
            self.back = max(0, self.back + (by if self.tab == "log" else -by))
        elif self.view is not None:
            self.strip.prompt = (self.strip.prompt - by) % max(1, len(self.strip.prompts(self.view)))
        self.draw()

    def action_heat(self) -> None:
        """Loss by timestep as a course, or as heights."""
        self.heat = not self.heat
        self.draw()
