"""Listing many runs: with the index, against reading every run directory. Milliseconds (median) and the ratio of the pairs.

    python benchmarks/registry.py [--runs 1000] [--pairs 30]

Finished runs of 200 steps with their event logs; both ways list the same summaries. Compare on one machine only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.sink import repair_index
from engine.events.status import Status
from musubi_tui.runs.finding import find_run, list_runs
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.snapshot import brief, snapshot

RECORDING = Path(__file__).resolve().parent.parent / "tests" / "data" / "replay" / "interrupted.jsonl"


def milliseconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def make_runs(home: Path, count: int) -> None:
    """``count`` finished runs, all of the recorded one."""
    for number in range(count):
        run = RunDirectory.create(home, f"run{number}")
        shutil.copy(RECORDING, run.events)
        repair_index(run.events, run.steps_idx)
        process = ProcessIdentity.of_this_process()
        Status("done", process, step=200, max_steps=200, exit_code=0, name=f"name{number}", family="wan").write(
            run, durable=False
        )
        os.utime(run.status, (time.time() - 3600,) * 2)


def compare(title: str, plain: Callable[[], object], indexed: Callable[[], object], pairs: int) -> None:
    """Both ways in turns."""
    indexed()
    times = [(milliseconds(plain), milliseconds(indexed)) for _ in range(pairs)]
    ratio = statistics.median(a / b for a, b in times)
    print(f"{title:<34} {statistics.median(a for a, _ in times):10.1f} {statistics.median(b for _, b in times):9.1f} {ratio:7.1f}x")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MUSUBI_TUI_HOME": folder, "XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder}
        make_runs(Path(folder), arguments.runs)
        print(f"{arguments.runs} runs{'':<25} directories     index   ratio")
        compare("summaries (runs list)", lambda: [brief(run) for run in list_runs()], lambda: Registry().runs(), arguments.pairs)  # fmt: skip
        few = max(3, arguments.pairs // 6)
        compare("whole snapshots (list --json)", lambda: [snapshot(run) for run in list_runs()], lambda: Registry().runs(whole=True), few)  # fmt: skip
        Path(folder, "index.sqlite").unlink()
        print(f"{'making the index anew':<34} {'':10} {milliseconds(lambda: Registry().runs()):9.1f}")
        word = f"name{arguments.runs // 2}"
        print(f"{'finding a run by its name':<34} {'':10} {statistics.median(milliseconds(lambda: find_run(word)) for _ in range(9)):9.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
