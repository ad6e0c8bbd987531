"""``musubi-tui queue``: several trainings one after the other, one per GPU, without anybody waiting for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption, SetOption
from musubi_tui.cli.output import OK, narrate, print_json, print_table

if TYPE_CHECKING:
    from musubi_tui.runs.queue import Entry, Queue, QueueFile

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    help=say(
        "Line up trainings: one per GPU, the next starts when one ends. ENTRY is a number of `queue list` or the id of a run.",
        "学習を順番に実行します。GPU ごとに 1 件、終わると次を開始します。ENTRY は `queue list` の番号か run の ID です。",
    ),
)

EntryArgument = Annotated[str, typer.Argument(metavar="ENTRY", help=say("Which entry.", "対象の項目。"))]


@app.command(
    help=say(
        "Check a preset, make its run and put it in the queue. The run is what the preset says now; editing it later "
        "changes nothing.\n\n  musubi-tui queue add preset.toml --set learning_rate=5e-5",
        "プリセットを検査し、run を作成してキューに入れます。内容はこの時点のもので、後から編集しても変わりません。\n\n"
        "  musubi-tui queue add preset.toml --set learning_rate=5e-5",
    )
)
def add(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help=say("Preset: a file, or the name of a shipped one.", "プリセット（ファイルか付属プリセット名）。"))],
    overrides: SetOption = None,
    gpus: Annotated[str | None, typer.Option("--gpus", metavar="0,1", help=say("Which GPUs it may take (it takes one); by default CUDA_VISIBLE_DEVICES, else any.", "使用してよい GPU（1 つを使用）。既定は CUDA_VISIBLE_DEVICES、なければすべて。"))] = None,
    first: Annotated[bool, typer.Option("--first", help=say("Before all that wait.", "待機中の先頭に入れます。"))] = False,
    retries: Annotated[int, typer.Option("--retries", min=0, help=say("How often it goes on after a preemption.", "中断後に再開する回数。"))] = 3,
    retry_after: Annotated[float, typer.Option("--retry-after", min=0, metavar="SECONDS", help=say("Rest of the queue after a preemption: the machine may be about to stop.", "中断後にキューを休ませる秒数（マシンが停止直前かもしれないため）。"))] = 120.0,
    keep_going: Annotated[bool, typer.Option("--keep-going", help=say("Its failure does not hold the others.", "失敗しても他を保留しません。"))] = False,
    strict: Annotated[bool, typer.Option("--strict", help=say("Options that are not built yet are errors.", "未実装の項目をエラーにします。"))] = False,
    allow_hooks: Annotated[bool, typer.Option("--allow-hooks", help=say("Let the preset's on_finish, on_error and on_preempt commands run.", "プリセットの on_finish / on_error / on_preempt コマンドの実行を許可します。"))] = False,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from engine.config.secrets import SECRET_OPTIONS
    from musubi_tui.cli.train import load_preset, parse_overrides, tell_hooks
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs import queueing
    from musubi_tui.runs.hooking import hooks_of_preset
    from musubi_tui.runs.slots import chosen_gpus

    changes = parse_overrides(overrides)
    _refuse_secrets([key for key in changes if key.rpartition(".")[2] in SECRET_OPTIONS])
    allowed = chosen_gpus(gpus)
    loaded = load_preset(find_preset(preset), changes, strict)
    file = _queue()
    hooks = hooks_of_preset(loaded.config)
    entry = queueing.enqueue(
        loaded, file, gpus=allowed, first=first, retries=retries, retry_after=retry_after, keep_going=keep_going,
        hooks=hooks if allow_hooks else None,
    )  # fmt: skip
    tell_hooks(hooks, allowed=allow_hooks)
    queue = file.read()
    if as_json:
        print_json(_row(queue, entry))
        return OK
    typer.echo(entry.run.id)
    narrate(say(f"Number {entry.id} in the queue of {file.host}.", f"{file.host} のキューの {entry.id} 番です。"))
    _tell_held(queue)
    return OK


@app.command(
    "list", help=say("Show what runs, what waits and what ended.", "実行中・待機中・終了した項目を表示します。")
)
def list_(as_json: JsonOption = False) -> int:
    from musubi_tui.runs.queue import all_queues
    from musubi_tui.runs.supervisor import supervisor_of

    queues = [(file, file.read(), supervisor_of(file)) for file in all_queues(_queue().folder.parent)]
    if as_json:
        print_json([
            {
                "host": queue.host,
                "supervisor": {"pid": living.pid} if living else None,
                "held": queue.held or None,
                "log": str(file.log),
                "entries": [_row(queue, entry) for entry in queue.entries],
            }
            for file, queue, living in queues
        ])  # fmt: skip
        return OK
    rows = [_cells(queue, entry) for _, queue, _ in queues for entry in queue.entries]
    if not rows:
        narrate(say("The queue is empty. Add a run: musubi-tui queue add PRESET", "キューは空です。追加: musubi-tui queue add PRESET"))  # fmt: skip
        return OK
    headers = ("#", "run", say("state", "状態"), say("step", "ステップ"), "gpu", "host", say("note", "備考"))
    print_table(headers, rows, right=[0, 3])
    for file, queue, living in queues[:1]:
        _tell_held(queue)
        if not living and not queue.held and (queue.waiting() or queue.running()):
            narrate(say("Nobody works on the queue. Start: musubi-tui queue run", "キューは処理されていません。開始: musubi-tui queue run"))  # fmt: skip
        rest = queue.quiet_until - time.time()
        if rest > 0 and queue.waiting():
            narrate(say(f"Rests for {rest:.0f} s after a preemption (`queue run` goes on at once). Log: {file.log}", f"中断後の休止中（残り {rest:.0f} 秒、`queue run` ですぐ再開）。ログ: {file.log}"))  # fmt: skip
    return OK


@app.command(help=say("Change the order of what waits.", "待機中の項目の順番を変更します。"))
def move(
    entry: EntryArgument,
    position: Annotated[str, typer.Argument(metavar="first|last|N", help=say("Its new place among those that wait.", "待機中での新しい位置。"))],
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs import queueing

    places = {"first": 0, "last": 1_000_000}
    if position not in places and not (position.isascii() and position.isdigit() and int(position) > 0):
        raise UserError.of(
            "usage",
            say(f"A place is first, last or a number from 1, not {position!r}.", f"位置は first、last、1 以上の数です（{position!r} は不可）。"),
        )  # fmt: skip
    file = _queue()
    moved = queueing.move(file, entry, places[position] if position in places else int(position) - 1)
    queue = file.read()
    if as_json:
        print_json(_row(queue, moved))
    else:
        order = ", ".join(one.run.id for one in queue.waiting())
        narrate(say(f"Waiting, in order: {order}", f"待機順: {order}"))
    return OK


@app.command(
    help=say(
        "Take an entry out of the queue; a run that was never started is deleted.",
        "項目をキューから外します。未開始の run は削除されます。",
    )
)
def rm(entry: EntryArgument, as_json: JsonOption = False) -> int:
    from musubi_tui.runs import queueing

    home = _queue().folder.parent
    removed, deleted = queueing.remove(queueing.file_of(home, entry), entry)
    if as_json:
        print_json({"id": removed.id, "run": removed.run.id, "run_deleted": deleted})
    else:
        narrate(say(f"{removed.run.id} is out of the queue.", f"{removed.run.id} をキューから外しました。"))
    return OK


@app.command(
    help=say(
        "Go on: after a failure, a reboot or a rest. Entries that are named are tried again, before the others.\n\n"
        "  musubi-tui queue run        (the failed one stays failed, the next one starts)\n\n"
        "  musubi-tui queue run 3      (number 3 is tried again first)",
        "続行します（失敗・再起動・休止の後）。ENTRY を指定すると先にやり直します。\n\n"
        "  musubi-tui queue run        （失敗したものはそのまま、次を開始）\n\n"
        "  musubi-tui queue run 3      （3 番を先にやり直す）",
    )
)
def run(
    entries: Annotated[list[str] | None, typer.Argument(metavar="[ENTRY]...", help=say("What to try again.", "やり直す項目。"))] = None,
    take_from: Annotated[str, typer.Option("--from", metavar="HOST", help=say("Take over the entries of a machine that is gone.", "なくなったマシンの項目を引き継ぎます。"))] = "",
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs import queueing
    from musubi_tui.runs.supervisor import ensure_supervisor

    file = _queue()
    if take_from:
        taken = queueing.take_over(file.folder.parent, take_from)
        narrate(say(f"Took over {len(taken)} from {take_from}.", f"{take_from} から {len(taken)} 件を引き継ぎました。"))
    queue = queueing.release(file, entries or ())
    living = ensure_supervisor(file) if queue.waiting() or queue.running() else None
    if as_json:
        print_json({"host": file.host, "supervisor": {"pid": living.pid} if living else None, "log": str(file.log)})
    elif living is None:
        narrate(say("Nothing waits.", "待機中の項目はありません。"))
    else:
        narrate(say(f"The queue is worked on (pid {living.pid}). Log: {file.log}", f"キューを処理中です（pid {living.pid}）。ログ: {file.log}"))  # fmt: skip
    return OK


def _queue() -> QueueFile:
    from musubi_tui.runs.home import find_home
    from musubi_tui.runs.queue import QueueFile

    return QueueFile(find_home().path)


def _refuse_secrets(keys: list[str]) -> None:
    if keys:
        raise UserError.of(
            "secret_in_queue",
            say(f"{keys[0]} would have to be written down until the run starts.", f"{keys[0]} は開始まで書き残す必要があるため、--set では指定できません。"),
            say("Put it into the environment or the preset.", "環境変数かプリセットに設定してください。"),
            key=keys[0],
        )  # fmt: skip


def _tell_held(queue: Queue) -> None:
    if queue.held:
        narrate(
            say(
                f"Held: {queue.held}\n`musubi-tui queue run` goes on with the others, `musubi-tui queue run ENTRY` tries one again.",
                f"保留中: {queue.held}\n`musubi-tui queue run` で残りを続行、`musubi-tui queue run ENTRY` でやり直します。",
            )
        )


def _shown_state(queue: Queue, entry: Entry) -> str:
    return "held" if entry.state == "waiting" and queue.held else entry.state


def _row(queue: Queue, entry: Entry) -> dict[str, Any]:
    from engine.events.status import true_state

    waiting = [one.id for one in queue.waiting()]
    return {
        "id": entry.id,
        "position": waiting.index(entry.id) + 1 if entry.id in waiting else None,
        "host": entry.host,
        "state": _shown_state(queue, entry),
        "run": entry.run.id,
        "run_dir": entry.run_dir,
        "run_state": true_state(entry.run) if entry.run.exists() else "gone",
        "preset": entry.preset,
        "slot": entry.slot or None,
        "gpus": entry.gpus,
        "tries": entry.tries,
        "retries": entry.retries,
        "keep_going": entry.keep_going,
        "added": entry.added,
        "reason": entry.reason,
    }


def _cells(queue: Queue, entry: Entry) -> tuple[object, ...]:
    from engine.events.status import Status

    status = Status.read(entry.run)
    steps = f"{status.step}/{status.max_steps}" if status and status.max_steps else "-"
    place = entry.slot or (",".join(entry.gpus) if entry.gpus else "-")
    return entry.id, entry.run.id, _shown_state(queue, entry), steps, place, entry.host, entry.reason
