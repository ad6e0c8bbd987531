"""Every key of the app has an id by which it can be moved: ``[keys]`` in config.toml, ``"jobs.pause" = "f7"``.

Textual applies the map; this file says which ids there are, and refuses unknown ids, names that are no key, keys that a terminal
multiplexer or the terminal itself eats, and two actions of one screen on one key, before the app opens. A hint on the screen names
the action, not the key: ``hinted(app, "{jobs.new} starts one")`` writes the key of now.
"""

from __future__ import annotations

import difflib
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys
from textual.screen import ModalScreen

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from musubi_tui.runs.home import config_file, config_line

# ctrl+a and ctrl+b are the prefixes of screen and tmux; ctrl+h, i, j, m and [ are backspace, tab, enter and escape.
FORBIDDEN = frozenset(
    {"ctrl+a", "ctrl+b", "ctrl+backslash", "ctrl+circumflex_accent", "ctrl+h", "ctrl+i", "ctrl+j", "ctrl+m",
     "ctrl+left_square_bracket", "ctrl+c"}
)  # fmt: skip
_FORBIDDEN_PREFIXES = ("alt+", "ctrl+shift+")
_SCREENS = "musubi_tui.tui.screens."
# The part of an id before its dot -> where its bindings are declared.
PLACES: dict[str, tuple[str, ...]] = {
    "app": ("musubi_tui.tui.app",),
    "jobs": (f"{_SCREENS}jobs",),
    "start": (f"{_SCREENS}start",),
    "compare": (f"{_SCREENS}compare",),
    "run": (f"{_SCREENS}run.screen",),
    "picture": (f"{_SCREENS}picture",),
    "wizard": (f"{_SCREENS}wizard",),
    "preset": (f"{_SCREENS}preset.screen",),
    "picker": (f"{_SCREENS}preset.picker",),
    "diff": (f"{_SCREENS}preset.diff",),
    "history": (f"{_SCREENS}preset.history",),
    "text": ("musubi_tui.tui.widgets.toml_view",),
    "data": (f"{_SCREENS}data.screen",),
    "open": (f"{_SCREENS}data.opening",),
    "fix": (f"{_SCREENS}data.fixing",),
    "words": (f"{_SCREENS}data.words",),
    "caption": (f"{_SCREENS}data.editor",),
    "warnings": (f"{_SCREENS}data.parts",),
    "dialog": (f"{_SCREENS}dialog",),
    "ask": (f"{_SCREENS}ask", f"{_SCREENS}preset.ask"),
    "help": (f"{_SCREENS}help",),
    "explain": (f"{_SCREENS}explain",),
    "go": (f"{_SCREENS}go",),
    "jump": (f"{_SCREENS}jump",),
    "small": (f"{_SCREENS}too_small",),
}
_MODIFIERS = frozenset({"ctrl", "shift"})
# Names that no terminal sends, though Textual has them: what they mean is called otherwise.
_NEVER_SENT = {"return": "enter", "ctrl+@": "ctrl+space", "ctrl-at": "ctrl+space", "<any>": "", "<scroll-up>": "", "<scroll-down>": "", "<ignore>": ""}  # fmt: skip
_NAMED = frozenset(item.value for item in Keys) - frozenset(_NEVER_SENT)
# How keys are called elsewhere.
_ALIASES = {"esc": "escape", "del": "delete", "ins": "insert", "pgup": "pageup", "pgdn": "pagedown", "pgdown": "pagedown",
            "page_up": "pageup", "page_down": "pagedown", "return": "enter", "spacebar": "space", "arrow_up": "up",
            "arrow_down": "down", "arrow_left": "left", "arrow_right": "right"}  # fmt: skip
_MODIFIER_ALIASES = {"c": "ctrl", "control": "ctrl", "ctl": "ctrl", "s": "shift"}
_IN_WORDS = frozenset({"enter", "tab", "shift+tab"})  # Textual has arrows for them that half the fonts lack
_MENTION = re.compile(r"\{([a-z]+\.[a-z_]+)\}")


def key(name: str, keys: str, action: str, text: str, *, show: bool = False, display: str | None = None) -> Binding:
    """A binding with an id. ``show`` puts it in the footer."""
    return Binding(keys, action, text, show=show, key_display=display, id=name)


def hinted(app: App[Any], text: str) -> str:
    """``text`` with the key of today in place of every ``{id}`` of an action; other braces stay."""
    return _MENTION.sub(lambda found: shown_key(app, found[1]) or found[0], text)


def shown_key(app: App[Any], name: str) -> str:
    """How the first key of an action is written on the screen; empty where there is no such action."""
    binding = _binding(name)
    if binding is None:
        return ""
    moved = getattr(app, "moved_keys", {}).get(name)
    one = (moved or binding.key).split(",")[0].strip()
    one = spelled(one) if moved else one
    if one in _IN_WORDS:
        return one
    return app.get_key_display(binding.with_key(one, None if moved else binding.key_display))


@cache  # hints are written with every frame
def _binding(name: str) -> Binding | None:
    places = [place for place in PLACES if name.startswith(f"{place}.")]
    return next((binding for _, _, binding in _declared(places) if binding.id == name), None)


def spelled(name: str) -> str:
    """A key as Textual calls it: ``$`` is ``dollar_sign``."""
    if len(name) != 1 or name.isalnum():
        return name
    return next((one for one, char in _PUNCTUATION.items() if char == name), name)


