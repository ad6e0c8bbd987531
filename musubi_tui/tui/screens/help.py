"""``?``: the keys that work right now, from the bindings themselves: the focused panel's first, then the screen's, then the app's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widget import Widget

from engine.config.language import say
from musubi_tui.runs.home import config_file
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.dialog import Dialog
from musubi_tui.tui.widgets.plain import Plain, entitle


def help_lines(screen: Screen[object]) -> Iterator[tuple[str, str]]:
    """(kind, text) with kind "title", "key" or "text"."""
    groups: dict[str, dict[str, tuple[list[str], str]]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not active.enabled or binding.system or not binding.description or binding.id is None:
            continue
        title = _title(active.node)
        shown = screen.app.get_key_display(binding)
        keys, _ = groups.setdefault(title, {}).setdefault(binding.id, ([], binding.description))
        if shown not in keys:
            keys.append(shown)
    if isinstance(screen, Dialog):
        for shown, text in screen.own_keys():
            groups.setdefault(_title(screen), {})[f"\0{shown}"] = ([shown], text)
    focused = screen.focused
    if focused is not None and focused.HELP:
        yield "text", focused.HELP
    for title, entries in groups.items():
        yield "title", title
        for name, (keys, text) in entries.items():
            yield "key", f"{fit(' '.join(keys), 16)} {fit(text, 34)} {name if name[0] != chr(0) else ''}".rstrip()
    yield "text", say(f"Move keys in [keys] of {config_file()}", f"キーの変更: {config_file()} の [keys]")


def _title(node: object) -> str:
    if isinstance(node, App):
        return say("everywhere", "全画面共通")
    if isinstance(node, Screen):
        return say("this screen", "この画面")
    return say("this panel", "このパネル") if isinstance(node, Widget) else ""


class HelpScreen(Dialog[None]):
    """The keys of the screen below, or other short lines under another title."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("help.close", "escape,q,question_mark,f1", "dismiss", say("close", "閉じる"))
    ]

    def __init__(self, lines: list[tuple[str, str]], title: str = "") -> None:
        super().__init__()
        self._lines, self._title = lines, title or say("keys", "キー")

    def compose(self) -> ComposeResult:
        """The lines."""
        panel = VerticalScroll(*(Plain(text, classes=kind) for kind, text in self._lines), id="help")
        entitle(panel, self._title)
        panel.border_subtitle = hinted(self.app, say("{help.close} close", "{help.close} 閉じる"))
        yield panel
