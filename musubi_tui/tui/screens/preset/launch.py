"""The way into the editor from elsewhere in the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


async def edit_preset(app: MusubiApp, word: str) -> None:
    """Switch to the editor with this preset open: a path, or a name of the library; without one, a person chooses there."""
    from musubi_tui.tui.screens.preset.screen import PresetScreen

    await app.switch_mode("preset")
    editor = app.screen_stack[0]  # a notice or a dialog may lie above
    if word and isinstance(editor, PresetScreen):
        editor.open_word(word)
