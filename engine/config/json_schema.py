"""The JSON Schema of presets, so that editors complete and check them: options at the top or in any section."""

from __future__ import annotations

from typing import Any

from engine.config.option import Option
from engine.config.schema import OPTIONS, SECTIONS
from engine.families import family_names

_SCALARS: dict[str, dict[str, Any]] = {
    "yes/no": {"type": "boolean"},
    "whole number": {"type": "integer"},
    "number": {"type": "number"},
    "steps or share": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9.]+ *%?$"}]},
    "text": {"type": "string"},
    "choice": {"type": "string"},
    "path": {"type": "string"},
    "table": {"type": "object"},
}
_ELEMENTS = {
    "list of texts": "text",
    "list of choices": "choice",
    "list of numbers": "number",
    "list of paths": "path",
    "list of tables": "table",
}


def preset_schema() -> dict[str, Any]:
    """The schema of a whole preset file (JSON Schema 2020-12)."""
    definitions = {name: option_schema(option) for name, option in OPTIONS.items()}
    named = {name: {"$ref": f"#/$defs/{name}"} for name in OPTIONS if name not in ("general", "datasets")}
    section = {"type": "object", "properties": named, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "musubi-tui preset",
        "type": "object",
        "$defs": definitions,
        "properties": {
            **named,
            # "compile" is an option and a section's name: a file may hold either.
            **{name: {"anyOf": [named[name], section]} for name in SECTIONS if name in named},
            "general": {"type": "object"},
            "datasets": {"$ref": "#/$defs/datasets"},
        },
        "additionalProperties": section,
    }


def option_schema(option: Option) -> dict[str, Any]:
    """The schema of one option's value, with its help."""
    element = _ELEMENTS.get(option.kind)
    value = dict(_SCALARS[element or option.kind])
    choices = family_names() if option.name == "family" else option.choices
    if choices and (element or option.kind) in ("choice", "text"):
        value["enum"] = list(choices)
    elif option.suggestions and option.kind == "text":
        value["examples"] = list(option.suggestions)
    for bound, word in ((option.minimum, "minimum"), (option.maximum, "maximum")):
        if bound is not None and value.get("type") in ("integer", "number"):
            value[word] = bound
    if element:
        value = {"type": "array", "items": value}
    value["description"] = option.help.en
    if option.default is not None:
        value["default"] = option.default
    return value
