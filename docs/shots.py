"""Pictures of the command line for documents and reviews: each command as SVG and as text.

    python docs/shots.py FOLDER

Commands run for real, in a terminal of 100 columns. The run that is watched is the recorded one of the test suite. The screens of
the app are shot by ``app_shots.py``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
RECORDED = Path("tests/data/replay/interrupted.jsonl")
SHOTS = {
    "help": ["--help"],
    "presets-list": ["presets", "list"],
    "models-list": ["models", "list"],
    "doctor": ["doctor"],
    "did-you-mean": ["trian"],
    "runs-watch": ["runs", "watch", "--replay", str(RECORDED), "--plain"],
}


def shoot(name: str, arguments: list[str], folder: Path) -> None:
    """Run one command and write FOLDER/NAME.svg and NAME.txt."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "musubi_tui", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    command = " ".join(["musubi-tui", *arguments])
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(done.stdout))
    (folder / f"{name}.txt").write_text(console.export_text(clear=False), encoding="utf-8")
    (folder / f"{name}.svg").write_text(console.export_svg(title=command), encoding="utf-8")
    print(folder / f"{name}.svg")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "shots")
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in SHOTS.items():
        shoot(name, arguments, folder)


if __name__ == "__main__":
    main()
