"""One sample on the whole screen, and another one to flick to and back: A against B at the same place, so that the eye compares."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from engine.config.language import say
from musubi_tui.runs.telling import clean
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.images import GRAPHICS, Images, graphic_widget, kind_now
from musubi_tui.tui.keymap import key
from musubi_tui.tui.run_view import Picture
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.key_line import KeyLine
from musubi_tui.tui.widgets.lines import Line, Lines, Span, justify
from musubi_tui.tui.widgets.picture import Gallery, Thumbnail


class PictureScreen(Dialog[None]):
    """``pictures`` of one prompt by step; ``place`` is shown first and is B, the one before it is A."""

    CSS_PATH = "picture.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("picture.flick", "d", "flick", say("A/B", "A/B"), show=True),
        key("picture.mark", "a", "mark", say("this is A", "これを A に"), show=True),
        key("picture.left", "left", "walk(-1)", say("earlier", "前へ"), show=True, display="←"),
        key("picture.right", "right", "walk(1)", say("later", "次へ"), show=True, display="→"),
        key("picture.close", "escape,enter,q", "dismiss", say("close", "閉じる"), show=True, display="esc"),
    ]

    def __init__(self, pictures: Sequence[Picture], place: int, gallery: Gallery) -> None:
        super().__init__()
        self.pictures = list(pictures)
        self.b, self.a = place, max(0, place - 1)
        self.flicked = False  # A is shown
        self._gallery = gallery
        self._graphic: tuple[str, str] = ("", "")  # path and kind that are mounted

    def compose(self) -> ComposeResult:
        """What it is, the picture, the keys."""
        yield Lines(id="caption", rows=2)
        yield Container(Lines(id="cells"), id="frame")
        yield KeyLine()

    def on_mount(self) -> None:
        """Show it."""
        self.draw()

    def on_resize(self) -> None:
        """Show it at the new size."""
        self.call_after_refresh(self.draw)

    @property
    def shown(self) -> Picture:
        """The picture on the screen."""
        return self.pictures[self.a if self.flicked else self.b]

    def action_flick(self) -> None:
        """The other one."""
        self.flicked = not self.flicked
        self.draw()

    def action_mark(self) -> None:
        """What is shown becomes A; B is looked at again."""
        self.a, self.flicked = (self.a if self.flicked else self.b), False
        self.draw()

    def action_walk(self, by: int) -> None:
        """Along the timeline; A stays."""
        self.b, self.flicked = max(0, min(len(self.pictures) - 1, self.b + by)), False
        self.draw()

    def draw(self) -> None:
        """Caption now, the picture as soon as it is decoded."""
        if not self.is_mounted:
            return
        caption = self.query_one("#caption", Lines)
        caption.show(self._caption(caption.size.width))
        kind = kind_now(self.app)
        if kind in GRAPHICS:
            self._show_graphic(kind)
        else:
            self._decode("ascii" if kind == "ascii" else "half")  # asked for by name: also where the strip shows none

    def _caption(self, width: int) -> list[Line]:
        picture = self.shown
        glyphs = cast(Glyphs, getattr(self.app, "glyphs", UNICODE))
        seed = f"  seed {picture.seed}" if picture.seed is not None else ""
        step = say(f"step {picture.step}", f"ステップ {picture.step}")
        left: list[Span] = [(" A " if self.flicked else " B ", "cursor"), (f" {step} ", "bold"), (f" {self.pictures.index(picture) + 1}/{len(self.pictures)}{seed}", "muted")]  # fmt: skip
        a, b = self.pictures[self.a].step, self.pictures[self.b].step
        right: list[Span] = [(say(f"A {a}  B {b} ", f"A {a}  B {b} "), "muted")]
        name = os.path.basename(clean(picture.path))
        return [
            justify(left, right, width),
            [(f" {clean(picture.prompt)}  ", ""), (f"{glyphs.cursor} {name}", "muted")],
        ]

    @work(thread=True, group="picture", exclusive=True)
    def _decode(self, kind: str) -> None:
        size = self.query_one("#frame").size
        picture = self.shown
        drawn = self._gallery.draw(picture.path, max(1, size.width), max(1, size.height), colour=kind == "half")
        self.app.call_from_thread(self._show_cells, picture, drawn)

    def _show_cells(self, picture: Picture, drawn: Thumbnail) -> None:
        if not self.is_mounted or picture is not self.shown:
            return
        cells = self.query_one("#cells", Lines)
        words: list[Line] = [[(f" {drawn.problem}: {clean(picture.path)}", "muted")]]
        cells.show(drawn.lines or words)

    def _show_graphic(self, kind: str) -> None:
        wanted = (self.shown.path, kind)
        if wanted == self._graphic:
            return
        frame = self.query_one("#frame")
        try:
            widget = graphic_widget(cast(Images, self.app.images), self.shown.path)  # type: ignore[attr-defined]
        except (OSError, ValueError, SyntaxError):
            self._decode("half")  # says what is wrong
            return
        self._graphic = wanted
        widget.add_class("graphic")
        frame.remove_children(".graphic")
        frame.mount(widget)
