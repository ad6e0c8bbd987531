"""One value that is safe to change while the run goes on: which, and what it becomes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import Input

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.control import LIVE_KEYS
from musubi_tui.runs.live_values import written_value
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain

_FACTOR, _PROMPTS = "learning_rate_factor", "sample_prompts"
_OFF = ("off", "none")
_EXAMPLES = {_FACTOR: "0.5", "max_cost": "20", "max_hours": "8"}


class TuneScreen(Dialog[tuple[str, Any]]):
    """Dismissed with the name of a value and what it becomes, or with nothing. ``twin`` is the command without them, ``now`` what
    holds at present."""

    CSS_PATH = "tune.tcss"

    def __init__(self, twin: str, now: Mapping[str, Any]) -> None:
        super().__init__()
        self._twin, self._now = twin, now
        self._place = 0  # among LIVE_KEYS

    @property
    def name_of_value(self) -> str:
        """What is changed."""
        return LIVE_KEYS[self._place]

    def compose(self) -> ComposeResult:
        """The question and a field."""
        with Vertical(id="tune"):
            yield Plain(self.name_of_value, classes="title")
            yield Plain(self._meaning(), id="meaning")
            yield Field("0.5", compact=True, id="value")
            words = say(
                "up/down another value  enter does it  esc closes  {dialog.copy_twin} copies",
                "上下 別の値  enter で実行  esc で閉じる  {dialog.copy_twin} コピー",
            )
            yield Plain(hinted(self.app, words), classes="twin")
            yield Plain(self.cli_twin("0.5"), id="twin", classes="twin")
            yield Plain(id="told")

    def cli_twin(self, value: str | None = None) -> str:
        """The command line that does the same."""
        value = self.query_one(Field).value.strip() if value is None else value
        return f"{self._twin}{self.name_of_value}={value or 'N'}"

    def own_keys(self) -> Iterable[tuple[str, str]]:
        """The keys that are read here."""
        return [
            ("up down", say("another value", "別の値")),
            ("enter", say("do it", "実行")),
            ("esc", say("close", "閉じる")),
        ]

    def _meaning(self) -> str:
        value = self._now.get(self.name_of_value)
        if value is None:
            holds = say("Not set now. ", "現在は未設定。")
        else:
            number = f"{value:g}" if isinstance(value, float) else str(value)
            text = " | ".join(value if isinstance(value, list) else number.splitlines())
            holds = say(f"Now: {text}. ", f"現在: {text}。")
        return holds + self._effect()

    def _effect(self) -> str:
        if self.name_of_value == _FACTOR:
            return say("The schedule's rate is multiplied by it from the next step on.", "次のステップからスケジュールの学習率に掛けます。")  # fmt: skip
        if self.name_of_value == _PROMPTS:
            return say(
                "A prompt, or a .txt file with one on each line: all previews show these from now on.",
                "プロンプト、または 1 行に 1 つ書いた .txt ファイル。以後のプレビューに使います。",
            )
        return say("From the next step on.", "次のステップから有効です。")

    def on_input_changed(self) -> None:
        """The command line that does the same; what was wrong with the value before is not about this one."""
        self.query_one("#twin", Plain).update(self.cli_twin())
        self.query_one("#told", Plain).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the value, if it is one; the engine says what it thinks of it."""
        text = event.value.strip()
        if not text:
            return
        try:
            value = written_value(self.name_of_value, text)
        except UserError as error:
            self.query_one("#told", Plain).update(str(error))
            return
        number = isinstance(value, (int, float)) and math.isfinite(value)
        if number or self.name_of_value == _PROMPTS or (self.name_of_value != _FACTOR and value in _OFF):
            self.dismiss((self.name_of_value, value))
        else:
            off = "" if self.name_of_value in (_FACTOR, "max_train_steps") else say(", or off", "または off")
            self.query_one("#told", Plain).update(say(f"{text!r} is no number. Write one such as {_EXAMPLES.get(self.name_of_value, '200')}{off}.",
                                                      f"{text!r} は数ではありません。{_EXAMPLES.get(self.name_of_value, '200')} のように書いてください{off}。"))  # fmt: skip

    def on_key(self, event: Key) -> None:
        """Escape leaves everything as it is; up and down choose what is changed."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)
        elif event.key in ("up", "down"):
            event.stop()
            self._place = (self._place + (1 if event.key == "down" else -1)) % len(LIVE_KEYS)
            self.query_one(".title", Plain).update(self.name_of_value)
            self.query_one("#meaning", Plain).update(self._meaning())
            self.query_one(Field).value = "0.5" if self.name_of_value == _FACTOR else ""
            self.on_input_changed()
