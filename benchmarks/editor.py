"""What the preset editor costs: the first paint of a form of all options, and a key.

    python benchmarks/editor.py [REPEATS]

Opens the app as a person does, at 80x24 and 160x48, without a terminal. "first paint" is from the key that opens the preset to
the form on the screen, "key" from a key to everything it changes. Medians; the wall clock of a busy machine reads high.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from textual.pilot import Pilot

from engine.config.schema import OPTIONS
from musubi_tui.presets.form import ALL, Look
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.preset.checking import Checking
from musubi_tui.tui.screens.preset.screen import PresetScreen
from musubi_tui.tui.widgets.grid import PropertyGrid

PRESET = Path(__file__).parent.parent / "presets" / "wan-2.1-1.3b-t2v-24gb.toml"


def told(name: str, seconds: list[float]) -> None:
    """Median and slowest in milliseconds."""
    values = [1000 * one for one in seconds]
    print(f"  {name:<28} {statistics.median(values):7.1f} ms   (slowest {max(values):.1f}, of {len(values)})")


async def painted(pilot: Pilot[None], what: Callable[[], object]) -> float:
    """Seconds from calling ``what`` until nothing is left to paint, of processor time: other programs do not count."""
    began = time.process_time()
    what()
    await pilot.pause()
    return time.process_time() - began


async def measure(size: tuple[int, int], repeats: int, folder: Path) -> None:
    """Print the figures of one size."""
    print(f"{size[0]}x{size[1]}, {len(OPTIONS)} options")
    first, move, step, text = [], [], [], []
    for number in range(max(4, repeats // 10)):
        path = folder / f"{number}.toml"
        path.write_bytes(PRESET.read_bytes())
        app = MusubiApp(Home(folder / "home", "benchmark", True))
        app.edit_first = ""
        async with app.run_test(size=size) as pilot:
            while not isinstance(app.screen, PresetScreen):
                await pilot.pause(0.02)
            screen = app.screen
            screen.look = Look(ALL, expert=True, everything=True)
            began = time.process_time()
            screen.open_word(str(path))
            while not screen.query_one(PropertyGrid).rows:
                await asyncio.sleep(0)
            await pilot.pause()
            first.append(time.process_time() - began)
            grid = screen.query_one(PropertyGrid)
            grid.choose("learning_rate")
            await pilot.pause()
            for turn in range(10):
                move.append(await painted(pilot, partial(grid.action_move, 1 - 2 * (turn % 2))))
                grid.choose("learning_rate")
                await pilot.pause()
                step.append(await painted(pilot, partial(screen.action_step, 1 - 2 * (turn % 2))))
                text.append(await painted(pilot, screen.action_undo))
    told("first paint, with imports", first[:1])
    told("first paint", first[1:])
    told("cursor to the next option", move)
    told("a value one step", step)
    told("undo", text)


def main() -> None:
    """Both sizes."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    Checking.CHECKS = False  # looks at files on a thread, after a rest
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        for size in ((80, 24), (160, 48)):
            asyncio.run(measure(size, repeats, Path(folder)))


if __name__ == "__main__":
    main()
