"""The run screen: panels that draw one frozen view a second, and keys that steer the engine by control files.

A thread reads (``RunSource.view``) when the timer asks, never twice at once, and posts what is new; while nothing is new
nothing is drawn. Panels that are not shown are not computed.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.status import ALIVE
from musubi_tui.tui.alerts import alerts
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.numbers import duration
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.screens.run import panels
from musubi_tui.tui.screens.run.keys import KEYS
from musubi_tui.tui.screens.run.pictures import Strip
from musubi_tui.tui.screens.run.tune import TuneScreen
from musubi_tui.tui.steering import steer
from musubi_tui.tui.widgets import lanes
from musubi_tui.tui.widgets.chart import LossChart
from musubi_tui.tui.widgets.key_line import KeyLine
from musubi_tui.tui.widgets.lines import Line, Lines
from musubi_tui.tui.widgets.mode_bar import ModeBar

TICK_SECONDS = 1.0
_NOTE_SECONDS = 15.0
_WIDE = (140, 40)


class Panel(Lines):
    """A bordered panel of lines that can be focused and zoomed."""

    can_focus = True
    ALLOW_MAXIMIZE = True

    def on_resize(self) -> None:
        """Draw at the new size."""
        if isinstance(self.screen, RunScreen):
            self.screen.draw()


class RunScreen(Screen[None]):
    """One run. ``source`` says which, and whether it can be steered."""

    CSS_PATH = "run.tcss"
    AUTO_FOCUS = "#loss"
    TABS: ClassVar[tuple[str, ...]] = ("log", "samples", "t-hist", "blocks", "alerts")
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Looked(Message):
        """A new moment of the run, or why it could not be read."""

        def __init__(self, view: RunView | None, problem: str = "") -> None:
            super().__init__()
            self.view, self.problem = view, problem

    class Answered(Message):
        """What became of a command."""

        def __init__(self, command: str, text: str) -> None:
            super().__init__()
            self.command, self.text = command, text

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self.source = source
        self.view: RunView | None = None
        self.tab = self.TABS[0]
        self.back = 0  # log lines scrolled up
        self.strip = Strip()
        self._shown_tabs = ""
        self._locked: set[str] = set()
        self._note = ""
        self._note_until = 0.0
        self._look, self._gone = threading.Event(), threading.Event()

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
        yield KeyLine()

    def on_mount(self) -> None:
        """Name the panels and begin to look."""
        titles = {
            "vitals": say("vitals", "状態"), "rates": say("learning rate", "学習率"), "gradients": say("grad norm", "勾配ノルム"),
            "times": say("step time", "ステップ時間"), "bins": say("loss by timestep", "タイムステップ別の損失"),
            "samples": say("samples", "サンプル"), "memory": say("memory", "メモリ"), "swap": say("block swap", "ブロックスワップ"),
            "health": say("health", "健康"),
        }  # fmt: skip
        for name, title in titles.items():
            self.query_one(f"#{name}").border_title = title
        chart = self.query_one(LossChart)
        chart.border_subtitle = say("s/S smooth  L log  x axis  ←→ cursor", "s/S 平滑  L 対数  x 横軸  ←→ カーソル")
        self.query_one("#bottom").border_subtitle = say("tab next  z zoom", "tab 次へ  z 拡大")
        self._follow()
        self.set_interval(TICK_SECONDS, self._look.set)
        self._look.set()

    def on_unmount(self) -> None:
        """The thread ends."""
        self._gone.set()
        self._look.set()

    def on_resize(self) -> None:
        """Small or large layout."""
        wide = self.size.width >= _WIDE[0] and self.size.height >= _WIDE[1]
        self.set_class(wide, "-wide")
        self.call_after_refresh(self.draw)

    def show(self, _view: object) -> None:
        """What the app knows about all runs is not shown here."""

    def cli_twin(self) -> str:
        """The command that shows the same at the shell."""
        run = self.source.run
        if run is None:
            return f"musubi-tui runs watch --replay {shlex.quote(self.source.title)}"
        return f"musubi-tui runs watch {shlex.quote(run.id)}"

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
            if view is not before or (self._note and time.monotonic() > self._note_until):
                before = view
                self.post_message(self.Looked(view))

    def on_run_screen_looked(self, message: Looked) -> None:
        """Draw the new moment."""
        if message.view is None:
            self._tell(message.problem)
            return
        self.view = message.view
        if time.monotonic() > self._note_until:
            self._note = ""
        self.draw()

    def on_screen_resume(self) -> None:
        """Catch up."""
        self._look.set()

    # -- drawing

    @property
    def glyphs(self) -> Glyphs:
        """The app's set."""
        return cast(Glyphs, getattr(self.app, "glyphs", UNICODE))

    def draw(self) -> None:
        """Everything that is shown, from the view there is."""
        view = self.view
        if view is None or not self.is_mounted:
            return
        glyphs, found = self.glyphs, alerts(view)
        with self.app.batch_update():
            head = self.query_one("#head", Lines)
            head.show(panels.header(view, head.size.width, glyphs, self._note))
            self.query_one(LossChart).feed(view)
            self._fill("vitals", lambda size: panels.vitals(view, size[0], glyphs))
            self._fill("rates", lambda size: panels.rates(view, size[0], size[1], glyphs))
            self._fill("gradients", lambda size: panels.gradients(view, size[0], size[1], glyphs))
            self._fill("times", lambda size: panels.times(view, size[0], glyphs))
            self._fill("bins", lambda size: panels.bins(view, size[0], glyphs))
            self._fill("samples", lambda size: self._samples(view, size))
            self._fill("memory", lambda size: panels.memory(view, size[0], glyphs))
            self._fill("swap", lambda size: lanes.panel(view, size[0], glyphs.name))
            self._fill("health", lambda size: panels.health(view, found, size[0], size[1], glyphs))
            self._title_tabs(len(found))
            self._fill("bottom", lambda size: self._tab_lines(view, size))

    def _fill(self, name: str, make: Callable[[tuple[int, int]], list[Line]]) -> None:
        panel = self.query_one(f"#{name}", Lines)
        if panel.is_on_screen and panel.size.width > 4 and panel.size.height > 0:
            panel.show(make((panel.size.width, panel.size.height)))

    def _title_tabs(self, count: int) -> None:
        names = {"log": say("log", "ログ"), "samples": say("samples", "サンプル"), "t-hist": say("t-hist", "t 分布"),
                 "blocks": say("blocks", "ブロック"), "alerts": say("alerts", "警告") + (f" {count}" if count else "")}  # fmt: skip
        title = "  ".join((f"{self.glyphs.cursor}{names[tab]}" if tab == self.tab else names[tab]) for tab in self.TABS)
        if title != self._shown_tabs:  # setting it repaints the whole panel
            self._shown_tabs = title
            self.query_one("#bottom").border_title = Content(title)

    def _tab_lines(self, view: RunView, size: tuple[int, int]) -> list[Line]:
        width, height = size
        if self.tab == "samples":
            return self._samples(view, size)
        if self.tab == "t-hist":
            return panels.bins(view, width, self.glyphs)
        if self.tab == "blocks":
            return lanes.panel(view, width, self.glyphs.name)
        if self.tab == "alerts":
            return panels.alert_lines(alerts(view), height, self.glyphs)
        self.back = max(0, min(self.back, len(view.log) - height))
        return panels.log(view, width, height, self.back)

    def _samples(self, view: RunView, size: tuple[int, int]) -> list[Line]:
        chart = self.query_one(LossChart)
        chosen, cell = self.strip.choose(view, chart.cursor_step, size)
        colour = not self.app.no_color and self.glyphs.name == "unicode"
        if self.strip.missing(chosen, cell, colour):
            self._draw_pictures()
        prompts = len(self.strip.prompts(view))
        return panels.samples(chosen, self.strip.drawn, self.strip.prompt, prompts, cell, size[1])

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
        """Move the cursor; the samples follow it."""
        chart = self.query_one(LossChart)
        chart.walk(columns)
        if self.maximized is None:
            chart.focus()
        view = self.view
        if view is not None:
            self._fill("samples", lambda size: self._samples(view, size))
            if self.tab == "samples":
                self._fill("bottom", lambda size: self._samples(view, size))

    def action_tab(self, by: int) -> None:
        """Another tab of the lowest panel."""
        self.action_show_tab(self.TABS[(self.TABS.index(self.tab) + by) % len(self.TABS)])

    def action_show_tab(self, tab: str) -> None:
        """This tab."""
        self.tab, self.back = tab, 0
        if self.maximized is None:
            self.query_one("#bottom").focus()
        self.draw()

    def action_scroll(self, by: int) -> None:
        """The log up and down, or another prompt."""
        if self.tab == "log" and not (self.focused and self.focused.id == "samples"):
            self.back = max(0, self.back + by)
        elif self.view is not None:
            self.strip.prompt = (self.strip.prompt - by) % max(1, len(self.strip.prompts(self.view)))
        self.draw()

    def action_follow(self) -> None:
        """The end of the log."""
        self.back = 0
        self.draw()

    # -- steering

    def action_pause(self) -> None:
        """Pause, or go on."""
        paused = self.view is not None and self.view.state == "paused"
        self._steer("resume" if paused else "pause", {})

    def action_save(self) -> None:
        """Save now."""
        self._steer("save", {})

    def action_sample(self) -> None:
        """A sample now."""
        self._steer("sample", {})

    def action_tune(self) -> None:
        """Ask for the factor on the learning rate."""
        if not self._may_steer("set"):
            return

        def answer(factor: float | None) -> None:
            if factor is not None:
                self._steer("set", {"key": "learning_rate_factor", "value": factor})

        self.app.push_screen(TuneScreen(f"musubi-tui runs set {self._run_word()} learning_rate_factor="), answer)

    def action_stop(self) -> None:
        """Ask when to stop, and how long that will take."""
        if not self._may_steer("stop") or self.view is None:
            return
        pace = self.view.step_seconds or 0.0
        states = [saved.seconds for saved in self.view.saved if saved.kind == "state" and saved.seconds is not None]
        bound = duration(pace + (states[-1] if states else 0.0)) or "<1m"
        text = say(
            f"It saves a complete state first ({bound}); `runs` can go on with it later.",
            f"先に完全な状態を保存します（{bound}）。後で再開できます。",
        )
        choices = (
            Choice("now", "n", say("now, after this step", "今すぐ（このステップの後）")),
            Choice("save", "s", say("after the next save", "次の保存の後")),
            Choice("epoch", "e", say("at the end of the epoch", "エポックの終わり")),
        )

        def answer(when: str | None) -> None:
            if when:
                self._steer("stop", {"when": when})

        title = say("Stop this run?", "この run を停止しますか？")
        self.app.push_screen(
            ConfirmScreen(title, text, choices, f"musubi-tui runs stop {self._run_word()} --when "), answer
        )

    def _run_word(self) -> str:
        return shlex.quote(self.source.run.id) if self.source.run else ""

    def _may_steer(self, command: str) -> bool:
        """Whether a command would be heard; else the reason is shown."""
        if self.source.run is None:
            self._tell(say("this is a recording: nobody would obey", "これは記録なので操作できません"))
        elif self.view is None or self.view.state not in ALIVE:
            state = self.view.state if self.view else "?"
            self._tell(say(f"the run is {state}: nobody would obey", f"run は {state} なので操作できません"))
        elif command in self._locked:
            self._tell(say(f"{command}: still waiting for the answer", f"{command}: 応答待ちです"))
        else:
            return True
        return False

    def _steer(self, command: str, arguments: dict[str, object]) -> None:
        if not self._may_steer(command):
            return
        self._locked.add(command)
        self._tell(f"{command} …")
        self._send(command, arguments)

    @work(thread=True, group="control")
    def _send(self, command: str, arguments: dict[str, object]) -> None:
        assert self.source.run is not None
        try:
            text = steer(str(self.source.run.path), command, arguments)
        except UserError as error:
            text = str(error)
        except OSError as error:
            text = f"{command}: {error}"
        self.post_message(self.Answered(command, text))

    def on_run_screen_answered(self, message: Answered) -> None:
        """Unlock, and show the answer or the reason."""
        self._locked.discard(message.command)
        self._tell(message.text)
        self._look.set()

    def _tell(self, text: str) -> None:
        self._note, self._note_until = text, time.monotonic() + _NOTE_SECONDS
        self.draw()
