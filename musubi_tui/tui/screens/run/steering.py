"""Keys that steer the engine: each drops a control file and is locked until the engine answers. Nothing else reaches it."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping

from textual import work
from textual.message import Message
from textual.screen import Screen

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.status import ALIVE
from musubi_tui.runs.live_values import live_values
from musubi_tui.runs.notes import add_note
from musubi_tui.runs.state_words import state_word, takes_no_commands
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import RunView
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.screens.run.tune import TuneScreen
from musubi_tui.tui.screens.stopping import when_to_stop
from musubi_tui.tui.steering import steer
from musubi_tui.tui.twins import twin_of

_NOTE_SECONDS = 15.0
_GO_ON = ("stopped", "preempted", "failed", "orphaned", "done")  # what ``r`` on Jobs resumes or trains further


class SteeringScreen(Screen[None]):
    """The part of the run screen that talks to the engine. ``source`` says which run, and whether it can be steered."""

    class Answered(Message):
        """What became of a command."""

        def __init__(self, command: str, text: str) -> None:
            super().__init__()
            self.command, self.text = command, text

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self.source = source
        self.view: RunView | None = None
        self.note = ""
        self.note_until = 0.0
        self._locked: set[str] = set()
        self._done = ""  # the command of the last action

    def cli_twin(self) -> str:
        """While the answer to an action stands on the screen, the command that does the same; else the one that shows the run."""
        acted = self._done and time.monotonic() < self.note_until
        return self._done if acted else f"musubi-tui runs watch {self.source.shell_words}"

    @abstractmethod
    def draw(self) -> None:
        """Show the present moment and the note."""

    @abstractmethod
    def look_soon(self) -> None:
        """Read the run without waiting for the next tick."""

    def tell(self, text: str) -> None:
        """A sentence beside the progress bar, for some seconds."""
        self._done = ""
        self.note, self.note_until = text, time.monotonic() + _NOTE_SECONDS
        self.draw()

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

    def action_sample_of(self) -> None:
        """Ask for a prompt, and a sample of it now."""
        if not self._may_steer("sample"):
            return
        twin = twin_of("run.sample_of", self._run_word())

        def ask_engine(prompt: str) -> str:
            """The dialog closes at once: a sample takes its time, and the answer stands beside the progress bar."""
            self.app.call_from_thread(self._steer, "sample", {"prompts": [prompt]})
            return ""

        self.app.push_screen(
            AskScreen(
                say("A sample of which prompt?", "どのプロンプトでサンプルを作りますか？"),
                say(
                    "Instead of the preset's prompts, this once.", "今回だけプリセットのプロンプトの代わりに使います。"
                ),
                ask_engine,
                lambda prompt: twin.replace("TEXT", shlex.quote(prompt) if prompt else "TEXT"),
                hint=say("a prompt, with --w 512 and the like if needed", "プロンプト（必要なら --w 512 なども）"),
            )
        )

    def action_tune(self) -> None:
        """Ask for a value that is safe to change, and what it becomes."""
        run = self.source.run
        if not self._may_steer("set") or run is None:
            return

        def answer(change: tuple[str, object] | None) -> None:
            if change is not None:
                self._steer("set", {"key": change[0], "value": change[1]})

        self.app.push_screen(TuneScreen(f"musubi-tui runs set {self._run_word()} ", live_values(run)), answer)

    def action_note(self) -> None:
        """Ask for a note on this moment of the run; it is kept with the run."""
        run, view = self.source.run, self.view
        if run is None or view is None:
            self.tell(say("this is a recording: nothing is kept with it", "これは記録なのでメモは残せません"))
            return
        twin = twin_of("run.note", self._run_word())

        def keep(text: str) -> str:
            add_note(run, text, view.step)
            self.look_soon()
            return ""

        self.app.push_screen(
            AskScreen(
                say(f"A note at step {view.step}", f"ステップ {view.step} のメモ"),
                say(
                    "It stays with the run: in its log here, on Jobs, and in runs show.",
                    "run と共に残り、ログ、ジョブ画面、runs show に表示されます。",
                ),
                keep,
                lambda text: twin.replace("TEXT", shlex.quote(text) if text else "TEXT"),
                hint=say("what you see, what you want to try", "気づいたこと、試したいこと"),
            )
        )

    def action_fetch(self) -> None:
        """Copy and show the line that brings home what the run made."""
        from musubi_tui.tui.app import MusubiApp
        from musubi_tui.tui.screens.fetching import show_fetch

        run = self.source.run
        if run is None:
            self.tell(say("this is a recording: nothing of it is here", "これは記録なので持ち帰るものがありません"))
        elif isinstance(self.app, MusubiApp):
            show_fetch(self.app, str(run.path), twin_of("run.fetch", self._run_word()))

    @work(thread=True, group="headroom", exclusive=True)
    def action_headroom(self) -> None:
        """What of the card was never used, and what could be raised or lowered."""
        if self.source.run is None:
            self.app.call_from_thread(self.tell, say("this is a recording: its preset is not here", "これは記録なのでプリセットがありません"))  # fmt: skip
            return
        from musubi_tui.runs.headroom import headroom, headroom_lines

        try:
            lines = headroom_lines(headroom(self.source.run))
        except (UserError, OSError) as error:
            self.app.call_from_thread(self.tell, str(error))
        else:
            self.app.call_from_thread(self.app.push_screen, HelpScreen(lines, say("headroom", "メモリの余裕")))

    def action_stop(self) -> None:
        """Ask when to stop, and how long that will take."""
        run, view = self.source.run, self.view
        if not self._may_steer("stop") or run is None or view is None:
            return

        def answer(when: str | None) -> None:
            if when:
                self._steer("stop", {"when": when})

        self.app.push_screen(when_to_stop(view.name, run.id, view.stop_time, trains=view.max_steps > 0), answer)

    def _run_word(self) -> str:
        return shlex.quote(self.source.run.id) if self.source.run else ""

    def _may_steer(self, command: str) -> bool:
        """Whether a command would be heard; else the reason is shown."""
        if self.source.run is None:
            self.tell(say("this is a recording: there is nothing to control", "これは記録なので操作できません"))
        elif self.view is None or self.view.state not in ALIVE:
            self.tell(hinted(self.app, _why_not(self.view)) if self.view else say("the run is not read yet", "run を読み込み中です"))  # fmt: skip
        elif command in self._locked:
            self.tell(say(f"{command}: still waiting for the answer", f"{command}: 応答待ちです"))
        else:
            return True
        return False

    def _steer(self, command: str, arguments: dict[str, object]) -> None:
        if not self._may_steer(command):
            return
        self._locked.add(command)
        self.tell(f"{command} …")
        self._done = _twin(command, arguments, self._run_word())
        # No worker: Textual waits for those when it ends, and the engine may be in the middle of a long preview.
        threading.Thread(target=self._send, args=(command, arguments), name="steer", daemon=True).start()

    def _send(self, command: str, arguments: dict[str, object]) -> None:
        assert self.source.run is not None
        try:
            text = steer(str(self.source.run.path), command, arguments)
        except UserError as error:
            text = str(error)
        except OSError as error:
            text = f"{command}: {error}"
        with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
            self.post_message(self.Answered(command, text))

    def on_steering_screen_answered(self, message: Answered) -> None:
        """Unlock, and show the answer or the reason."""
        self._locked.discard(message.command)
        done = self._done
        self.tell(message.text)
        self._done = done
        self.look_soon()


def _why_not(view: RunView) -> str:
    """Why the engine is not steered, and what goes on with the run."""
    if view.state not in _GO_ON:
        return takes_no_commands(view.name, view.state)
    return say(f"{view.name}: {state_word(view.state)}. {{jobs.resume}} on Jobs goes on with it.",
               f"{view.name}: {state_word(view.state)}。ジョブ画面の {{jobs.resume}} で再開できます。")  # fmt: skip


def _twin(command: str, arguments: Mapping[str, object], run: str) -> str:
    """What does at the shell what a command to the engine does."""
    if command == "set":
        change = shlex.quote(f"{arguments['key']}={arguments['value']}")
        return f"musubi-tui runs set {run} {change}"
    words = f" --when {arguments['when']}" if "when" in arguments else ""
    prompts = arguments.get("prompts")
    if isinstance(prompts, list):
        words += "".join(f" --prompt {shlex.quote(prompt)}" for prompt in prompts)
    return f"musubi-tui runs {command} {run}{words}"
