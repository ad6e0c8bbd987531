"""Commands from viewers to a running engine: one small file each, answered by another beside it.

A viewer writes ``control/<id>.json``; the engine answers with ``<id>.ack.json``. Since anybody who can write there steers the
run, only regular files of the run's own user are read: no links, at most 64 kB.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config.language import say
from engine.events.atomic import write_text_atomically
from engine.events.lines import iso_time
from engine.events.redaction import redact, redacted
from engine.events.rundir import RunDirectory
from engine.events.types import plain

COMMANDS = ("pause", "resume", "save", "sample", "stop", "set", "cancel_hooks")
STOP_WHEN = ("now", "save", "epoch")
# What `set` may change while a run goes on.
LIVE_KEYS = (
    "learning_rate_factor", "max_train_steps", "save_every_n_steps", "save_every_n_epochs", "sample_every_n_steps",
    "sample_every_n_epochs", "sample_prompts", "max_cost", "max_hours",
)  # fmt: skip
SIZE_LIMIT = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.json")


@dataclass(frozen=True, slots=True)
class Command:
    """One ``command`` of ``COMMANDS`` with its arguments (``when`` of stop, ``key``/``value`` of set, ``prompts`` of sample)."""

    id: str
    command: str
    arguments: dict[str, Any] = field(default_factory=dict)
    error: str = ""  # why it cannot be carried out, found while reading


@dataclass(frozen=True, slots=True)
class Ack:
    """The engine's answer: ``result`` is "done", "accepted" (it will be done) or "refused", with the reason."""

    id: str
    command: str
    result: str
    message: str = ""


def send(run: RunDirectory, name: str, arguments: Mapping[str, Any] | None = None) -> Command:
    """Put a command before the engine. Raises ``OSError``."""
    command = Command(f"{time.time_ns():019d}-{secrets.token_hex(3)}", name, dict(arguments or {}))
    values = {"id": command.id, "command": name, "t": iso_time(time.time()), **redacted(command.arguments)}
    run.control.mkdir(mode=0o700, exist_ok=True)
    write_text_atomically(run.control / f"{command.id}.json", json.dumps(plain(values), ensure_ascii=False) + "\n")
    return command


def wait_for_ack(run: RunDirectory, command: Command, timeout: float = 10.0) -> Ack | None:
    """The engine's answer, or None when there is none within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        ack = read_ack(run, command.id)
        if ack is not None or time.monotonic() >= deadline:
            return ack
        time.sleep(0.05)


def read_ack(run: RunDirectory, command_id: str) -> Ack | None:
    """The answer to a command, or None while there is none."""
    try:
        values = json.loads((run.control / f"{command_id}.ack.json").read_bytes())
        return Ack(command_id, str(values["command"]), str(values["result"]), str(values.get("message", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_ack(run: RunDirectory, ack: Ack) -> None:
    """Answer a command. Raises ``OSError``."""
    values = {
        "id": ack.id,
        "command": ack.command,
        "result": ack.result,
        "message": redact(ack.message),
        "t": iso_time(time.time()),
    }
    write_text_atomically(
        run.control / f"{ack.id}.ack.json", json.dumps(values, ensure_ascii=False) + "\n", durable=False
    )


def unanswered(run: RunDirectory) -> list[Command]:
    """The commands that have no answer yet, oldest first; those that must not be obeyed carry the reason in ``error``."""
    try:
        names = os.listdir(run.control)
    except OSError:
        return []
    present = frozenset(names)
    ids = sorted(name.removesuffix(".json") for name in names if _NAME.fullmatch(name))
    return [_read(run, entry) for entry in ids if f"{entry}.ack.json" not in present]


def _read(run: RunDirectory, command_id: str) -> Command:
    path = run.control / f"{command_id}.json"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Command(command_id, "", error=say("It is a link, or cannot be opened.", "リンクであるか、開けません。"))
    try:
        refusal = _refusal(os.fstat(handle))
        if refusal:
            return Command(command_id, "", error=refusal)
        data = os.read(handle, SIZE_LIMIT)
    finally:
        os.close(handle)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return Command(command_id, "", error=say("It is not a JSON object.", "JSON オブジェクトではありません。"))
    name = str(values.pop("command", ""))
    arguments = redacted({key: value for key, value in values.items() if key not in ("id", "t")})
    return Command(command_id, name, arguments, _complaint(name, arguments))


def _refusal(facts: os.stat_result) -> str:
    """Why a file must not be obeyed, or nothing."""
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
        return say("It is not a plain file.", "通常のファイルではありません。")
    if facts.st_uid != os.geteuid():
        return say("It belongs to another user.", "別のユーザーのファイルです。")
    if facts.st_size > SIZE_LIMIT:
        return say("It is larger than 64 kB.", "64 kB を超えています。")
    return ""


def _complaint(name: str, arguments: Mapping[str, Any]) -> str:
    """Why these arguments make no command, or nothing."""
    if name not in COMMANDS:
        return say(f"There is no command {name!r}; known: {', '.join(COMMANDS)}.", f"{name!r} というコマンドはありません（{', '.join(COMMANDS)}）。")  # fmt: skip
    if name == "stop" and arguments.get("when", "now") not in STOP_WHEN:
        return say(
            f"`when` must be one of {', '.join(STOP_WHEN)}.", f"`when` は {', '.join(STOP_WHEN)} のいずれかです。"
        )
    if name == "set" and (not isinstance(arguments.get("key"), str) or "value" not in arguments):
        return say("`set` needs a key and a value.", "`set` には key と value が必要です。")
    prompts = arguments.get("prompts", [])
    if name == "sample" and not (isinstance(prompts, list) and all(isinstance(prompt, str) for prompt in prompts)):
        return say("`prompts` must be a list of texts.", "`prompts` はテキストのリストです。")
    return ""
