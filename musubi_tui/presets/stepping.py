"""The next value of an option in one key press: on or off, the next choice, a number up or down in steps that mean something."""

from __future__ import annotations

import math
from typing import Any

from engine.config.option import Option

# Quantities that people think of in factors of two: learning rates, ranks, strengths.
_DOUBLED = ("learning_rate", "_lr", "_dim", "_alpha", "rank")


def toggled(option: Option, value: Any) -> Any:
    """Yes becomes no; a choice becomes the next one that is built. ``value`` itself for other kinds."""
    if option.kind == "yes/no":
        return value is not True
    if option.kind == "choice":
        choices = [choice for choice in option.choices if option.status_of(choice) == "built"] or list(option.choices)
        ring = [None, *choices] if option.optional and option.default is None else choices
        place = ring.index(value) if value in ring else -1
        return ring[(place + 1) % len(ring)]
    return value


def stepped(option: Option, value: Any, direction: int) -> str | None:
    """The number one step up or down as text, within its bounds; None where there is no step."""
    if option.kind not in ("whole number", "number", "steps or share") or isinstance(value, str | bool):
        return None
    number: float = value if isinstance(value, int | float) else _starting_point(option)
    if not math.isfinite(number):
        return None
    whole = option.kind == "whole number" or (option.kind == "steps or share" and isinstance(number, int))
    after = _doubled(number, direction, whole) if is_doubled(option) and number > 0 else _added(number, direction, whole, option.unit)  # fmt: skip
    if option.minimum is not None:
        after = max(after, option.minimum)
    if option.maximum is not None:
        after = min(after, option.maximum)
    if after == number and value is not None:
        return None
    keeps_whole = whole or (isinstance(value, int) and float(after).is_integer())  # 16 becomes 32, not 32.0
    return str(int(after)) if keeps_whole else spelled(after)


def is_doubled(option: Option) -> bool:
    """Whether a step doubles or halves."""
    return option.name.endswith(_DOUBLED)


def spelled(number: float) -> str:
    """A float as people write it in a preset: ``2e-4``, ``0.05``, ``1.5``, ``3.0``."""
    if not math.isfinite(number):
        return str(number)
    if number and (abs(number) < 1e-2 or abs(number) >= 1e6):
        digits, _, power = f"{number:.4e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    text = f"{number:.6g}"
    return text if "." in text or "e" in text else f"{text}.0"


def _starting_point(option: Option) -> float:
    if isinstance(option.default, int | float) and not isinstance(option.default, bool):
        return option.default
    return option.minimum or 0


def _doubled(number: float, direction: int, whole: bool) -> float:
    after = number * 2 if direction > 0 else number / 2
    return max(1, math.floor(after)) if whole else after


def _added(number: float, direction: int, whole: bool, unit: str) -> float:
    if whole:
        return number + direction * (_second_digit(number, direction) if unit in ("steps", "images") else 1)
    size = abs(number)
    if size < 1e-12:
        return 0.1 * direction
    power = math.floor(math.log10(size) + 1e-9)
    if direction < 0 and math.isclose(size, 10.0**power):  # 0.1 steps down to 0.09
        power -= 1
    step = 10.0 ** (power - 1 if power >= 0 else power)
    return round(number + direction * step, 12)


def _second_digit(number: float, direction: int) -> float:
    """1 below 100, then one of the second digit: 2000 steps to 2100."""
    size = abs(number) - (1 if direction < 0 else 0)
    return 10.0 ** (math.floor(math.log10(size)) - 1) if size >= 100 else 1
