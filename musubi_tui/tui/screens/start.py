"""``n``: a run from a preset, started now or put into the queue.

The file is checked as ``presets check`` does; what is wrong stays on the screen, nothing starts.
"""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Click
from textual.suggester import Suggester
from textual.widgets import Input

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.process import host_name
from engine.events.rundir import RunDirectory
from musubi_tui.presets.completing import candidates, working_folder
from musubi_tui.presets.library import list_presets, presets_near
from musubi_tui.runs.home import Home, survives
from musubi_tui.runs.origin import preset_of
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.acting import enqueue
from musubi_tui.tui.keymap import hinted, key, shown_key
from musubi_tui.tui.screens.allowing import Hooks, with_hooks_asked
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.steering import hooks_of, start
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp

_LOOKED_AT = 50  # runs
_WORKING = ("starting", "running", "paused", "stopping")


class PresetSuggester(Suggester):
    """Completes names of presets, and of paths what lies in the folder."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._names = names

    async def get_suggestion(self, value: str) -> str | None:
        """The first that begins so."""
        if not value:
            return None
        named = next((name for name in self._names if name.startswith(value)), None)
        if named is not None:
            return named
        paths = await asyncio.to_thread(candidates, value, working_folder())
        return next((path for path in paths if path.endswith((".toml", os.sep))), None)


def presets_of(recent: Sequence[str]) -> list[str]:
    """The presets of these runs, each once; a preset is its own."""
    found: dict[str, None] = {}
    for one in recent[:_LOOKED_AT]:
        try:
            path = one if one.endswith(".toml") else str(preset_of(RunDirectory(Path(one))))
        except UserError:  # nobody noted it, or it is gone
            continue
        found[path] = None
    return list(found)


class When(Plain):
    """The line that says whether the run starts now or waits its turn; a click changes it."""

    def on_click(self, event: Click) -> None:
        """The other one."""
        event.stop()
        if isinstance(self.screen, StartScreen):
            self.screen.action_when()


class StartScreen(Dialog[None]):
    """Asks for the path. Closes when the run has started or stands in the queue."""

    CSS_PATH = "start.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("start.close", "escape", "dismiss", say("close", "閉じる")),
        key("start.when", "tab,shift+tab", "when", say("start now or queue", "すぐ開始かキューか")),
        key("start.earlier", "up", "recall(1)", say("preset of an earlier run", "以前の run のプリセット")),
        key("start.later", "down", "recall(-1)", say("preset of a later run", "新しい run のプリセット")),
    ]

    def __init__(self, home: Home, recent: Sequence[str] = ()) -> None:
        """``recent``: directories of runs, newest first, and presets that were made just now."""
        super().__init__()
        self._home = home
        self._recent, self._presets, self._place = recent, [""], 0
        self._busy = False
        self._queued = False

    def compose(self) -> ComposeResult:
        """The question, the answer, and what is wrong with it."""
        here = working_folder()
        found = [str(path.relative_to(here)) for path in presets_near(here)] + [
            preset.name for preset in list_presets()
        ]
        with Vertical(id="start"):
            yield Plain(
                say("Start a run of which preset?", "どのプリセットで run を始めますか？"),
                classes="title",
            )
            yield Plain(
                say(
                    "Its path or name. With nothing written enter opens the wizard, which asks and makes one.",
                    "パスまたは名前。空欄のまま enter でウィザードが質問して作成します。",
                ),
                classes="text",
            )
            yield Field(
                placeholder=hinted(
                    self.app,
                    say(
                        "nothing: the wizard; {start.earlier}: presets of earlier runs",
                        "空欄: ウィザード、{start.earlier}: 以前の run のプリセット",
                    ),
                ),
                suggester=PresetSuggester(found),
                compact=True,
                id="path",
            )
            yield When(self._when(), id="when")
            yield Plain(id="beside", classes="text")
            yield Plain(hinted(self.app, self._where()), classes="text")
            yield VerticalScroll(Plain(id="told"), can_focus=False)

    def _where(self) -> str:
        text = say(f"The run goes to {self._home.path}.", f"run の保存先: {self._home.path}")
        if not survives(self._home.path):
            text += say(
                " It is on the container's own disk: gone when it stops.",
                " コンテナのディスク上のため、停止すると消えます。",
            )
        return text + say(
            "\nenter does it, {start.close} closes, {dialog.copy_twin} copies the command.",
            "\nenter で実行、{start.close} で閉じ、{dialog.copy_twin} でコマンドをコピーします。",
        )

    def _beside(self) -> str:
        """That another run works here, where this one would start beside it."""
        here, runs = host_name(), cast("MusubiApp", self.app).view.runs
        busy = next((now.name for now in runs if now.state in _WORKING and now.host == here), "")
        if self._queued or not busy:
            return ""
        text = say(
            "{name} is running here: started now, both share the card's memory and time. {start.when} puts this one behind it.",
            "{name} が実行中です。今すぐ開始すると GPU のメモリと時間を分け合います。{start.when} でその後に回せます。",
        )
        return hinted(self.app, text).replace("{name}", clean(busy))

    def _show_beside(self) -> None:
        beside, text = self.query_one("#beside", Plain), self._beside()
        beside.update(text)
        beside.display = bool(text)

    def on_mount(self) -> None:
        """No empty line where nothing works."""
        self._show_beside()

    def _when(self) -> str:
        mark = cast("MusubiApp", self.app).glyphs.cursor
        now, queue = say("start now", "今すぐ開始"), say("put into the queue", "キューに入れる")
        return f"{' ' if self._queued else mark} {now}    {mark if self._queued else ' '} {queue}    {shown_key(self.app, 'start.when')}"

    def action_when(self) -> None:
        """Now, or in turn."""
        self._queued = not self._queued
        self.query_one("#when", Plain).update(self._when())
        self._show_beside()

    def action_recall(self, by: int) -> None:
        """The preset of a run before or after; what was typed is the last of them."""
        if len(self._presets) == 1:
            self._presets += presets_of(self._recent)
        if not 0 <= self._place + by < len(self._presets):
            return
        field = self.query_one(Input)
        if self._place == 0:
            self._presets[0] = field.value
        self._place += by
        field.value = self._presets[self._place]
        field.cursor_position = len(field.value)

    def on_input_changed(self) -> None:
        """What was wrong with the file before is not about this one."""
        if not self._busy:
            self.query_one("#told", Plain).update("")

    def cli_twin(self) -> str:
        """``train`` of this preset, or ``queue add``."""
        preset = shlex.quote(self.query_one(Input).value or "PRESET")
        return f"musubi-tui queue add {preset}" if self._queued else f"musubi-tui train {preset} --detach"

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Check and start, off this thread."""
        if self._busy:
            return
        if not event.value.strip():
            from musubi_tui.tui.screens.wizard import WizardScreen

            self._busy = True  # a second enter of the same moment would open a second wizard
            self.app.switch_screen(WizardScreen())
            return
        self._busy = True
        self.query_one("#told", Plain).update(say("Checking …", "検査中 …"))
        preset = os.path.expanduser(event.value.strip())
        app, queued = cast("MusubiApp", self.app), self._queued

        def go(hooks: Hooks) -> None:
            made = app.put_cursor_on

            def job() -> str:
                if queued:
                    return enqueue(preset, self._home, made, hooks)
                return start(preset, self._home, made=made, hooks=hooks)

            app.in_background(job, self._started, self._refused)

        title = say(f"Start a run of {event.value.strip()}?", f"{event.value.strip()} の run を開始しますか？")
        with_hooks_asked(
            app, title, self.cli_twin(), lambda: hooks_of(preset), go,
            left=lambda: self._refused(""), refused=self._refused,
        )  # fmt: skip

    def _started(self) -> None:
        if self.is_attached:
            self.dismiss(None)

    def _refused(self, text: str) -> None:
        self._busy = False
        if self.is_attached:
            self.query_one("#told", Plain).update(text)
