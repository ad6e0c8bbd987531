"""Figures of the options for the form, remembered for one text. The planner is asked while the keys rest, never while one is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.config.language import say
from engine.config.option import Option
from engine.config.schema import OPTIONS
from engine.planner.request import PlanRequest
from musubi_tui.presets import effects
from musubi_tui.presets.dataset_cells import DatasetCell
from musubi_tui.presets.effects import Effect
from musubi_tui.presets.facts import Facts
from musubi_tui.terminal_width import cells
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.widgets.lines import Line


class Figures:
    """``beside`` and ``column`` answer at once with what is known; ``find`` asks the planner for what is not."""

    def __init__(self) -> None:
        self._facts: Facts | None = None
        self._request: PlanRequest | None = None
        self._ask: PlanRequest | None = None
        self._beside: dict[str, tuple[Effect, ...]] = {}
        self._column: dict[str, str] | None = None
        self.column: Mapping[
            str, str
        ] = {}  # option -> what its value costs against the default; of the text before, until found

    def beside(self, request: PlanRequest | None, facts: Facts, name: str) -> tuple[Effect, ...]:
        """The effects of the values beside an option's; nothing where they were not found yet."""
        known = facts is self._facts and request is self._request
        return self._beside.get(name, ()) if known else ()

    def is_known(self, request: PlanRequest, facts: Facts, name: str) -> bool:
        """Whether ``find`` would find nothing new."""
        known = facts is self._facts and request is self._request
        return known and (not name or name in self._beside) and self._column is not None

    def find(self, request: PlanRequest, facts: Facts, selected: Option | DatasetCell | None) -> None:
        """Ask the planner about the values beside the selected one, and about all that differ from their default."""
        if facts is not self._facts or request is not self._request:
            self._facts, self._request, self._ask = facts, request, effects.question(request, facts)
            self._beside, self._column = {}, None
        if self._ask is None:
            self._column = {}
        elif self._column is None:
            self._column = _column(self._ask, facts)
        self.column = self._column or {}
        if isinstance(selected, Option):
            value = facts.value(selected.name)
            usable = self._ask is not None and facts.applies(selected)
            self._beside[selected.name] = (
                effects.of_neighbours(self._ask, selected, value) if usable and self._ask else ()
            )
        elif selected is not None:
            self._beside[selected.key] = effects.of_cell(self._ask, selected) if self._ask else ()


def _column(ask: PlanRequest, facts: Facts) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, option in OPTIONS.items():
        if facts.given(name) is not None and facts.changed(name) and facts.applies(option):
            effect = effects.against_default(ask, option, facts.value(name), facts.default(name))
            if effect is not None:
                found[name] = effect.tight()
    return found


def dock_lines(found: Sequence[Effect], width: int) -> Iterator[Line]:
    """A line for each of the values beside: what it changes, and when it would not fit."""
    column = min(max((cells(effect.words) for effect in found), default=0), width // 3)
    for effect in found:
        words = fit(effect.words, column)
        tail = say("  does not fit", "  収まりません") if effect.fits is False else ""
        figures = effect.figures()
        if column + 2 + cells(figures + tail) > width - 2:
            figures = effect.figures(brief=True)
        yield [(f"  {words}  ", "key"), (figures, ""), (tail, "bad")]


def dock_line(found: Sequence[Effect], width: int) -> Line:
    """All of them in one line, as many as there is room for."""
    line: list[tuple[str, str]] = []
    for effect in found:
        sign = "! " if effect.fits is False else ""
        words = f"{effect.words} {sign}{effect.figures(brief=True)}"
        if line and sum(cells(text) for text, _ in line) + cells(words) + 3 > width:
            break
        line.append((("   " if line else "") + words, "bad" if sign else "mark"))
    return line
