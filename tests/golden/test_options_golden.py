"""The schema against Musubi Tuner's own parsers: every option of the five families' training scripts, with its default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config.schema import OPTIONS

DATA = Path(__file__).parent / "data"
SCRIPTS: dict[str, dict[str, dict[str, Any]]] = json.loads((DATA / "cli_options.json").read_text(encoding="utf-8"))
KINDS = {"int": "whole number", "float": "number", "str": "text", "Path": "path"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_is_known_with_its_default(script: str) -> None:
    for flag, facts in SCRIPTS[script].items():
        option = OPTIONS[flag.removeprefix("--")]
        assert option.musubi, flag
        if (script, flag) == ("hv_train", "--mixed_precision"):  # the only script that does not leave it to accelerate
            assert facts["default"] == "no"
        else:
            assert option.musubi_default == facts["default"], flag


@pytest.mark.parametrize("script", SCRIPTS)
def test_choices_are_no_narrower(script: str) -> None:
    for flag, facts in SCRIPTS[script].items():
        option = OPTIONS[flag.removeprefix("--")]
        if facts.get("choices") and option.choices:
            spellings = {"float": "fp32"}  # the same precision under an older name
            assert {spellings.get(choice, choice) for choice in facts["choices"]} <= set(option.choices), flag


@pytest.mark.parametrize("script", SCRIPTS)
def test_types_agree(script: str) -> None:
    for flag, facts in SCRIPTS[script].items():
        kind = OPTIONS[flag.removeprefix("--")].kind
        if facts.get("action") == "StoreTrue":
            assert kind == "yes/no", flag
        elif facts.get("nargs") in ("*", "+"):
            assert kind.startswith("list of"), flag
        elif facts.get("type") in ("int", "float") and flag != "--timestep_boundary":  # declared int, documented as 0.9
            assert kind == KINDS[facts["type"]], flag


def test_no_option_claims_to_be_musubis_without_being() -> None:
    theirs = {flag.removeprefix("--") for script in SCRIPTS.values() for flag in script}
    assert {option.name for option in OPTIONS.values() if option.musubi} == theirs
