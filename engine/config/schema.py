"""The whole configuration: the section models put together, and ``OPTIONS``, the record of every option by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.config import sections
from engine.config.language import say
from engine.config.option import Option, describe_field
from engine.config.problems import ConfigError, Problem
from engine.config.sections import Section


class Config(BaseModel):
    """One run's settings, complete and valid. Immutable; ``with_values`` makes a changed copy."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    run: sections.RunSection
    model: sections.ModelSection
    dataset: sections.DatasetSection
    network: sections.NetworkSection
    training: sections.TrainingSection
    optimizer: sections.OptimizerSection
    timesteps: sections.TimestepsSection
    memory: sections.MemorySection
    attention: sections.AttentionSection
    compile: sections.CompileSection
    save: sections.SaveSection
    sampling: sections.SamplingSection
    validation: sections.ValidationSection
    logging: sections.LoggingSection
    metadata: sections.MetadataSection
    huggingface: sections.HuggingFaceSection
    distributed: sections.DistributedSection

    @classmethod
    def of(cls, values: Mapping[str, Any] | None = None) -> Config:
        """From flat values; the rest takes our defaults. Raises ``ConfigError`` with every wrong or unknown value."""
        values = values or {}
        built, problems = validate(values)
        problems += [
            Problem("unknown_key", say(f"there is no option {name}.", f"{name} という項目はありません。"), key=name)
            for name in values
            if name not in OPTIONS
        ]
        if problems:
            raise ConfigError(problems)
        return cls.model_construct(**built)

    def get(self, name: str) -> Any:
        """The value of one option, whatever its section. Raises ``KeyError`` for an unknown name."""
        return getattr(getattr(self, OPTIONS[name].section), name)

    def values(self) -> dict[str, Any]:
        """All values by option name, in the order of the schema."""
        return {name: self.get(name) for name in OPTIONS}

    def with_values(self, changes: Mapping[str, Any]) -> Config:
        """A copy with some options changed. Raises ``ConfigError`` like ``of``."""
        return Config.of({**self.values(), **changes})


SECTIONS: dict[str, type[Section]] = {
    name: info.annotation
    for name, info in Config.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
}


def _options() -> Iterator[Option]:
    for section, model in SECTIONS.items():
        for name, info in model.model_fields.items():
            yield describe_field(name, section, info)


OPTIONS: dict[str, Option] = {option.name: option for option in _options()}


def validate(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Section models from flat values, and one problem for each value of the wrong type or out of bounds.

    Names that are no options are left to the caller. A section with a problem is missing from the result.
    """
    built: dict[str, Any] = {}
    problems: list[Problem] = []
    for section, model in SECTIONS.items():
        mine = {name: values[name] for name in model.model_fields if name in values}
        try:
            built[section] = model.model_validate(mine)
        except ValidationError as error:
            names = dict.fromkeys(
                str(found["loc"][0]) for found in error.errors(include_url=False, include_context=False)
            )
            problems += [wrong_value(OPTIONS[name], mine.get(name)) for name in names]
    return built, problems


def wrong_value(option: Option, value: Any) -> Problem:
    """The complaint about a value of the wrong type or out of bounds."""
    expected = option.expectation()
    shown = shorten(value)
    return Problem(
        "wrong_type" if _is_other_type(option, value) else "wrong_value",
        say(
            f"{option.name} must be {expected.en}, not {shown}.",
            f"{option.name} は{' ' if expected.ja[:1].isascii() else ''}{expected.ja}で指定します ({shown} は不可)。",
        ),
        _repair(option, value),
        key=option.name,
    )


def shorten(value: Any) -> str:
    """A value as it may stand in a sentence: as TOML writes it, at most 60 characters."""
    from engine.config.toml_text import toml_value

    try:
        text = toml_value(value)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}…"


def _is_other_type(option: Option, value: Any) -> bool:
    if option.kind in ("whole number", "number", "steps or share"):
        return isinstance(value, bool) or not isinstance(value, int | float)
    if option.kind in ("choice", "text"):
        return not isinstance(value, str)
    return True


def _repair(option: Option, value: Any) -> str:
    """How to write the value so that it fits, when that can be told from what was written."""
    from engine.config.values import parse_override

    if isinstance(value, str) and option.kind in ("whole number", "number", "yes/no"):
        parsed = parse_override(option, value)
        if not isinstance(parsed, str) and parsed is not None:
            written = "true" if parsed is True else "false" if parsed is False else value.strip()
            return say(
                f"Write it without quotes: {option.name} = {written}",
                f"引用符を外してください: {option.name} = {written}",
            )
    if isinstance(value, int) and not isinstance(value, bool) and option.kind == "yes/no" and value in (0, 1):
        written = "true" if value else "false"
        return say(f"Write {option.name} = {written}", f"{option.name} = {written} と書いてください。")
    if isinstance(value, float) and option.kind == "whole number" and value.is_integer() and abs(value) < 2**53:
        return say(f"Write {option.name} = {int(value)}", f"{option.name} = {int(value)} と書いてください。")
    if isinstance(value, str) and option.kind.startswith("list of"):
        return say(f'Put it in brackets: {option.name} = ["…"]', f'角括弧で囲んでください: {option.name} = ["…"]')
    if isinstance(value, str) and option.kind == "choice":
        from difflib import get_close_matches

        close = get_close_matches(value.lower(), [str(choice) for choice in option.choices], n=1)
        return say(f'Did you mean "{close[0]}"?', f"「{close[0]}」のことですか。") if close else ""
    return ""
