"""Which preset to edit: what was opened last, one's own, the shipped ones, or a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option as ListOption

from engine.config.language import say
from musubi_tui.presets.completing import candidates, completed, working_folder
from musubi_tui.presets.document import resolved
from musubi_tui.presets.journal import recent_presets
from musubi_tui.presets.library import list_presets, presets_near
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.preset.ask import Choices, candidate_text
from musubi_tui.tui.screens.preset.panels import short_path
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain

_RUNS = 20  # newest runs whose presets are offered


@dataclass(frozen=True)
class Found:
    """One preset to choose."""

    kind: Literal["recent", "own", "shipped", "here", "run"]
    path: Path
    name: str
    about: str


def found_presets() -> list[Found]:
    """Recent files, those in and below the working directory, of recent runs, one's own and the shipped ones; each file once."""
    seen: set[Path] = set()
    found: list[Found] = []
    library = list_presets()
    titles = {resolved(preset.path): preset.title for preset in library}
    for path in recent_presets():
        found.append(Found("recent", path, path.stem, titles.get(path) or short_path(path.parent, 60)))
        seen.add(path)
    here = working_folder()
    for path in presets_near(here):
        below = path.parent != here
        if resolved(path) not in seen and not (below and resolved(path) in titles):
            found.append(Found("here", path, str(path.relative_to(here).with_suffix("")), short_path(path.parent, 60)))
            seen.add(resolved(path))
    for path in _of_recent_runs():
        if resolved(path) not in seen and resolved(path) not in titles:
            found.append(Found("run", path, path.stem, short_path(path.parent, 60)))
            seen.add(resolved(path))
    for preset in library:
        if resolved(preset.path) not in seen:
            found.append(Found(preset.origin, preset.path, preset.name, preset.title))
    return found


def _of_recent_runs() -> list[Path]:
    """The presets of the newest runs, as far as they are still there."""
    from musubi_tui.runs.finding import list_runs
    from musubi_tui.runs.origin import read_origin

    origins = [origin for run in list_runs()[:_RUNS] if (origin := read_origin(run)) is not None]
    return [path for path in dict.fromkeys(origin.preset for origin in origins) if path.is_file()]


class Picker(Vertical):
    """The list, and a field for words or a path. Says ``Picked``."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key("picker.find", "slash", "find", say("words or a path", "語またはパス"), show=True, display="/"),
        key("picker.down", "j", "cursor(1)", say("next", "次")),
        key("picker.up", "k", "cursor(-1)", say("previous", "前")),
        key("picker.complete", "tab", "complete", say("complete the path", "パスを補完")),
        key("picker.back", "escape", "back", say("back to the list", "一覧に戻る")),
    ]

    class Picked(Message):
        """This preset is to be edited: a path, or a name of the library."""

        def __init__(self, word: str) -> None:
            super().__init__()
            self.word = word

    class Left(Message):
        """Nothing is to be opened."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._all: list[Found] = []
        self._shown: list[Found] = []

    def compose(self) -> ComposeResult:
        """Field and list."""
        yield Field(
            placeholder=hinted(
                self.app,
                say("words, or a path ({picker.complete} completes)", "語、またはパス（{picker.complete} で補完）"),
            ),
            compact=True,
            id="where",
        )
        yield Plain(id="candidates")
        yield Choices(id="presets", markup=False, compact=True)
        yield Plain(id="told")

    def on_mount(self) -> None:
        """Name the panel."""
        self.border_title = say("Which preset?", "どのプリセットを編集しますか？")
        self.border_subtitle = hinted(
            self.app, say("enter open  {picker.find} words or a path", "enter 開く  {picker.find} 語またはパス")
        )

    def load(self) -> None:
        """Read the library anew."""
        self._all = found_presets()
        self._fill()
        self.query_one("#told", Plain).update("")
        self.query_one(OptionList).focus()

    def tell(self, text: str) -> None:
        """Why a file was not opened."""
        self.query_one("#told", Plain).update(text)

    def _fill(self) -> None:
        words = self.query_one(Input).value.lower().split()
        self._shown = [
            one for one in self._all if all(word in f"{one.name} {one.about} {one.path}".lower() for word in words)
        ]
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options([ListOption(line) for line in self._lines()])
        listed.highlighted = 0 if self._shown else None

    def _lines(self) -> Iterator[str]:
        kinds = {"recent": say("recent", "最近"), "here": say("here", "ここ"), "run": "run", "own": say("own", "自作"), "shipped": say("shipped", "同梱")}  # fmt: skip
        width = min(40, max((len(one.name) for one in self._shown), default=0))
        for one in self._shown:
            yield f"{fit(kinds[one.kind], 8)} {fit(one.name, width)}  {one.about}"

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter, and show what a path may become."""
        event.stop()
        self._fill()
        looks_like_path = "/" in event.value or event.value.startswith((".", "~"))
        text = candidate_text(event.value, working_folder(), "file") if looks_like_path else ""
        if event.value.strip() and not self._shown and not text:
            text = say("No preset fits these words.", "該当するプリセットはありません。")
        self.query_one("#candidates", Plain).update(text)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """A path that is there, else the first that fits."""
        event.stop()
        word = event.value.strip()
        if word and (Path(word).expanduser().is_file() or not self._shown):
            self.post_message(self.Picked(word))
        elif self._shown:
            self.post_message(self.Picked(str(self._shown[0].path)))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open it."""
        event.stop()
        self.post_message(self.Picked(str(self._shown[event.option_index].path)))

    def action_find(self) -> None:
        """Into the field."""
        self.query_one(Input).focus()

    def action_cursor(self, by: int) -> None:
        """Down or up."""
        listed = self.query_one(OptionList)
        listed.action_cursor_down() if by > 0 else listed.action_cursor_up()

    def action_complete(self) -> None:
        """As far as all candidates agree; elsewhere tab goes on."""
        field = self.query_one(Input)
        if self.app.focused is not field:
            self.screen.focus_next()
            return
        field.value = completed(field.value, candidates(field.value, working_folder(), "file"))
        field.cursor_position = len(field.value)

    def action_back(self) -> None:
        """From the field to the list; from the list to what was edited before."""
        field = self.query_one(Input)
        if self.app.focused is field:
            field.value = ""
            self.query_one(OptionList).focus()
        else:
            self.post_message(self.Left())
