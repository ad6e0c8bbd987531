"""Ways into the editor from elsewhere in the app, and out of it into a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from musubi_tui.runs.home import Home

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


async def edit_preset(app: MusubiApp, word: str) -> None:
    """Switch to the editor with this preset open: a path, or a name of the library; without one, a person chooses there."""
    from musubi_tui.tui.screens.preset.screen import PresetScreen

    await app.switch_mode("preset")
    if word and isinstance(app.screen, PresetScreen):
        app.screen.open_word(word)


def enqueue(preset: Path, home: Home) -> str:
    """Make the run of a preset and let it wait for a GPU, as ``queue add`` does. Raises ``UserError`` with everything wrong."""
    from engine.config import load_config
    from musubi_tui.runs import queueing
    from musubi_tui.runs.queue import QueueFile
    from musubi_tui.runs.slots import chosen_gpus

    loaded = load_config(preset, check_files=True)
    entry = queueing.enqueue(loaded, QueueFile(home.path), home=home, gpus=chosen_gpus(None))
    return say(f"{entry.run.id}: number {entry.id} in the queue", f"{entry.run.id}: キューの {entry.id} 番")
