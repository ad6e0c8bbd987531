"""The ``--family`` option: a name of the registry, or a paragraph with the nearest one."""

from __future__ import annotations

from difflib import get_close_matches

from engine.config.language import say
from engine.config.problems import UserError
from engine.families import FamilySpec, TaskSpec, family_names, get_family


def require_family(name: str) -> FamilySpec:
    """The family of that name (``-`` and ``_`` are one, case is none). Raises ``UserError`` with the known ones."""
    wanted = name.lower().replace("-", "_")
    if wanted in family_names():
        return get_family(wanted)
    known = ", ".join(family_names())
    near = get_close_matches(wanted, family_names(), n=1)
    hint = say(f"Did you mean {near[0]!r}?", f"{near[0]!r} のことですか？") if near else ""
    fix = f"{hint} {say(f'Known: {known}.', f'使えるもの: {known}。')}".strip()
    message = say(f"There is no model family {name!r}.", f"{name!r} というファミリーはありません。")
    raise UserError.of("unknown_family", message, fix, key="family")


def require_task(spec: FamilySpec, name: str) -> TaskSpec:
    """The task of that name, the default one for none. Raises ``UserError`` with the known ones."""
    if name and name not in spec.tasks:
        raise UserError.of(
            "unknown_task",
            say(f"{spec.name} has no task {name!r}.", f"{spec.name} に {name!r} というタスクはありません。"),
            say(f"There are: {', '.join(spec.tasks)}.", f"タスク: {', '.join(spec.tasks)}。"),
            key="task",
        )
    return spec.task(name or None)
