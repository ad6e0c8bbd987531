"""What a person does with the queue: add, move, remove, go on after a failure, take over from a machine that is gone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.lines import iso_time
from engine.events.status import ALIVE, true_state
from musubi_tui.runs import allowing
from musubi_tui.runs.queue import OPEN, Entry, Queue, QueueFile, all_queues
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.state_words import state_word
from musubi_tui.runs.supervisor import ensure_supervisor, supervisor_of

if TYPE_CHECKING:
    from engine.config import LoadedConfig
    from musubi_tui.runs.home import Home


def add(file: QueueFile, entry: Entry, *, first: bool = False) -> Entry:
    """Put ``entry`` at the end of the queue (or before all that wait); it with its number."""
    added = entry

    def change(queue: Queue) -> Queue:
        nonlocal added
        added = replace(entry, id=queue.next_id, host=queue.host, added=iso_time(time.time()))
        longer = replace(queue, entries=(*queue.entries, added), next_id=queue.next_id + 1)
        return longer.ordered(added, 0) if first else longer

    file.edit(change)
    return added


def enqueue(
    loaded: LoadedConfig,
    file: QueueFile,
    *,
    home: Home | None = None,
    gpus: tuple[str, ...] | None = None,
    first: bool = False,
    retries: int = 3,
    retry_after: float = 120.0,
    keep_going: bool = False,
    hooks: Mapping[str, list[str]] | None = None,
) -> Entry:
    """Make the run of a preset that was loaded and checked, and put it in the queue; its supervisor runs then, unless held.

    ``hooks`` are the preset's commands that a person saw and allowed. Raises ``UserError``: the queue is damaged (then no run
    is made), what ``create_run`` raises, or the commands are not those of the preset, or hold a secret.
    """
    from engine.config import secrets_environment
    from musubi_tui.runs.creating import create_run, discard

    file.read()
    config = loaded.config
    run = create_run(loaded, home=home)
    if hooks:
        try:
            allowing.allow(run, hooks)
        except BaseException:
            discard(run)
            raise
    entry = Entry(
        id=0,
        host=file.host,
        run_dir=str(run.path),
        preset=str(loaded.path.absolute()),
        secrets=bool(secrets_environment(config)),
        device=str(config.run.device),
        gpus=gpus,
        retries=retries,
        retry_after=retry_after,
        keep_going=keep_going,
    )
    added = add(file, entry, first=first)
    if not file.read().held:
        ensure_supervisor(file)
    return added


def shift(file: QueueFile, word: str, by: int) -> tuple[Entry, int]:
    """Move a waiting entry by places (-1: earlier): (entry, its place from 1). Raises ``UserError``."""

    def change(queue: Queue) -> Queue:
        entry = _waiting(queue, word)
        return queue.ordered(entry, max(0, queue.waiting().index(entry) + by))

    queue = file.edit(change)
    entry = queue.find(word)
    return entry, queue.waiting().index(entry) + 1


def move(file: QueueFile, word: str, position: int) -> Entry:
    """Put a waiting entry at ``position`` (from 0, past the end: last) among those that wait. Raises ``UserError``."""

    def change(queue: Queue) -> Queue:
        return queue.ordered(_waiting(queue, word), position)

    return file.edit(change).find(word)


def remove(file: QueueFile, word: str) -> tuple[Entry, bool]:
    """Take an entry out, and delete its run when that was never started: (entry, deleted). Raises ``UserError`` when it runs."""
    found: list[Entry] = []

    def change(queue: Queue) -> Queue:
        entry = queue.find(word)
        if entry.state == "running" and true_state(entry.run) in ALIVE:
            raise UserError.of(
                "entry_running",
                say(f"{entry.run.id} is running.", f"{entry.run.id} は実行中です。"),
                say(f"Stop it: `musubi-tui runs stop {entry.run.id}`.", f"停止: `musubi-tui runs stop {entry.run.id}`。"),
            )  # fmt: skip
        found.append(entry)
        return replace(queue, entries=tuple(one for one in queue.entries if one.id != entry.id))

    file.edit(change)
    entry = found[-1]
    unused = entry.run.exists() and true_state(entry.run) == "queued" and not entry.run.events.exists()
    if unused:
        shutil.rmtree(entry.run.path)
        allowing.forget(entry.run)
        Registry().forget(entry.run.path)
    return entry, unused


def file_of(home: Path, word: str) -> QueueFile:
    """The queue in which a run (by its id) stands whose machine is gone, else this machine's."""
    mine, *others = all_queues(home)
    for file in others:
        if any(entry.run.id == word for entry in file.read().entries) and supervisor_of(file) is None:
            return file
    return mine


def release(file: QueueFile, words: Collection[str] = ()) -> Queue:
    """Lift the hold and the rest after a preemption; entries named by ``words`` that ended are tried again first."""

    def change(queue: Queue) -> Queue:
        queue = replace(queue, held="", quiet_until=0.0)
        for word in reversed(list(words)):
            entry = queue.find(word)
            if entry.state not in OPEN:
                entry = replace(entry, state="waiting", slot="", starter="", tries=0, reason="")
                queue = queue.with_entry(entry)
            queue = queue.ordered(_waiting(queue, word), 0)
        return queue

    return file.edit(change)


def take_over(home: Path, host: str) -> list[Entry]:
    """Move the open entries of another machine, which must be gone, to this one. Raises ``UserError``.

    Runs that still show a sign of life stay where they are.
    """
    mine = QueueFile(home)
    theirs = next((file for file in all_queues(home) if file.host == host and file.host != mine.host), None)
    if theirs is None:
        raise UserError.of(
            "no_such_host",
            say(f"No other machine {host!r} has a queue here.", f"別のマシン {host!r} のキューはありません。"),
            say(
                "`musubi-tui queue list` shows all queues.", "`musubi-tui queue list` ですべてのキューを表示できます。"
            ),
        )
    living = supervisor_of(theirs)
    if living is not None:
        raise UserError.of(
            "host_alive",
            say(f"{host} still works on its queue.", f"{host} はまだキューを処理しています。"),
            say("Wait a minute after that machine stopped.", "そのマシンの停止後、1 分待ってください。"),
            file=theirs.supervisor,
        )
    taken: list[Entry] = []

    def leave(queue: Queue) -> Queue:
        taken[:] = [entry for entry in queue.entries if entry.state in OPEN and true_state(entry.run) not in ALIVE]
        return replace(queue, entries=tuple(entry for entry in queue.entries if entry not in taken))

    theirs.edit(leave)
    return [add(mine, replace(entry, state="waiting", slot="", starter="", gpus=None)) for entry in taken]


def _waiting(queue: Queue, word: str) -> Entry:
    entry = queue.find(word)
    if entry.state != "waiting":
        raise UserError.of(
            "entry_not_waiting",
            say(f"{entry.run.id} is {state_word(entry.state)}: it has no place among those that wait.", f"{entry.run.id} は {state_word(entry.state)} のため、順番を変更できません。"),
            say("`musubi-tui queue list` shows what waits.", "待機中のものは `musubi-tui queue list` にあります。"),
        )  # fmt: skip
    return entry
