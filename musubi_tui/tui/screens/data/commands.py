"""How the Data screen gets its dataset, and what the same would be at the shell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.screens.data.last import Wanted

if TYPE_CHECKING:
    from musubi_tui.tui.screens.data.screen import DataScreen


def ask(screen: DataScreen) -> None:
    """Ask for a dataset and open it."""
    from musubi_tui.tui.screens.data.opening import OpenScreen

    def opened(wanted: Wanted | None) -> None:
        if wanted is not None:
            screen.open(wanted)

    screen.app.push_screen(OpenScreen(screen.wanted), opened)


def open_of_run(screen: DataScreen) -> None:
    """Open the preset of the active run, or of the newest one."""
    from engine.events.rundir import RunDirectory
    from musubi_tui.runs.origin import preset_of

    view = screen.musubi.view
    run = view.active or (view.runs[0] if view.runs else None)
    if run is None:
        screen.musubi.tell(say("There is no run.", "run がありません。"))
        return
    try:
        screen.open(Wanted(str(preset_of(RunDirectory(Path(run.run_dir))))))
    except UserError as error:
        screen.musubi.tell(clean(str(error)), wrong=True)


def twin(screen: DataScreen) -> str:
    """``data buckets`` on the buckets, ``data show`` or ``data frames`` on an item, ``data doctor`` on the warnings."""
    if screen.board is None:
        return command(screen.wanted, "scan")
    focused = screen.focused.id if screen.focused is not None else ""
    row = screen.row_under_cursor()
    if focused == "buckets":
        return command(screen.wanted, "buckets")
    if focused == "warnings" or row is None:
        return command(screen.wanted, "doctor")
    name = Path(screen.board.rows.paths[row]).name
    return command(screen.wanted, "frames" if screen.preview == "frames" else "show", name)


def command(wanted: Wanted | None, name: str, *words: str) -> str:
    """One command of ``musubi-tui data``."""
    if wanted is None:
        return f"musubi-tui data {name} DATASET.toml"
    family = ["--family", wanted.family] if wanted.family else []
    return shlex.join(["musubi-tui", "data", name, wanted.file, *words, *family])
