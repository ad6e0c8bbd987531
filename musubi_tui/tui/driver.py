"""Textual's driver for a terminal that shows the app's first frame already: it is drawn over, never cleared, and no key is lost."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key, Paste
from textual.message import Message

from musubi_tui.tui import early_keys
from musubi_tui.tui.first_frame import ENTER


class EarlyInput:
    """Keys and pastes from before the first screen stood. They are given one by one, each when the screen that the one before may
    have opened can take it: all at once, those behind the first would meet a dialog that has no fields yet."""

    def __init__(self) -> None:
        self._held: deque[Message] = deque()
        self._lock = threading.Lock()
        self._over = False

    def hold(self, message: Message) -> bool:
        """Whether ``message`` waits for its turn. From any thread."""
        if not isinstance(message, Key | Paste):
            return False
        with self._lock:
            if not self._over:
                self._held.append(message)
            return not self._over

    def give(self, app: Any, give: Callable[[Message], None]) -> None:
        """Give the next one, and go on when it was answered. On the app's thread."""
        with self._lock:
            message = self._held.popleft() if self._held else None
            self._over = message is None
        if message is not None:
            give(message)
            app.call_later(lambda: app.screen.call_after_refresh(self.give, app, give))


def driver_taking_over(hand_over: Callable[[], bool]) -> type[Driver]:
    """The driver's class. ``hand_over`` gives the terminal back and says whether it shows the frame."""

    class TakingOver(LinuxDriver):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self._early = EarlyInput()

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

        def process_message(self, message: Message) -> None:
            """As Textual's, once the first screen stands."""
            if not self._early.hold(message):
                super().process_message(message)

        def first_screen_stands(self) -> None:
            """Let go of what was typed until now."""
            self._early.give(self._app, super().process_message)

    return TakingOver
