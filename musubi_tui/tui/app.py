"""The application: seven modes, one reader thread, and what every screen shares (copying, telling, working in the background).

It starts engines only through ``musubi_tui.runs.launching`` and steers them only by control files: leaving it, or killing it,
never touches a run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import App
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.events import Resize
from textual.geometry import Size
from textual.message import Message

from engine.config.language import say
from engine.config.problems import ConfigError, Problem, UserError
from musubi_tui.runs.home import Home, config_file, config_line
from musubi_tui.tui.clipboard import copy_locally, osc52
from musubi_tui.tui.glyphs import SETS, choose_glyphs
from musubi_tui.tui.images import Images
from musubi_tui.tui.keymap import check_keys, hinted, key
from musubi_tui.tui.link import Link, queued_writes, way
from musubi_tui.tui.messages import Told, ViewRead
from musubi_tui.tui.modes import MODES as ALL_MODES
from musubi_tui.tui.modes import make_screen
from musubi_tui.tui.reading import Reader
from musubi_tui.tui.remembered import RunLook, keep, recall
from musubi_tui.tui.screens.dialog import CANCEL_KEYS, CANCEL_WORDS, AnswersOnce
from musubi_tui.tui.screens.mode import ShowsView
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.stylesheet import KeptStylesheet
from musubi_tui.tui.theme import MONO, MUSUBI
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.plain import NoEscapes, safe
from musubi_tui.tui.widgets.scrollbars import draw_scrollbars

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.driver import Driver
    from textual.filter import LineFilter

LEAST = Size(80, 24)  # cells that the screens need
_NO_ESCAPES = NoEscapes()


def _commands() -> type[Provider]:
    from musubi_tui.tui.commands import MusubiCommands

    return MusubiCommands


class MusubiApp(App[None]):
    """``open_run`` opens a run's screen at once, ``replay`` that of a recording. Raises ``ConfigError`` for wrong settings."""

    CSS = "ModalScreen { background: $background 60%; } TooSmallScreen { background: $background; }"
    TITLE = "musubi-tui"
    MODES: ClassVar = {mode.id: partial(make_screen, mode) for mode in ALL_MODES}
    DEFAULT_MODE = "jobs"
    COMMANDS: ClassVar = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            key(f"app.{mode.id}", str(number), f"mode('{mode.id}')", mode.title)
            for number, mode in enumerate(ALL_MODES, 1)
        ),
        key("app.help", "question_mark", "help", say("keys", "キー"), show=True, display="?"),
        key("app.explain", "f1,I", "explain", say("explain what is here", "ここにあるものを説明")),
        key("app.jump", "ctrl+o", "jump", say("jump to a panel", "パネルへ移動")),
        key("app.go", "g", "go", say("go to", "移動")),
        key("app.palette", "colon", "command_palette", say("commands", "コマンド"), show=True, display=":"),
        key("app.zoom", "z", "zoom", say("zoom the panel", "パネルを拡大")),
        key("app.copy_twin", "Y", "copy_twin", say("copy the shell command", "シェルのコマンドをコピー")),
        key("app.cancel_hook", CANCEL_KEYS, "app.cancel_hook", CANCEL_WORDS),
        key("app.quit", "q", "quit", say("leave", "終了"), show=True),
    ]

    def __init__(
        self,
        home: Home,
        *,
        open_run: Path | None = None,
        replay: Path | None = None,
        settings: Settings | None = None,
        driver: type[Driver] | None = None,
        view: View | None = None,
    ) -> None:
        self.remembered, self._forgotten = recall()
        if self.remembered.mode in {mode.id for mode in ALL_MODES if mode.screen}:  # a run is opened by its name
            self.DEFAULT_MODE = self.remembered.mode  # type: ignore[misc]  # Textual reads it once, from here
        super().__init__(driver_class=driver)
        settings = settings or Settings()
        self.home = home
        self.moved_keys = dict(settings.keys)  # id of an action -> its keys, where they are not the usual ones
        self.glyphs = choose_glyphs(settings.glyphs or self.remembered.glyphs)
        draw_scrollbars(self.glyphs)
        self.images = Images()
        self.link = Link(way(), setting=settings.eco)
        self.view = view or View()  # what the first frame showed already
        self.has_read = view is not None
        self._open_first, self._replay = open_run, replay
        self.edit_first: str | None = None  # a preset that is opened at once: a path, a name; "": one is chosen
        self.replay_speed = 0.0  # times as fast as it was recorded; 0: at once
        self._opened: Path | None = None
        self.reader = Reader(
            home.path,
            lambda view: self._post(ViewRead(view)),
            lambda text: self._post(Told(text, True)),
            lambda: self.link.seen(queued_writes(self._driver)),
        )
        self.cursor_wanted = ""  # the directory of a run that Jobs puts its cursor on when it sees it
        self.cancelling: set[str] = set()  # run directories whose waiting command was asked to be cancelled
        self.kept_draft: Path | None = None  # the preset whose unsaved draft was kept when the app was left
        self._wrong_until = 0.0  # the clock's time until which a sentence of something wrong stands
        self.animation_level = "none"
        self.register_theme(MUSUBI)
        self.register_theme(MONO)
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        picked = self.remembered.theme if self.remembered.theme in self.available_themes else ""
        theme = settings.theme or (MONO.name if self.no_color else picked or MUSUBI.name)
        if theme not in self.available_themes:
            message = say(f"there is no theme {theme!r}.", f"{theme!r} というテーマはありません。")
            fix = say("There are: ", "使えるテーマ: ") + ", ".join(sorted(self.available_themes))
            line = config_line("app", "theme")
            raise ConfigError(Problem("bad_value", message, fix, str(config_file()), line, key="app.theme"))
        check_keys(settings.keys)
        self.theme = theme
        self.stylesheet = KeptStylesheet(variables=self.get_css_variables())
        self.set_class(self.glyphs.name == "ascii", "-ascii")
        self.set_keymap(self.moved_keys)

    # The reader

    def on_mount(self) -> None:
        """Start reading; open what was asked for."""
        self.screen_change_signal.subscribe(self, lambda _: self._cover(self.size))
        self.call_after_refresh(self.reader.start)  # the first screen does not wait for it
        if self._forgotten:
            self.tell(self._forgotten, wrong=True)
        if self._open_first is not None or self._replay is not None:
            self._show_run(self._open_first, self._replay)
        if self.edit_first is not None:
            from musubi_tui.tui.screens.preset.launch import edit_preset

            self.run_worker(edit_preset(self, self.edit_first))

    def on_ready(self) -> None:
        """The first screen stands: what was typed before it is answered now."""
        stands = getattr(self._driver, "first_screen_stands", None)
        if stands is not None:
            stands()

    def on_unmount(self) -> None:
        """Let the reader end."""
        self.reader.stop()

    def _post(self, message: Message) -> None:
        """From any thread. Nobody listens once the app is gone."""
        with contextlib.suppress(RuntimeError):
            if not self.reader.stopped.is_set():
                self.post_message(message)

    def on_view_read(self, message: ViewRead) -> None:
        """Hand the facts to the mode's screen, also when a dialog stands above it."""
        self.view, self.has_read = message.view, True
        for screen in self.screen_stack:
            if isinstance(screen, ShowsView) and screen.is_mounted:
                with contextlib.suppress(NoMatches):  # the app is being left: the screen's parts are gone already
                    screen.show(self.view)

    # What screens use

    @property
    def eco(self) -> bool:
        """Whether the link is slow: fewer frames, no pictures."""
        return self.link.eco

    def in_background(
        self,
        job: Callable[[], str],
        then: Callable[[], None] | None = None,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        """Run ``job`` on a thread and tell its sentence; ``then`` is called here afterwards. A ``UserError`` goes to ``refused``."""

        def work() -> None:
            try:
                text, wrong = job(), False
            except (UserError, OSError) as error:
                text, wrong = str(error), True
            self.reader.look()
            if wrong and refused is not None:
                self._post(Told("", True, lambda: refused(text)))
            else:
                self._post(Told(text, wrong, then))

        threading.Thread(target=work, name="background", daemon=True).start()

    def on_told(self, message: Told) -> None:
        """Show the sentence."""
        if message.text:
            self.tell(message.text, wrong=message.wrong)
        if message.then is not None:
            message.then()

    def tell(self, text: str, *, wrong: bool = False) -> None:
        """A sentence for the person, for some seconds; ``{id}`` of an action in it becomes its key.

        It takes the place of the one before, so that they never pile up over what is below; only what went wrong stands its time.
        """
        text = safe(hinted(self, text))
        if time.monotonic() >= self._wrong_until:
            self.clear_notifications()
        seconds = 10 if wrong else 5
        if wrong:
            self._wrong_until = time.monotonic() + seconds
        self.notify(text, severity="error" if wrong else "information", timeout=seconds, markup=False)

    def copy(self, text: str, *, tell: bool = True) -> None:
        """Copy ``text`` through the terminal, and with this machine's tool where there is one; without ``tell`` no word of it.
        It will be pasted into a shell: no secret, and nothing that steers a terminal."""
        text = safe(text)
        sequence = osc52(text)
        if self._driver is not None:
            self._driver.write(sequence)
        threading.Thread(target=copy_locally, args=(text,), name="copy", daemon=True).start()
        if tell:
            self.tell(say(f"Copied: {text}", f"コピーしました: {text}"))

    def cli_twin(self) -> str:
        """The command that does at the shell what is under the cursor."""
        for screen in reversed(self.screen_stack):
            twin = getattr(screen, "cli_twin", None)
            if twin is not None:
                return str(twin())
        return "musubi-tui"

    @property
    def can_suspend(self) -> bool:
        """Whether there is a shell to go back to for a while."""
        return self._driver is not None and self._driver.can_suspend

    def get_key_display(self, binding: Binding) -> str:
        """How a key is written; in words where the glyphs are ASCII."""
        shown = super().get_key_display(binding)
        return shown if self.glyphs.name == "unicode" or shown.isascii() else binding.key

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual asks for every line that it draws: nothing in one steers the terminal."""
        return (*super().get_line_filters(), _NO_ESCAPES)

    def use_theme(self, name: str) -> None:
        """Draw with these colours, also the next time unless config.toml names others."""
        self.theme = name
        self.remember(theme=name)

    def use_eco(self, setting: str) -> None:
        """Be sparing with the link, or not, until the app is left."""
        self.link.setting = setting
        for screen in self.screen_stack:
            for bar in screen.query(ModeBar):
                bar.draw()

    def use_glyphs(self, name: str) -> None:
        """Draw with that set, also the next time unless config.toml names another."""
        self.glyphs = SETS[name]
        draw_scrollbars(self.glyphs)
        self.remember(glyphs=name)
        self.set_class(name == "ascii", "-ascii")
        for screen in self.screen_stack:
            if isinstance(screen, ShowsView):
                screen.show(self.view)

    def remember(self, **facts: Any) -> None:
        """Keep this for the next time; at once, since the app may be killed."""
        before, self.remembered = self.remembered, replace(self.remembered, **facts)
        if self.remembered != before:
            keep(self.remembered)

    def remember_look(self, run_dir: str, look: RunLook) -> None:
        """Keep how a run is looked at."""
        self.remember(looks=self.remembered.with_look(run_dir, look).looks)

    def put_cursor_on(self, run_dir: str) -> None:
        """Jobs shows this run, which was just made, under its cursor. From any thread."""
        self.cursor_wanted = run_dir

    def open_run(self, path: Path, *, log: bool = False) -> None:
        """Open the screen of a run; ``log``: with nothing but its log."""
        self._show_run(path, None, log=log)

    def _show_run(self, path: Path | None, replay: Path | None, *, log: bool = False) -> None:
        self.run_worker(self._replace_run(path, replay, log), group="open", exclusive=True)

    async def _replace_run(self, path: Path | None, replay: Path | None, log: bool) -> None:
        from musubi_tui.tui.screens.run import RunScreen, RunSource

        wanted = path or replay
        if wanted != self._opened:
            if self.current_mode == "run":
                await self.switch_mode("jobs")
            await self.remove_mode("run")
            source = (
                RunSource.live(path) if path is not None else RunSource.replay(cast(Path, replay), self.replay_speed)
            )
            self.add_mode("run", lambda: RunScreen(source))
            self._opened = wanted
        await self.switch_mode("run")
        if log and isinstance(self.screen, RunScreen):
            self.screen.show_log()

    # Actions

    async def action_mode(self, name: str) -> None:
        """Switch the mode. Run opens the run that was open, else the active one, else the newest."""
        self.remember(mode=name)
        newest = self.view.active or (self.view.runs[0] if self.view.runs else None)
        if name == "run" and self._opened is None and newest is not None:
            self.open_run(Path(newest.run_dir))
        else:
            self.switch_mode(name)

    def action_help(self) -> None:
        """The keys that work here."""
        from musubi_tui.tui.screens.help import HelpScreen, help_lines

        self.push_screen(HelpScreen(list(help_lines(self.screen))))

    def action_explain(self) -> None:
        """What the thing under the cursor means."""
        from musubi_tui.tui.screens.explain import explain

        explain(self)

    def action_jump(self) -> None:
        """Keys on the panels."""
        from musubi_tui.tui.screens.jump import jump

        jump(self)

    def action_go(self) -> None:
        """The strip of places to go to."""
        from musubi_tui.tui.screens.go import go

        go(self)

    def action_zoom(self) -> None:
        """The focused panel on the whole screen, and back; a dialog has no panels."""
        if isinstance(self.screen, AnswersOnce):
            return
        if self.screen.maximized is not None:
            self.screen.minimize()
        elif self.focused is not None:
            self.screen.maximize(self.focused)

    def action_cancel_hook(self) -> None:
        """Cancel the command that waits after a run's end."""
        from musubi_tui.tui.commands import run_of
        from musubi_tui.tui.screens.hooks import cancel_waiting

        cancel_waiting(self, run_of(self.screen))

    def action_copy_twin(self) -> None:
        """Copy the shell's way."""
        twin = self.cli_twin()
        if twin:
            self.copy(twin)
        else:
            self.tell(say("No command does this.", "同じことをするコマンドはありません。"))

    def on_resize(self, event: Resize) -> None:
        """Another size."""
        self._cover(event.size)

    def _cover(self, size: Size) -> None:
        """Say so above whatever is seen in a terminal that is too small; the notice goes by itself when there is room."""
        if size.width < LEAST.width or size.height < LEAST.height:
            from musubi_tui.tui.screens.too_small import TooSmallScreen

            if not isinstance(self.screen, TooSmallScreen):
                self.push_screen(TooSmallScreen(LEAST))
