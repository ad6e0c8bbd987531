"""What both cache stages do around the encoder: say what was found, stop when asked, wait for others, give up on what is broken."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence

from engine.config.language import counted, say
from engine.config.problems import Problem, UserError
from engine.data.claims import Holder
from engine.data.items import Item
from engine.encode.work import Work
from engine.events.alive import STALE_SECONDS
from engine.job import Interrupted, Job

PAUSED_SECONDS = 0.2
_MOST_SHOWN = 20


def announce(job: Job, work: Work, what: str) -> None:
    """Say what is used as it is, what was adopted, and what was set aside."""
    if work.current:
        job.warn("cache_current", say(f"{work.current} of {counted(work.total, what + ' file')} {_are(work.current)} up to date and not encoded again.",
                                      f"{what} {work.total} 件中 {work.current} 件は最新のため、再エンコードしません。"))  # fmt: skip
    if work.foreign:
        job.warn(
            "foreign_cache",
            say(f"{work.foreign} of {counted(work.total, what + ' file')} {'was' if work.foreign == 1 else 'were'} made by Musubi Tuner and {_are(work.foreign)} used as {'it is' if work.foreign == 1 else 'they are'}; "
                "which encoder made them cannot be checked.",
                f"{what} {work.total} 件中 {work.foreign} 件は Musubi Tuner 製です。そのまま使いますが、どのエンコーダーで作られたかは確認できません。"),
            say("Delete them to encode again.", "再エンコードするには削除してください。"),
        )  # fmt: skip
    reasons = Counter(state.reason for _, state in work.todo if state.state == "stale")
    if reasons:
        told = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        told += (
            f"; … ({reasons.total() - sum(count for _, count in reasons.most_common(3))})" if len(reasons) > 3 else ""
        )
        job.warn("cache_stale", say(f"{reasons.total()} of {counted(work.total, what + ' file')} {_are(reasons.total())} encoded again: {told}.",
                                    f"{what} {work.total} 件中 {reasons.total()} 件を再エンコードします: {told}。"))  # fmt: skip
    damaged = sum(state.damaged for _, state in work.todo)
    if damaged:
        job.warn(
            "cache_set_aside",
            say(f"{counted(damaged, what + ' file')} {_are(damaged)} damaged, and will be kept beside the new as *.old.",
                f"破損した {what} が {damaged} 件あります。新しいファイルの隣に *.old として残します。"),
        )  # fmt: skip
    replaced = sum(state.state == "stale" and not state.ours and not state.damaged for _, state in work.todo)
    if replaced:
        job.warn(
            "cache_set_aside",
            say(f"{counted(replaced, what + ' file')} that another tool or version made no longer {'fits' if replaced == 1 else 'fit'}, and will be kept beside the new as *.old.",
                f"他のツールまたは別バージョンが作った {what} {replaced} 件が現在の設定と合いません。新しいファイルの隣に *.old として残します。"),
        )  # fmt: skip


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def pause_or_stop(job: Job) -> None:
    """Between two items. Waits while the job is paused; raises ``Interrupted``."""
    while job.paused:
        time.sleep(PAUSED_SECONDS)
    request = job.stop_requested
    if request is not None:
        raise Interrupted(request)


class Waiting:
    """Tells once that other processes still work on what is left."""

    def __init__(self, job: Job, what: str) -> None:
        self._job, self._what = job, what
        self._told: set[str] = set()

    def tell(self, holders: Sequence[Holder]) -> None:
        """Who holds what we wait for; each is named once."""
        new = {holder.token: holder for holder in holders if holder.token not in self._told}
        self._told |= set(new)
        counts = Counter(holder.token for holder in holders)
        for token, holder in new.items():
            count = counts[token]
            self._job.warn(
                "cache_shared",
                say(f"{holder} is encoding {count} of the {self._what} files, waited for until it is done or silent for {STALE_SECONDS:.0f} s.",
                    f"{holder} が {self._what} {count} 件をエンコード中です。完了するか {STALE_SECONDS:.0f} 秒間応答がなくなるまで待ちます。"),
            )  # fmt: skip


def give_up(job: Job, failures: Sequence[tuple[Item, Problem]], skipped_datasets: Collection[int]) -> tuple[Item, ...]:
    """The items that cannot be encoded, told, where their dataset says ``on_bad_item = "skip"``.

    Raises ``UserError`` with the whole list when there are others.
    """
    ordered = sorted(failures, key=lambda failure: failure[0].id)
    stopping = {problem.file: problem for item, problem in ordered if item.dataset not in skipped_datasets}
    if stopping:
        problems = list(stopping.values())
        if len(problems) > _MOST_SHOWN:
            rest = say(f"{counted(len(problems) - _MOST_SHOWN, 'more file')} cannot be encoded.", f"他に {len(problems) - _MOST_SHOWN} 件もエンコードできません。")  # fmt: skip
            problems = [*problems[:_MOST_SHOWN], Problem("more_problems", rest)]
        raise UserError(problems)
    left_out = tuple(item for item, _ in ordered)
    if left_out:
        shown = "; ".join(f"{item.path.name}: {problem.message}" for item, problem in ordered[:3])
        more = f" … ({len(left_out)})" if len(left_out) > 3 else ""
        job.warn(
            "items_skipped",
            say(f"{counted(len(left_out), 'item')} cannot be encoded and will not be trained: {shown}{more}",
                f"{len(left_out)} 件はエンコードできないため学習されません: {shown}{more}"),
        )  # fmt: skip
    return left_out
