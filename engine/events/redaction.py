"""Secrets stay out of everything that is kept or shown: events, status, log, copies of files, commands.

A secret is a value of at least 8 characters whose name says token, key, secret, pass or webhook (of an environment variable,
an option, an argument, an assignment in a text), or a text that begins as tokens do (``hf_…``), or a part of a URL that lets
its holder in. Values that were learned are replaced wherever they come again. A value that is the path of an existing file is
no secret: the file may hold one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any

REDACTED = "<redacted>"
SHORTEST = 8  # characters; shorter values are words like "true"

_SAYS_SECRET = re.compile(
    r"token(?!i[sz])|(?<!mon)(?<!don)key(?!board|map|frame|word)|secret|pass(?!ive|through|es\b|ing)|webhook|notify_url",
    re.IGNORECASE,
)
_STARTS = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    r"hf_(?=[A-Za-z]*[A-Z0-9]|[a-z]{16})[A-Za-z0-9]{8,}"  # Hugging Face; hf_transfer is a library
    r"|(?:sk|rpa|r8|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abeoprs]|dop_v1|npm|pypi|nvapi)[-_][A-Za-z0-9_-]{16,}"
    r"|A[KS]IA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|eyJ[\w-]{8,2000}\.[\w-]{8,2000}\.[\w-]*"
    r")"
)
_URLS = re.compile(
    r"(?P<left>https?://(?:[\w.-]*discord(?:app)?\.com/api/webhooks|hooks\.slack\.com/(?:services|workflows))/)[^\s\"'<>]+"
    r"|(?P<before>\b[a-z][a-z0-9+.-]{0,16}://[^\s/@:\"']{0,80}:)[^\s/@\"']{3,200}(?=@)"
    r"|(?P<scheme>\b(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
_NAME = (  # bounded everywhere: a text of any length and shape is read in linear time
    r"[\w.-]{0,64}?(?:token(?![a-z])|secret|passw(?:or)?d|passphrase|webhook|notify_url|api[_-]?key"
    r"|(?<=[_.-])key(?![a-z])|(?<=[A-Z])KEY(?![A-Z])|(?<=[_.-])pass(?![a-z]))(?:[_-]\w{1,40})?"
)
_VALUE = r"""(?:"(?:\\.|[^"\\\n]){8,}"|'[^'\n]{8,}'|[^\s"',;&{}\[\]()<]{8,})"""
_ASSIGNED = re.compile(rf"""((?<![\w.-]){_NAME}["']?\s*(?:=|:(?!//))\s*)({_VALUE})""", re.IGNORECASE)
_ARGUMENT = re.compile(rf"""((?<![\w-])--?{_NAME}(?:["']\s*,\s*|[ =]))({_VALUE})""", re.IGNORECASE)
_learned: set[str] = set()


def says_secret(name: str) -> bool:
    """Whether a value of this name should be kept from others; the bare word ``key`` names a thing, not a secret."""
    return name.lower() not in ("key", "keys", "tokens") and _SAYS_SECRET.search(name) is not None


def learn(values: Iterable[str | None]) -> None:
    """Replace these values from now on, wherever this process writes them."""
    _learned.update(value for value in values if value and _worth_hiding(value))


def secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    """The secret values among environment variables."""
    return frozenset(value for name, value in environment.items() if says_secret(name) and _worth_hiding(value))


def redact(text: str) -> str:
    """``text`` without the secrets of this process, and without what looks like one."""
    if len(text) < SHORTEST:
        return text
    known = _known(secrets_of(os.environ) | _learned)
    if known is not None:
        text = known.sub(REDACTED, text)
    text = _STARTS.sub(REDACTED, text)
    text = _URLS.sub(lambda found: f"{found['left'] or found['before'] or found['scheme']}{REDACTED}", text)
    if _SAYS_SECRET.search(text) is None:
        return text
    return _ASSIGNED.sub(_hide_value, _ARGUMENT.sub(_hide_value, text))


def redacted(value: Any) -> Any:
    """A JSON value with every text in it redacted, and texts under secret names replaced."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _under(str(key), entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(entry) for entry in value]
    return value


def redacted_command(words: Sequence[str]) -> str:
    """A command line that may be shown and copied: quoted for a shell, secrets replaced."""
    return shlex.join(redacted_words(words))


def redacted_words(words: Sequence[str]) -> list[str]:
    """The words of a command with their secrets replaced: ``--token VALUE`` stands in two of them."""
    shown: list[str] = []
    hide = False
    for word in words:
        shown.append(REDACTED if hide and _worth_hiding(word) else redact(word))
        hide = word.startswith("-") and "=" not in word and says_secret(word)
    return shown


class RedactingStream:
    """A text stream that keeps secrets out of what is written through it. Everything else is the wrapped stream's."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` without its secrets."""
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of ``lines`` without its secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _under(name: str, value: Any) -> Any:
    hidden = isinstance(value, str) and says_secret(name) and _worth_hiding(value)
    return REDACTED if hidden else redacted(value)


def _worth_hiding(value: str) -> bool:
    if len(value) < SHORTEST or value == REDACTED:
        return False
    return not (value.startswith(("/", "~", "./")) and os.path.exists(os.path.expanduser(value)))


def _hide_value(found: re.Match[str]) -> str:
    value = found[2]
    quote = value[0] if value[0] in "\"'" else ""
    inner = value.strip(quote) if quote else value
    return found[0] if REDACTED in value or not _worth_hiding(inner) else f"{found[1]}{quote}{REDACTED}{quote}"


@lru_cache(maxsize=8)
def _known(values: frozenset[str]) -> re.Pattern[str] | None:
    if not values:
        return None
    return re.compile("|".join(re.escape(value) for value in sorted(values, key=len, reverse=True)))
