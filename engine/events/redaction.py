"""Secrets stay out of everything that is kept or shown: events, status, log, copies of files, commands.

A secret is a value of at least 8 characters whose name says token, key, secret, pass or webhook (of an environment variable,
an option, an argument, an assignment in a text), or a text that begins as tokens do (``hf_…``), or a part of a URL that lets
its holder in. The bare word ``key`` names a thing more often than a secret (a key of a file, of a command): under it only what
looks drawn by lot is one. Values that were learned are replaced wherever they come again. A value that is the path of an
existing file, or that only names an environment variable, is no secret: the file or the variable may hold one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any

REDACTED = "<redacted>"
SHORTEST = 8  # characters; shorter values are words like "true"

# Letters before and after that make another word of it: bypass, a low-pass filter, passive; a monkey, a hotkey.
_PASS = (
    r"(?<!by)(?<!com)(?<!tres)(?<!sur)(?<!over)(?<!under)(?<!im)(?<!multi)(?<!single)(?<!two)(?<!high)(?<!low)(?<!band)"
    r"pass(?!ive|through|thru|ag|ed|en|er|es(?![a-z])|ing|ion|[_-](?:through|thru|count|rate|number|index|args|fd|fds|id|s)(?![a-z]))"
)
_KEY = (
    r"(?<!mon)(?<!don)(?<!tur)(?<!hoc)(?<!joc)(?<!whis)(?<!hot)key(?!board|map|frame|word|s?tone|note|hole|pad|stroke)"
)
_SAYS_SECRET = re.compile(rf"token(?!i[sz])|{_KEY}|secret|{_PASS}|webhook|notify_url", re.IGNORECASE)
_BARE = frozenset({"key", "keys"})
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
    rf"|(?<=[\w.-]){_KEY}(?![a-z])|{_PASS}(?![a-z]))(?:[_-]\w{{1,40}})?"
)
_VALUE = r"""(?:"(?:\\.|[^"\\\n]){8,}"|'[^'\n]{8,}'|[^\s"',;&{}\[\]()<]{8,})"""
_ASSIGNED = re.compile(rf"""((?<![\w.-]){_NAME}["']?\s*(?:=|:(?!//))\s*)({_VALUE})""", re.IGNORECASE)
_ARGUMENT = re.compile(rf"""((?<![\w-])--?{_NAME}(?:["']\s*,\s*| {{1,3}}|=))({_VALUE})""", re.IGNORECASE)
_KEYED = re.compile(rf"""((?<![\w.-])keys?["']?\s*(?:=|:(?!//))\s*)({_VALUE})""", re.IGNORECASE)
_PASS_OF_TEXT = re.compile(r"\w[ \t]pass[\"']?\s*:\s*$", re.IGNORECASE)  # "forward pass: 12.5 ms", not "pass: word"
_NUMBER = re.compile(r"[-+]?\d*\.\d+(?:e[-+]?\d+)?", re.IGNORECASE)
_REFERENCE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Z_][A-Z0-9_]*\})")
_MIXED = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{10,}|[0-9a-f]{8}-[0-9a-f]{4}-")
_learned: set[str] = set()


@lru_cache(maxsize=4096)
def says_secret(name: str) -> bool:
    """Whether a value of this name should be kept from others; the bare word ``key`` names a thing, not a secret."""
    return name.lower() not in _BARE and name.lower() != "tokens" and _SAYS_SECRET.search(name) is not None


def learn(values: Iterable[str | None]) -> None:
    """Replace these values from now on, wherever this process writes them."""
    _learned.update(value for value in values if value and _worth_hiding(value))


def secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    """The secret values among environment variables."""
    return frozenset(value for name, value in environment.items() if _is_secret(name, value))


def redact(text: str) -> str:
    """``text`` without the secrets of this process, and without what looks like one."""
    return _hide(text, lambda _: REDACTED)


def starred(text: str) -> str:
    """As ``redact``, with as many stars as a secret has characters: for a text whose lines and columns count."""
    return _hide(text, stars)


def stars(secret: str) -> str:
    """As many stars; line ends stay."""
    return re.sub(r"[^\r\n]", "*", secret)


def _hide(text: str, stand_in: Callable[[str], str]) -> str:
    if len(text) < SHORTEST:
        return text

    def value(found: re.Match[str]) -> str:
        return _hide_value(found, stand_in)

    known = _known(secrets_of(os.environ) | _learned)
    if known is not None:
        text = known.sub(lambda found: stand_in(found[0]), text)
    text = _STARTS.sub(lambda found: stand_in(found[0]), text)
    text = _URLS.sub(lambda found: _hide_part(found, stand_in), text)
    if _SAYS_SECRET.search(text) is None:
        return text
    return _KEYED.sub(value, _ASSIGNED.sub(value, _ARGUMENT.sub(value, text)))


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
    return REDACTED if isinstance(value, str) and _is_secret(name, value) else redacted(value)


def _is_secret(name: str, value: str) -> bool:
    named = says_secret(name) or (name.lower() in _BARE and _MIXED.search(value) is not None)
    return named and _worth_hiding(value)


def _worth_hiding(value: str) -> bool:
    if len(value) < SHORTEST or value == REDACTED:
        return False
    if _REFERENCE.fullmatch(value):
        return False
    return not (value.startswith(("/", "~", "./")) and os.path.exists(os.path.expanduser(value)))


def _hide_value(found: re.Match[str], stand_in: Callable[[str], str]) -> str:
    """The assignment without its value, if that is a secret."""
    value = found[2]
    quote = value[0] if value[0] in "\"'" else ""
    inner = value.strip(quote) if quote else value
    if REDACTED in value or not _worth_hiding(inner) or _only_sounds_so(found, inner):
        return found[0]
    return f"{found[1]}{quote}{stand_in(inner)}{quote}"


def _only_sounds_so(found: re.Match[str], inner: str) -> bool:
    """Whether the name is a word of a sentence rather than that of a secret: ``missing key: blocks.0``, ``forward pass: 1.25``."""
    if found.re is _KEYED:
        return _MIXED.search(inner) is None
    if not found[1].rstrip(" \t=:\"'").lower().endswith("pass"):
        return False
    return _NUMBER.fullmatch(inner) is not None or (
        _MIXED.search(inner) is None
        and _PASS_OF_TEXT.search(found.string, max(0, found.start() - 2), found.start(2)) is not None
    )


def _hide_part(found: re.Match[str], stand_in: Callable[[str], str]) -> str:
    before = found["left"] or found["before"] or found["scheme"]
    return f"{before}{stand_in(found[0][len(before) :])}"


@lru_cache(maxsize=8)
def _known(values: frozenset[str]) -> re.Pattern[str] | None:
    if not values:
        return None
    return re.compile("|".join(re.escape(value) for value in sorted(values, key=len, reverse=True)))
