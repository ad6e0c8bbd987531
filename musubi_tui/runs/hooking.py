"""Which hooks a run may use: the user's own, from config.toml, and a preset's after the user allowed them.

What is allowed travels to the engine in its environment, so that no file that others may have written can bring a command
along. Only training has hooks: a short job that ends must not stop a machine.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.config.problems import ConfigError, UserError
from engine.events.redaction import REDACTED, learn
from engine.events.rundir import RunDirectory
from musubi_tui.runs.home import config_file, read_config
from musubi_tui.served import served

if TYPE_CHECKING:
    from engine.config import Config

HOOKS = ("on_finish", "on_error", "on_preempt")
PLAN_VARIABLE = "MUSUBI_TUI_HOOKS"  # engine.hooks takes it
URL_VARIABLE = "MUSUBI_TUI_NOTIFY_URL"
PRICE_VARIABLE = "MUSUBI_TUI_PRICE_PER_HOUR"


def hooks_environment(run: RunDirectory, preset_hooks: Mapping[str, list[str]] | None = None) -> dict[str, str]:
    """Environment variables that allow the engine its hooks and tell it the user's own price.

    ``preset_hooks`` are those of the preset that the user has allowed; they go before the user's own. An app behind a browser
    allows none. Raises ``ConfigError`` for a config file that makes no sense.
    """
    document = _run_document(run)
    if document.get("kind") != "train":
        return {}
    own = _own_settings()
    plan: dict[str, Any] = {}
    if not served():  # whoever has the address of a browser's page starts no program of this machine
        plan = {name: own[name] for name in HOOKS if own.get(name)}
        plan |= {name: list(words) for name, words in (preset_hooks or {}).items() if words}
    url = os.environ.get(URL_VARIABLE) or own.get("notify_url", "")
    if url:
        learn([url])
        plan["notify_url"] = url
    grace = own.get("hook_grace_seconds", document.get("run", {}).get("hook_grace_seconds"))
    found = {PLAN_VARIABLE: json.dumps(plan | ({} if grace is None else {"grace_seconds": grace}))} if plan else {}
    if "price_per_hour" in own and not os.environ.get(PRICE_VARIABLE):
        found[PRICE_VARIABLE] = str(own["price_per_hour"])
    return found


def hooks_of_preset(config: Config) -> dict[str, list[str]]:
    """The commands a preset brings along; nobody has allowed them yet."""
    return {name: list(words) for name in HOOKS if (words := config.get(name))}


def own_hooks() -> frozenset[str]:
    """Which hooks the user's own configuration has. Raises ``ConfigError`` for one that makes no sense."""
    own = _own_settings()
    return frozenset(name for name in HOOKS if own.get(name))


def hooks_of_run(run: RunDirectory, *, allowed: bool) -> dict[str, list[str]]:
    """The hooks of the preset a run was made from. Raises ``UserError`` when they are to run, but a secret was not kept."""
    section = _run_document(run).get("run", {})
    found = {name: section[name] for name in HOOKS if section.get(name)}
    if allowed and any(REDACTED in word for words in found.values() for word in words):
        raise UserError.of(
            "hook_secret",
            say("A hook of this preset held a secret, which was not kept with the run.", "このプリセットのフックには秘密の値があり、run には保存されていません。"),
            say(f"Put the hook into {config_file()}, or the secret into a variable that the command reads.",
                f"フックを {config_file()} に書くか、秘密の値をコマンドが読む環境変数に移してください。"),
            file=run.run_toml,
        )  # fmt: skip
    return found


def refuse_hooks_from_browser(run_options: Any, file: Path | str) -> None:
    """Raise ``UserError`` when a preset that was chosen in a browser has hooks. ``run_options``: the preset's section ``run``."""
    named = [name for name in HOOKS if getattr(run_options, name, None)]
    if named and served():
        raise UserError.of(
            "hooks_in_browser",
            say(f"This preset has hooks ({', '.join(named)}); they cannot be started from a browser.",
                f"このプリセットにはフック（{', '.join(named)}）があり、ブラウザーからは開始できません。"),
            say("Start it at the shell: `musubi-tui train PRESET --detach`.", "シェルで開始してください: `musubi-tui train PRESET --detach`。"),
            file=file,
            key=named[0],
        )  # fmt: skip


def _run_document(run: RunDirectory) -> dict[str, Any]:
    try:
        return tomllib.loads(run.run_toml.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _own_settings() -> dict[str, Any]:
    """The part of config.toml that concerns hooks and money, checked."""
    values = read_config()
    for name in HOOKS:
        words = values.get(name)
        if words is not None and not (
            isinstance(words, list) and words and all(isinstance(word, str) for word in words)
        ):
            raise _wrong(name, say('must be a list of words such as ["runpodctl", "stop", "pod", "ID"]', '["runpodctl", "stop", "pod", "ID"] のような文字列のリストで書いてください'))  # fmt: skip
    url = values.get("notify_url", "")
    if not isinstance(url, str) or (url and not url.startswith(("https://", "http://"))):
        raise _wrong("notify_url", say("must begin with https:// or http://", "https:// か http:// で始めてください"))
    for name in ("hook_grace_seconds", "price_per_hour"):
        number = values.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < float("inf"):
            raise _wrong(name, say("must be a number, at least 0", "0 以上の数で書いてください"))
    return values


def _wrong(key: str, message: str) -> ConfigError:
    return ConfigError.of("wrong_type", f"{key} {message}".strip(), file=config_file(), key=key)
