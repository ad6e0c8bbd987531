"""Values changed from the keyboard: the one editor that floats over the grid, steps and toggles, fixes, undo."""

from __future__ import annotations

import re
from collections.abc import Callable

from textual import on
from textual.widgets import Input
from textual.widgets.text_area import Selection

from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS
from engine.config.values import parse_override
from musubi_tui.presets.completing import candidates, completed
from musubi_tui.presets.dataset_cells import DatasetCell
from musubi_tui.presets.draft import rewritten, settable, written_as
from musubi_tui.presets.fixing import apply_fix, fix_for
from musubi_tui.presets.form import shown, typed
from musubi_tui.presets.stepping import stepped, toggled
from musubi_tui.tui.screens.preset import panels
from musubi_tui.tui.screens.preset.ask import Answer, ListScreen, candidate_text
from musubi_tui.tui.screens.preset.cells import CellEditing
from musubi_tui.tui.screens.preset.floating import HEAVY, tried
from musubi_tui.tui.widgets.grid import PropertyGrid, wrap
from musubi_tui.tui.widgets.lines import Line
from musubi_tui.tui.widgets.toml_view import TomlText, TomlView

MOST_EDITED = 500_000  # characters that the text editor of this screen opens


class Editing(CellEditing):
    """What keys do to the draft."""

    # One value

    @on(PropertyGrid.Edit)
    def edit_value(self, message: PropertyGrid.Edit) -> None:
        """Open what fits the option: a list of choices, a toggle, the text of a table, else a line to type."""
        message.stop()
        option = OPTIONS.get(message.key)
        if self.cell is not None:
            self.edit_cell(self.cell)
        elif option is None or self.draft is None:
            self._go_to_complaint()
        elif self.draft.facts.syntax is not None or not _fits_a_line(option, self.draft.facts.value(option.name)):
            self.edit_text(self.draft.facts.line(option.name) or 1)
        elif option.kind == "yes/no":
            self.action_toggle_value()
        elif option.kind == "choice" or option.facts.suggestions:
            self._choose(option)
        else:
            self._type(option)

    def _go_to_complaint(self) -> None:
        row = self.query_one(PropertyGrid).row
        found = next((one for one in self.problems if row and panels.problem_key(one) == row.key), None)
        if found is not None:
            self.edit_text(found.line or 1)

    def _choose(self, option: Option) -> None:
        """A list of the values; where any text is allowed, one may type too."""
        assert self.draft is not None
        value = self.draft.facts.value(option.name)
        names = list(option.choices) or list(option.suggestions)
        costs = {one.words: one.figures() for one in self.figures.beside(self.request, self.draft.facts, option.name)}
        answers = [Answer(str(name), str(name), "  ".join(filter(None, (_remark(option, name), costs.get(str(name)))))) for name in names]  # fmt: skip
        if option.kind != "choice":
            answers.append(Answer("\0type", say("type it …", "入力する …")))
        if option.optional or self.draft.facts.own(option.name) is not None:
            unset = shown(option, self.draft.facts.inherited(option.name))
            answers.append(Answer("\0unset", say("leave it out", "指定しない"), f"→ {unset}"))

        def answer(chosen: str | None) -> None:
            if chosen == "\0type":
                self._type(option)
            elif chosen == "\0unset":
                self.attempt(lambda: self.draft.set({option.name: None}) if self.draft else None)
            elif chosen is not None:
                self.attempt(lambda: self.draft.set({option.name: chosen}) if self.draft else None)

        self.app.push_screen(ListScreen(f"{option.name}: {option.help}", answers, str(value)), answer)

    def _type(self, option: Option) -> None:
        """The floating line editor on the value's place."""
        assert self.draft is not None
        field = self.query_one("#value", Input)
        self._typing = option
        if not self.place_value():
            self._typing = None
            return
        self.add_class("-typing")
        written = written_as(self.draft.facts, option.name)
        field.password = option.secret
        field.value = typed(self.draft.facts, option, written)
        field.cursor_position = len(field.value)
        field.focus()
        self._tell_typing()

    def _tell_typing(self, refused: str = "") -> None:
        """In the dock: what is wrong with the text, what a path may become, what is expected."""
        option, field = self._typing, self.query_one("#value", Input)
        if isinstance(option, DatasetCell):
            self.tell_cell(option, refused)
            return
        if option is None or self.draft is None:
            return
        width = self.query_one("#beside" if self.wide else "#below").size.width
        lines: list[Line] = []
        wrong = refused or _wrong_pattern(option, field.value)
        lines += [[(text, "bad")] for text in wrap(wrong, width, 3)] if wrong else []
        if option.kind == "path":
            lines += [[(text, "mark")] for text in wrap(self._candidates_text(option, field.value), width, 2)]
        lines += [[(text, "")] for text in wrap(str(option.help), width, 2)]
        expected = f"{option.expectation()}{f' ({option.unit})' if option.unit else ''}"
        keys = say("enter takes it, esc leaves it, none unsets", "enter で決定、esc で取消、none で未指定")
        if option.kind == "path":
            keys = say("tab completes  ", "tab で補完  ") + keys
        lines += [[(text, "muted")] for text in wrap(f"{expected}.  {keys}", width, 2)]
        self.draw_dock(lines)

    def _candidates_text(self, option: Option, written: str) -> str:
        return candidate_text(written, self.base_folder(), option.path)

    @on(Input.Changed, "#value")
    def value_typed(self, event: Input.Changed) -> None:
        """Say what it may become."""
        event.stop()
        if self._typing is not None:
            self._tell_typing()

    @on(Input.Submitted, "#value")
    def value_entered(self, event: Input.Submitted) -> None:
        """Take the text; what is wrong with it is told, and it stays open."""
        event.stop()
        option, draft = self._typing, self.draft
        if isinstance(option, DatasetCell):
            self.enter_cell(option, event.value)
            return
        if option is None or draft is None:
            return
        text = event.value if event.value.strip() or option.kind == "text" else "none"
        refused = _wrong_pattern(option, text)
        if refused:
            self._tell_typing(refused)
            return
        if len(draft.text) <= HEAVY:
            refused = tried(lambda: draft.set({option.name: text}))
            if refused:
                self._tell_typing(refused)
                return
            self.close_value()
            self._finish("")
        else:
            self.close_value()
            self.attempt(lambda: draft.set({option.name: text}))

    def type_step(self, direction: int) -> None:
        """Up and down in the floating editor step a number."""
        option, field = self._typing, self.query_one("#value", Input)
        if option is None or isinstance(option, DatasetCell):
            return
        after = stepped(option, parse_override(option, field.value) if field.value.strip() else None, direction)
        if after is not None:
            field.value = after
            field.cursor_position = len(after)

    def type_complete(self) -> None:
        """Tab in the floating editor completes a path, or goes to the first suggestion."""
        option, field = self._typing, self.query_one("#value", Input)
        if isinstance(option, DatasetCell):
            self.complete_cell(option)
        elif option is not None and option.kind == "path":
            field.value = completed(field.value, candidates(field.value, self.base_folder(), option.path))
            field.cursor_position = len(field.value)

    # One key

    def action_toggle_value(self) -> None:
        """Yes to no and back, the next choice."""
        option, draft = self.option, self.draft
        if self.cell is not None:
            self.toggle_cell(self.cell)
        if option is None or draft is None:
            return
        value = draft.facts.value(option.name)
        after = toggled(option, value)
        if after == value and type(after) is type(value):
            self.query_one(PropertyGrid).action_edit()
            return
        self.attempt(lambda: draft.set({option.name: after}))

    def action_step(self, direction: int) -> None:
        """A number up or down; a choice forward or back counts as a toggle."""
        option, draft = self.option, self.draft
        if self.cell is not None:
            self.step_cell(self.cell, direction)
        if option is None or draft is None:
            return
        if option.kind in ("yes/no", "choice"):
            self.action_toggle_value()
            return
        after = stepped(option, draft.facts.value(option.name), direction)
        if after is not None:
            self.attempt(lambda: draft.set({option.name: after}))

    def action_reset(self) -> None:
        """Back to the base's value or the default."""
        option, draft = self.option, self.draft
        if self.cell is not None:
            self.change_cell(self.cell, None)
        if option is None or draft is None:
            return
        if not settable(option.name):
            self.say_note(say(f"{option.name} is edited in the text: T", f"{option.name} はテキストで編集します: T"))
            return
        self.attempt(lambda: draft.reset(option.name))

    def action_fix(self) -> None:
        """Apply the fix of the complaint under the cursor, else the square-root rule where it is offered."""
        draft = self.draft
        if draft is None:
            return
        row = self.query_one(PropertyGrid).row
        name = row.key if row else ""
        mine = [one for one in self.problems if name and name in (one.key, panels.problem_key(one))]
        fix = next((fix for fix in (fix_for(one, draft.facts) for one in mine) if fix), None)
        hint = self.hint
        if fix is not None:
            self.attempt(lambda: draft.replace(apply_fix(draft.facts, fix)))
        elif hint is not None and (name in panels.HINT_ROWS or name.endswith(".batch_size")):
            self.attempt(lambda: draft.set({"learning_rate": hint.rate}))
        elif mine and OPTIONS.get(name):
            self.query_one(PropertyGrid).action_edit()
        else:
            self.say_note(say("nothing to fix here", "ここには修正するものがありません"))

    def action_undo(self) -> None:
        """The text before."""
        self._travel(
            lambda: self.draft is not None and self.draft.undo(), say("nothing to undo", "取り消すものがありません")
        )

    def action_redo(self) -> None:
        """Forward again."""
        self._travel(
            lambda: self.draft is not None and self.draft.redo(), say("nothing to redo", "やり直すものがありません")
        )

    def _travel(self, step: Callable[[], bool], nothing: str) -> None:
        def change() -> None:
            if not step():
                raise ConfigError.of("nothing", nothing)

        self.attempt(change)

    # The text

    def edit_text(self, line: int, column: int = 1) -> None:
        """Open the text in the editor of this screen, with the cursor on a line."""
        draft = self.draft
        if draft is None:
            return
        self.add_class("-toml")
        if len(draft.text) > MOST_EDITED:
            self.query_one(TomlView).go_to(line)
            self.say_note(
                say(
                    "The file is too long to be edited here: {preset.editor} opens $EDITOR.",
                    "長すぎるためここでは編集できません。{preset.editor} で $EDITOR を開きます。",
                )
            )
            return
        self.add_class("-editing")
        area = self.query_one(TomlText)
        if rewritten(draft.text, area.document.lines) != draft.text:
            area.load_text(draft.text)
        area.focus()
        area.selection = Selection.cursor((max(0, line - 1), max(0, column - 1)))
        self.call_after_refresh(area.scroll_cursor_visible)
        self.draw()

    def take_text(self) -> None:
        """What was typed becomes the draft's text, with its line ends as they were."""
        draft, area = self.draft, self.query_one(TomlText)
        if draft is None or not self.text_is_edited:
            return
        text = rewritten(draft.text, area.document.lines)
        if text != draft.text:
            draft.replace(text)
            self.note = ""
            self.changed()
        syntax = draft.facts.syntax
        area.mark_error(syntax.line if syntax else 0)

    def leave_text(self) -> None:
        """Back to the form."""
        self.take_text()
        self.remove_class("-editing")
        self.remove_class("-toml")
        self.query_one(PropertyGrid).focus()
        self.call_after_refresh(self.draw)


