"""How long the commands that print take to start, and what they import: milliseconds (median of 15) and modules.

    python benchmarks/cold_start.py

Compare on one machine only. The suite does not look at the clock: tests/unit/test_house_imports.py looks at the modules.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

COMMANDS = (["--help"], ["--version"], ["presets", "list"], ["runs", "list"], ["models", "list"])
REPEATS = 15

_COUNT = """
import json, sys
from musubi_tui.cli.root import run
run(sys.argv[1:])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def milliseconds(arguments: list[str]) -> float:
    """Wall time of one fresh process, output thrown away."""
    start = time.perf_counter()
    subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return (time.perf_counter() - start) * 1000


def modules(arguments: list[str]) -> list[str]:
    """Names in ``sys.modules`` after the command."""
    done = subprocess.run([sys.executable, "-c", _COUNT, *arguments], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return names


def main() -> None:
    rows: dict[str, list[float]] = {"(bare python)": []}
    rows |= {" ".join(command): [] for command in COMMANDS}
    for _ in range(REPEATS):  # interleaved, so that a busy moment hits every row alike
        rows["(bare python)"].append(milliseconds([sys.executable, "-c", "pass"]))
        for command in COMMANDS:
            rows[" ".join(command)].append(milliseconds([sys.executable, "-m", "musubi_tui", *command]))
    print(f"{'command':<16} {'median ms':>9} {'best ms':>8} {'modules':>8}  heavy")
    for name, times in rows.items():
        loaded = modules(name.split()) if name != "(bare python)" else []
        heavy = [word for word in ("torch", "diffusers", "textual", "numpy", "pydantic", "rich") if word in loaded]
        print(f"{name:<16} {statistics.median(times):9.0f} {min(times):8.0f} {len(loaded):8}  {' '.join(heavy)}")


if __name__ == "__main__":
    main()
