"""What looking costs: bytes over the link, CPU, the time to the first screen and from a key to the paint.

    PYTHONPATH=. python benchmarks/looking.py [--rounds 15] [--seconds 20]

Runs the app in a pseudo-terminal, from a home without runs and on the recorded run, and prints a table in Markdown. Medians of
the rounds, the slowest in brackets; a busy machine shows in the distance between the two, so the CPU seconds of a start stand beside its
wall clock. Linux (CPU time is read from /proc).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.terminal import Terminal, plain_environment

APP = [sys.executable, "-m", "musubi_tui"]
RECORDING = str(Path(__file__).resolve().parents[1] / "tests/data/replay/interrupted.jsonl")
SIZES = ((80, 24), (160, 48))
REPLAY = [*APP, "runs", "open", "--replay", RECORDING]


def training_only(folder: Path) -> str:
    """The recording from its first step on: what is before (caching, loading) plays in a blink and says nothing of a run."""
    lines = Path(RECORDING).read_text("utf-8").splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if '"type":"step"' in line)
    target = folder / "training.jsonl"
    target.write_text("".join([lines[0], *lines[first:]]), "utf-8")
    return str(target)


def first_screen(rounds: int) -> None:
    """From the start of the process to the first screen, and to the one the app draws, with its keys; the CPU time until then."""
    for size in SIZES:
        drawn: dict[str, list[tuple[float, float]]] = {}
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as home, Terminal(APP, size, plain_environment(home)) as terminal:
                for what, shown in (("first screen", "No runs yet"), ("keys work", "q leave")):
                    took = 1000 * terminal.until(shown)
                    drawn.setdefault(what, []).append((took, 1000 * terminal.cpu_seconds()))
                written = len(terminal.raw)
        for what, both in drawn.items():
            wall, cpu = ([pair[part] for pair in both] for part in (0, 1))
            row(f"{what}, {name(size)}", f"{spread(wall)} ms, {spread(cpu)} ms of CPU")
        row(f"bytes until then, {name(size)}", f"{written}")


def idle(seconds: float) -> None:
    """Bytes while nothing runs, and while a recording stands still."""
    for size in SIZES:
        for what, command, shown in (("nothing runs", APP, "free"), ("a finished recording", REPLAY, "200/200")):
            with tempfile.TemporaryDirectory() as home, Terminal(command, size, plain_environment(home)) as terminal:
                terminal.until(shown)
                terminal.pump(3.0)
                before = terminal.cpu_seconds()
                count = terminal.pump(seconds)
                used = 100 * (terminal.cpu_seconds() - before) / seconds
                row(f"{what}, {name(size)}", f"{count} bytes in {seconds:.0f} s, {used:.1f} % of a core")


def running(seconds: float) -> None:
    """Bytes and CPU on the run screen, a step each 1.2 s, on a quick link and sparing a slow one."""
    for size in SIZES:
        for what, eco in (("run screen at 1 Hz", "off"), ("the same, eco", "on")):
            with tempfile.TemporaryDirectory() as home:
                config = Path(home) / "config" / "musubi-tui"
                config.mkdir(parents=True)
                (config / "config.toml").write_text(f'[app]\neco = "{eco}"\n')
                command = [*APP, "runs", "open", "--replay", training_only(Path(home)), "--speed", "1"]
                with Terminal(command, size, plain_environment(home)) as terminal:
                    terminal.until("2/200")
                    terminal.pump(2.0)
                    before = terminal.cpu_seconds()
                    count = terminal.pump(seconds)
                    used = 100 * (terminal.cpu_seconds() - before) / seconds
                    row(f"{what}, {name(size)}", f"{count / seconds / 1000:.1f} kB/s, {used:.1f} % of a core")


def key_to_paint(rounds: int) -> None:
    """From a key to the last byte of what it changes: another average on the run screen, and the help."""
    for size in SIZES:
        with tempfile.TemporaryDirectory() as home, Terminal(REPLAY, size, plain_environment(home)) as terminal:
            terminal.until("200/200")
            terminal.pump(3.0)
            times = [_press(terminal, key) for _ in range(rounds) for key in "sS"]
            row(f"a key on the run screen, {name(size)}", f"{spread(times)} ms")


def _press(terminal: Terminal, key: str) -> float:
    """Milliseconds until the app has written all it has to say."""
    terminal.pump(0.3)
    began = time.monotonic() - terminal.started
    terminal.keys(key)
    terminal.pump(0.4)
    return 1000 * (terminal.chunks[-1][0] - began)


def name(size: tuple[int, int]) -> str:
    """``80x24``."""
    return f"{size[0]}x{size[1]}"


def spread(values: Sequence[float]) -> str:
    """Median and slowest."""
    return f"{statistics.median(values):.0f} ({max(values):.0f})"


def row(what: str, measured: str) -> None:
    """One line of the table."""
    print(f"| {what} | {measured} |", flush=True)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    print(
        f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n\n| what | measured |\n|---|---|"
    )
    first_screen(chosen.rounds)
    idle(chosen.seconds)
    running(chosen.seconds)
    key_to_paint(chosen.rounds)
    print(f"\nload of the machine after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
