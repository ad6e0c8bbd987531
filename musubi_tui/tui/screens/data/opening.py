"""``o``: which dataset to look at. A path with completion, the family of a bare dataset file, a trigger word."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.suggester import Suggester, SuggestFromList
from textual.widgets import Input

from engine.config.language import say
from engine.families import family_names
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.screens.data.last import Wanted
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain

_ENDINGS = (".toml", ".json")
_LOOKED_AT = 2000  # entries of a folder


class PathSuggester(Suggester):
    """Completes folders and dataset files."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The first name that begins like what was typed."""
        folder, _, start = value.rpartition("/")
        place = Path(os.path.expanduser(folder or ("/" if value.startswith("/") else ".")))
        names = []
        try:
            with os.scandir(place) as entries:
                for _, entry in zip(range(_LOOKED_AT), entries):
                    if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith(".")):
                        if entry.is_dir():
                            names.append(entry.name + "/")
                        elif entry.name.endswith(_ENDINGS):
                            names.append(entry.name)
        except (OSError, ValueError):
            return None
        return value + min(names)[len(start) :] if names and value else None


class PathInput(Field):
    """Tab takes the completion."""

    BINDINGS: ClassVar[list[BindingType]] = [key("open.complete", "tab", "complete", say("complete", "補完"))]

    def action_complete(self) -> None:
        """Take what is suggested; go on where nothing is."""
        if self._suggestion and self._suggestion != self.value:
            self.value = self._suggestion
            self.cursor_position = len(self.value)
        else:
            self.screen.focus_next()


class OpenScreen(Dialog[Wanted]):
    """Dismissed with what is wanted, or with nothing."""

    CSS_PATH = "opening.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [key("open.close", "escape", "dismiss", say("close", "閉じる"))]

    def __init__(self, before: Wanted | None) -> None:
        super().__init__()
        self._before = before or Wanted("")

    def compose(self) -> ComposeResult:
        """Three fields."""
        with Vertical(id="open"):
            yield Plain(say("Look at which dataset?", "どのデータセットを見ますか？"), classes="title")
            yield PathInput(
                self._before.file, placeholder=hinted(self.app, say("dataset.toml or a preset   {open.complete} completes", "dataset.toml またはプリセット   {open.complete} で補完")),
                suggester=PathSuggester(), compact=True, id="path",
            )  # fmt: skip
            names = sorted(family_names())
            yield Field(
                self._before.family, placeholder=say(f"family of a dataset file: {', '.join(names)}", f"データセットファイルのモデル: {', '.join(names)}"),
                suggester=SuggestFromList(names, case_sensitive=False), compact=True, id="family",
            )  # fmt: skip
            yield Field(
                self._before.trigger, placeholder=say("trigger word that captions should hold (may stay empty)", "キャプションに含めたいトリガーワード (空でも可)"),
                compact=True, id="trigger",
            )  # fmt: skip
            yield Plain(
                hinted(
                    self.app,
                    say(
                        "enter opens, tab goes on, {open.close} closes",
                        "enter で開く、tab で次へ、{open.close} で閉じる",
                    ),
                ),
                classes="text",
            )
            yield Plain(id="told")

    def wanted(self) -> Wanted:
        """What the fields say."""
        values = [self.query_one(f"#{name}", Input).value.strip() for name in ("path", "family", "trigger")]
        return Wanted(os.path.expanduser(values[0]), *values[1:])

    def cli_twin(self) -> str:
        """``data scan`` of it."""
        return scan_command(self.wanted())

    def on_input_submitted(self) -> None:
        """Open it, if there is such a file."""
        wanted = self.wanted()
        try:
            there = Path(wanted.file).is_file()
        except ValueError:
            there = False
        if there:
            self.dismiss(Wanted(str(Path(wanted.file).absolute()), wanted.family, wanted.trigger))
        else:
            text = (
                say("There is no such file.", "ファイルがありません。")
                if wanted.file
                else say("A path is needed.", "パスを入力してください。")
            )
            self.query_one("#told", Plain).update(text)


def scan_command(wanted: Wanted) -> str:
    """The shell's way to look at a dataset."""
    family = f" --family {shlex.quote(wanted.family)}" if wanted.family else ""
    return f"musubi-tui data scan {shlex.quote(wanted.file or 'DATASET.toml')}{family}"
