"""What the Data screen costs with many items: keys while a scan runs beside it, and scrolling, filtering and grouping afterwards.

    PYTHONPATH=. python benchmarks/data_screen.py [ITEMS or DATASET.toml] [REPEATS]

Makes ITEMS (100,000) pictures of headers alone with captions in a temporary folder (or takes the dataset that is named), opens the screen on them at 80x24 and 160x48 and
presses keys. "key" is the processor time of this process from a key to nothing left to paint, so other programs do not count;
"wall" beside it is what a person would wait. The scanner is the real one, in its own process.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

from textual.pilot import Pilot

from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.data.last import Wanted, remember
from musubi_tui.tui.screens.data.screen import DataScreen

SIZES = ((1024, 768), (768, 1024), (512, 512), (1920, 1080), (900, 1600), (640, 480), (4032, 3024))


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    """A PNG without pixels: enough for a scan."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


def make(folder: Path, count: int) -> Path:
    """A dataset of that many pictures."""
    pictures = folder / "pictures"
    pictures.mkdir()
    headers = [header(*size) for size in SIZES]
    for number in range(count):
        (pictures / f"picture_{number:06}.png").write_bytes(headers[number * 7919 % len(headers)])
        (pictures / f"picture_{number:06}.txt").write_text(
            f"ohwx style, thing {number % 977}, dawn mist, number {number}"
        )
    file = folder / "dataset.toml"
    file.write_text(
        '[general]\nresolution = 1024\nenable_bucket = true\ncaption_extension = ".txt"\nbatch_size = 4\n'
        '[[datasets]]\nimage_directory = "pictures"\ncache_directory = "cache"\n'
    )
    return file


async def press(pilot: Pilot[None], key: str) -> tuple[float, float]:
    """(processor seconds, wall seconds) from a key to its paint."""
    processor, wall = time.process_time(), time.perf_counter()
    await pilot.press(key)
    return time.process_time() - processor, time.perf_counter() - wall


def told(name: str, found: list[tuple[float, float]]) -> None:
    """Medians and slowest."""
    processor, wall = ([1000 * value for value in values] for values in zip(*found))
    print(
        f"  {name:<34} {statistics.median(processor):6.1f} ms (slowest {max(processor):6.1f})"
        f"   wall {statistics.median(wall):6.1f} ({max(wall):6.1f}), of {len(found)}",
        flush=True,
    )


async def measure(file: Path, size: tuple[int, int], repeats: int, home: Home) -> None:
    """Print the figures of one size."""
    print(f"{size[0]}x{size[1]}")
    remember(home.path, Wanted(str(file), "wan"))
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await pilot.press("3")
        screen = app.screen
        assert isinstance(screen, DataScreen)
        began = time.perf_counter()
        during = []
        while screen.board is None:
            during += [await press(pilot, "o"), await press(pilot, "escape")]
            await asyncio.sleep(0.05)
        print(f"  the scan took {time.perf_counter() - began:.1f} s")
        told("dialog opens, closes during the scan", during)
        again = []
        screen.action_rescan()
        while screen._scanning is not None and len(again) < 400:
            again += [await press(pilot, "j"), await press(pilot, "pagedown")]
            await asyncio.sleep(0.02)
        if again:
            told("cursor and page during a rescan", again)
        while screen._scanning is not None:
            await pilot.pause(0.1)
        for name, keys in (
            ("cursor", "j"), ("page", "pagedown"), ("last, first", "G home"), ("group", "b"),
        ):  # fmt: skip
            pressed = keys.split()
            told(name, [await press(pilot, pressed[turn % len(pressed)]) for turn in range(repeats)])
        await pilot.press("slash")
        told("a letter of the filter", [await press(pilot, key) for _ in range(max(1, repeats // 12)) for key in ("m", "i", "s", "t", *["backspace"] * 4)])  # fmt: skip


def main() -> None:
    """All sizes."""
    what = sys.argv[1] if len(sys.argv) > 1 else "100000"
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MUSUBI_TUI_HOME"] = folder + "/home"
        home = Home(Path(folder) / "home", "benchmark", True)
        file = make(Path(folder), int(what)) if what.isdigit() else Path(what).absolute()
        print(what, flush=True)
        for size in ((80, 24), (160, 48)):
            asyncio.run(measure(file, size, repeats, home))


if __name__ == "__main__":
    main()
