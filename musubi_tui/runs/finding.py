"""Which runs there are, and which one a person means. Reads folder names and status files, nothing larger."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.rundir import RunDirectory, safe_name
from engine.events.status import ALIVE, Status, true_state
from musubi_tui.runs.home import known_homes

if TYPE_CHECKING:
    from musubi_tui.runs.registry import RunEntry
    from musubi_tui.runs.snapshot import Snapshot

_STAMP = re.compile(r"-(\d{8}-\d{6})(?:-(\d+))?$")


def list_runs(homes: list[Path] | None = None) -> list[RunDirectory]:
    """All runs of the known homes (or of ``homes``), newest first."""
    found: dict[Path, RunDirectory] = {}
    for home in known_homes() if homes is None else homes:
        try:
            names = os.listdir(home / "runs")
        except OSError:
            continue
        for name in names:
            run = RunDirectory(home / "runs" / name)
            if not name.startswith(".") and run.exists():
                found[run.path] = run
    return sorted(found.values(), key=lambda run: age(run.id), reverse=True)


def is_training(run: RunDirectory) -> bool:
    """Whether the run trains; the other kind only fills caches."""
    status = Status.read(run)
    return status is None or status.kind == "train"


def works_or_trains(run: RunDirectory) -> bool:
    """What a person means who stops or resumes: a training, or whatever works now."""
    return is_training(run) or true_state(run) in ALIVE


def find_training(word: str) -> RunDirectory:
    """The training a person means, as ``find_run``; caching that came after it is passed over.

    Raises ``UserError`` (also cache_run: the run was named, and it only filled caches).
    """
    run = find_run(word, is_training)
    if not is_training(run):
        raise cache_run(run)
    return run


def cache_run(run: RunDirectory) -> UserError:
    """The complaint about a run that only filled caches, where a training was wanted."""
    return UserError.of(
        "cache_run",
        say(f"{run.id} is a cache run: it trained nothing, and there is nothing to train further.",
            f"{run.id} はキャッシュの run です。学習はしておらず、続けて学習するものはありません。"),
        say("To train with what it cached: `musubi-tui train PRESET`. `last` is the newest training.",
            "キャッシュを使って学習: `musubi-tui train PRESET`。`last` は最新の学習 run です。"),
        file=run.path,
    )  # fmt: skip


def find_run(word: str, wanted: Callable[[RunDirectory], bool] | None = None) -> RunDirectory:
    """The run a person means: ``last``, an id, a name (its newest run), a unique prefix of an id, or a path.

    ``wanted``: which runs ``last`` and a name pass over where it says no. An id or a path means that very run.
    Raises ``UserError`` (usage: the word is blank; no_such_run, ambiguous_run, run_gone, cache_run).
    """
    if not word.strip():  # an unset shell variable: as a prefix it would fit every run
        raise UserError.of(
            "usage",
            say("The name of the run is empty.", "run の名前が空です。"),
            say("`musubi-tui runs list` shows them all.", "`musubi-tui runs list` で一覧できます。"),
        )
    as_path = RunDirectory(Path(word).expanduser())
    if os.sep in word and as_path.exists():
        return as_path
    runs = list_runs()
    if word == "last" and runs:
        found = next((run for run in runs if wanted is None or wanted(run)), None)
        if found is None:
            raise cache_run(runs[0])
        return found
    by_id = [run for run in runs if run.id == word]
    if len(by_id) == 1:
        return by_id[0]
    entries = _entries()
    named = [RunDirectory(entry.path) for entry in entries if not entry.gone and _is_called(entry.summary, word)]
    if wanted is not None:
        named = [run for run in named if wanted(run)] or named
    for matches in (by_id, named[:1], [run for run in runs if run.id.startswith(word)]):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UserError.of(
                "ambiguous_run",
                say(f"{word!r} begins the ids of {len(matches)} runs.", f"{word!r} で始まる run が {len(matches)} 件あります。"),
                say("Give more of the id: ", "もっと長く指定してください: ") + ", ".join(run.id for run in matches[:6]),
            )  # fmt: skip
    if as_path.exists():
        return as_path
    for entry in entries:
        if entry.gone and (entry.summary.id == word or _is_called(entry.summary, word)):
            raise _run_gone(entry.path)
    raise _no_such_run(word, [entry.summary for entry in entries])


def _entries() -> list[RunEntry]:
    from musubi_tui.runs.registry import Registry

    return Registry().runs()


def _is_called(summary: Snapshot, word: str) -> bool:
    return summary.name == word or _STAMP.sub("", summary.id) == safe_name(word)


def _run_gone(path: Path) -> UserError:
    return UserError.of(
        "run_gone",
        say(f"The folder of {path.name} was moved or deleted.", f"{path.name} のフォルダーは移動または削除されています。"),
        say(
            f"If you moved it, give its path. To drop it from the list: `musubi-tui runs rm {path.name}`.",
            f"移動した場合はそのパスを指定してください。一覧から消すには `musubi-tui runs rm {path.name}`。",
        ),
        file=path,
    )  # fmt: skip


def name_of(run: RunDirectory) -> str:
    """The name a run was given."""
    status = Status.read(run)
    return status.name if status and status.name else _STAMP.sub("", run.id)


def _no_such_run(word: str, runs: list[Snapshot]) -> UserError:
    if not runs:
        fix = say(
            "There are no runs yet. Start one: `musubi-tui train PRESET`.",
            "まだ run がありません。`musubi-tui train PRESET` で始めてください。",
        )
        return UserError.of("no_such_run", say(f"There is no run {word!r}.", f"run {word!r} はありません。"), fix)
    near = difflib.get_close_matches(word, [run.id for run in runs] + [run.name for run in runs], n=1, cutoff=0.5)
    hint = say(f"Did you mean {near[0]!r}? ", f"{near[0]!r} のことですか？ ") if near else ""
    listing = say("`musubi-tui runs list` shows them all.", "`musubi-tui runs list` で一覧できます。")
    return UserError.of(
        "no_such_run", say(f"There is no run {word!r}.", f"run {word!r} はありません。"), hint + listing
    )


def age(run_id: str) -> tuple[str, int, str]:
    """Sorts ids by when the runs were made."""
    stamp = _STAMP.search(run_id)
    return (stamp[1], int(stamp[2] or 1), run_id) if stamp else ("", 0, run_id)
