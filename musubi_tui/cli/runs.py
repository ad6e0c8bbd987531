"""``musubi-tui runs``: list, show, watch and steer runs. Reads files and drops control files; computes nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli import listing, noting, removing
from musubi_tui.cli import open_run as opening_one
from musubi_tui.cli import plot as plots
from musubi_tui.cli.arguments import JsonOption, RunArgument
from musubi_tui.cli.output import JOB_FAILED, OK, WRONG_INPUT, narrate, print_json

if TYPE_CHECKING:
    from engine.events.rundir import RunDirectory

_OF_TRAINING = ("save", "sample", "set")  # a cache run does none of these

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    help=say(
        "List, show, watch and control runs. RUN is an id, a unique prefix of one, a name (its newest run), a path, or "
        "[bold]last[/bold]: the newest run; for what only trainings have (plot, compare, resume, stop, save …) the newest training.",
        "run の一覧・表示・監視・操作。RUN は ID、その一意な先頭部分、名前（最新のもの）、パス、または [bold]last[/bold]"
        "（最新の run。plot・compare・resume・stop・save など学習に関するものでは最新の学習 run）です。",
    ),
)

TimeoutOption = Annotated[
    float, typer.Option("--timeout", help=say("Seconds to wait for the engine's answer.", "エンジンの応答を待つ秒数。"))
]

app.command("list", help=listing.LIST_HELP)(listing.list_)


@app.command(
    help=say("Show one run: state, progress, outputs, warnings.", "run の状態、進み具合、出力、警告を表示します。")
)
def show(run: RunArgument, as_json: JsonOption = False) -> int:
    from musubi_tui.cli.run_card import print_card
    from musubi_tui.runs.fetching import fetch_line
    from musubi_tui.runs.finding import find_run
    from musubi_tui.runs.snapshot import snapshot

    now = snapshot(find_run(run))
    if as_json:
        print_json(now.as_json() | {"fetch": fetch_line(now)})
    else:
        print_card(now)
    return OK


@app.command(
    help=say(
        "Follow a run until it ends; Ctrl-C only stops watching. The exit code says how it ended: 0 done or stopped, 75 preempted and saved, else what `runs show` tells.\n\n"
        "  musubi-tui runs watch last\n\n"
        "  musubi-tui runs watch --replay events.jsonl --speed 20",
        "run を終了まで監視します。Ctrl-C は監視をやめるだけです。終了コードは結果を表します: 0 は完了または停止、75 は保存して中断、それ以外は `runs show` を参照してください。\n\n"
        "  musubi-tui runs watch last\n\n"
        "  musubi-tui runs watch --replay events.jsonl --speed 20",
    )
)
def watch(
    run: RunArgument = "",
    plain: Annotated[bool, typer.Option("--plain", help=say("Lines for pipes and screen readers.", "パイプやスクリーンリーダー向けの行表示。"))] = False,
    replay: Annotated[Path | None, typer.Option("--replay", metavar="EVENTS", help=say("Play a recorded events.jsonl instead.", "記録された events.jsonl を再生します。"))] = None,
    speed: Annotated[float, typer.Option("--speed", min=0, help=say("Times as fast as it was recorded; 0: at once.", "再生速度の倍率。0 なら待たずに表示。"))] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help=say("Print the events, one JSON object per line.", "イベントを 1 行 1 JSON で出力します。"))] = False,
) -> int:  # fmt: skip
    from engine.events.status import Status
    from musubi_tui.cli.following import watch as stay
    from musubi_tui.cli.live import JsonDisplay, make_display
    from musubi_tui.cli.replay import play
    from musubi_tui.runs.costs import todays_price
    from musubi_tui.runs.finding import find_run

    if bool(run) == bool(replay):
        raise UserError.of(
            "usage",
            say("Give either a run or --replay EVENTS.", "run か --replay EVENTS のどちらか一方を指定してください。"),
            say("`musubi-tui runs list` shows the runs.", "run の一覧は `musubi-tui runs list` にあります。"),
        )
    target = None if replay else find_run(run)
    today = todays_price(Status.read(target)) if target else None
    display = JsonDisplay(sys.stdout) if as_json else make_display(sys.stdout, plain=plain, today=today)
    if replay:
        play(replay, display, speed)
        return OK
    assert target is not None
    return stay(target, display)


@app.command(
    help=say("Print what the engine process wrote (engine.log).", "エンジンの出力（engine.log）を表示します。")
)
def logs(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help=say("Go on until the run ends.", "run の終了まで続けます。"))] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help=say("How many of the last lines; 0: all.", "末尾の行数。0 なら全部。"))] = 50,
) -> int:  # fmt: skip
    from musubi_tui.cli.logs import print_log
    from musubi_tui.runs.finding import find_run

    return print_log(find_run(run), lines, follow=follow)


@app.command(
    help=say(
        "Pause a run; it keeps its memory and goes on with `runs resume`.",
        "run を一時停止します。`runs resume` で続行します。",
    )
)
def pause(run: RunArgument, timeout: TimeoutOption = 10.0, as_json: JsonOption = False) -> int:
    return _steer(run, "pause", {}, timeout, as_json)


@app.command(
    help=say(
        "Go on: un-pause a paused run, or continue one that was stopped, preempted, failed or lost.",
        "再開します。一時停止中の run は続行し、停止・中断・失敗・消失した run は最新の状態から続けます。",
    )
)
def resume(
    run: RunArgument,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=say("Change a value that is safe to change.", "変更可能な値を変えます。"))] = None,
    timeout: TimeoutOption = 10.0,
    allow_hooks: Annotated[bool, typer.Option("--allow-hooks", help=say("Let the preset's hooks run.", "プリセットのフックの実行を許可します。"))] = False,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from engine.events.status import ALIVE, true_state
    from musubi_tui.runs.finding import find_run, works_or_trains

    found = find_run(run, works_or_trains)
    if true_state(found) in ALIVE:
        return _steer(str(found.path), "resume", {}, timeout, as_json)
    from musubi_tui.cli.following import how_to_watch
    from musubi_tui.cli.train import resume_run

    code = resume_run(str(found.path), overrides, detach=True, plain=True, as_json=as_json, allow_hooks=allow_hooks)
    if code == OK:
        narrate(how_to_watch(found).strip())
    return code


@app.command(
    "cancel-hooks",
    help=say(
        "Cancel the on_finish or on_error command that waits after a run's end.",
        "run の終了後に待機している on_finish / on_error の実行を取り消します。",
    ),
)
def cancel_hooks(run: RunArgument, timeout: TimeoutOption = 10.0, as_json: JsonOption = False) -> int:
    return _steer(run, "cancel_hooks", {}, timeout, as_json)


@app.command(help=say("Save the LoRA and a resume state now.", "LoRA と再開用の状態を今すぐ保存します。"))
def save(run: RunArgument, timeout: TimeoutOption = 10.0, as_json: JsonOption = False) -> int:
    return _steer(run, "save", {}, timeout, as_json)


@app.command(help=say("Make preview pictures now.", "プレビュー画像を今すぐ作成します。"))
def sample(
    run: RunArgument,
    prompts: Annotated[list[str] | None, typer.Option("--prompt", "-p", help=say("Instead of the preset's prompts.", "プリセットのプロンプトの代わりに使います。"))] = None,
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    return _steer(run, "sample", {"prompts": prompts} if prompts else {}, timeout, as_json)


@app.command(
    "set",
    help=say(
        "Change a value while the run goes on (learning_rate_factor, cadences, prompts, max_train_steps).",
        "実行中に値を変更します（learning_rate_factor、保存・サンプル間隔、プロンプト、max_train_steps）。",
    ),
)
def set_(
    run: RunArgument,
    change: Annotated[str, typer.Argument(metavar="KEY=VALUE", help=say("What to change.", "変更内容。"))],
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.cli.train import parse_overrides
    from musubi_tui.runs.live_values import written_value

    if "=" not in change:
        raise UserError.of(
            "usage",
            say(f"{change!r} is not of the form KEY=VALUE.", f"{change!r} は KEY=VALUE の形ではありません。"),
            say("Example: max_train_steps=2000", "例: max_train_steps=2000"),
        )
    ((key, value),) = parse_overrides([change]).items()
    return _steer(run, "set", {"key": key, "value": written_value(key, value)}, timeout, as_json)


@app.command(
    help=say("Stop a run safely: it saves a complete state first.", "run を安全に停止します（先に状態を保存します）。")
)
def stop(
    run: RunArgument,
    when: Annotated[str, typer.Option("--when", metavar="now|save|epoch", help=say("After this step, the next save, or the epoch.", "このステップの後、次の保存の後、またはエポックの終わり。"))] = "now",
    timeout: TimeoutOption = 10.0,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from engine.events.control import STOP_WHEN

    if when not in STOP_WHEN:
        raise UserError.of(
            "usage",
            say(f"--when takes {', '.join(STOP_WHEN)}, not {when!r}.", f"--when は {', '.join(STOP_WHEN)} のいずれかです（{when!r} は不可）。"),
            key="when",
        )  # fmt: skip
    return _steer(run, "stop", {"when": when}, timeout, as_json)


@app.command(
    help=say(
        "Ask runs of this machine to save a complete state and leave, before a pod or a machine stops.",
        "Pod やマシンが止まる前に、このマシンの run に完全な状態を保存させて終了させます。",
    )
)
def preempt(
    run: Annotated[str, typer.Argument(metavar="RUN", help=say("Which run; or --all.", "対象の run、または --all。"))] = "",
    everything: Annotated[bool, typer.Option("--all", help=say("Every run that is active on this machine.", "このマシンで実行中のすべての run。"))] = False,
    wait: Annotated[bool, typer.Option("--wait", help=say("Return when they have saved and left.", "保存して終了するまで待ちます。"))] = False,
    timeout: Annotated[float | None, typer.Option("--timeout", min=0, help=say("Seconds to wait at most (with --wait).", "待つ秒数の上限（--wait と併用）。"))] = None,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs.finding import find_run, list_runs, works_or_trains
    from musubi_tui.runs.preempting import ask_to_save, has_saved, let_the_queue_rest, running_here, wait_until_gone
    from musubi_tui.runs.state_words import state_word

    if bool(run) == everything:
        raise UserError.of(
            "usage", say("Give either a run or --all.", "run か --all のどちらか一方を指定してください。")
        )
    if everything:
        let_the_queue_rest()
    asked = running_here(list_runs() if everything else [find_run(run, works_or_trains)])
    ask_to_save(asked)
    late = wait_until_gone(asked, timeout) if wait else []
    lost = [one for one in asked if wait and one not in late and not has_saved(one)]
    report = [
        {"id": one.run.id, "state": _state_of(one.run), "saved": has_saved(one) if wait else None} for one in asked
    ]
    if as_json:
        print_json(report)
    else:
        for entry in report:
            sys.stdout.write(f"{entry['id']}  {state_word(str(entry['state']))}\n")
        if not asked:
            narrate(say("No run is active on this machine.", "このマシンで実行中の run はありません。"))
        for one in late:
            narrate(say(f"{one.run.id} is still saving.", f"{one.run.id} はまだ保存中です。"))
        for one in lost:
            narrate(
                say(
                    f"{one.run.id} did not save: see {one.run.engine_log}",
                    f"{one.run.id} は保存できませんでした: {one.run.engine_log}",
                )
            )
    return JOB_FAILED if late or lost else OK


app.command(
    help=say(
        "Draw a curve of one or several runs over the steps.\n\n  musubi-tui runs plot last\n\n"
        "  musubi-tui runs plot v1 v2 --what grad-norm --log",
        "1 つ以上の run の推移をステップに対して描画します。\n\n  musubi-tui runs plot last\n\n"
        "  musubi-tui runs plot v1 v2 --what grad-norm --log",
    )
)(plots.plot)
app.command(
    help=say(
        "Show in which settings runs differ, what came of them, and their losses at equal steps, hours or money.\n\n"
        "  musubi-tui runs compare v1 v2 --by time",
        "run どうしで異なる設定と結果、同じステップ・時間・費用での loss を並べて表示します。\n\n"
        "  musubi-tui runs compare v1 v2 --by time",
    )
)(plots.compare)
app.command("archive", help=listing.ARCHIVE_HELP)(listing.archive)
app.command("unarchive", help=listing.UNARCHIVE_HELP)(listing.unarchive)
app.command("price", help=listing.PRICE_HELP)(listing.price)
app.command("note", help=noting.HELP)(noting.note)
app.command("winner", help=noting.WINNER_HELP)(noting.winner)
app.command("fixes", help=noting.FIXES_HELP)(noting.fixes)
app.command("headroom", help=noting.HEADROOM_HELP)(noting.headroom)
app.command("rm", help=removing.HELP)(removing.rm)
app.command("open", help=opening_one.HELP)(opening_one.open_run)


def _state_of(run: RunDirectory) -> str:
    from engine.events.status import true_state

    return true_state(run)


def _steer(word: str, command: str, arguments: Mapping[str, Any], timeout: float, as_json: bool) -> int:
    """Put a command before the engine and tell its answer; the exit code."""
    from engine.events.control import send, wait_for_ack
    from engine.events.status import ALIVE, Lease, true_state
    from musubi_tui.runs.finding import cache_run, find_run, find_training, is_training, works_or_trains
    from musubi_tui.runs.state_words import takes_no_commands, told_answer

    run = find_training(word) if command in _OF_TRAINING else find_run(word, works_or_trains)
    state = true_state(run)
    lease = Lease.read(run)  # held after the end, too, while a hook waits or runs
    if state not in ALIVE and not (command == "cancel_hooks" and lease is not None and lease.alive(run)):
        if state == "done" and not is_training(run):
            raise cache_run(run)
        raise UserError.of(
            "not_running",
            takes_no_commands(run.id, state),
            say(f"Train it further: `musubi-tui train --resume {run.id} --set max_train_steps=N`.", f"さらに学習: `musubi-tui train --resume {run.id} --set max_train_steps=N`。")
            if state == "done"
            else say(f"`musubi-tui train --resume {run.id}` goes on with it.", f"再開: `musubi-tui train --resume {run.id}`。"),
            file=run.path,
        )  # fmt: skip
    sent = send(run, command, arguments)
    ack = wait_for_ack(run, sent, timeout)
    if as_json:
        answer = {"result": ack.result, "message": ack.message} if ack else {"result": "unanswered", "message": ""}
        print_json({"id": sent.id, "command": command, **answer})
    elif ack is None:
        narrate(
            say(
                f"No answer within {timeout:g} s; the engine looks at it after the step or the preview it is in.",
                f"{timeout:g} 秒以内に応答がありません。現在のステップまたはプレビューの後に処理されます。",
            )
        )
    else:
        narrate(told_answer(command, ack.result, ack.message))
    if ack is None:
        return JOB_FAILED
    return WRONG_INPUT if ack.result == "refused" else OK