def _fits_a_line(option: Option, value: object) -> bool:
    """Whether the value can be typed on one line."""
    if isinstance(value, list):
        return settable(option.name) and all(isinstance(item, str | int | float) for item in value)
    return settable(option.name) and not (isinstance(value, str) and "\n" in value) and not isinstance(value, dict)


def _remark(option: Option, value: object) -> str:
    """What there is to say about one choice."""
    status = option.status_of(value)
    words = {"deferred-cost": say("not built yet: a warning", "未対応（警告）"), "deferred-result": say("not built yet: an error", "未対応（エラー）")}  # fmt: skip
    default = say("default", "デフォルト") if value == option.default else ""
    return "  ".join(filter(None, (default, words.get(status, ""))))


def _wrong_pattern(option: Option, written: str) -> str:
    """Patterns inside a list of words must be regular expressions; the first that is none, and why."""
    if option.kind != "list of texts" or "patterns" not in written:
        return ""
    value = parse_override(option, written)
    for word in value if isinstance(value, list) else ():
        name, _, text = str(word).partition("=")
        if not name.strip().endswith("patterns"):
            continue
        for quoted in re.findall(r"""r?'([^']*)'|r?"([^"]*)\"""", text):
            try:
                re.compile(quoted[0] or quoted[1])
            except re.error as error:
                return say(
                    f"{name}: {quoted[0] or quoted[1]} is not a pattern: {error}.",
                    f"{name}: {quoted[0] or quoted[1]} は正規表現ではありません: {error}",
                )
    return ""
