"""Money as text: a sign of the currency and the figure. Amounts are in the currency of the price that a person named.

``currency = "€"`` in config.toml sets the sign; without it "$", in which clouds rent their cards. ``$ sets it`` on Jobs and
``runs price €2.49`` write the sign that was typed.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from engine.config.problems import ConfigError
from musubi_tui.runs.home import config_file, read_config

KEY = "currency"
SIGNS = "$€£¥"
_USUAL = "$"
_LONGEST = 4  # "CHF "


def money(amount: float, digits: int = 2) -> str:
    """``$4.81``."""
    return f"{currency()}{amount:.{digits}f}"


def money_range(low: float, high: float) -> str:
    """``$0.21–0.55``, or one figure where both are the same."""
    first, last = f"{low:.2f}", f"{high:.2f}"
    return currency() + (first if first == last else f"{first}–{last}")


def currency() -> str:
    """The sign; a config file that is damaged says nothing here."""
    path = config_file()
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError:
        return _USUAL
    return _read(path, changed)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> str:
    try:
        found = read_config().get(KEY)
    except ConfigError:
        return _USUAL
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST and found.isprintable() else _USUAL
