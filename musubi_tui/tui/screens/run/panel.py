"""A panel of the run screen: lines that can be focused and zoomed. It tells what the mouse does to it; the screen knows what that means."""

from __future__ import annotations

from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message

from musubi_tui.tui.screens.run.steering import SteeringScreen
from musubi_tui.tui.widgets.lines import Lines

_TITLE_STARTS = 3  # cells of the border left of the title


class Panel(Lines):
    """Bordered. Says ``Rolled`` for the wheel and ``TitleClicked`` for a click on what stands in the upper border."""

    can_focus = True
    ALLOW_MAXIMIZE = True
    ALLOW_SELECT = False  # a drag would paint, and there is no text that it could select

    class Rolled(Message):
        """The wheel: ``by`` is 1 up, -1 down."""

        def __init__(self, panel: Panel, by: int) -> None:
            super().__init__()
            self.panel, self.by = panel, by

    class TitleClicked(Message):
        """``cell`` counts from the first cell of the title."""

        def __init__(self, panel: Panel, cell: int) -> None:
            super().__init__()
            self.panel, self.cell = panel, cell

    def on_resize(self) -> None:
        """Draw at the new size."""
        if isinstance(self.screen, SteeringScreen):
            self.screen.draw()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Up."""
        event.stop()
        self.post_message(self.Rolled(self, 1))

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Down."""
        event.stop()
        self.post_message(self.Rolled(self, -1))

    def on_click(self, event: Click) -> None:
        """The title, or nothing: the focus came with the button."""
        if event.y == 0 and event.x >= _TITLE_STARTS:
            event.stop()
            self.post_message(self.TitleClicked(self, event.x - _TITLE_STARTS))
