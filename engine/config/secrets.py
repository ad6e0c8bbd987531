"""Tokens and keys: used where they are found, kept out of every copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config.schema import OPTIONS
from engine.events.redaction import REDACTED, redact, stars

if TYPE_CHECKING:
    from engine.config.schema import Config

_VARIABLES = {"huggingface_token": "HF_TOKEN", "wandb_api_key": "WANDB_API_KEY"}
SECRET_OPTIONS = tuple(option.name for option in OPTIONS.values() if option.secret)
_VALUE = (
    r'"""[\s\S]*?(?:"""|\Z)|' + r"'''[\s\S]*?(?:'''|\Z)|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|[^\s#,}][^#,}\n]*"
)
_OF_SECRETS = re.compile(
    rf"""((?<![\w-])(?:\w+\s*\.\s*)?["']?(?:{"|".join(SECRET_OPTIONS)})["']?[ \t]*=[ \t]*)({_VALUE})"""
)


def secrets_environment(config: Config) -> dict[str, str]:
    """Environment variables that carry the configuration's secrets to the engine process, which finds none in run.toml."""
    found = {_VARIABLES[name]: config.get(name) for name in SECRET_OPTIONS}
    return {variable: value for variable, value in found.items() if value and value != REDACTED}


def redacted_source(text: str) -> str:
    """The text of a preset with secret values replaced, in comments too; everything else stays byte for byte."""
    return redact(_OF_SECRETS.sub(lambda found: f'{found[1]}"{REDACTED}"', text))


def starred_lines(lines: Sequence[str]) -> list[str]:
    """The lines of a preset with stars for the values of secret options, as many as they have characters: every line and column
    stays. What else looks like a secret is left to ``starred``, line by line, as they are drawn."""
    if not any(name in line for line in lines for name in SECRET_OPTIONS):
        return list(lines)
    return _OF_SECRETS.sub(lambda found: found[1] + _within_quotes(found[2]), "\n".join(lines)).split("\n")


def variable_of(option: str) -> str:
    """The environment variable that a secret option comes from where no file sets it."""
    return _VARIABLES[option]


def _within_quotes(value: str) -> str:
    quote = next((mark for mark in ('"""', "'''", '"', "'") if value.startswith(mark)), "")
    closed = len(value) >= 2 * len(quote) and value.endswith(quote)
    inner = value[len(quote) : len(value) - len(quote)] if closed else value[len(quote) :]
    return f"{quote}{stars(inner)}{quote if closed else ''}"
