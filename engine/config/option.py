"""What one training option is: type, defaults, help in two languages, and how far this release has built it.

Every option is written down once, as a field of a section model (``engine.config.sections``), through ``option(...)``. From
there come the validation, the forms, ``--set``, ``docs/options.md`` and the JSON Schema; ``Option`` is the record they read.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import Field
from pydantic.fields import FieldInfo

from engine.config.language import say

if TYPE_CHECKING:
    from engine.families import FamilySpec, TaskSpec

Status = Literal["built", "deferred-cost", "deferred-result"]
PathKind = Literal["", "file", "folder", "file or folder", "output"]
Kind = Literal[
    "yes/no",
    "whole number",
    "number",
    "steps or share",
    "text",
    "choice",
    "path",
    "list of texts",
    "list of choices",
    "list of numbers",
    "list of paths",
    "table",
    "list of tables",
]


class Text(NamedTuple):
    """The same sentence in both languages; ``str(text)`` is the one for the user."""

    en: str
    ja: str

    def __str__(self) -> str:
        return say(self.en, self.ja)


class OnlyWith(NamedTuple):
    """A condition on another option: it has one of ``values``, or any value that switches it on when ``values`` is empty."""

    option: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What ``option(...)`` was told about a field beyond its type and default."""

    help: Text
    musubi: bool
    musubi_default: Any
    unit: str
    minimum: float | None
    maximum: float | None
    lower: Text | None
    higher: Text | None
    needs: frozenset[str]
    level: Literal["basic", "expert"]
    status: Status
    value_status: Mapping[Any, Status]
    inactive: tuple[Any, ...]
    consequence: Text | None
    only_with: tuple[OnlyWith, ...]
    path: PathKind
    secret: bool
    suggestions: tuple[str, ...]

    def __call__(self, schema: dict[str, Any]) -> None:
        """Pydantic calls this when it describes the field in a JSON Schema."""
        schema["description"] = self.help.en


class _Ours:
    """Marks options that Musubi Tuner does not have."""


OURS = _Ours()


def option(
    default: Any,
    *,
    en: str,
    ja: str,
    musubi: Any = OURS,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    lower: tuple[str, str] | None = None,
    higher: tuple[str, str] | None = None,
    needs: Sequence[str] = (),
    expert: bool = False,
    status: Status = "built",
    values: Mapping[Any, Status] | None = None,
    inactive: tuple[Any, ...] = (),
    consequence: tuple[str, str] | None = None,
    only_with: Sequence[tuple[str, tuple[Any, ...]]] = (),
    path: PathKind = "",
    secret: bool = False,
    suggestions: tuple[str, ...] = (),
) -> Any:
    """A field of a section model. ``musubi`` is Musubi Tuner's default (leave it out for options of our own).

    ``status`` tells what a value that switches the option on meets; ``values`` overrides it value by value, and
    ``inactive`` lists more values, beside the defaults, that switch nothing on. ``consequence`` says what happens instead
    while a part is not built. The option has an effect when any of ``only_with`` holds.
    """
    facts = Facts(
        help=Text(en, ja),
        musubi=musubi is not OURS,
        musubi_default=None if musubi is OURS else musubi,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        lower=Text(*lower) if lower else None,
        higher=Text(*higher) if higher else None,
        needs=frozenset(needs),
        level="expert" if expert else "basic",
        status=status,
        value_status=dict(values or {}),
        inactive=inactive,
        consequence=Text(*consequence) if consequence else None,
        only_with=tuple(OnlyWith(name, tuple(wanted)) for name, wanted in only_with),
        path=path,
        secret=secret,
        suggestions=suggestions,
    )
    bounds = {"ge": minimum, "le": maximum}
    return Field(default, json_schema_extra=facts, **{k: v for k, v in bounds.items() if v is not None})  # type: ignore[call-overload]


