"""Scanning a folder of many pictures, the first time and again: seconds, and the share that memory spares.

    python benchmarks/scan.py [--images 100000] [--rounds 5] [--profile]

Makes pictures that are a header and nothing else, each with a caption, in a temporary folder; they are opened by the same code
as real ones. "again" is a new process's work: the memory is read from its file each time. The aims are 15 s and 1.5 s for
100,000 pictures. Processor seconds stand beside those of the clock, for machines that others use too, and so does what no scan can
do without: listing the folder and asking each file for its size and time. At the end whole commands are measured, as a user waits for them.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import random
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.data import read_dataset_config, scan
from engine.data.index import ScanIndex
from engine.families import get_family

ROOT = Path(__file__).resolve().parent.parent
HOUR_AGO = time.time() - 3600


def png(width: int, height: int) -> bytes:
    """A PNG without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def make(folder: Path, images: int) -> None:
    """Pictures of random sizes with captions, as old as an hour."""
    dice = random.Random(0)
    for number in range(images):
        stem = f"{folder}/picture_{number:06d}"
        for path, data in ((stem + ".png", png(dice.randrange(300, 4000), dice.randrange(300, 4000))),
                           (stem + ".txt", b"a photograph of thing %d in the evening light" % number)):  # fmt: skip
            with open(path, "wb") as file:
                file.write(data)
            os.utime(path, (HOUR_AGO, HOUR_AGO))


def once(folder: Path, memory: Path) -> tuple[float, float]:
    """Seconds of the clock and of the processor for one scan, from the dataset's tables to the items."""
    spec = get_family("wan")
    tables = {
        "general": {"resolution": 1024, "enable_bucket": True, "caption_extension": ".txt"},
        "datasets": [{"image_directory": str(folder), "cache_directory": str(folder.parent / "cache")}],
    }
    config = read_dataset_config(tables, base_dir=folder, spec=spec)
    clock, processor = time.perf_counter(), time.process_time()
    with ScanIndex(memory) as index:
        found = scan(config, spec, spec.task(None), index=index)
    seconds = time.perf_counter() - clock, time.process_time() - processor
    assert found.items
    return seconds


def listed(folder: Path) -> tuple[float, float]:
    """The same for listing the folder and asking each file for its size and time."""
    clock, processor = time.perf_counter(), time.process_time()
    with os.scandir(folder) as entries:
        statuses = [entry.stat() for entry in entries]
    seconds = time.perf_counter() - clock, time.process_time() - processor
    assert statuses
    return seconds


def command(place: Path, *words: str) -> tuple[float, float]:
    """The same for a whole command in a process of its own, with a home in ``place``."""
    file = place / "dataset.toml"
    file.write_text(
        'general = { resolution = 1024, enable_bucket = true, caption_extension = ".txt" }\n'
        f"[[datasets]]\nimage_directory = '{place / 'pictures'}'\ncache_directory = '{place / 'cache'}'\n"
    )
    environment = {**os.environ, "MUSUBI_TUI_HOME": str(place / "home"), "PYTHONPATH": str(ROOT)}
    clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "musubi_tui", *words[:2], str(file), "--family", "wan", *words[2:]],
        env=environment, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - clock, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def tell(what: str, rounds: list[tuple[float, float]]) -> None:
    """A row: medians, and the best in brackets where there are several."""
    clock, processor = (statistics.median(column) for column in zip(*rounds, strict=True))
    best = f"   ({min(rounds)[0]:.2f}, {min(processor for _, processor in rounds):.2f})" if len(rounds) > 1 else ""
    print(f"{what:<36} {clock:7.2f}   {processor:7.2f}{best}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="show where the time of the second scan goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, memory = Path(place) / "pictures", Path(place) / "memory"
        folder.mkdir()
        make(folder, arguments.images)
        print(f"{f'{arguments.images} pictures':<36} seconds   of the processor (best)")
        tell("the first time", [once(folder, memory)])
        again, floor = [], []
        for _ in range(arguments.rounds):
            floor.append(listed(folder))
            again.append(once(folder, memory))
        tell("listing and asking each file", floor)
        tell("again, that included", again)
        (folder / "picture_000000.txt").write_text("another caption")
        tell("again, one caption changed", [once(folder, memory)])
        for words in (("data", "scan", "--json"), ("data", "buckets", "--json"), ("data", "buckets")):
            if words == ("data", "scan", "--json"):
                tell("musubi-tui data scan, first time", [command(Path(place), *words)])
            tell(
                f"musubi-tui {' '.join(words)}", [command(Path(place), *words) for _ in range(min(3, arguments.rounds))]
            )
        if arguments.profile:
            with cProfile.Profile() as profile:
                once(folder, memory)
            pstats.Stats(profile).sort_stats("cumulative").print_stats(40)


if __name__ == "__main__":
    main()
