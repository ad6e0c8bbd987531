"""What the documents promise: links lead somewhere, commands and presets exist, both READMEs type the same things."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from musubi_tui.cli.commands import COMMANDS
from musubi_tui.cli.root import load_command
from musubi_tui.presets.library import list_presets

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def shell_blocks(page: Path) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


def commands(text: str) -> Iterator[list[str]]:
    """The words of every line that calls musubi-tui, comments left out, continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        start = line.find("musubi-tui ")
        if start >= 0 and "#" not in line[:start] and "git clone" not in line and not line.startswith("docker"):
            call = line[start:].split(" && ")[0]
            yield shlex.split(call, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_documents_exist(page: Path) -> None:
    """Also the ones in tables and prose: `musubi-tui presets list`."""
    text = page.read_text(encoding="utf-8")
    inline = "\n".join(re.findall(r"`((?:\.venv/bin/)?musubi-tui [^`]+)`", text))
    for words in [*commands(shell_blocks(page)), *commands(inline)]:
        if words[0].startswith("-"):
            continue
        assert words[0] in COMMANDS, words
        command = load_command(words[0])
        rest = words[1:]
        if COMMANDS[words[0]].kind == "group" and rest and not rest[0].startswith(("-", "…")):
            assert rest[0] in command.commands, words  # type: ignore[union-attr]
            command, rest = command.commands[rest[0]], rest[1:]  # type: ignore[union-attr]
        known = {"--help", *(name for parameter in command.params for name in getattr(parameter, "opts", ()))}
        used = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert used <= known, words


def test_presets_that_are_copied_exist() -> None:
    names = {preset.name for preset in list_presets()}
    for page in PAGES:
        for words in commands(shell_blocks(page)):
            if words[:2] == ["presets", "copy"]:
                assert words[2] in names, page


def test_both_readmes_type_the_same() -> None:
    def typed(name: str) -> list[str]:
        lines = shell_blocks(ROOT / name).splitlines()
        return [line for line in (line.partition(" #")[0].rstrip() for line in lines) if line]

    assert typed("README.md") == typed("README.ja.md")
