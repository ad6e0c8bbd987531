"""What the keys do to a run: commands as control files, resuming and starting through the launcher. For a thread: they wait.

Every function returns one sentence for the person, or raises ``UserError``. Processes that were launched here are remembered, so
that one that dies before it can speak is written down, and none stays behind as a zombie.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.control import send, wait_for_ack
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, Status, true_state
from musubi_tui.runs.home import Home
from musubi_tui.runs.hooking import hooks_environment
from musubi_tui.runs.launching import launch, record_stillborn
from musubi_tui.runs.resuming import prepare_resume, run_option
from musubi_tui.runs.state_words import state_word, takes_no_commands, told_answer

ANSWER_SECONDS = 10.0
_launched: list[tuple[RunDirectory, subprocess.Popen[bytes]]] = []


def steer(run_dir: str, command: str, arguments: Mapping[str, Any] | None = None) -> str:
    """Put a command before the engine and tell its answer."""
    run = RunDirectory(Path(run_dir))
    state = true_state(run)
    if state not in ALIVE:
        raise UserError.of(
            "not_running",
            takes_no_commands(run.id, state),
        )
    ack = wait_for_ack(run, send(run, command, arguments), ANSWER_SECONDS)
    if ack is None:
        return say(
            f"{command}: no answer within {ANSWER_SECONDS:g} s; the engine looks at it after the step or the preview it is in.",
            f"{command}: {ANSWER_SECONDS:g} 秒以内に応答がありません。現在のステップまたはプレビューの後に処理されます。",
        )
    return told_answer(command, ack.result, ack.message)


def hooks_of(preset: str, overrides: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """The commands that a preset brings along, which a person must see before they may run. Raises ``ConfigError``."""
    from engine.config import load_config
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs.hooking import hooks_of_preset

    return hooks_of_preset(load_config(find_preset(preset), overrides or {}).config)


def hooks_to_resume(run_dir: str) -> dict[str, list[str]]:
    """The same of a run that would go on in another attempt; a paused one has an engine that knows already, as has the queue."""
    from musubi_tui.runs.finding import is_training
    from musubi_tui.runs.hooking import hooks_of_run

    run = RunDirectory(Path(run_dir))
    if true_state(run) in (*ALIVE, "queued") or not is_training(run):
        return {}
    return hooks_of_run(run, allowed=False)


def resume(
    run_dir: str,
    changes: Mapping[str, Any] | None = None,
    hooks: Mapping[str, list[str]] | None = None,
    tell: Callable[[str], object] = str,
) -> str:
    """Un-pause a paused run; continue one that stopped, was preempted, failed or vanished, or with more steps one that is done.

    ``hooks``: the commands of its preset that were allowed; ``tell`` hears why it takes long. Raises ``UserError`` for one that works.
    """
    from musubi_tui.runs.hooking import hooks_of_run

    run = RunDirectory(Path(run_dir))
    # By its files as they are now: what the screen shows is a moment older, and its engine may be gone meanwhile.
    status = Status.read(run)
    state = true_state(run, status)
    if state == "paused":
        return steer(run_dir, "resume")
    if state in ALIVE and status is not None:
        name, host = status.name or run.id, status.process.host if status.process else ""
        raise UserError.of("runs_already", say(f"{name} runs already on {host}.", f"{name} は {host} で実行中です。"))
    if hooks:
        hooks_of_run(run, allowed=True)  # refuses one that held a secret, before anything is written
    allowed = hooks_environment(run, hooks)
    prepare_resume(run, changes or {}, tell=tell)
    return _launch(run, str(run_option(run, "run", "device") or "auto"), {}, allowed)


def start(
    preset: str,
    home: Home,
    overrides: Mapping[str, str] | None = None,
    made: Callable[[str], None] | None = None,
    hooks: Mapping[str, list[str]] | None = None,
) -> str:
    """A new run of a preset: a path, or a name of the library; ``overrides`` as ``--set`` takes them; ``made`` hears the run's
    directory before it starts; ``hooks`` are the preset's commands that were allowed. Raises ``ConfigError`` with all problems of
    the file."""
    from engine.config import load_config, secrets_environment
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs.creating import create_run, discard

    loaded = load_config(find_preset(preset), overrides or {}, check_files=True)
    run = create_run(loaded, home=home)
    try:
        allowed = hooks_environment(run, hooks)
    except UserError:  # no run stays that waits for nothing
        discard(run)
        raise
    if made is not None:
        made(str(run.path))
    return _launch(run, str(loaded.config.run.device), secrets_environment(loaded.config), allowed)


def cache(preset: str, home: Home) -> str:
    """A run that only encodes pictures and captions. Raises ``ConfigError`` with all problems of the file."""
    from engine.config import load_config, secrets_environment
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs.creating import create_run

    loaded = load_config(find_preset(preset), {}, check_files=True)
    run = create_run(loaded, kind="cache", home=home)
    return _launch(run, str(loaded.config.run.device), secrets_environment(loaded.config), {})


def tidy() -> None:
    """Look after the processes that were launched here: collect those that ended."""
    for entry in list(_launched):
        run, process = entry
        if process.poll() is not None:
            record_stillborn(run, process)
            _launched.remove(entry)


def _launch(run: RunDirectory, device: str, secrets: dict[str, str], hooks: dict[str, str]) -> str:
    process = launch(run, device=device, secrets=secrets, hooks=hooks)
    _launched.append((run, process))
    return f"{run.id}: {state_word(true_state(run))}"
