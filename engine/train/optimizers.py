"""Optimizers by Musubi Tuner's names: ``adamw`` (torch, fused where the device can) and ``adamw8bit`` (bitsandbytes)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.config.language import say
from engine.config.problems import ConfigError, MissingRequirement

OPTIMIZERS = ("adamw", "adamw8bit")


@dataclass(frozen=True)
class Built:
    """An optimizer and how saved files name it (``ss_optimizer``)."""

    optimizer: torch.optim.Optimizer
    name: str


def make_optimizer(
    kind: str, words: Sequence[str] | Mapping[str, Any] | None, groups: list[dict[str, Any]], learning_rate: float
) -> Built:
    """The optimizer over ``groups``, with ``optimizer_args`` (``key=value``, Python literals or bare words).

    Raises ``ConfigError`` for names and arguments it does not know, ``MissingRequirement`` without bitsandbytes.
    """
    factory = _factory(kind)
    arguments = _arguments(words)
    known = set(inspect.signature(factory).parameters) - {"params", "lr"}
    for key in arguments:
        if key not in known:
            raise _wrong(
                say(f"{kind} has no argument {key!r}", f"{kind} に引数 {key!r} はありません"),
                say(f"Known: {', '.join(sorted(known))}.", f"使える引数: {', '.join(sorted(known))}。"),
            )
    fused = factory is torch.optim.AdamW and not {"foreach", "fused"} & set(arguments)
    extra = {"fused": True} if fused else {}
    try:
        optimizer = factory(groups, lr=learning_rate, **extra, **arguments)
    except (TypeError, ValueError) as error:
        raise _wrong(say(f"{kind} refuses its arguments ({error})", f"{kind} の引数が不正です（{error}）")) from error
    name = f"{factory.__module__}.{factory.__name__}"
    listed = ",".join(f"{key}={value}" for key, value in arguments.items())
    return Built(optimizer, f"{name}({listed})" if listed else name)


def _factory(kind: str) -> Callable[..., Any]:
    match kind.lower():
        case "adamw":
            return torch.optim.AdamW
        case "adamw8bit":
            try:
                from bitsandbytes import optim
            except ImportError as error:
                raise MissingRequirement.of(
                    "missing_package",
                    say("optimizer_type adamw8bit needs the package bitsandbytes.", "optimizer_type adamw8bit には bitsandbytes が必要です。"),
                    say("Install it (pip install bitsandbytes), or use optimizer_type = \"adamw\".",
                        "pip install bitsandbytes を実行するか、optimizer_type = \"adamw\" にしてください。"),
                    key="optimizer_type",
                ) from error  # fmt: skip
            return optim.AdamW8bit
    raise ConfigError.of(
        "not_built_yet",
        say(f"optimizer_type {kind!r} is not built yet.", f"optimizer_type {kind!r} は未対応です。"),
        say(f"Built: {', '.join(OPTIMIZERS)}.", f"対応: {', '.join(OPTIMIZERS)}。"),
        key="optimizer_type",
    )


def _arguments(words: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(words, Mapping):
        return dict(words)
    arguments: dict[str, Any] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals:
            raise _wrong(say(f"{word!r} is not key=value", f"{word!r} が key=value 形式でありません"))
        try:
            arguments[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            arguments[key.strip()] = value.strip()
    return arguments


def _wrong(message: str, fix: str = "") -> ConfigError:
    return ConfigError.of("wrong_optimizer_args", f"optimizer_args: {message}.", fix, key="optimizer_args")
