"""What looking at a long run costs: opening, painting, every key, memory.

    PYTHONPATH=. python benchmarks/run_screen.py [STEPS]

Writes a made-up run of STEPS steps (a million) with a progress line after each, then opens it as the app does, at 160x48. The time
of a key goes from pressing it to the last cells that are handed to the terminal; keys take turns, so that a busy machine
slows all of them alike.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.steps_index import RECORD
from engine.events.types import RunStart

if TYPE_CHECKING:
    from textual.pilot import Pilot

ROUNDS = 15
Cost = tuple[float, float]  # seconds: clock, processor
KEYS = (
    "s", "S", "L", "x", "o", "r", "v", "plus", "plus", "less_than_sign", "greater_than_sign", "minus", "left", "shift+left",
    "right", "0", "tab", "shift+tab", "exclamation_mark", "up", "down", "f",
)  # fmt: skip


def make_run(home: Path, count: int) -> RunDirectory:
    """A run directory whose files are written directly: the sink would take minutes."""
    run = RunDirectory.create(home, "long")
    run.run_toml.write_text('kind = "train"\n')
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(1, 0, {"max_train_steps": count}))
    sink.close()
    stamp = "2026-01-01T00:00:00.000Z"
    offset = run.events.stat().st_size
    with run.events.open("ab") as events, run.steps_idx.open("ab") as index:
        for step in range(1, count + 1):
            loss = 0.05 + 0.2 / (1 + step / 1000) + (step * 7919 % 101) / 2000
            line = f'{{"v":1,"seq":{2 * step},"t":"{stamp}","type":"step","step":{step},"epoch":{step // 1000 + 1},"loss":{loss:.6f},"lr":[0.0001],"grad_norm":0.3,"timesteps":[500.0],"items":["0001"],"step_s":1.2}}\n'.encode()
            events.write(line)
            index.write(
                RECORD.pack(
                    2 * step, offset, 1.7e9 + step, step, len(line), step // 1000 + 1, 1, loss, 1e-4, 0.3, 1.2, 0, 0
                )
            )
            offset += len(line)
            more = f'{{"v":1,"seq":{2 * step + 1},"t":"{stamp}","type":"progress","phase":"train","done":{step},"total":{count}}}\n'.encode()
            events.write(more)
            offset += len(more)
    return run


def peak_mb() -> float:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1024)


async def measure(run: RunDirectory) -> None:
    """Print the figures."""
    from textual.app import App

    from musubi_tui.tui.screens.run import RunScreen, RunSource

    before = peak_mb()
    began = time.perf_counter()
    source = RunSource.live(run.path)
    view = source.view()
    print(
        f"open      {time.perf_counter() - began:6.2f} s   {len(view.steps):,} steps, {peak_mb():.0f} MB (was {before:.0f})"
    )
    screen = RunScreen(source)

    class Bench(App[None]):
        def on_mount(self) -> None:
            self.push_screen(screen)

    async with Bench().run_test(size=(160, 48)) as pilot:
        while screen.view is None:
            await pilot.pause(0.05)
        timed("paint all panels", screen.draw)
        times = await press_in_turn(pilot)
    for key, costs in sorted(times.items(), key=lambda entry: -statistics.median(cost[1] for cost in entry[1])):
        tell(f"key {key}", costs)
    print(f"peak      {peak_mb():6.0f} MB")


async def press_in_turn(pilot: Pilot[None]) -> dict[str, list[Cost]]:
    """What each press of a key costs until the last paint that it caused."""
    app = pilot.app
    painted = [now()]
    display = app._display

    def seen(*arguments: Any) -> None:
        display(*arguments)
        painted[0] = now()

    app._display = seen  # type: ignore[method-assign]
    costs: dict[str, list[Cost]] = {}
    for _ in range(ROUNDS):
        for key in KEYS:
            began = painted[0] = now()
            await pilot.press(key)
            await pilot.pause()
            costs.setdefault(key, []).append((painted[0][0] - began[0], painted[0][1] - began[1]))
    return costs


def now() -> Cost:
    """Seconds of the clock, and of the processor for this process: on a busy machine only the second says anything."""
    return time.perf_counter(), time.process_time()


def timed(name: str, action: Callable[[], object]) -> None:
    """Print medians and the slowest of 30."""
    costs = []
    for _ in range(30):
        began = now()
        action()
        costs.append((now()[0] - began[0], now()[1] - began[1]))
    tell(name, costs)


def tell(name: str, costs: list[Cost]) -> None:
    """One line: median by the clock (slowest), median of processor time (most)."""
    wall, processor = ([1000 * cost[place] for cost in costs] for place in (0, 1))
    print(
        f"{name:<20} {statistics.median(wall):6.1f} ms (slowest {max(wall):.1f})   processor {statistics.median(processor):6.1f} ms (most {max(processor):.1f})"
    )


def main() -> None:
    """Make the run, measure, remove it."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
        asyncio.run(measure(run))


if __name__ == "__main__":
    main()
