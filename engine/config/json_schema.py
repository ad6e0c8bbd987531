"""The JSON Schema of presets, so that editors complete and check them: options at the top or in any section.

python -m engine.config.json_schema > presets/schema.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

from engine.config.option import Option
from engine.config.schema import OPTIONS, SECTIONS
from engine.data.key import DatasetKey
from engine.data.schema import KEYS
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
            "general": {"type": "object", "properties": dataset_properties(general=True)},
            "datasets": {
                "type": "array",
                "items": {"type": "object", "properties": dataset_properties(), "additionalProperties": False},
            },
        },
        "additionalProperties": section,
    }


_INTEGER, _NUMBER, _TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
_SIZE = {"anyOf": [_INTEGER, {"type": "array", "items": _INTEGER, "minItems": 1, "maxItems": 2}]}
_DATASET_TYPES: dict[str, dict[str, Any]] = {
    "int": _INTEGER,
    "bool": {"type": "boolean"},
    "text": _TEXT,
    "texts": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "path": _TEXT,
    "number": _NUMBER,
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "count or share": {"type": "number", "minimum": 0},
    "size": _SIZE,
    "sizes": {"anyOf": [*_SIZE["anyOf"], {"type": "array", "items": _SIZE}]},
    "ints": {"type": "array", "items": _INTEGER},
    "choice": _TEXT,
}


def dataset_properties(*, general: bool = False) -> dict[str, Any]:
    """The keys of ``[[datasets]]``, or those that may stand in ``[general]``, with their help."""
    return {key.name: _dataset_key(key) for key in KEYS if key.general or not general}


def _dataset_key(key: DatasetKey) -> dict[str, Any]:
    value = {**_DATASET_TYPES[key.type], "description": key.help_en}
    if key.choices:
        value["enum"] = list(key.choices)
    if key.minimum is not None and value.get("type") in ("integer", "number"):
        value["minimum"] = key.minimum
    if key.maximum is not None and value.get("type") in ("integer", "number"):
        value["maximum"] = key.maximum
    if key.default is not None and key.default != ():
        value["default"] = list(key.default) if isinstance(key.default, tuple) else key.default
    return value


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


def schema_text() -> str:
    """What stands in ``presets/schema.json``, which the ``#:schema`` line of the shipped presets names."""
    return json.dumps(preset_schema(), indent=1, ensure_ascii=False, default=str) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
