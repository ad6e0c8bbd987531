"""``network_args``: the adapter's settings beyond rank and alpha, as ``key=value`` words (Musubi Tuner's way).

Values may contain ``=``. Lists of patterns are Python literals, as in Musubi Tuner; one bare pattern is taken as a list of one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from engine.config.language import say
from engine.config.problems import ConfigError

_KEYS = (
    "conv_dim", "conv_alpha", "rank_dropout", "module_dropout", "verbose",
    "exclude_patterns", "include_patterns", "loraplus_lr_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class NetworkArguments:
    """Patterns are regular expressions on whole dotted original names; include only rescues what exclude caught."""

    exclude_patterns: tuple[str, ...] = ()
    include_patterns: tuple[str, ...] = ()
    rank_dropout: float | None = None  # chance that a rank of the bottleneck is left out, per sample
    module_dropout: float | None = None  # chance that a whole adapter module is skipped, per forward
    loraplus_lr_ratio: float | None = None  # learning rate of the up matrices over that of the down matrices


def parse_network_args(words: Sequence[str] | Mapping[str, object] | None) -> NetworkArguments:
    """Settings from ``network_args``. Raises ``ConfigError`` for unknown keys and values that cannot be read."""
    given = dict(words) if isinstance(words, Mapping) else dict(_split(word) for word in words or ())
    for key in given:
        if key not in _KEYS:
            close = get_close_matches(key, _KEYS, n=1)
            fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか？") if close else ""
            raise _wrong(say(f"unknown network argument {key!r}", f"network_args の {key!r} は不明です"), fix)
    return NetworkArguments(
        exclude_patterns=_patterns("exclude_patterns", given.get("exclude_patterns")),
        include_patterns=_patterns("include_patterns", given.get("include_patterns")),
        rank_dropout=_chance("rank_dropout", given.get("rank_dropout")),
        module_dropout=_chance("module_dropout", given.get("module_dropout")),
        loraplus_lr_ratio=_number("loraplus_lr_ratio", given.get("loraplus_lr_ratio")) or None,
    )


def network_args_as_written(words: Sequence[str] | Mapping[str, object] | None) -> dict[str, str]:
    """The words as a dict of strings, as the saved file's ``ss_network_args`` carries them."""
    given = words.items() if isinstance(words, Mapping) else (_split(word) for word in words or ())
    return {key: str(value) for key, value in given}


def _split(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise _wrong(
            say(
                f"network argument {word!r} is not key=value", f"network_args の {word!r} が key=value 形式でありません"
            )
        )
    return key.strip(), value.strip()


def _patterns(key: str, value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            value = [value]
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(item, str) for item in found):
        raise _wrong(
            say(f"{key} must be a list of patterns, not {value!r}", f"{key} はパターンのリストです（{value!r}）"),
            say(f"For example: {key}=['.*self_attn.*']", f"例: {key}=['.*self_attn.*']"),
        )
    for pattern in found:
        try:
            re.compile(pattern)
        except re.error as error:
            message = say(
                f"{key}: {pattern!r} is not a regular expression ({error})",
                f"{key}: {pattern!r} は正規表現でありません（{error}）",
            )
            raise _wrong(message) from error
    return tuple(found)


def _number(key: str, value: object) -> float | None:
    if value is None or value == "None":
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise _wrong(say(f"{key} must be a number, not {value!r}", f"{key} は数値です（{value!r}）")) from error


def _chance(key: str, value: object) -> float | None:
    number = _number(key, value)
    if number is not None and not 0 <= number < 1:
        raise _wrong(
            say(f"{key} must be at least 0 and below 1, not {number}", f"{key} は 0 以上 1 未満です（{number}）")
        )
    return number


def _wrong(message: str, fix: str = "") -> ConfigError:
    return ConfigError.of("wrong_network_args", message + ".", fix, key="network_args")