@dataclass(frozen=True)
class Option:
    """One option, as forms, documents and checks see it."""

    name: str
    section: str
    kind: Kind
    optional: bool  # may be unset (None)
    default: Any  # ours, before the family's recommendation
    choices: tuple[Any, ...]
    facts: Facts = field(repr=False)

    @property
    def type(self) -> str:
        """The kind of value in English words, e.g. ``"whole number"``."""
        return self.kind

    @property
    def musubi(self) -> bool:
        """Musubi Tuner has this option."""
        return self.facts.musubi

    @property
    def musubi_default(self) -> Any:
        """The default of Musubi Tuner's parser (None also where it has no such option)."""
        return self.facts.musubi_default

    @property
    def unit(self) -> str:
        """Unit of the number, e.g. ``"steps"``."""
        return self.facts.unit

    @property
    def minimum(self) -> float | None:
        """Smallest allowed number."""
        return self.facts.minimum

    @property
    def maximum(self) -> float | None:
        """Largest allowed number."""
        return self.facts.maximum

    @property
    def help(self) -> Text:
        """One sentence on what the option does."""
        return self.facts.help

    @property
    def lower(self) -> Text | None:
        """What a lower value does."""
        return self.facts.lower

    @property
    def higher(self) -> Text | None:
        """What a higher value does."""
        return self.facts.higher

    @property
    def needs(self) -> frozenset[str]:
        """Capabilities a family must have for the option to have an effect."""
        return self.facts.needs

    @property
    def level(self) -> str:
        """``"basic"`` or ``"expert"``."""
        return self.facts.level

    @property
    def status(self) -> Status:
        """How far the option is built; single values may differ (``status_of``)."""
        return self.facts.status

    @property
    def consequence(self) -> Text | None:
        """What happens instead while the option is not built."""
        return self.facts.consequence

    @property
    def only_with(self) -> tuple[OnlyWith, ...]:
        """The option has an effect only when one of these holds (empty: always)."""
        return self.facts.only_with

    @property
    def path(self) -> PathKind:
        """What a path must point at; ``"output"`` need not exist."""
        return self.facts.path

    @property
    def secret(self) -> bool:
        """The value never goes into a copy of the file."""
        return self.facts.secret

    @property
    def suggestions(self) -> tuple[str, ...]:
        """Values worth offering where any text is allowed."""
        return self.facts.suggestions or tuple(str(choice) for choice in self.choices)

    def is_active(self, value: Any) -> bool:
        """Whether ``value`` switches anything on: not empty, not the default (Musubi Tuner's where it has the option)."""
        if value is None or value is False or value == "" or value == [] or value == {}:
            return False
        if value == (self.musubi_default if self.musubi else self.default):
            return False
        return value not in self.facts.inactive

    def status_of(self, value: Any) -> Status:
        """How far this value is built; a value that switches nothing on is always built."""
        if not self.is_active(value):
            return "built"
        known = self.facts.value_status
        return (
            known.get(value, self.facts.status) if known and not isinstance(value, list | dict) else self.facts.status
        )

    def built_values(self) -> tuple[Any, ...]:
        """The values that work today, where the option is built for some values only."""
        if not self.facts.value_status:
            return ()
        named = dict.fromkeys((*self.choices, *self.facts.value_status))
        return tuple(value for value in named if self.facts.value_status.get(value, self.facts.status) == "built")

    def applies_to(self, spec: FamilySpec, task: TaskSpec | None = None) -> bool:
        """Whether the family (or its task, when given) has the capabilities the option needs."""
        tasks = spec.tasks.values() if task is None else (task,)
        return self.needs <= spec.capabilities.union(*(one.capabilities for one in tasks))

    def expectation(self) -> Text:
        """What a valid value looks like, to end the sentence "must be …"."""
        if self.choices and self.kind in ("choice", "list of choices"):
            listed = ", ".join(f'"{choice}"' for choice in self.choices)
            if self.kind == "choice":
                return Text(f"one of {listed}", f"次のいずれか: {listed}")
            return Text(f"a list of {listed}", f"次の値のリスト: {listed}")
        en, ja = _KIND_WORDS[self.kind]
        low, high = (None if bound is None else f"{bound:.15g}" for bound in (self.minimum, self.maximum))
        if low and high:
            return Text(f"{en} from {low} to {high}", f"{low} 以上 {high} 以下の{ja}")
        if low:
            return Text(f"{en}, at least {low}", f"{low} 以上の{ja}")
        return Text(f"{en}, at most {high}", f"{high} 以下の{ja}") if high else Text(en, ja)


_KIND_WORDS: dict[str, tuple[str, str]] = {
    "yes/no": ("true or false", "true または false"),
    "whole number": ("a whole number", "整数"),
    "number": ("a number", "数値"),
    "steps or share": (
        'a whole number of steps, a share below 1, or a percentage such as "10%"',
        'ステップ数の整数、1 未満の割合、または "10%" のような百分率',
    ),
    "text": ("text in quotes", "引用符で囲んだ文字列"),
    "choice": ("one of the known values", "既知の値"),
    "path": ("a path in quotes", "引用符で囲んだパス"),
    "list of texts": ('a list of texts such as ["a=1", "b=2"]', '["a=1", "b=2"] のような文字列のリスト'),
    "list of choices": ("a list of known values", "既知の値のリスト"),
    "list of numbers": ("a list of numbers", "数値のリスト"),
    "list of paths": ("a list of paths", "パスのリスト"),
    "table": ("a table", "テーブル"),
    "list of tables": ("a list of tables", "テーブルのリスト"),
}


def describe_field(name: str, section: str, info: FieldInfo) -> Option:
    """The record of one model field that was made with ``option(...)``."""
    facts = info.json_schema_extra
    if not isinstance(facts, Facts):
        raise TypeError(f"{section}.{name} was not made with option(...)")
    inner, optional = _without_none(info.annotation)
    kind, choices = _kind(inner, info.metadata)
    default = info.get_default(call_default_factory=True, validated_data={})
    return Option(
        name=name, section=section, kind=kind, optional=optional, default=default, choices=choices, facts=facts
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) < len(get_args(annotation)):
            return (members[0] if len(members) == 1 else Union[tuple(members)]), True  # noqa: UP007 - built at run time
    return annotation, False


def _kind(annotation: Any, metadata: Sequence[Any]) -> tuple[Kind, tuple[Any, ...]]:
    """The kind of value and, for choices, the values."""
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = [*metadata, *more]
    for entry in metadata:
        if isinstance(entry, KindMark):
            return entry.kind, ()
    simple: dict[Any, Kind] = {bool: "yes/no", int: "whole number", float: "number", str: "text", Path: "path"}
    if annotation in simple:
        return simple[annotation], ()
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if get_origin(annotation) is list:
        inner, choices = _kind(get_args(annotation)[0], ())
        lists: dict[Kind, Kind] = {
            "text": "list of texts",
            "choice": "list of choices",
            "number": "list of numbers",
            "path": "list of paths",
            "table": "list of tables",
        }
        return lists[inner], choices
    if get_origin(annotation) is dict:
        return "table", ()
    raise TypeError(f"an option cannot be of type {annotation}")


@dataclass(frozen=True)
class KindMark:
    """Put into an ``Annotated`` type whose kind cannot be read off the type itself."""

    kind: Kind
