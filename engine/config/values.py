"""The value types of options beyond plain numbers and texts, and how the spellings people use become one value."""

from __future__ import annotations

import ast
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Strict

from engine.config.option import KindMark, Option

DTYPE_NAMES = {
    "fp32": "float32",
    "float": "float32",
    "float32": "float32",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "float16": "float16",
}
_PRECISIONS = {"float": "fp32", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_OPTIMIZERS = {
    "adamw": "adamw",
    "torch.optim.adamw": "adamw",
    "adamw8bit": "adamw8bit",
    "bitsandbytes.optim.adamw8bit": "adamw8bit",
    "bnb.optim.adamw8bit": "adamw8bit",
}


def _spelling(table: dict[str, str]) -> BeforeValidator:
    return BeforeValidator(lambda value: table.get(value.lower(), value) if isinstance(value, str) else value)


def steps_or_share(value: Any) -> Any:
    """Musubi Tuner's reading of warm-up lengths: ``"10%"`` is 0.1, ``"0.1"`` a share, ``5.0`` five steps; others unchanged."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            return value
    if isinstance(value, float) and value >= 1 and value.is_integer():
        return int(value)
    return value


def _check_steps_or_share(value: Any) -> Any:
    value = steps_or_share(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or (value > 1 and value % 1):
        raise ValueError("not steps or a share")
    return value


Dtype = Annotated[Literal["float32", "bfloat16", "float16"], _spelling(DTYPE_NAMES)]
SavePrecision = Annotated[Literal["fp32", "fp16", "bf16"], _spelling(_PRECISIONS)]
OptimizerName = Annotated[str, _spelling(_OPTIMIZERS)]
StepsOrShare = Annotated[int | float, BeforeValidator(_check_steps_or_share), KindMark("steps or share")]
AnyPath = Annotated[Path, Strict(False)]
Words = Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v), KindMark("list of texts")]


def parse_override(option: Option, text: str) -> Any:
    """The value that ``--set option=text`` means, by the option's kind. ``none`` unsets. What does not parse stays text.

    Lists are TOML arrays (``["a", "b"]``) or words as a shell would split them.
    """
    if option.optional and text.strip().lower() in ("none", "null", ""):
        return None
    if option.kind.startswith("list of"):
        return _parse_list(option, text)
    if option.kind == "yes/no":
        return {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }.get(text.strip().lower(), text)
    if option.kind == "whole number":
        return _number(text, int)
    if option.kind == "number":
        return _number(text, float)
    return text


def _parse_list(option: Option, text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            return text
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return [_number(word, float) for word in words] if option.kind == "list of numbers" else words


def _number(text: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(text)
    except ValueError:
        return text


def parse_arguments(words: Sequence[str]) -> dict[str, Any]:
    """``["weight_decay=0.01", "betas=(0.9,0.95)"]`` -> values by name: Python literals where they parse, else the text.

    The value begins after the first "=", so it may hold more of them. Raises ``ValueError`` with the word that has none.
    """
    parsed: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise ValueError(word)
        try:
            parsed[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            parsed[name.strip()] = text.strip()
    return parsed
