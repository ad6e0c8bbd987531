"""``musubi-tui`` without a command: the app on a terminal that can show it, else the list of runs in lines.

When the app is left, the shell says what goes on and how to come back.
"""

from __future__ import annotations

import gc
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from musubi_tui.cli.output import OK, narrate
from musubi_tui.served import end_with_parent, served

if TYPE_CHECKING:
    from musubi_tui.tui.first_frame import FirstFrame


def full_screen() -> bool:
    """Whether this terminal, or the browser behind ``musubi-tui serve``, can show the app."""
    if served():
        return True
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")


def open_app(
    open_run: Path | None = None,
    replay: Path | None = None,
    speed: float = 0.0,
    *,
    edit: str | None = None,
    mouse: bool = True,
) -> int:
    """Show the app until the person leaves; the exit code. Without ``mouse`` the terminal keeps it, as with ``[app] mouse``.

    Raises ``UserError`` for wrong settings.
    """
    if not full_screen():
        return tell_plainly()
    gc.disable()  # until the first screen stands (``Reader.start``): a tenth of the start went into looking for garbage
    # Textual reads these when it is imported; nothing here moves by itself.
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    from musubi_tui.tui.first_frame import FirstFrame

    frame = FirstFrame()
    try:
        return _open(frame, open_run, replay, speed, edit, mouse=mouse)
    finally:
        frame.withdraw()


def _open(
    frame: FirstFrame, open_run: Path | None, replay: Path | None, speed: float, edit: str | None, *, mouse: bool
) -> int:
    from musubi_tui.runs.home import config_file, find_home
    from musubi_tui.tui.first_frame import frame_lines, window
    from musubi_tui.tui.glyphs import choose_glyphs
    from musubi_tui.tui.images import choose_images
    from musubi_tui.tui.link import find_link, way
    from musubi_tui.tui.remembered import recall
    from musubi_tui.tui.settings import read_settings

    settings, home, size, view = read_settings(), find_home(), window(), None
    if size is not None and not served():
        mode = "run" if open_run or replay else "preset" if edit is not None else ""
        remembered, _ = recall()
        glyphs = choose_glyphs(settings.glyphs or remembered.glyphs)
        lines, view = frame_lines(home.path, remembered, way(), glyphs, size, settings.keys, mode)
        frame.show(lines)
    link = find_link(settings.eco)
    if link.eco:
        os.environ.setdefault("TEXTUAL_FPS", "10")
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "256")  # a tenth to a fifth fewer bytes
    images = choose_images(settings.images, str(config_file()))  # asks the terminal, which only answers before the app
    from musubi_tui.tui.app import MusubiApp
    from musubi_tui.tui.driver import driver_taking_over

    driver = None if served() or os.environ.get("TEXTUAL_DRIVER") else driver_taking_over(frame.hand_over)
    app = MusubiApp(home, open_run=open_run, replay=replay, settings=settings, driver=driver, view=view)
    app.link, app.images, app.replay_speed, app.edit_first = link, images, speed, edit
    if served():
        end_with_parent()
    app.run(mouse=mouse and settings.mouse == "on")
    if app.return_code:
        return app.return_code
    if not served():
        narrate(farewell(app.kept_draft))
    return OK


def tell_plainly() -> int:
    """The runs as a table and what to type: for pipes, screen readers and dumb terminals."""
    from musubi_tui.cli.listing import list_

    list_()
    narrate(
        say(
            "The full-screen app needs a terminal. In lines: `musubi-tui runs watch last --plain`; `musubi-tui --help` lists "
            "the commands.",
            "全画面アプリには端末が必要です。行表示は `musubi-tui runs watch last --plain`、コマンド一覧は `musubi-tui --help` です。",
        )
    )
    return OK


def farewell(draft: Path | None = None) -> str:
    """What goes on, and how to come back; and to the unsaved draft of a preset, if one was kept."""
    from engine.events.status import ALIVE
    from musubi_tui.runs.finding import list_runs
    from musubi_tui.runs.snapshot import brief
    from musubi_tui.runs.telling import clean

    back = say("Come back: musubi-tui", "戻るには: musubi-tui")
    if draft is not None:
        command = f"musubi-tui presets edit {shlex.quote(str(draft))}"
        back = say(f"Unsaved changes were kept: {command}", f"未保存の変更を残してあります: {command}") + f"\n{back}"
    alive = [now for now in map(brief, list_runs()) if now.state in ALIVE]
    if not alive:
        return back
    first = alive[0]
    step = f" ({first.step}/{first.max_steps})" if first.max_steps else ""
    others = say(f" and {len(alive) - 1} more", f" 他 {len(alive) - 1} 件") if len(alive) > 1 else ""
    goes_on = say("goes on" if len(alive) == 1 else "go on", "は続いています")
    return clean(f"{first.name}{step}{others} {goes_on}. {back}")
