"""The frame of the preset editor: its panels in both sizes, and how they are drawn from the draft. No edit happens here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.events import Click
from textual.timer import Timer
from textual.widget import Widget

from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import Problem
from engine.config.schema import OPTIONS
from engine.planner.lines import Plan
from engine.planner.request import PlanRequest
from musubi_tui.presets import form
from musubi_tui.presets.batch import RateHint, rate_hint
from musubi_tui.presets.dataset_cells import DatasetCell, dataset_cells
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.form import Look
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.screens.preset import dock, panels
from musubi_tui.tui.screens.preset.figures import Figures
from musubi_tui.tui.screens.preset.picker import Picker
from musubi_tui.tui.screens.preset.plan import panel, plan_now, short
from musubi_tui.tui.view import View
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.grid import PropertyGrid
from musubi_tui.tui.widgets.key_line import KeyLine
from musubi_tui.tui.widgets.lines import Line, Lines, fit
from musubi_tui.tui.widgets.mode_bar import ModeBar
from musubi_tui.tui.widgets.plain import Plain, safe
from musubi_tui.tui.widgets.toml_view import TomlText, TomlView

_WIDE = (140, 36)
_FIGURES_AFTER = 0.15  # seconds of rest


class Pane(Lines):
    """Lines that are drawn again when there is room for them, or other room."""

    def on_resize(self) -> None:
        """Draw at the new size."""
        if isinstance(self.screen, EditorFrame):
            self.screen.draw_soon()


class Sections(Pane):
    """The sections; a click chooses one."""

    def on_click(self, event: Click) -> None:
        """Tell the screen which line was clicked."""
        screen = self.screen
        if isinstance(screen, EditorFrame):
            at = event.get_content_offset(self)
            if at is not None:
                screen.section_clicked(at.x, at.y, beside=self.id == "sections")


class EditorFrame(ModeScreen):
    """Panels and drawing. ``draft`` is None while one chooses a file."""

    MODE = "preset"
    CSS_PATH: ClassVar[str] = "preset.tcss"

    def __init__(self) -> None:
        super().__init__()
        self.draft: Draft | None = None
        self.look = Look()
        self.note = ""
        self.deep: tuple[Problem, ...] = ()  # complaints that took a look at files and pictures
        self.request: PlanRequest | None = None  # the question to the planner, once it was gathered
        self.no_plan = ""  # why there is none
        self.story = ""  # which version the file is, and what it changed since the one before
        self._plan_line = ""
        self._drawing_soon = False
        self._plan: tuple[Facts, Plan | None] | None = None
        self.figures = Figures()
        self._figures_timer: Timer | None = None
        self.busy = False  # a long text is being changed beside the keys
        self._link = ""
        self._titles: dict[str, tuple[str, str]] = {}

    def compose(self) -> ComposeResult:
        """The panels of both layouts; the stylesheet says which are shown."""
        yield ModeBar(self.MODE)
        yield Picker(id="picker")
        with Vertical(id="editor"):
            yield Pane(id="head")
            yield Sections(id="section-line")
            with Horizontal(id="body"):
                yield Sections(id="sections", classes="panel")
                with Vertical(id="middle"):
                    with Container(id="form", classes="panel"):
                        yield Plain(id="columns")
                        yield PropertyGrid(id="grid")
                        yield Field(id="value", compact=True, select_on_focus=False)
                        yield Field(id="search", compact=True)
                    yield Pane(id="below", classes="panel dock")
                with Vertical(id="right"):
                    yield Pane(id="beside", classes="panel dock")
                    yield Pane(id="plan", classes="panel dock")
            with Container(id="toml", classes="panel"):
                yield TomlView(id="text")
                yield TomlText(id="editing", soft_wrap=False, show_line_numbers=True)
        yield KeyLine()

    def panels(self) -> Iterable[Widget]:
        """Everything stands in ``compose``."""
        return ()

    def show(self, view: View) -> None:
        """What the app knows about runs is not shown here, but for a command that waits; another set of glyphs is."""
        if self.is_mounted:
            self.query_one(ModeBar).count_down(view)
            self.draw()

    # What is known

    @property
    def option(self) -> Option | None:
        """The option under the cursor."""
        return OPTIONS.get(self.query_one(PropertyGrid).cursor)

    @property
    def cell(self) -> DatasetCell | None:
        """The key of a dataset table under the cursor."""
        wanted = self.query_one(PropertyGrid).cursor
        if self.draft is None or "." not in wanted:
            return None
        return next((cell for cell in dataset_cells(self.draft.facts) if cell.key == wanted), None)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All complaints that are known: those of the text, and those of its files as far as they still hold."""
        if self.draft is None:
            return ()
        now = self.draft.facts.problems
        told = {(problem.code, problem.key, problem.message) for problem in now}
        more = (one for one in self.deep if (one.code, one.key, one.message) not in told)
        found = (*now, *more) if self.draft.facts.syntax is None else now
        return tuple(dict.fromkeys(found))

    @property
    def hint(self) -> RateHint | None:
        """What the square-root rule says about the unsaved changes."""
        draft = self.draft
        if draft is None or not draft.dirty or draft.saved is None or draft.facts.syntax or draft.saved_facts.syntax:
            return None
        return rate_hint(draft.saved_facts, draft.facts)

    # Layout

    def on_resize(self) -> None:
        """Small or large layout."""
        wide = self.size.width >= _WIDE[0] and self.size.height >= _WIDE[1]
        self.set_class(wide, "-wide")
        self.call_after_refresh(self.draw)

    @property
    def wide(self) -> bool:
        """Whether there is room for all panels at once."""
        return self.has_class("-wide")

    @property
    def text_is_edited(self) -> bool:
        """Whether the text itself is open in the editor of this screen."""
        return self.has_class("-editing")

    @property
    def toml_is_shown(self) -> bool:
        """Whether the text has the whole screen (small layout) or the focus."""
        return self.has_class("-toml")

    # Drawing

    def draw_soon(self) -> None:
        """Draw once, however many ask for it."""
        if not self._drawing_soon:
            self._drawing_soon = True
            self.call_after_refresh(self._draw_now)

    def _draw_now(self) -> None:
        self._drawing_soon = False
        self.draw()

    def draw(self) -> None:
        """Everything that is shown, from the draft there is."""
        if not self.is_mounted:
            return
        if self.draft is None:
            self._show_link("")
            return
        if self.busy:
            self._show("head", lambda width, height: [[(f" {self.note}", "accent")]])
            return
        with self.app.batch_update():
            self._draw_around(self.draft)
            self._draw_grid(self.draft)
            self.draw_dock()
            self.draw_text()
        self.call_after_refresh(self.draw_plan)  # off the path of the key

    def draw_plan(self) -> None:
        """What a run of the draft will need, where that could be gathered: a panel, or a line at the dock."""
        draft = self.draft
        if self.busy:
            return
        planned = (
            draft is not None and draft.facts.source is not None and (self.request is not None or bool(self.no_plan))
        )
        if planned is not self.has_class("-planned"):
            self.set_class(planned, "-planned")
        if draft is None or not planned:
            self._plan_line = ""
            return
        facts = draft.facts
        if self.request is not None and (self._plan is None or self._plan[0] is not facts):
            self._plan = (facts, plan_now(self.request, facts))
        plan = self._plan[1] if self._plan and self.request is not None else None
        why = self.no_plan or say("no plan while there are errors", "エラーがある間は計画を作れません")
        line = short(plan) if plan is not None else ""
        if line != self._plan_line:
            self._plan_line = line
            self.draw_dock()
        self.figures_soon()
        self._entitle("plan", say("plan (live)", "計画"), "P")
        self._show("plan", lambda width, height: self._hinted(panel(plan, why, width, self.musubi.glyphs)[:height]))

    def figures_soon(self) -> None:
        """Ask the planner what other values would change, when the keys rest."""
        if self._figures_timer is not None:
            self._figures_timer.stop()
            self._figures_timer = None
        draft = self.draft
        if draft is not None and self.request is not None and not self.figures.is_known(self.request, draft.facts, self.query_one(PropertyGrid).cursor):  # fmt: skip
            self._figures_timer = self.set_timer(_FIGURES_AFTER, self._find_figures)

    def _find_figures(self) -> None:
        draft, request = self.draft, self.request
        if draft is None or request is None or self.busy or not self.is_mounted:
            return
        before = self.figures.column
        self.figures.find(request, draft.facts, self.option or self.cell)
        self.draw_dock()
        if self.figures.column != before:
            self._draw_grid(draft)

    def _draw_around(self, draft: Draft) -> None:
        glyphs, problems = self.musubi.glyphs, self.problems
        counts = form.counts(draft, problems)
        self._show("head", lambda width, height: [panels.head(draft, counts, width, self.note, self.story)])
        self._show("section-line", lambda width, height: [panels.section_line(self.look, counts, width, glyphs)])
        self._show("sections", lambda width, height: panels.section_panel(self.look, counts, width, glyphs))
        unsaved = len(draft.unsaved_options())
        sign = panels.marks(glyphs)["unsaved"]
        text = say(f"{sign} {unsaved or ''} unsaved", f"{sign} 未保存 {unsaved or ''}") if draft.dirty else ""
        self._show_link(" ".join(text.split()))

    def _show_link(self, text: str) -> None:
        """At the right of the top line."""
        if text != self._link:
            self._link = text
            self.query_one(ModeBar).tell(text)

    def _draw_grid(self, draft: Draft) -> None:
        grid, glyphs = self.query_one(PropertyGrid), self.musubi.glyphs
        rows = panels.grid_rows(draft, self.look, self.problems, self.hint, glyphs, self.figures.column)
        rows = [replace(row, name=hinted(self.app, row.name)) if row.kind == "text" else row for row in rows]
        grid.show(rows, glyphs)
        self.draw_columns()
        self._draw_form_title()

    def draw_columns(self) -> None:
        """The titles over the columns, which move with the width that the scroll bar leaves."""
        if self.draft is None:
            return
        third = "base" if self.draft.facts.has_base else say("default", "デフォルト")
        names = (say("option", "項目"), say("value", "値"), third, say("effect", "効果"))
        columns = self.query_one("#columns", Plain)
        title = self.query_one(PropertyGrid).titles(names)
        if str(columns.content) != title:
            columns.update(title)

    def _draw_form_title(self) -> None:
        if self.look.narrowed:
            title = panels.look_words(replace(self.look, expert=False, everything=False))
        else:
            title = (
                say("All", "すべて") if self.look.section == form.ALL else str(form.SECTION_TITLES[self.look.section])
            )
        keys = say(
            "enter edit  {preset.toggle} toggle  {preset.step_down} {preset.step_up} step  {preset.reset} reset  {preset.undo} undo",
            "enter 編集  {preset.toggle} 切替  {preset.step_down} {preset.step_up} 増減  {preset.reset} 戻す  {preset.undo} 取消",
        )
        self._entitle("form", title, keys)

    def _entitle(self, name: str, title: str, subtitle: str = "") -> None:
        """Another title of a panel; setting the same one again would paint it all."""
        subtitle = hinted(self.app, subtitle)
        if self._titles.get(name) != (title, subtitle):
            self._titles[name] = (title, subtitle)
            panel = self.query_one(f"#{name}")
            panel.border_title, panel.border_subtitle = Content(safe(title)), Content(safe(subtitle))

    def draw_dock(self, told: list[Line] | None = None) -> None:
        """The help of the option under the cursor; ``told`` takes its place while a value is typed."""
        if self.draft is None or self.busy:
            return
        draft, option, glyphs = self.draft, self.option, self.musubi.glyphs
        name = "beside" if self.wide else "below"
        if self.has_class("-typing") and told is None:
            return
        cell = self.cell if option is None else None
        title = dock.dock_title(option) if option else f"{cell.name}  {cell.table}" if cell else say("help", "説明")
        self._entitle(name, title, "" if self.wide else panels.drawable(self._plan_line, glyphs))
        found = self.figures.beside(self.request, draft.facts, self.query_one(PropertyGrid).cursor)
        if told is not None:
            self._show(name, lambda width, height: told)
        elif cell is not None:
            self._show(name, lambda width, height: dock.cell_dock(cell, found, width))
        elif option is not None:
            self._show(name, lambda width, height: dock.dock(draft, option, found, width, height, glyphs))
        else:
            self._show(name, lambda width, height: dock.about_row(self.query_one(PropertyGrid).row, width))

    def draw_text(self) -> None:
        """The file as it would be saved."""
        if self.draft is None or not self.query_one("#toml").display:
            return
        view = self.query_one(TomlView)
        told = {line: (found[0].severity, found[0].message) for line, found in self.draft.facts.lines.items()}
        if not self.text_is_edited:
            view.show(self.draft.text, self.draft.changed_lines(), told, self.musubi.glyphs)
        syntax = self.draft.facts.syntax
        title = say("toml (the same file, live)", "toml（同じファイル）")
        if syntax is not None:
            title = f"! {syntax.line}:{syntax.column} {syntax.message} {syntax.fix}".rstrip()
        editing, reading = say("{preset.back} back to the form  {preset.save} save", "{preset.back} フォームへ  {preset.save} 保存"), say("{text.edit} edit the text  {preset.editor} $EDITOR", "{text.edit} テキスト編集  {preset.editor} $EDITOR")  # fmt: skip
        self._entitle("toml", title, editing if self.text_is_edited else reading)

    def _show(self, name: str, make: Callable[[int, int], Sequence[Line]]) -> None:
        found = self.query_one(f"#{name}", Lines)
        if found.display and found.size.width > 4 and found.size.height > 0:
            width, height = found.size.width, found.size.height
            glyphs = self.musubi.glyphs
            lines = [[(panels.drawable(text, glyphs), role) for text, role in line] for line in make(width, height)]
            found.show([fit(line, width) for line in lines])

    def section_clicked(self, x: int, y: int, *, beside: bool) -> None:
        """A click on a section; the line of sections walks left or right."""
        names = panels.section_order()
        if beside and y < len(names):
            self.look = Look(section=names[y], expert=self.look.expert, everything=self.look.everything)
        elif not beside:
            place = names.index(self.look.section) + (1 if x > self.size.width // 3 else -1)
            self.look = replace(self.look, section=names[place % len(names)])
        self.draw()

    def _hinted(self, lines: Sequence[Line]) -> list[Line]:
        return [[(hinted(self.app, text), role) for text, role in line] for line in lines]

    def say_note(self, text: str) -> None:
        """A sentence in the head line until the next key; ``{id}`` of an action in it becomes its key."""
        self.note = safe(hinted(self.app, text))
        self.draw()
