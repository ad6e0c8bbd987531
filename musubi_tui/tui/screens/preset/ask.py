"""Small questions above the editor: one of a list, or a path with completion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option as ListOption

from engine.config.language import say
from engine.config.option import PathKind
from musubi_tui.presets.completing import candidates, completed
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.screens.help import HelpScreen
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.plain import Plain, entitle

_SHOWN_CANDIDATES = 6


@dataclass(frozen=True)
class Answer:
    """One line of a list: what it stands for, what it says, and a remark behind it."""

    id: str
    text: str
    remark: str = ""


class Choices(OptionList):
    """A list whose page keys work before it was laid out, and when it is empty: Textual's own fail then."""

    ALLOW_MAXIMIZE = False  # alone on the screen it would lose its question and its keys

    def action_page_up(self) -> None:
        """A page up."""
        self._page(-1)

    def action_page_down(self) -> None:
        """A page down."""
        self._page(1)

    def _page(self, direction: int) -> None:
        if self.option_count:
            place = (self.highlighted or 0) + direction * max(1, self.size.height - 1)
            self.highlighted = max(0, min(self.option_count - 1, place))


class ToldScreen(HelpScreen):
    """Titled lines to read, as (kind, text) of ``HelpScreen``."""

    CSS_PATH = "../help.tcss"

    def __init__(self, title: str, lines: Sequence[tuple[str, str]]) -> None:
        super().__init__(list(lines))
        self._title = title

    def on_mount(self) -> None:
        """Its own title."""
        entitle(self.query_one("#help"), self._title)


class ListScreen(Dialog[str]):
    """Dismissed with the id of the chosen answer, or with nothing."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("ask.close", "escape,q", "dismiss", say("close", "閉じる")),
        key("ask.down", "j", "cursor(1)", say("next", "次")),
        key("ask.up", "k", "cursor(-1)", say("previous", "前")),
    ]

    def __init__(self, title: str, answers: Sequence[Answer], chosen: str = "", hint: str = "") -> None:
        super().__init__()
        self._title, self._answers, self._chosen, self._hint = title, list(answers), chosen, hint

    def compose(self) -> ComposeResult:
        """The list."""
        width = max((len(answer.text) for answer in self._answers), default=0)
        with Vertical(classes="ask"):
            yield Plain(self._title, classes="title")
            yield Choices(
                *(ListOption(f"{fit(answer.text, width)}  {answer.remark}".rstrip()) for answer in self._answers),
                markup=False,
                compact=True,
            )
            yield Plain(self._hint or hinted(self.app, say("enter chooses, {ask.close} leaves it", "enter で選択、{ask.close} で取り消し")), classes="hint")  # fmt: skip

    def on_mount(self) -> None:
        """The cursor begins on what is chosen now."""
        places = [place for place, answer in enumerate(self._answers) if answer.id == self._chosen]
        self.query_one(OptionList).highlighted = places[0] if places else 0

    def action_cursor(self, by: int) -> None:
        """Down or up."""
        found = self.query_one(OptionList)
        found.action_cursor_down() if by > 0 else found.action_cursor_up()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take it."""
        event.stop()
        self.dismiss(self._answers[event.option_index].id)


class PathScreen(Dialog[str]):
    """Dismissed with the path that was typed, or with nothing. Tab completes."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("ask.close", "escape", "dismiss", say("close", "閉じる")),
        key("ask.complete", "tab", "complete", say("complete", "補完")),
    ]

    def __init__(self, title: str, value: str, base: Path, *, kind: PathKind = "file", hint: str = "") -> None:
        super().__init__()
        self._title, self._value, self._base, self._kind, self._hint = title, value, base, kind, hint

    def compose(self) -> ComposeResult:
        """The question, the field, and what it may become."""
        with Vertical(classes="ask"):
            yield Plain(self._title, classes="title")
            yield Field(self._value, compact=True, select_on_focus=False)
            yield Plain(classes="candidates")
            hint = hinted(
                self.app,
                say(
                    "enter takes it, {ask.complete} completes, {ask.close} leaves it",
                    "enter で決定、{ask.complete} で補完、{ask.close} で取り消し",
                ),
            )
            yield Plain(f"{self._hint}\n{hint}".strip(), classes="hint")

    def on_mount(self) -> None:
        """Begin at the end of the text."""
        field = self.query_one(Input)
        field.focus()
        field.cursor_position = len(field.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what lies there."""
        self.query_one(".candidates", Plain).update(candidate_text(event.value, self._base, self._kind))

    def action_complete(self) -> None:
        """As far as all candidates agree."""
        field = self.query_one(Input)
        field.value = completed(field.value, candidates(field.value, self._base, self._kind))
        field.cursor_position = len(field.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it."""
        event.stop()
        if event.value.strip():
            self.dismiss(event.value.strip())


def candidate_text(written: str, base: Path, kind: PathKind) -> str:
    """The names that ``written`` may become, the first few of them, on one line."""
    found = candidates(written, base, kind)
    names = [name.rstrip("/").rpartition("/")[2] + ("/" if name.endswith("/") else "") for name in found]
    more = f"  +{len(names) - _SHOWN_CANDIDATES}" if len(names) > _SHOWN_CANDIDATES else ""
    return "  ".join(names[:_SHOWN_CANDIDATES]) + more
