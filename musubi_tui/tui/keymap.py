"""Every key of the app has an id by which it can be moved: ``[keys]`` in config.toml, ``"jobs.pause" = "f7"``.

Textual applies the map; this file says which ids there are, and refuses unknown ids, keys that a terminal multiplexer or the
terminal itself eats, and two actions of one screen on one key, before the app opens.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from importlib import import_module

from textual.binding import Binding

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from musubi_tui.runs.home import config_file

# ctrl+a and ctrl+b are the prefixes of screen and tmux; ctrl+h, i, j, m and [ are backspace, tab, enter and escape.
FORBIDDEN = frozenset(
    {"ctrl+a", "ctrl+b", "ctrl+backslash", "ctrl+circumflex_accent", "ctrl+h", "ctrl+i", "ctrl+j", "ctrl+m",
     "ctrl+left_square_bracket", "ctrl+c"}
)  # fmt: skip
_FORBIDDEN_PREFIXES = ("alt+", "ctrl+shift+")
# The part of an id before its dot -> where its bindings are declared.
PLACES = {
    "app": "musubi_tui.tui.app",
    "jobs": "musubi_tui.tui.screens.jobs",
    "start": "musubi_tui.tui.screens.start",
    "compare": "musubi_tui.tui.screens.compare",
    "run": "musubi_tui.tui.screens.run.screen",
    "wizard": "musubi_tui.tui.screens.wizard",
    "preset": "musubi_tui.tui.screens.preset.screen",
    "picker": "musubi_tui.tui.screens.preset.picker",
    "text": "musubi_tui.tui.widgets.toml_view",
    "data": "musubi_tui.tui.screens.data.screen",
    "caption": "musubi_tui.tui.screens.data.editor",
    "warnings": "musubi_tui.tui.screens.data.parts",
}


def key(name: str, keys: str, action: str, text: str, *, show: bool = False, display: str | None = None) -> Binding:
    """A binding with an id. ``show`` puts it in the footer."""
    return Binding(keys, action, text, show=show, key_display=display, id=name)


def forbidden(name: str) -> bool:
    """Whether a key must not be bound."""
    return name in FORBIDDEN or name.startswith(_FORBIDDEN_PREFIXES)


def known_bindings(places: Iterable[str] = PLACES) -> dict[str, str]:
    """id -> default keys of everything that can be remapped in these places."""
    found: dict[str, str] = {}
    for place in places:
        for value in vars(import_module(PLACES[place])).values():
            for binding in getattr(value, "BINDINGS", ()) if isinstance(value, type) else ():
                if isinstance(binding, Binding) and binding.id and binding.id.startswith(f"{place}."):
                    found[binding.id] = binding.key
    return found


def check_keys(keys: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` with everything wrong in a map of ids to keys."""
    if not keys:
        return
    known = known_bindings()
    problems: list[Problem] = []

    def complain(code: str, message: str, fix: str, name: str) -> None:
        problems.append(Problem(code, message, fix, str(config_file()), key=f"keys.{name}"))

    for name, written in keys.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            fix = say(f"Did you mean {near[0]!r}?", f"{near[0]!r} のことですか？") if near else ""
            complain(
                "unknown_key", say(f"there is no action {name!r}.", f"{name!r} という操作はありません。"), fix, name
            )
        for one in (part.strip() for part in written.split(",")):
            if not one or forbidden(one):
                message = say(f"{one!r} cannot be used as a key.", f"{one!r} はキーとして使えません。")
                fix = say("Terminals or tmux take it.", "ターミナルや tmux が使うキーです。")
                complain("bad_value", message, fix, name)
    by_design = _clashes(known)  # a screen may give a key of the app another meaning
    for one, names in _clashes({**known, **keys}):
        if (one, names) in by_design:
            continue
        message = say(
            f"{one} would do two things: {' and '.join(names)}.", f"{one} が重複しています: {', '.join(names)}。"
        )
        complain("key_clash", message, say("Move one of them.", "どちらかを変えてください。"), names[0])
    if problems:
        raise ConfigError(problems)


def _clashes(keys: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Keys with two actions that are within reach at once: of one place, or of a place and the app."""
    holders: dict[str, list[str]] = {}
    for name, written in keys.items():
        for one in written.split(","):
            holders.setdefault(one.strip(), []).append(name)
    found = []
    for one, names in holders.items():
        places = [name.partition(".")[0] for name in names]
        together = [name for name, place in zip(names, places) if places.count(place) > 1 or "app" in places]
        if len(together) > 1:
            found.append((one, together))
    return found
