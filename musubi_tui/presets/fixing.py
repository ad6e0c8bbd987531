"""One-key fixes: for a problem, the edit that takes it away, and that edit in words. Where only a person can know, there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.entries import suggestion_of
from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import Problem
from engine.config.schema import OPTIONS, validate
from engine.config.toml_text import toml_value
from engine.config.values import parse_override
from engine.families import family_names
from musubi_tui.presets.editing import edit_text
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.places import line_end


@dataclass(frozen=True)
class Fix:
    """What ``f`` does. ``values`` are options to set (None: remove the line); ``line`` is one that is removed or renamed."""

    words: str
    values: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0  # from 1; a line whose key is no option, or a second line of one
    new_key: str = ""  # empty: the line goes


def fix_for(problem: Problem, facts: Facts) -> Fix | None:
    """The fix of a problem of this text, or None."""
    maker = _MAKERS.get(problem.code)
    if maker is None or facts.source is None or problem.file not in ("", str(facts.path)):
        return None
    return maker(problem, facts)


def apply_fix(facts: Facts, fix: Fix) -> str:
    """The text with the fix in it. Raises ``ConfigError`` as ``edit_text``."""
    if fix.values:
        return edit_text(facts.text, fix.values, facts.path)[0]
    data, pair = facts.text.encode(), facts.lines_of_pairs.get(fix.line)
    if pair is None:
        return facts.text
    if fix.new_key:
        key_start = data.rfind(b".", pair.start, pair.key_end) + 1 or pair.start
        return (data[:key_start] + fix.new_key.encode() + data[pair.key_end :]).decode()
    start = data.rfind(b"\n", 0, pair.start) + 1
    return (data[:start] + data[line_end(data, pair.end) :]).decode()


def _set(name: str, value: Any) -> Fix:
    return Fix(f"{name} = {toml_value(value)}", {name: value})


def _remove(problem: Problem, facts: Facts) -> Fix | None:
    name = problem.key
    if name not in OPTIONS or facts.own(name) is None or OPTIONS[name].kind in ("table", "list of tables"):
        return None
    return Fix(say(f"remove the line {name}", f"{name} の行を削除"), {name: None})


def _unknown(problem: Problem, facts: Facts) -> Fix | None:
    if problem.line not in facts.lines_of_pairs:
        return None
    near = suggestion_of(problem.key)
    if near and facts.own(near) is None:
        return Fix(say(f"rename it to {near}", f"{near} に書き換え"), line=problem.line, new_key=near)
    return Fix(say(f"remove the line {problem.key}", f"{problem.key} の行を削除"), line=problem.line)


def _twice(problem: Problem, facts: Facts) -> Fix | None:
    entry = facts.own(problem.key)
    if entry is None or not problem.line:
        return None
    line = next((line for line, pair in facts.lines_of_pairs.items() if pair.name == problem.key), problem.line)
    words = say(f"remove line {line}, which is overruled", f"無効な {line} 行目を削除")
    return Fix(words, line=line) if line != problem.line else None


def _wrong(problem: Problem, facts: Facts) -> Fix | None:
    """The value as it was meant, where that can be told; else the default."""
    name = problem.key
    entry = facts.own(name) if name in OPTIONS else None
    if entry is None:
        return None
    option = OPTIONS[name]
    meant = _meant(option, entry.value)
    if (
        meant is not None
        and (type(meant), meant) != (type(entry.value), entry.value)
        and not validate({name: meant})[1]
    ):
        return _set(name, meant)
    if option.minimum is not None and _is_number(entry.value) and entry.value < option.minimum:
        return _set(name, _like(option, option.minimum))
    if option.maximum is not None and _is_number(entry.value) and entry.value > option.maximum:
        return _set(name, _like(option, option.maximum))
    return _remove(problem, facts)


def _meant(option: Option, value: Any) -> Any:
    if isinstance(value, str) and option.kind in ("whole number", "number", "yes/no"):
        return parse_override(option, value)
    if isinstance(value, str) and option.kind.startswith("list of"):
        return parse_override(option, value)
    if isinstance(value, str) and option.kind == "choice":
        close = get_close_matches(value.lower(), [str(choice) for choice in option.choices], n=1)
        return close[0] if close else None
    if isinstance(value, int) and not isinstance(value, bool) and option.kind == "yes/no" and value in (0, 1):
        return bool(value)
    if isinstance(value, float) and option.kind == "whole number" and value.is_integer():
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and option.kind == "text":
        return str(value)
    return None


def _like(option: Option, bound: float) -> Any:
    return int(bound) if option.kind != "number" and float(bound).is_integer() else float(bound)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_built(problem: Problem, facts: Facts) -> Fix | None:
    option = OPTIONS.get(problem.key)
    if option is not None and option.kind == "choice" and option.built_values() and facts.own(option.name):
        return _set(option.name, option.built_values()[0])
    return _remove(problem, facts)


def _unknown_family(problem: Problem, facts: Facts) -> Fix | None:
    entry = facts.own("family")
    close = get_close_matches(str(entry.value).lower().replace("-", "_"), family_names(), n=1) if entry else []
    return _set("family", close[0]) if close else None


def _unknown_task(problem: Problem, facts: Facts) -> Fix | None:
    entry, spec = facts.own("task"), facts.spec
    if entry is None or spec is None:
        return None
    close = get_close_matches(str(entry.value), spec.tasks, n=1, cutoff=0.5)
    return _set("task", close[0] if close else spec.default_task)


def _wrong_adapter(problem: Problem, facts: Facts) -> Fix | None:
    if problem.key == "network_module" and facts.spec is not None and facts.own("network_module") is not None:
        return _set("network_module", facts.spec.network_module)
    return _wrong(problem, facts)


def _contradiction(problem: Problem, facts: Facts) -> Fix | None:
    if problem.key == "lr_warmup_steps":
        return _set("lr_scheduler", "constant_with_warmup")
    return _remove(problem, facts)


def _missing_file(problem: Problem, facts: Facts) -> Fix | None:
    """A sibling with a similar name, spelled as the file spells its paths."""
    name = problem.key
    entry = facts.own(name) if name in OPTIONS and OPTIONS[name].kind == "path" else None
    absolute = facts.reading.values.get(name) if facts.reading else None
    if entry is None or not isinstance(entry.value, str) or not isinstance(absolute, Path):
        return None
    try:
        names = os.listdir(absolute.parent)
    except OSError:
        return None
    close = get_close_matches(absolute.name, names, n=1, cutoff=0.6)
    return _set(name, str(Path(entry.value).with_name(close[0]))) if close else None


_MAKERS: dict[str, Callable[[Problem, Facts], Fix | None]] = {
    "no_effect": _remove,
    "secret_in_file": _remove,
    "not_built_yet": _not_built,
    "unknown_key": _unknown,
    "duplicate_key": _twice,
    "wrong_type": _wrong,
    "wrong_value": _wrong_adapter,
    "unknown_family": _unknown_family,
    "unknown_task": _unknown_task,
    "contradiction": _contradiction,
    "missing_file": _missing_file,
}
