"""The keys of the dataset tables in the form: batch size, resolution, folders. Edited in place, like options."""

from __future__ import annotations

from textual.widgets import Input

from engine.config.language import say
from musubi_tui.presets.completing import candidates, completed
from musubi_tui.presets.dataset_cells import DatasetCell, set_cell
from musubi_tui.presets.form import shown_plainly
from musubi_tui.tui.screens.preset.ask import Answer, ListScreen, candidate_text
from musubi_tui.tui.screens.preset.floating import Floating, tried
from musubi_tui.tui.widgets.grid import wrap
from musubi_tui.tui.widgets.lines import Line


class CellEditing(Floating):
    """What keys do to a key of ``[general]`` or ``[[datasets]]``."""

    def change_cell(self, cell: DatasetCell, typed: str | None) -> None:
        """Write it as typed; None removes its line."""
        draft = self.draft
        if draft is not None:
            self.attempt(lambda: draft.replace(set_cell(draft.text, cell, typed, draft.path)))

    def edit_cell(self, cell: DatasetCell) -> None:
        """A switch, a list of choices, or the floating editor."""
        known = cell.schema
        if known is not None and known.type == "bool":
            self.toggle_cell(cell)
        elif known is not None and known.choices:
            answers = [Answer(name, name) for name in known.choices]

            def answer(chosen: str | None) -> None:
                if chosen:
                    self.change_cell(cell, chosen)

            self.app.push_screen(ListScreen(f"{cell.name}: {cell.help}", answers, str(cell.value)), answer)
        elif cell.written is not None and "\n" in cell.written:
            self.edit_text(cell.line)
        else:
            field = self.query_one("#value", Input)
            self._typing = cell
            if not self.place_value():
                self._typing = None
                return
            self.add_class("-typing")
            field.password = False
            field.value = cell.value if isinstance(cell.value, str) else "" if cell.value is None else shown_plainly(cell.value)  # fmt: skip
            field.cursor_position = len(field.value)
            field.focus()
            self.tell_cell(cell)

    def edit_text(self, line: int, column: int = 1) -> None:
        """Overridden where the text editor is."""

    def tell_cell(self, cell: DatasetCell, refused: str = "") -> None:
        """In the dock: what is wrong, what a path may become, what the key does."""
        width = self.query_one("#beside" if self.wide else "#below").size.width
        lines: list[Line] = [[(text, "bad")] for text in wrap(refused, width, 3)] if refused else []
        if self._is_path(cell):
            found = candidate_text(self.query_one("#value", Input).value, self.base_folder(), "folder")
            lines += [[(text, "mark")] for text in wrap(found, width, 2)]
        lines += [[(text, "")] for text in wrap(cell.help, width, 3)]
        keys = say(
            "enter takes it, esc leaves it, nothing removes the line", "enter で決定、esc で取消、空にすると行を削除"
        )
        lines += [[(text, "muted")] for text in wrap(keys, width, 2)]
        self.draw_dock(lines)

    def _is_path(self, cell: DatasetCell) -> bool:
        return cell.schema is not None and cell.schema.type == "path"

    def enter_cell(self, cell: DatasetCell, text: str) -> None:
        """Take the text; what is wrong with it is told, and it stays open."""
        draft = self.draft
        if draft is None:
            return
        typed = text if text.strip() else None
        refused = tried(lambda: draft.replace(set_cell(draft.text, cell, typed, draft.path)))
        if refused:
            self.tell_cell(cell, refused)
            return
        self.close_value()
        self.note = ""
        self.changed()

    def complete_cell(self, cell: DatasetCell) -> None:
        """Tab completes a folder or file."""
        field = self.query_one("#value", Input)
        if self._is_path(cell):
            field.value = completed(field.value, candidates(field.value, self.base_folder()))
            field.cursor_position = len(field.value)

    def toggle_cell(self, cell: DatasetCell) -> None:
        """Yes to no, the next choice; else edit it."""
        known = cell.schema
        if known is not None and known.type == "bool":
            self.change_cell(cell, "false" if cell.value is True else "true")
        elif known is not None and known.choices:
            place = known.choices.index(cell.value) if cell.value in known.choices else -1
            self.change_cell(cell, known.choices[(place + 1) % len(known.choices)])
        else:
            self.edit_cell(cell)

    def step_cell(self, cell: DatasetCell, direction: int) -> None:
        """A whole number one up or down; a batch size by factors of two."""
        value, known = cell.value, cell.schema
        if known is None or known.type != "int" or not isinstance(value, int) or isinstance(value, bool):
            return
        after = (value * 2 if direction > 0 else value // 2) if cell.name == "batch_size" else value + direction
        least = int(known.minimum) if known.minimum is not None else 0
        if max(least, after) != value:
            self.change_cell(cell, str(max(least, after)))
