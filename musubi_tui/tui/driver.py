"""Textual's driver for a terminal that shows the app's first frame already: it is drawn over, never cleared, and no key is lost."""

from __future__ import annotations

from collections.abc import Callable

from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from musubi_tui.tui import early_keys
from musubi_tui.tui.first_frame import ENTER


def driver_taking_over(hand_over: Callable[[], bool]) -> type[Driver]:
    """The driver's class. ``hand_over`` gives the terminal back and says whether it shows the frame."""

    class TakingOver(LinuxDriver):
        def write(self, data: str) -> None:
            """As Textual's; but the alternative screen, if it is on already, is not switched on again: some terminals clear it."""
            if data == ENTER and hand_over():
                return
            super().write(data)

        def run_input_thread(self) -> None:
            """As Textual's, after what was typed before there was a driver."""
            for event in XTermParser().feed(early_keys.take().decode("utf-8", "replace")):
                self.process_message(event)
            super().run_input_thread()

    return TakingOver
