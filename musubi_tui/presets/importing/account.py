"""The account of a foreign config: every key it sets must be booked, and what nobody booked is told as unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from engine.config.language import say
from musubi_tui.presets.importing import reasons

Fate = Literal["kept", "set", "no_effect", "lost", "unknown"]


@dataclass(frozen=True)
class Line:
    """What became of one key. ``set`` marks a value the other trainer has by default and that is written out here."""

    key: str  # as it stands there, "network.linear"; empty for a default
    value: Any
    fate: Fate
    option: str = ""  # what it is called here; "datasets" for what went into the dataset
    became: Any = None
    why: str = ""


DatasetKey = tuple[str, str, Callable[[Any], Any]]  # what a key of a dataset there is called here, and its conversion
_OFF: tuple[Any, ...] = (None, False, 0, "", [], {}, "OFF", "NONE", "none", "off")


class CannotSay(ValueError):
    """A value of an otherwise known key has no counterpart here; the message says why."""


@dataclass(frozen=True)
class Rule:
    """What a key means here. ``key`` may be a pattern (``text_encoder*``). Texts are (English, Japanese).

    ``option`` takes the value, through ``convert``. Without one: ``no_effect`` and ``lost`` say why there is none.
    """

    key: str
    option: str = ""
    convert: Callable[[Any], Any] | None = None
    no_effect: tuple[str, str] | None = None
    lost: tuple[str, str] | None = None


@dataclass
class Account:
    """The keys of a foreign config, and the options and dataset tables they became."""

    leaves: dict[str, Any]
    lines: list[Line] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    general: dict[str, Any] = field(default_factory=dict)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)  # lines of a prompts file that goes with the preset

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Account:
        """Open the account of nested values; their keys are written with dots."""
        return cls(dict(_flatten(data, "")))

    def peek(self, key: str, default: Any = None) -> Any:
        """A value, without booking it."""
        return self.leaves.get(key, default)

    def keep(self, key: str, option: str, value: Any, why: str = "") -> None:
        """Book ``key`` as that option's value."""
        self.lines.append(Line(key, self.leaves.pop(key), "kept", option, value, why))
        self.options[option] = value

    def used(self, key: str, option: str, became: Any = None, why: str = "") -> None:
        """Book ``key`` as something that went into ``option`` together with other keys."""
        self.lines.append(Line(key, self.leaves.pop(key), "kept", option, became, why))

    def keep_in_dataset(self, key: str, table: dict[str, Any], name: str, convert: Callable[[Any], Any]) -> None:
        """Book ``key``, where it is set, as a key of the dataset."""
        value = self.convert(key, convert)
        if value is not None:
            self.used(key, f"datasets.{name}", value)
            table[name] = value

    def keep_switches(self, keys: Sequence[DatasetKey], table: dict[str, Any], prefix: str = "") -> None:
        """Book what makes a dataset special there (below ``prefix``); at rest, which is 1 for a weight, it is told as off."""
        for key, name, convert in keys:
            value = self.peek(prefix + key)
            if value not in (None, 1) if name == "loss_weight" else value:
                self.keep_in_dataset(prefix + key, table, name, convert)
            elif prefix + key in self.leaves:
                self.no_effect(prefix + key, say(*reasons.SWITCHED_OFF))

    def convert(self, key: str, convert: Callable[[Any], Any]) -> Any:
        """The value of a key that is set, converted; None without one. What makes no sense is booked as lost."""
        if key not in self.leaves:
            return None
        if self.leaves[key] is None:
            self.no_effect(key, say("not set", "未設定"))
            return None
        try:
            return convert(self.leaves[key])
        except CannotSay as reason:
            self.lose(key, str(reason))
        except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError):
            self.lose(key, say("the value is not understood", "値を解釈できません"))
        return None

    def set(self, option: str, value: Any, why: str) -> None:
        """Write out what the other trainer does without being told."""
        if option not in self.options:
            self.lines.append(Line("", None, "set", option, value, why))
            self.options[option] = value

    def no_effect(self, key: str, why: str) -> None:
        """Book ``key`` as something that changes nothing here."""
        self.lines.append(Line(key, self.leaves.pop(key), "no_effect", why=why))

    def lose(self, key: str, why: str) -> None:
        """Book ``key`` as something that is missing here. What is switched off is missed by nobody."""
        value = self.leaves.pop(key)
        if value in _OFF:
            self.lines.append(Line(key, value, "no_effect", why=say(*reasons.SWITCHED_OFF)))
        else:
            self.lines.append(Line(key, value, "lost", why=why))

    def apply(self, rules: Sequence[Rule], prefix: str = "") -> None:
        """Book every key (below ``prefix``) that a rule fits; the first rule that fits counts."""
        for key in [key for key in self.leaves if key.startswith(prefix)]:
            rule = next((rule for rule in rules if fnmatchcase(key[len(prefix) :], rule.key)), None)
            if rule is not None:
                self._book(key, rule)

    def _book(self, key: str, rule: Rule) -> None:
        if rule.no_effect:
            self.no_effect(key, say(*rule.no_effect))
        elif rule.lost:
            self.lose(key, say(*rule.lost))
        else:
            value = self.convert(key, rule.convert or (lambda value: value))
            if value is not None:
                self.keep(key, rule.option, value)

    def close(self) -> None:
        """Book what is left as unknown."""
        for key in list(self.leaves):
            self.lines.append(Line(key, self.leaves.pop(key), "unknown", why=say(*reasons.UNKNOWN)))


def _flatten(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, inner in enumerate(value):
            yield from _flatten(inner, f"{key}.{number}")
    else:
        yield key, value
