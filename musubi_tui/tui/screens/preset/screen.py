"""The preset editor, mode 2: choosing a file, walking over its options, and the keys. Edits and files live in the modules beside."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.timer import Timer
from textual.widgets import Input, OptionList, TextArea

from engine.config.language import say
from engine.config.schema import OPTIONS
from engine.config.secrets import variable_of
from musubi_tui.presets import journal
from musubi_tui.presets.facts import facts_of
from musubi_tui.presets.form import Look
from musubi_tui.tui.screens.preset import panels
from musubi_tui.tui.screens.preset.ask import ToldScreen
from musubi_tui.tui.screens.preset.floating import HEAVY
from musubi_tui.tui.screens.preset.keys import KEYS
from musubi_tui.tui.screens.preset.picker import Picker
from musubi_tui.tui.screens.preset.versioning import Versioning
from musubi_tui.tui.widgets.grid import PropertyGrid
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.toml_view import TomlView

TAKE_TEXT_AFTER = 0.5  # seconds of rest in the text editor


class PresetScreen(Versioning):
    """One preset in a form and as text. ``word`` is opened first: a path or a name of the library."""

    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, word: str = "") -> None:
        super().__init__()
        self._first = word
        self._text_timer: Timer | None = None

    def on_mount(self) -> None:
        """Open what was asked for, else let the person choose."""
        self.add_class("-picking")
        if self._first:
            self.call_after_refresh(self.open_word, self._first)
        else:  # while the person chooses: the models of the schema are built when they are first used
            self.run_worker(partial(facts_of, "", Path()), thread=True)
        self.query_one(Picker).load()

    def cli_twin(self) -> str:
        """``presets set`` with all unsaved changes."""
        if self.draft is None:
            return "musubi-tui presets list"
        if self.draft.beyond_twin():
            self.musubi.tell(
                say(
                    "Changed comments, new tables and unknown keys are not in the command.",
                    "コメント、新しいテーブル、不明なキーの変更はコマンドに含まれません。",
                )
            )
        taken = [name for name in self.draft.unsaved_options() if OPTIONS[name].secret and self.draft.facts.own(name)]
        if taken:
            variables = ", ".join(map(variable_of, taken))
            self.musubi.tell(
                say(
                    f"The command holds no secret: at the shell it takes it from {variables}.",
                    f"コマンドに秘密の値は入りません。シェルでは {variables} から取ります。",
                )
            )
        return self.draft.twin()

    # Choosing a file

    @on(Picker.Picked)
    def picked(self, message: Picker.Picked) -> None:
        """Open it."""
        self.open_word(message.word)

    @on(Picker.Left)
    def left_picker(self) -> None:
        """Back to what was edited before."""
        if self.draft is not None:
            self.remove_class("-picking")
            self.query_one(PropertyGrid).focus()
            self.call_after_refresh(self.draw)

    # Walking

    @on(PropertyGrid.Moved)
    def moved(self) -> None:
        """The help and the line in the text follow the cursor."""
        self.note_read()
        self.draw_dock()
        self.figures_soon()
        option = self.option
        if self.wide and option is not None and self.draft is not None and not self.text_is_edited:
            line = self.draft.facts.line(option.name)
            if line:
                self.query_one(TomlView).go_to(line)

    def note_read(self) -> None:
        """A note goes with the next key."""
        if self.note:
            self.note = ""
            self.draw()

    def action_section(self, by: int) -> None:
        """Another section; a search ends."""
        names = panels.section_order()
        place = (names.index(self.look.section) + by) % len(names)
        self.look = Look(section=names[place], expert=self.look.expert, everything=self.look.everything)
        self._look_changed()

    def action_look(self, what: str) -> None:
        """A switch of the form."""
        switched: dict[str, Any] = {what: not getattr(self.look, what)}
        self.look = replace(self.look, **switched)
        self._look_changed()

    def _look_changed(self) -> None:
        self.note = ""
        self.draw()
        self.query_one(PropertyGrid).scroll_home(animate=False)
        self.query_one(PropertyGrid).scroll_to_cursor()

    # Searching

    def action_search(self) -> None:
        """Open the search, or go back into it."""
        if self.draft is None:
            return
        self.add_class("-searching")
        field = self.query_one("#search", Input)
        field.placeholder = say("part of a name, or of what it does", "名前や説明の一部")
        field.value = self.look.words
        field.focus()

    @on(Input.Changed, "#search")
    def search_typed(self, event: Input.Changed) -> None:
        """Search while one types."""
        event.stop()
        if self.has_class("-searching"):
            self.look = replace(self.look, words=event.value.strip())
            self._look_changed()

    @on(Input.Submitted, "#search")
    def search_done(self, event: Input.Submitted) -> None:
        """Back to the form; what was found stays."""
        event.stop()
        self.remove_class("-searching")
        self.query_one(PropertyGrid).focus()

    # Text

    def action_toml(self) -> None:
        """The text: focused where it stands, on the whole screen in the small layout; and back."""
        if self.draft is None:
            return
        if self.text_is_edited:
            self.leave_text()
        elif self.toml_is_shown:
            self.remove_class("-toml")
            self.query_one(PropertyGrid).focus()
        else:
            option = self.option
            self.add_class("-toml")
            view = self.query_one(TomlView)
            view.focus()
            line = self.draft.facts.line(option.name) if option else 0
            self.call_after_refresh(view.go_to, line or view.cursor)
        self.call_after_refresh(self.draw)

    @on(TomlView.Edit)
    def edit_here(self, message: TomlView.Edit) -> None:
        """Edit the text at the cursor."""
        message.stop()
        self.edit_text(message.line)

    @on(TextArea.Changed, "#editing")
    def text_typed(self) -> None:
        """Take what was typed when the keys rest: the form, the complaints and the kept draft follow."""
        if self._text_timer is not None:
            self._text_timer.stop()
        if self.text_is_edited and self.draft is not None:
            rest = TAKE_TEXT_AFTER if len(self.draft.text) <= HEAVY else 6 * TAKE_TEXT_AFTER
            self._text_timer = self.set_timer(rest, self.take_text)

    def on_unmount(self) -> None:
        """What was typed last is kept too."""
        if self.draft is not None and self.draft.dirty:
            with contextlib.suppress(OSError):  # nobody is left to be told
                journal.keep(self.draft)
                self.musubi.kept_draft = self.draft.path

    # Keys

    def on_key(self, event: events.Key) -> None:
        """What the floating editor does with keys that its field has no use for."""
        if not self.has_class("-typing"):
            return
        if event.key in ("up", "down"):
            event.stop()
            self.type_step(1 if event.key == "up" else -1)
        elif event.key in ("tab", "shift+tab"):
            event.stop()
            event.prevent_default()
            self.type_complete()

    def action_back(self) -> None:
        """Out of the value, the text, the search; then out of what narrows the form."""
        if self.has_class("-typing"):
            self.close_value()
        elif self.text_is_edited:
            self.leave_text()
        elif self.toml_is_shown:
            self.action_toml()
        elif self.has_class("-searching") or self.look.narrowed:
            self.remove_class("-searching")
            self.query_one("#search", Input).value = ""
            self.look = Look(section=self.look.section, expert=self.look.expert, everything=self.look.everything)
            self.query_one(PropertyGrid).focus()
            self._look_changed()
        else:
            self.note_read()

    def action_explain(self) -> None:
        """Everything about the option under the cursor."""
        from engine.config.reference import describe

        if self.option is not None:
            lines = describe(self.option).splitlines()
            told = [("title", lines[0]), *(("text", line.strip()) for line in lines[1:])]
            self.app.push_screen(ToldScreen(self.option.name, told))

    def action_plan(self) -> None:
        """The whole plan: every line with how it was computed, and what would make it fit."""
        from musubi_tui.tui.screens.preset.plan import whole

        lines = (
            list(whole(self.request, self.draft.facts)) if self.request is not None and self.draft is not None else []
        )
        if lines:
            self.app.push_screen(ToldScreen(say("plan", "計画"), lines))
        else:
            self.say_note(self.no_plan or say("no plan yet", "計画はまだありません"))

    def action_copy_value(self) -> None:
        """Copy the line of the option as TOML."""
        if self.option is None or self.draft is None:
            return
        if self.option.secret:
            self.say_note(say("a secret: it is not copied", "秘密の値のためコピーしません"))
            return
        from musubi_tui.presets.form import line_in_toml

        self.musubi.copy(line_in_toml(self.draft, self.option.name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a file there is nothing to edit; while one types, the keys of the form are text."""
        return action not in _OF_A_FILE or (self.draft is not None and not self.has_class("-picking"))

    def on_screen_resume(self) -> None:
        """Catch up with the disk; the picker shows what there is now."""
        self.query_one(ModeBar).count_down(self.musubi.view)
        self.look_at_disk()
        if self.draft is None:
            self.query_one(OptionList).focus()


_OF_A_FILE = frozenset(
    {"save", "toggle_value", "step", "reset", "undo", "redo", "fix", "search", "section", "look", "toml", "editor", "diff",
     "save_as", "launch", "history", "next_version", "explain", "plan", "copy_value", "open"}
)  # fmt: skip
