"""What both cache stages do around the encoder: judge the files that are there, say so, and stop when asked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.items import Item
from engine.data.provenance import CacheContext, CacheState
from engine.job import Interrupted, Job

Done = TypeVar("Done")
AHEAD = 2  # items decoded before they are needed
PAUSED_SECONDS = 0.2


@dataclass(frozen=True)
class Work:
    """What is to be encoded, by cache file: one item stands for all that share the file."""

    todo: tuple[tuple[Item, CacheState], ...]
    current: int
    foreign: int

    @property
    def total(self) -> int:
        """All cache files of the dataset."""
        return len(self.todo) + self.current + self.foreign


def judge(
    items: Sequence[Item],
    file_of: Callable[[Item], Path],
    state_of: Callable[[Item, CacheContext], CacheState],
    context: CacheContext,
) -> Work:
    """Look at each cache file once, headers only. Raises ``ConfigError`` for items that cannot be encoded again."""
    one_per_file = {file_of(item): item for item in reversed(items)}
    ordered = [item for item in items if one_per_file[file_of(item)] is item]
    states = [(item, state_of(item, context)) for item in ordered]
    lost = [_lost(file_of(item), state) for item, state in states if item.cached_only and not state.usable]
    if lost:
        raise ConfigError(lost)
    return Work(
        todo=tuple((item, state) for item, state in states if not state.usable),
        current=sum(state.state == "current" for _, state in states),
        foreign=sum(state.state == "foreign" for _, state in states),
    )


def announce(job: Job, work: Work, what: str, *, replaced: int) -> None:
    """Say what is used as it is, what was adopted, and what was set aside."""
    if work.current:
        job.warn("cache_current", say(f"{work.current} of {work.total} {what} files are up to date and are not encoded again.",
                                      f"{what} {work.total} 件中 {work.current} 件は最新のため、再エンコードしません。"))  # fmt: skip
    if work.foreign:
        job.warn(
            "foreign_cache",
            say(f"{work.foreign} of {work.total} {what} files were made by Musubi Tuner and are used as they are; "
                "which encoder made them cannot be checked.",
                f"{what} {work.total} 件中 {work.foreign} 件は Musubi Tuner 製です。そのまま使いますが、どのエンコーダーで作られたかは確認できません。"),
            say("Delete them to encode again.", "再エンコードするには削除してください。"),
        )  # fmt: skip
    if replaced:
        job.warn(
            "cache_set_aside",
            say(f"{replaced} {what} files that another tool made no longer fit; they will be kept beside the new ones as *.old.",
                f"他のツールが作った {what} {replaced} 件が現在の設定と合いません。新しいファイルの隣に *.old として残します。"),
        )  # fmt: skip


def foreign_and_stale(work: Work) -> int:
    """How many files to be encoded stand in place of another tool's."""
    return sum(state.state == "stale" and not state.ours for _, state in work.todo)


def pause_or_stop(job: Job) -> None:
    """Between two items: everything so far is written. Waits while the job is paused; raises ``Interrupted``."""
    while job.paused:
        time.sleep(PAUSED_SECONDS)
    request = job.stop_requested
    if request is not None:
        raise Interrupted(request)


def one_ahead(items: Iterable[Item], read: Callable[[Item], Done]) -> Iterator[tuple[Item, Done]]:
    """(item, read(item)) in order, read on a thread while the caller works on the ones before."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pixels") as pool:
        pending: deque[tuple[Item, Future[Done]]] = deque()
        try:
            for item in items:
                pending.append((item, pool.submit(read, item)))
                if len(pending) > AHEAD:
                    ready, future = pending.popleft()
                    yield ready, future.result()
            while pending:
                ready, future = pending.popleft()
                yield ready, future.result()
        finally:
            for _, future in pending:
                future.cancel()


def _lost(file: Path, state: CacheState) -> Problem:
    reason = state.reason or say("it is missing", "ファイルがない")
    return Problem(
        "source_gone",
        say(f"this cache file cannot be used ({reason}), and its source is gone, so it cannot be made again.",
            f"このキャッシュは使えず（{reason}）、元ファイルもないため作り直せません。"),
        say("Put the pictures or clips back, or remove the cache file from the dataset.",
            "元の画像・動画を戻すか、キャッシュファイルをデータセットから外してください。"),
        str(file),
    )  # fmt: skip
