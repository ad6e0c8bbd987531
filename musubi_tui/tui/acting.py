"""What the keys of Jobs do to files: the queue, the archive, versions, prices, deletion. For a thread; each returns one sentence.

Every function is the same call that its twin at the shell makes, and raises ``UserError`` like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from engine.events.status import ALIVE, true_state
from musubi_tui.runs import allowing, archiving, queueing, removing, winning
from musubi_tui.runs.home import Home
from musubi_tui.runs.queue import QueueFile, entry_of
from musubi_tui.runs.registry import Registry
from musubi_tui.runs.state_words import told_answer
from musubi_tui.tui.steering import resume

Standing = tuple[int | None, tuple[str, float, str] | None]


def archive(run_dir: str, *, away: bool) -> str:
    """Take a run off the list, or put it back."""
    run = RunDirectory(Path(run_dir))
    if away:
        archiving.archive(run)
        return say(
            f"{run.id} is archived; {{jobs.archived}} shows archived runs.",
            f"{run.id} をアーカイブしました。{{jobs.archived}} で表示できます。",
        )
    archiving.unarchive(run)
    return say(f"{run.id} is on the list again.", f"{run.id} を一覧に戻しました。")


def pick(run_dir: str, others: list[str], step: int, *, away: bool) -> str:
    """Mark the winner of a comparison, or take its mark away."""
    run = RunDirectory(Path(run_dir))
    if away:
        winning.unpick_winner(run, step)
        return say(f"{run.id} is not marked any more.", f"{run.id} の印を外しました。")
    winning.pick_winner(run, [RunDirectory(Path(other)) for other in others], step)
    return say(
        f"{run.id} is the winner; its notes and Jobs say so.",
        f"{run.id} を最良の run にしました（メモとジョブ画面に表示）。",
    )


def shift(home: Path, run_dir: str, by: int) -> str:
    """Move what waits by places; -1 is earlier."""
    entry, place = queueing.shift(QueueFile(home), RunDirectory(Path(run_dir)).id, by)
    return say(f"{entry.run.id} is number {place} of those that wait.", f"{entry.run.id} は待機 {place} 番目です。")


def enqueue(
    preset: str, home: Home, made: Callable[[str], object] = str, hooks: Mapping[str, list[str]] | None = None
) -> str:
    """Make the run of a preset and put it in this machine's queue; ``made`` hears its directory, ``hooks`` were allowed."""
    from engine.config import load_config
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs.slots import chosen_gpus

    loaded = load_config(find_preset(preset), {}, check_files=True)
    file = QueueFile(home.path)
    entry = queueing.enqueue(loaded, file, home=home, gpus=chosen_gpus(None), hooks=hooks)
    made(str(entry.run.path))
    queue = file.read()
    place = next((place for place, one in enumerate(queue.waiting(), 1) if one.id == entry.id), 0)
    held = say(f" The queue is held: {queue.held}", f" キューは保留中です: {queue.held}") if queue.held else ""
    where = (
        say(f": number {place} in the queue.", f": キューの {place} 番目です。")
        if place
        else say(" starts now.", " を開始します。")
    )
    return entry.run.id + where + held


def queued_as(home: Path, run_dir: str) -> int | None:
    """The number of the queue's entry that ``r`` goes on with: one that waits, or the one for which the queue is held."""
    path = RunDirectory(Path(run_dir)).path
    queue = QueueFile(home).read()
    mine = (one for one in queue.entries if one.run.path == path)
    return next((one.id for one in mine if one.state == "waiting" or (queue.held and one.state == "failed")), None)


def go_on(
    home: Path, run_dir: str, hooks: Mapping[str, list[str]] | None = None, tell: Callable[[str], object] = str
) -> str:
    """Resume a run, with the commands of its preset that were allowed. One of the queue comes first in it, and a held queue goes on.

    ``tell`` hears why it takes long.
    """
    from musubi_tui.runs.supervisor import ensure_supervisor

    number = queued_as(home, run_dir)
    if number is None:
        return resume(run_dir, hooks=hooks, tell=tell)
    run, file = RunDirectory(Path(run_dir)), QueueFile(home)
    if hooks:
        allowing.allow(run, hooks)
    was_held = bool(file.read().held)
    queueing.release(file, [str(number)])
    ensure_supervisor(file)
    text = say(f"{run.id} is the next one of the queue.", f"{run.id} を次に実行します。")
    return text + (say(" The queue goes on.", "キューを再開しました。") if was_held else "")


def standing_of(home: Path, run_dir: str) -> Standing:
    """What going on with a run has to know: (its number in the queue, the limit that is spent: its key, its value, the reason)."""
    from musubi_tui.runs.live_values import spent_limit

    run = RunDirectory(Path(run_dir))
    number = queued_as(home, run_dir)
    return number, None if number is not None or true_state(run) in ALIVE else spent_limit(run)


def go_on_with_more(run_dir: str, key: str, text: str, hooks: Mapping[str, list[str]] | None = None) -> str:
    """Resume a run that has spent its budget, with another limit."""
    from musubi_tui.runs.live_values import written_value

    return resume(run_dir, {key: written_value(key, text)}, hooks)


