"""Textual's stylesheet, parsed once.

``App.refresh_css`` and each new screen make Textual parse every source again, also when no variable changed: twice before the first
frame, and once more with the first opening of every dialog. Here what was parsed is kept until the variables (the theme) change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

if TYPE_CHECKING:
    from textual.css.model import RuleSet

# Textual keeps 64 sources, in order of use: with one more than that, going through all of them finds none.
_KEPT_SOURCES = 1024


class KeptStylesheet(Stylesheet):
    """Same rules as ``Stylesheet``; ``reparse`` parses only what was added since the variables last changed."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache: LRUCache[tuple[object, ...], list[RuleSet]] = LRUCache(_KEPT_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        """Forget what was parsed, unless these are the variables it was parsed with."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """The rules of all sources with the variables of now. Raises ``StylesheetError`` as Textual's does."""
        self.parse()
