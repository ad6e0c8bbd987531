"""Every command explains itself in the user's language."""

from __future__ import annotations

import os
import re
import subprocess
import sys

JAPANESE = re.compile(r"[぀-ヿ一-鿿]")

PROGRAM = """
import typer, click, sys
from musubi_tui.cli.root import COMMANDS
from importlib import import_module
def walk(command, path):
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from walk(child, f"{path} {name}")
    else:
        yield path, command.help or ""
for name in COMMANDS:
    entry = COMMANDS[name]
    thing = getattr(import_module(entry.module), entry.attribute)
    if isinstance(thing, typer.Typer):
        command = typer.main.get_command(thing)
        for path, text in walk(command, name):
            print(path, "|", " ".join(text.split())[:200])
    else:
        print(name, "|", " ".join((thing.__doc__ or "").split())[:200])
"""


def helps(language: str) -> dict[str, str]:
    environment = {**os.environ, "MUSUBI_TUI_LANG": language, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return dict(line.split(" | ", 1) for line in done.stdout.splitlines() if " | " in line)


def test_every_command_has_a_long_help_in_both_languages():
    english, japanese = helps("en"), helps("ja")
    assert len(english) > 20
    assert english.keys() == japanese.keys()
    assert [name for name, text in english.items() if len(text) < 10 or JAPANESE.search(text)] == []
    assert [name for name, text in japanese.items() if not JAPANESE.search(text[:40])] == []