def train_further(run_dir: str, steps: str, hooks: Mapping[str, list[str]] | None = None) -> str:
    """Go on with a run that is done until ``steps``, with the commands of its preset that were allowed."""
    try:
        total = int(steps)
    except ValueError:
        raise UserError.of("wrong_value", say(f"{steps!r} is not a number of steps.", f"{steps!r} はステップ数ではありません。")) from None  # fmt: skip
    return resume(run_dir, {"max_train_steps": total}, hooks)


def describe_deletion(home: Path, run_dir: str) -> str:
    """What deleting the run means. Raises ``UserError`` when it cannot be deleted."""
    run = RunDirectory(Path(run_dir))
    if not run.exists():
        return say("Its folder is gone already; it leaves the list.", "フォルダーは既にありません。一覧から外します。")
    if _waits(home, run):
        return say(
            "It leaves the queue; what was never started is deleted.", "キューから外し、未開始の run は削除します。"
        )
    removal = removing.plan_removal(run)
    text = say(f"{removing.size_text(removal.total)} go: ", f"{removing.size_text(removal.total)} を削除: ")
    text += say(f"states {removing.size_text(removal.states)}, {counted(len(removal.loras), 'LoRA file')}, log and samples.",
                f"状態 {removing.size_text(removal.states)}、LoRA {len(removal.loras)} 件、ログとサンプル。")  # fmt: skip
    for path in removal.kept:
        text += say(f"\n{path} stays.", f"\n{path} は残ります。")
    return text


def delete(home: Path, run_dir: str, tell: Callable[[str], object]) -> str:
    """Delete a run for good, or take what waits out of the queue. ``tell`` hears why it takes long."""
    run = RunDirectory(Path(run_dir))
    if not run.exists():
        Registry(home).forget(run.path)
        return say(f"{run.id} is off the list.", f"{run.id} を一覧から外しました。")
    if _waits(home, run):
        queueing.remove(QueueFile(home), run.id)
        return say(f"{run.id} is out of the queue.", f"{run.id} をキューから外しました。")
    removing.remove(run, tell)
    return say(f"Deleted {run.id}.", f"{run.id} を削除しました。")


def next_version(run_dir: str, note: str, told: Callable[[str], object] = str) -> str:
    """Make the next version of the preset of a run; ``told`` hears its path."""
    from musubi_tui.presets.versions import make, plan_next
    from musubi_tui.runs.origin import preset_of

    made = make(plan_next(preset_of(RunDirectory(Path(run_dir)))), note)
    told(str(made.preset))
    return say(
        f"Made {made.preset}. Change it, then start it with {{jobs.new}} {{start.earlier}}.",
        f"{made.preset} を作成しました。編集して {{jobs.new}} {{start.earlier}} で開始できます。",
    )


def version_with(run_dir: str, values: Mapping[str, Any], note: str, made: Callable[[str], object]) -> str:
    """Make the next version of the preset of a run with some options changed; ``made`` hears its path."""
    from musubi_tui.presets.editing import set_values
    from musubi_tui.presets.versions import make, plan_next
    from musubi_tui.runs.origin import preset_of

    version = make(plan_next(preset_of(RunDirectory(Path(run_dir)))), note)
    set_values(version.preset, values)
    made(str(version.preset))
    return say(f"Made {version.preset} with {note}.", f"{version.preset} を作成しました（{note}）。")


def describe_next_version(run_dir: str) -> str:
    """Which files the next version would be. Raises ``UserError``."""
    from musubi_tui.presets.versions import plan_next
    from musubi_tui.runs.origin import preset_of

    plan = plan_next(preset_of(RunDirectory(Path(run_dir))))
    return "\n".join(f"{source.name} -> {target}" for source, target in plan.copies)


def set_price(text: str) -> str:
    """Keep the price of an hour."""
    from musubi_tui.runs.home import config_file
    from musubi_tui.runs.money import money
    from musubi_tui.runs.pricing import parse_price, sign_in
    from musubi_tui.runs.pricing import set_price as write

    price = parse_price(text)
    write(price, sign_in(text))
    return say(f"{money(price)} per hour, kept in {config_file()}. Runs that start from now on count money.",
               f"1 時間あたり {money(price)}（{config_file()} に保存）。以後に始める run で費用を計算します。")  # fmt: skip


def cancel_hook(run_dir: str) -> str:
    """Cancel the command that waits after a run's end."""
    from engine.events.control import send, wait_for_ack
    from musubi_tui.tui.steering import ANSWER_SECONDS

    run = RunDirectory(Path(run_dir))
    ack = wait_for_ack(run, send(run, "cancel_hooks"), ANSWER_SECONDS)
    if ack is None:
        return say("No answer: the command may be running already.", "応答がありません。既に実行中かもしれません。")
    return told_answer("cancel_hooks", ack.result, ack.message)


def _waits(home: Path, run: RunDirectory) -> bool:
    entry = entry_of(home, run)
    return entry is not None and entry.state == "waiting" and true_state(run) == "queued"
