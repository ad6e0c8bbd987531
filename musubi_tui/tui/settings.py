"""What a person set for the app in ``config.toml`` of the XDG config folder: ``[app]`` theme, glyphs, images, eco and mouse, ``[keys]`` id = keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from musubi_tui.runs.home import config_file, config_line, read_config
from musubi_tui.tui.glyphs import SETS
from musubi_tui.tui.images import KINDS
from musubi_tui.tui.link import ECO


@dataclass(frozen=True)
class Settings:
    """Empty texts mean the default. ``keys``: id of an action -> keys, separated by commas."""

    theme: str = ""
    glyphs: str = ""
    images: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    eco: str = "auto"
    mouse: str = "on"


def read_settings() -> Settings:
    """The settings of the config file; the defaults without one. Raises ``ConfigError`` with everything wrong in it."""
    path, values = config_file(), read_config()
    problems: list[Problem] = []
    app = _texts(values, "app", str(path), problems)
    keys = _texts(values, "keys", str(path), problems)
    if app.get("glyphs", "unicode") not in SETS:
        message = say(f"glyphs is {app['glyphs']!r}.", f"glyphs が {app['glyphs']!r} です。")
        fix = say("Write unicode or ascii.", "unicode か ascii を書いてください。")
        problems.append(Problem("bad_value", message, fix, str(path), config_line("app", "glyphs"), key="app.glyphs"))
    if app.get("images", "auto") not in KINDS:
        message = say(f"images is {app['images']!r}.", f"images が {app['images']!r} です。")
        fix = say("Write one of: ", "次のいずれかを書いてください: ") + ", ".join(KINDS)
        problems.append(Problem("bad_value", message, fix, str(path), config_line("app", "images"), key="app.images"))
    if app.get("eco", "auto") not in ECO:
        message = say(f"eco is {app['eco']!r}.", f"eco が {app['eco']!r} です。")
        fix = say("Write auto, on or off.", "auto、on、off のいずれかを書いてください。")
        problems.append(Problem("bad_value", message, fix, str(path), config_line("app", "eco"), key="app.eco"))
    if app.get("mouse", "on") not in ("on", "off"):
        message = say(f"mouse is {app['mouse']!r}.", f"mouse が {app['mouse']!r} です。")
        fix = say("Write on or off.", "on か off を書いてください。")
        problems.append(Problem("bad_value", message, fix, str(path), config_line("app", "mouse"), key="app.mouse"))
    if problems:
        raise ConfigError(problems)
    return Settings(
        app.get("theme", ""),
        app.get("glyphs", ""),
        app.get("images", ""),
        keys,
        app.get("eco", "auto"),
        app.get("mouse", "on"),
    )


def _texts(values: Mapping[str, Any], name: str, file: str, problems: list[Problem]) -> dict[str, str]:
    table = values.get(name, {})
    if not isinstance(table, dict):
        problems.append(Problem("wrong_type", say(f"[{name}] must be a table.", f"[{name}] はテーブルです。"), "", file, key=name))  # fmt: skip
        return {}
    found = {}
    for key, value in table.items():
        if isinstance(value, str):
            found[key] = value
        else:
            message = say("the value must be a text in quotes.", "値は引用符で囲んだ文字列です。")
            fix = ""
            if isinstance(value, dict) and name == "keys":  # a bare dot makes a table of it
                whole = next(iter(f"{key}.{action}" for action in value), key)
                fix = say(f'Put the id in quotes: "{whole}" = …', f'id を引用符で囲んでください: "{whole}" = …')
            problems.append(Problem("wrong_type", message, fix, file, config_line(name, key), key=f"{name}.{key}"))
    return found
