"""A widget that is a few lines of cells and repaints only the cells that changed.

Textual repaints dirty regions, it does not compare cells: the fewer and smaller the regions, the fewer bytes go over the link.
So whoever draws hands whole lines of ``Span`` to ``show``, and the widget finds the columns that differ. Text is drawn as it is
(no markup is ever parsed) and every segment has a style (a segment without one crashes the mono filter).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from musubi_tui.runs.plain_text import clean

Span = tuple[str, "str | Style"]  # text, and a role of ``ROLES`` or a style of its own
Line = Sequence[Span]

# role -> (name of a theme colour or "", text style)
ROLES = {
    "": ("", ""), "muted": ("foreground", "dim"), "bold": ("", "bold"), "accent": ("accent", "bold"),
    "good": ("success", ""), "warn": ("warning", ""), "bad": ("error", "bold"), "raw": ("foreground", "dim"),
    "ema": ("primary", "bold"), "val": ("accent", "bold"), "mark": ("secondary", ""), "cursor": ("", "reverse"), "clip": ("warning", ""),
    "weights": ("primary", ""), "adapter": ("accent", ""), "optimizer": ("warning", ""), "activations": ("secondary", ""),
    "other": ("foreground", "dim"), "key": ("accent", "bold"), "brand": ("primary", "bold"),
}  # fmt: skip


def width_of(line: Line) -> int:
    """Cells of a line."""
    return sum(cell_len(text) for text, _ in line)


def fit(line: Line, width: int) -> list[Span]:
    """The line in exactly ``width`` cells: cut, or filled with blanks."""
    fitted: list[Span] = []
    left = width
    for text, role in line:
        if not text.isprintable():  # the last door before the terminal: whoever forgot to clean it, nothing steers
            text = clean(text)
        size = cell_len(text)
        if size > left:
            fitted.append((set_cell_size(text, left), role))
            return fitted
        fitted.append((text, role))
        left -= size
    return [*fitted, (" " * left, "")] if left else fitted


def justify(left: Line, right: Line, width: int) -> list[Span]:
    """``left`` at the left edge, ``right`` at the right one; when they do not fit, the right one is kept."""
    room = width - width_of(right)
    return fit([*fit(left, room), *right], width) if room > 0 else fit(right, width)


class Lines(Widget):
    """Cells by line. Draw with ``show``; without more lines the rest is blank."""

    DEFAULT_CSS = "Lines { height: auto; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None, rows: int = 1) -> None:
        super().__init__(id=id, classes=classes)
        self._rows = rows
        self._lines: list[list[Span]] = []
        self._styles_of_roles: dict[str, Style] = {}
        self._theme = ""

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many rows as were asked for; a stylesheet may say otherwise."""
        return self._rows

    def show(self, lines: Sequence[Line]) -> None:
        """Draw these lines; only what differs from before is painted."""
        width, height = self.size
        fresh = [fit(line, width) for line in lines[:height]]
        before, self._lines = self._lines, fresh
        regions = []
        nothing: list[Span] = []
        for row, (old, new) in enumerate(zip_longest(before, fresh, fillvalue=nothing)):
            if old != new and row < height:
                start, stop = _changed(old, new, width)
                regions.append(Region(start, row, stop - start, 1))
        if regions:
            self.refresh(*regions)

    def plain(self) -> str:
        """The text without styles."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """Called by Textual for each line it paints."""
        base = self.rich_style
        if y >= len(self._lines):
            return Strip.blank(self.size.width, base)
        segments = [Segment(text, base + self._style(role)) for text, role in self._lines[y]]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _style(self, role: str | Style) -> Style:
        if isinstance(role, Style):
            return role
        if self._theme != self.app.theme:
            self._theme = self.app.theme
            self._styles_of_roles = {}
        known = self._styles_of_roles.get(role)
        if known is None:
            known = self._styles_of_roles[role] = style_of_role(role, self.app.theme_variables)
        return known


def style_of_role(role: str, theme: Mapping[str, str]) -> Style:
    """The style of a role of ``ROLES`` with the colours of a theme."""
    from textual.color import Color

    colour, text = ROLES[role]
    value = theme.get(colour, "") if colour else ""
    style = Style.parse(text) if text else Style()
    return style + Style(color=Color.parse(value).rich_color) if value else style


def _changed(old: Line, new: Line, width: int) -> tuple[int, int]:
    """The columns [start, stop) in which two lines differ; the whole line where characters are wider than a cell."""
    if any(len(text) != cell_len(text) for text, _ in chain(old, new)):
        return 0, width
    before = [(char, role) for text, role in old for char in text]
    after = [(char, role) for text, role in new for char in text]
    if len(before) != len(after):
        return 0, width
    start = next((place for place, (a, b) in enumerate(zip(before, after)) if a != b), 0)
    stop = len(after) - next(
        (place for place, (a, b) in enumerate(zip(reversed(before), reversed(after))) if a != b), 0
    )
    return start, max(stop, start + 1)
