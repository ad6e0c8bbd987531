"""The values of a run that may change while it goes on, as they are now, and what a person writes for them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.budget import LIMITS, Budget
from engine.config.language import say
from engine.config.problems import UserError
from engine.events.control import LIVE_KEYS
from engine.events.reader import other_events
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.status import Status
from engine.events.types import Control, RunStart

_PROMPTS = "sample_prompts"
_OFF = (None, "", "none", "off")


def live_values(run: RunDirectory) -> dict[str, Any]:
    """What holds for the next step: run.toml, then attempt by attempt what it was started with and what it was told."""
    values: dict[str, Any] = {"learning_rate_factor": 1.0}
    values |= _known(option for section in _tables(run.run_toml).values() for option in _pairs(section))
    values |= _known(_pairs(_tables(run.attempts / "1.toml").get("set")))
    for record in other_events(run.events, sound_index(run)):
        event = record.event
        if isinstance(event, RunStart):
            values |= _known(_pairs(_tables(run.attempts / f"{event.attempt}.toml").get("set")))
        elif isinstance(event, Control) and (event.command, event.result) == ("set", "done"):
            values |= _known([(str(event.arguments.get("key")), event.arguments.get("value"))])
    return {key: value for key, value in values.items() if value not in _OFF}


def spent_limit(run: RunDirectory, changes: Mapping[str, Any] | None = None) -> tuple[str, float, str] | None:
    """The limit that would stop the run again at once, were it to go on with these ``changes``: (its key, its value, the reason)."""
    status = Status.read(run)
    values = live_values(run) | dict(changes or {})
    if status is None or not any(key in values for key in LIMITS):
        return None
    for key in LIMITS:
        try:
            budget = Budget().changed(key, values.get(key))
        except ValueError:  # what the check of the values refuses with its reason
            continue
        reason = budget.spent(status.seconds, status.cost)
        if reason:
            return key, float(getattr(budget, key)), reason
    return None


def written_value(key: str, text: str) -> Any:
    """What a person wrote for ``key``: a number where it is one; for prompts the lines of a file, where it names one.

    Raises ``UserError``: such a file cannot be read.
    """
    from musubi_tui.runs.resuming import parse_value

    if key != _PROMPTS:
        return parse_value(text)
    path = Path(text).expanduser()
    if path.suffix.lower() != ".txt" or "\n" in text:
        return text
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else say("it is not UTF-8", "UTF-8 ではありません")
        if isinstance(error, FileNotFoundError):
            why = say("there is no such file", "ファイルがありません")
        raise UserError.of(
            "unreadable_prompts",
            say(f"{path} cannot be read: {why}.", f"{path} を読み込めません: {why}。"),
            say("Give a .txt with a prompt on each line, or the prompt itself.",
                "1 行に 1 つのプロンプトを書いた .txt、またはプロンプト自体を指定してください。"),
            key=key,
        ) from None  # fmt: skip
    return "\n".join(line.strip() for line in lines if line.strip() and not line.strip().startswith("#"))


def _tables(path: Path) -> dict[str, Any]:
    """A TOML file; empty where it is not there or cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _pairs(section: Any) -> list[tuple[str, Any]]:
    return list(section.items()) if isinstance(section, dict) else []


def _known(pairs: Any) -> dict[str, Any]:
    return {key: value for key, value in pairs if key in LIVE_KEYS}
