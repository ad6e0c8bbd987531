"""Tokens and keys: used where they are found, kept out of every copy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from engine.config.schema import OPTIONS
from engine.events.redaction import REDACTED, redact

if TYPE_CHECKING:
    from engine.config.schema import Config

_VARIABLES = {"huggingface_token": "HF_TOKEN", "wandb_api_key": "WANDB_API_KEY"}
SECRET_OPTIONS = tuple(option.name for option in OPTIONS.values() if option.secret)


def secrets_environment(config: Config) -> dict[str, str]:
    """Environment variables that carry the configuration's secrets to the engine process, which finds none in run.toml."""
    found = {_VARIABLES[name]: config.get(name) for name in SECRET_OPTIONS}
    return {variable: value for variable, value in found.items() if value and value != REDACTED}


def redacted_source(text: str) -> str:
    """The text of a preset with secret values replaced, in comments too; everything else stays byte for byte."""
    names = "|".join(SECRET_OPTIONS)
    value = r'"""[\s\S]*?"""|' + r"'''[\s\S]*?'''|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|[^\s#,}][^#,}\n]*"
    pattern = re.compile(rf"""((?<![\w-])(?:\w+\s*\.\s*)?["']?(?:{names})["']?[ \t]*=[ \t]*)(?:{value})""")
    return redact(pattern.sub(lambda found: f'{found[1]}"{REDACTED}"', text))
