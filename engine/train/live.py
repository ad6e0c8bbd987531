"""Values that may change while a run goes on, and only those. Changes are kept in every state and replayed on resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.config.language import say


class LiveValues:
    """Cadences, prompts, the number of steps, and a factor on the learning rate; each starts at what the preset says."""

    def __init__(self, config: Any, max_steps: int) -> None:
        self.learning_rate_factor: float = 1.0
        self.max_train_steps: int = max_steps
        self.save_every_n_steps: int | None = config.save.save_every_n_steps
        self.save_every_n_epochs: int | None = config.save.save_every_n_epochs
        self.sample_every_n_steps: int | None = config.sampling.sample_every_n_steps
        self.sample_every_n_epochs: int | None = config.sampling.sample_every_n_epochs
        self.sample_prompts: list[str] | None = None  # None: those of the preset
        self.changes: dict[str, Any] = {}

    def set(self, key: str, value: Any, *, step: int) -> None:
        """Change one value; words are read as numbers where a number is meant. Raises ``ValueError`` with the reason."""
        read = _READERS.get(key)
        if read is None:
            known = ", ".join(_READERS)
            raise ValueError(
                say(
                    f"{key} cannot change while a run goes on; these can: {known}",
                    f"{key} は実行中に変更できません。変更可能: {known}",
                )
            )
        try:
            changed = read(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                say(f"{value!r} is not a value of {key}", f"{value!r} は {key} の値ではありません")
            ) from error
        if key == "max_train_steps" and changed < step:
            raise ValueError(say(f"{step} steps are done already", f"すでに {step} ステップ完了しています"))
        setattr(self, key, changed)
        self.changes[key] = changed

    def replay(self, changes: Mapping[str, Any]) -> None:
        """Apply what a state carries."""
        for key, value in changes.items():
            self.set(key, value, step=0)


def _factor(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1000:
        raise ValueError(value)
    return number


def _count(value: Any) -> int:
    number = int(value)
    if number < 1 or number != float(value):
        raise ValueError(value)
    return number


def _cadence(value: Any) -> int | None:
    return None if value in (None, "", "none", "off", 0, "0") else _count(value)


def _prompts(value: Any) -> list[str]:
    lines = value.splitlines() if isinstance(value, str) else list(value)
    if not lines or not all(isinstance(line, str) and line.strip() for line in lines):
        raise ValueError(value)
    return lines


_READERS: dict[str, Callable[[Any], Any]] = {
    "learning_rate_factor": _factor,
    "max_train_steps": _count,
    "save_every_n_steps": _cadence,
    "save_every_n_epochs": _cadence,
    "sample_every_n_steps": _cadence,
    "sample_every_n_epochs": _cadence,
    "sample_prompts": _prompts,
}
