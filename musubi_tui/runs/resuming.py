"""Going on with a run that ended early: whether that is possible, and a note of what the new attempt changes."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.atomic import write_text_atomically
from engine.events.control import LIVE_KEYS
from engine.events.lines import iso_time
from engine.events.process import host_name
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.status import ALIVE, Lease
from musubi_tui.runs import archiving
from musubi_tui.runs.finding import cache_run, is_training
from musubi_tui.runs.snapshot import brief, snapshot
from musubi_tui.runs.state_words import state_word


def prepare_resume(
    run: RunDirectory,
    changes: Mapping[str, Any],
    *,
    tell: Callable[[str], object] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Check that ``run`` may go on and write ``attempts/N.toml``. ``changes`` are values that are safe to change.

    What another machine left is watched first for signs of life; ``tell`` hears for how long. Raises ``UserError``: it is alive
    (says who), it is done, its budget is spent, or a value cannot change within a run.
    """
    if not run.run_toml.is_file():
        raise UserError.of(
            "damaged_run",
            say(f"{run.run_toml} is missing: the run cannot go on.", f"{run.run_toml} がないため、再開できません。"),
            say("Start a new run from the preset.", "プリセットから新しい run を始めてください。"),
            file=run.path,
        )
    _check_keys(changes)
    try:
        Lease.clear(run, tell=tell, sleep=sleep)
    except UserError as refusal:
        raise _after_its_end(run) or refusal from None
    now = brief(run)
    if now.state in ALIVE:
        raise UserError.of(
            "run_alive",
            say(
                f"The run {run.id} is {state_word(now.state)} on {now.host}.",
                f"run {run.id} は {now.host} で {state_word(now.state)} です。",
            ),
            say(f"Watch it: `musubi-tui runs watch {run.id}`.", f"監視: `musubi-tui runs watch {run.id}`。"),
            file=run.path,
        )
    if now.state == "done" and not is_training(run):
        raise cache_run(run)
    if now.state == "done":
        _check_done(run, now.step, changes)
    _check_values(run, now.step, changes)
    _check_budget(run, changes)
    archiving.unarchive(run)  # a run that goes on is on the list
    number = next_attempt(run)
    if number > 1:
        run.attempts.mkdir(mode=0o700, exist_ok=True)
        write_text_atomically(run.attempts / f"{number}.toml", _attempt_toml(number, changes))


def _after_its_end(run: RunDirectory) -> UserError | None:
    """The refusal while the run has ended and only the command after it holds it: no engine to watch or to stop."""
    now = snapshot(run)
    if now.state in ALIVE or now.hook is None or now.hook["state"] not in ("waiting", "started"):
        return None
    name = now.hook["name"]
    if now.hook["state"] == "started":
        return UserError.of(
            "hook_runs",
            say(f"{name} of {run.id} is running, and the run goes on only after it.", f"{run.id} の {name} を実行中です。終わるまで再開できません。"),
            say("Try again when it is over.", "終わってから、もう一度実行してください。"),
        )  # fmt: skip
    return UserError.of(
        "hook_waits",
        say(f"{name} of {run.id} is about to run, and the run goes on only after it.", f"{run.id} の {name} がまもなく実行されます。その後でないと再開できません。"),
        say(f"Cancel it first: `musubi-tui runs cancel-hooks {run.id}`, or ctrl+g in the app.", f"先に取り消してください: `musubi-tui runs cancel-hooks {run.id}`、アプリでは ctrl+g。"),
    )  # fmt: skip


def next_attempt(run: RunDirectory) -> int:
    """The number the engine will give its next attempt."""
    attempts = sound_index(run).attempts()
    return attempts[-1][1] + 1 if attempts else 1


def run_option(run: RunDirectory, section: str, key: str) -> Any:
    """One value of run.toml, read without the schema; None when it is not there."""
    try:
        return tomllib.loads(run.run_toml.read_text("utf-8")).get(section, {}).get(key)
    except (OSError, ValueError):
        return None


def parse_value(text: str) -> Any:
    """A word of the command line as a number where it is one, else as text."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _check_keys(changes: Mapping[str, Any]) -> None:
    for key in changes:
        if key not in LIVE_KEYS:
            raise UserError.of(
                "not_live",
                say(f"{key} cannot change within a run.", f"{key} は run の途中では変更できません。"),
                say(f"These can: {', '.join(LIVE_KEYS)}. For anything else start a new run.", f"変更可能: {', '.join(LIVE_KEYS)}。それ以外は新しい run を始めてください。"),
                key=key,
            )  # fmt: skip


def _check_values(run: RunDirectory, step: int, changes: Mapping[str, Any]) -> None:
    """Refuse here what the engine would refuse or, for too few steps, take for a run that is done."""
    factor = changes.get("learning_rate_factor", 1.0)
    if not isinstance(factor, (int, float)) or not 0 <= factor < float("inf"):
        raise UserError.of(
            "wrong_type",
            say(f"learning_rate_factor must be a number, at least 0, not {factor!r}.", f"learning_rate_factor は 0 以上の数です（{factor!r} は不可）。"),
            key="learning_rate_factor",
        )  # fmt: skip
    options = {key: value for key, value in changes.items() if key not in ("learning_rate_factor", "sample_prompts")}
    if not options:
        return
    from engine.config import read_run_toml

    read_run_toml(run.run_toml).config.with_values(options)
    wanted = options.get("max_train_steps")
    if isinstance(wanted, int) and wanted <= step:
        raise UserError.of(
            "too_few_steps",
            say(f"The run {run.id} has done {step} steps already, so max_train_steps = {wanted} leaves nothing to train.",
                f"run {run.id} は既に {step} ステップ完了しており、max_train_steps = {wanted} では学習するものがありません。"),
            say(f"Give a number above {step}.", f"{step} より大きい数を指定してください。"),
            file=run.path,
            key="max_train_steps",
        )  # fmt: skip


def _check_done(run: RunDirectory, step: int, changes: Mapping[str, Any]) -> None:
    wanted = changes.get("max_train_steps")
    if isinstance(wanted, int) and wanted > step:
        return
    raise UserError.of(
        "run_done",
        say(f"The run {run.id} is done ({step} steps).", f"run {run.id} は完了しています（{step} ステップ）。"),
        say(f"To train further: --set max_train_steps=N with N above {step}.", f"続けるには --set max_train_steps=N（N は {step} より大きく）を指定してください。"),
        file=run.path,
    )  # fmt: skip


def _check_budget(run: RunDirectory, changes: Mapping[str, Any]) -> None:
    """An engine that loads its models only to stop again costs minutes, and its end would run on_finish once more."""
    from musubi_tui.runs.live_values import spent_limit

    spent = spent_limit(run, changes)
    if spent is None:
        return
    key, limit, reason = spent
    raise UserError.of(
        "budget_spent",
        say(f"{run.id} would stop again at once: {reason}.", f"{run.id} は再開してもすぐに停止します: {reason}。"),
        say(f"Give it more: `musubi-tui runs resume {run.id} --set {key}=…`, above {limit:g}.",
            f"増やして再開: `musubi-tui runs resume {run.id} --set {key}=…`（{limit:g} より大きく）。"),
        key=key,
    )  # fmt: skip


def _attempt_toml(number: int, changes: Mapping[str, Any]) -> str:
    from engine.config.toml_text import toml_value

    lines = [
        f"attempt = {number}",
        f"created = {toml_value(iso_time(time.time()))}",
        f"host = {toml_value(host_name())}",
    ]
    lines += ["", "[set]", *(f"{key} = {toml_value(value)}" for key, value in changes.items())]
    return "\n".join(lines) + "\n"