def _punctuation() -> dict[str, str]:
    names = {unicodedata.name(char).lower().replace("-", "_").replace(" ", "_"): char for char in string.punctuation}
    return {KEY_NAME_REPLACEMENTS.get(name, name): char for name, char in names.items()}


_PUNCTUATION = _punctuation()


def can_be_sent(name: str) -> bool:
    """Whether a terminal can send a key that is called so."""
    name = spelled(name)
    if name in _NAMED:
        return True
    *modifiers, last = name.split("+")
    if not set(modifiers) <= _MODIFIERS or len(set(modifiers)) != len(modifiers):
        return False
    if not modifiers:
        return last in _PUNCTUATION or (len(last) == 1 and last.isprintable() and not last.isspace())
    if last in _NAMED:
        return True
    # With shift a character is another character: A, not shift+a.
    return modifiers == ["ctrl"] and (last in _PUNCTUATION or (len(last) == 1 and last.isalnum() and last == last.lower()))  # fmt: skip


def nearest_key(name: str) -> str:
    """The key that was probably meant; empty when nothing is near."""
    plain = name.strip().lower().replace("-", "_")
    if plain in _ALIASES:
        return _ALIASES[plain]
    *modifiers, last = re.split(r"[+-]", name.strip())
    modifiers = [_MODIFIER_ALIASES.get(one.lower(), one.lower()) for one in modifiers]
    if modifiers == ["shift"] and len(last) == 1 and last.isalpha():
        return last.upper()
    last = _ALIASES.get(last.lower(), spelled(last.lower()))
    simple = sorted(one for one in _NAMED | _PUNCTUATION.keys() if "+" not in one)
    for guess in [last, *difflib.get_close_matches(last, simple, n=1)]:
        whole = "+".join([*modifiers, guess])
        if can_be_sent(whole):
            return whole
    return ""


def forbidden(name: str) -> bool:
    """Whether a key must not be bound."""
    return name in FORBIDDEN or name.startswith(_FORBIDDEN_PREFIXES)


def _declared(places: Iterable[str]) -> Iterator[tuple[str, type, Binding]]:
    """(place, class, binding) of everything that can be remapped in these places."""
    for place in places:
        for value in [found for module in PLACES[place] for found in vars(import_module(module)).values()]:
            for binding in getattr(value, "BINDINGS", ()) if isinstance(value, type) else ():
                if isinstance(binding, Binding) and binding.id and binding.id.startswith(f"{place}."):
                    yield place, value, binding


def known_bindings(places: Iterable[str] = PLACES) -> dict[str, str]:
    """id -> default keys of everything that can be remapped in these places; of an action of several dialogs all of them."""
    found: dict[str, list[str]] = {}
    for _, _, binding in _declared(places):
        found.setdefault(str(binding.id), []).extend(binding.key.split(","))
    return {name: ",".join(dict.fromkeys(keys)) for name, keys in found.items()}


def check_keys(keys: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` with everything wrong in a map of ids to keys."""
    if not keys:
        return
    known = known_bindings()
    problems: list[Problem] = []

    def complain(code: str, message: str, fix: str, name: str) -> None:
        problems.append(Problem(code, message, fix, str(config_file()), config_line("keys", name), key=f"keys.{name}"))

    for name, written in keys.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            complain("unknown_key", say(f"there is no action {name!r}.", f"{name!r} という操作はありません。"), _meant(*near), name)  # fmt: skip
        for one in (part.strip() for part in written.split(",")):
            if forbidden(one) or forbidden(one.lower()):
                message = say(f"{one!r} cannot be used as a key.", f"{one!r} はキーとして使えません。")
                fix = say("Terminals or tmux take it.", "ターミナルや tmux が使うキーです。")
                complain("bad_value", message, fix, name)
            elif not can_be_sent(one):
                message = say(f"there is no key {one!r}.", f"{one!r} というキーはありません。")
                complain("bad_value", message, _meant(nearest_key(one)), name)
    by_design = {
        one: set(names) for one, names in _clashes(known)
    }  # a screen may give a key of the app another meaning
    moved = {
        name: ",".join(spelled(one.strip()) for one in written.split(","))
        for name, written in keys.items()
        if name in known
    }
    for one, names in _clashes({**known, **moved}):
        if set(names) <= by_design.get(one, set()):
            continue
        message = say(
            f"{one} would do two things: {' and '.join(names)}.", f"{one} が重複しています: {', '.join(names)}。"
        )
        at = next((name for name in names if name in keys), names[0])
        complain("key_clash", message, say("Move one of them.", "どちらかを変えてください。"), at)
    if problems:
        raise ConfigError(problems)


def _meant(near: str = "") -> str:
    return say(f"Did you mean {near!r}?", f"{near!r} のことですか？") if near else ""


def _clashes(keys: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Keys with two actions that are within reach at once: of one place, or of a place and what reaches it: of screens the app, of
    dialogs what all of them have."""
    dialogs = {place for place, owner, _ in _declared(PLACES) if issubclass(owner, ModalScreen)} - {"app"}
    holders: dict[str, list[str]] = {}
    for name, written in keys.items():
        for one in written.split(","):
            holders.setdefault(one.strip(), []).append(name)
    found = []
    for one, names in holders.items():
        places = [name.partition(".")[0] for name in names]
        together = [name for name, place in zip(names, places) if places.count(place) > 1 or ("dialog" if place in dialogs else "app") in places]  # fmt: skip
        if len(together) > 1:
            found.append((one, together))
    return found
