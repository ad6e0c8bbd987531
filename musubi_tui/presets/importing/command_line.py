"""Command lines as people paste them: ``accelerate launch … X_train_network.py --key value``, several of them in one text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from engine.config.language import say
from engine.config.problems import UserError

_CONTINUED = re.compile(r"[\\^`][ \t]*\r?\n")
_LAUNCHERS = {"accelerate", "python", "python3", "uv", "torchrun", "conda", "CUDA_VISIBLE_DEVICES"}


@dataclass(frozen=True)
class Command:
    """One program with its options: each name with the words behind it (none: a switch)."""

    script: str  # "wan_train_network", without folder and .py
    launcher: dict[str, list[str]]  # options of accelerate, before the script
    options: dict[str, list[str]]
    loose: list[str]  # words that belong to no option


def commands(text: str) -> list[Command]:
    """The commands of a text. Raises ``UserError`` when quotes do not close or no script is named."""
    joined = _CONTINUED.sub(" ", text)
    found = []
    for line in joined.splitlines():
        line = line.strip().removeprefix("$ ").removeprefix("PS> ")
        if not line or line.startswith(("#", "cd ", "source ", "export ", "set ")):
            continue
        try:
            words = _words(line)
        except ValueError:
            raise UserError.of(
                "usage",
                say(f"a quote is not closed in: {line[:80]}", f"引用符が閉じられていません: {line[:80]}"),
                say("Close it.", "閉じてください。"),
            ) from None
        for part in _split(words):
            command = _read(part)
            if command is not None:
                found.append(command)
    if not found:
        raise UserError.of(
            "usage",
            say("no training command was found in the text.", "学習コマンドが見つかりません。"),
            say(
                "Paste the whole line: accelerate launch … wan_train_network.py --dit …",
                "コマンド全体を貼り付けてください: accelerate launch … wan_train_network.py --dit …",
            ),
        )
    return found


def looks_like_a_command(text: str) -> bool:
    """Whether a text is a command line rather than a file."""
    joined = _CONTINUED.sub(" ", text)
    return bool(re.search(r"(^|[\s/\\])\w+\.py(\s|$)", joined)) and "--" in joined


def _words(line: str) -> list[str]:
    if re.search(r"[A-Za-z]:\\", line):  # Windows paths: a backslash is no escape
        lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
        return list(lexer)
    return shlex.split(line, comments=True)


def _split(words: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in ("&&", ";", "||"):
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _read(words: list[str]) -> Command | None:
    at = next((number for number, word in enumerate(words) if word.endswith(".py")), None)
    if at is None:
        return None
    path = PureWindowsPath(words[at]) if "\\" in words[at] else PurePosixPath(words[at])
    launcher, _ = _options(words[:at])
    options, loose = _options(words[at + 1 :])
    return Command(path.stem, launcher, options, loose)


def _options(words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    options: dict[str, list[str]] = {}
    loose: list[str] = []
    name = ""
    for word in words:
        if re.match(r"--[A-Za-z]", word):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            options[name] = [value] if equals else []
        elif name:
            options[name].append(word)
        elif word not in _LAUNCHERS and word != "launch" and not word.endswith(("/accelerate", "/python")):
            loose.append(word)
    return options, loose
