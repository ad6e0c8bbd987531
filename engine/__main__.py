"""``python -m engine RUN_DIR``: one process per job. The frame around the stages: lease, signals, status, and every way to end.

Exit codes: 0 done or stopped as asked · 1 failed · 2 the user's input is wrong · 3 the environment lacks something ·
75 preempted, and saved.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
import tomllib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.attempt import Attempt
from engine.budget import with_limits_kept
from engine.config.language import say
from engine.config.problems import Problem, UserError
from engine.events.rundir import RunDirectory
from engine.events.types import Failed
from engine.hooks import HookPlan, run_afterwards
from engine.job import Interrupted, Job, StopRequest
from engine.notices import Notice, watch_for_notices
from engine.output import collect_output
from engine.ranks import help_run, share_of_environment
from engine.signals import SignalWatch
from engine.watchman import start_watchman

if TYPE_CHECKING:
    from engine.config import Config

PREEMPTED = 75


def main(arguments: list[str]) -> int:
    """Run the job in the run directory that is the only argument; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m engine RUN_DIR\n")
        return 2
    run = RunDirectory(Path(arguments[0]))
    if not run.run_toml.is_file():
        sys.stderr.write(say(f"{run.run_toml} does not exist.\n", f"{run.run_toml} がありません。\n"))
        return 2
    collect_output(run.engine_log)
    signals = SignalWatch()
    plan = HookPlan.take(os.environ)
    if share_of_environment().rank:
        return _help(run, signals)
    try:
        attempt = Attempt(run)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        problem = _explain(error, run)
        sys.stderr.write(f"{problem}\n")
        return 3 if problem.code == "disk_full" else 1
    start_watchman(run, plan)
    attempt.on_end(lambda hook: _afterwards(plan, attempt, signals, hook))
    try:
        return _work(attempt, signals)
    except Interrupted as interruption:
        return _interrupted(attempt, interruption.request)
    except UserError as error:
        return _failed(attempt, error.problems, error.exit_code)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the outermost frame: whatever it was becomes a state, an event and a log entry
        traceback.print_exc()
        problem = _explain(error, run)
        return _failed(attempt, (problem,), 3 if problem.code == "disk_full" else 1)


def _work(attempt: Attempt, signals: SignalWatch) -> int:
    from engine.config import read_run_toml

    document = read_run_toml(attempt.run.run_toml)
    changes = with_limits_kept(attempt.run, _changes(attempt.run, attempt.number))
    config = _changed(document.config, changes)
    job = Job(attempt, config, kind=document.kind, changes=changes)
    signals.tell(
        first=lambda name: job.request_stop(StopRequest("preempted", "now", name)),
        again=lambda name, number: attempt.leave_at_once(
            say(f"left at once by a second signal ({name})", f"2 回目のシグナル（{name}）により即時終了"), 128 + number
        ),
    )
    if job.stop_requested is not None:
        raise Interrupted(job.stop_requested)
    watch_for_notices(config.run.cloud_notices, lambda notice: _obey_notice(job, notice))
    from engine.stages import run_stages  # the first import of torch: it takes seconds, and the run is visible by now

    run_stages(job, document.stages)
    attempt.finish("done", "", 0, hook="on_finish")
    return 0


def _afterwards(plan: HookPlan, attempt: Attempt, signals: SignalWatch, hook: str) -> None:
    """The hook, while a signal still means that the machine goes down."""
    hurried = threading.Event()
    signals.tell(first=lambda name: hurried.set(), again=lambda name, number: attempt.leave_at_once(name, number))
    run_afterwards(plan, attempt, hook, hurried)


def _obey_notice(job: Job, notice: Notice) -> None:
    """The machine will be taken away: like a signal, with a deadline."""
    left = "" if notice.deadline is None else f", {max(0.0, notice.deadline - time.time()):.0f} s"
    job.warn(
        "machine_stops",
        say(f"{notice.provider} takes this machine away ({notice.what}{left}).", f"{notice.provider} がこのマシンを停止します（{notice.what}{left}）。"),
        say("The run saves; resume it elsewhere.", "保存します。別のマシンで再開してください。"),
    )  # fmt: skip
    job.request_stop(StopRequest("preempted", "now", f"{notice.provider}: {notice.what}", deadline=notice.deadline))


def _help(run: RunDirectory, signals: SignalWatch) -> int:
    """One of several processes: encode with the run's owner, and end with it. What goes wrong stands in engine.log."""
    from engine.config import read_run_toml

    try:
        document = read_run_toml(run.run_toml)
        numbers = [int(path.stem) for path in run.attempts.glob("*.toml") if path.stem.isdigit()]
        config = _changed(document.config, _changes(run, max(numbers, default=1)))
        return help_run(run, config, document.stages, signals)
    except Interrupted:
        return 0
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except (Exception, SystemExit):  # noqa: BLE001 - the outermost frame of a helper: the owner does its work
        traceback.print_exc()
        return 1


def _changes(run: RunDirectory, attempt: int) -> dict[int, dict[str, Any]]:
    """What the files of this attempt and of earlier ones change, by the attempt's number."""
    files = {number: run.attempts / f"{number}.toml" for number in range(2, attempt + 1)}
    return {
        number: tomllib.loads(path.read_text("utf-8")).get("set", {})
        for number, path in files.items()
        if path.is_file()
    }


def _changed(config: Config, changes: dict[int, dict[str, Any]]) -> Config:
    """The configuration of run.toml with what resuming changed."""
    from engine.config import OPTIONS

    merged = {key: value for values in changes.values() for key, value in values.items()}
    of_config = {key: value for key, value in merged.items() if key in OPTIONS and key != "sample_prompts"}
    return config.with_values(of_config) if of_config else config


def _interrupted(attempt: Attempt, request: StopRequest) -> int:
    if request.reason == "preempted":
        reason = say(f"preempted ({request.source}); saved", f"中断（{request.source}）、保存済み")
        attempt.finish("preempted", reason, PREEMPTED, hook="on_preempt")
        return PREEMPTED
    # A person who stops a run is there and needs no hook; a budget stops it when nobody looks.
    hook = "on_finish" if request.source == "budget" else ""
    attempt.finish("stopped", request.explanation or say("stopped as asked", "指示により停止"), 0, hook=hook)
    return 0


def _failed(attempt: Attempt, problems: tuple[Problem, ...], exit_code: int) -> int:
    for problem in problems:
        where = problem.location()
        message = f"{where}: {problem.message}" if where else problem.message
        attempt.events.emit(Failed(problem.code, message, problem.fix))
        sys.stderr.write(f"{problem}\n")
    attempt.finish("failed", _in_short(problems), exit_code, hook="on_error")
    return exit_code


def _in_short(problems: tuple[Problem, ...]) -> str:
    """The first complaint with the name of its file, and how many more there are."""
    if not problems:
        return ""
    first, more = problems[0], len(problems) - 1
    name = os.path.basename(first.file.rstrip(os.sep))
    text = first.message if not name or name in first.message else f"{name}: {first.message}"
    if not more:
        return text
    return say(f"{text} ({more} more)", f"{text}（ほか {more} 件）")


def _explain(error: BaseException, run: RunDirectory) -> Problem:
    """One line and a way out for an exception nobody foresaw; the traceback is in engine.log."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    text = " · ".join([*getattr(error, "__notes__", ())[:1], text])  # the file it happened with, where that is known
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem(
            "disk_full", text, say("Free some space and resume the run.", "空き容量を作って run を再開してください。")
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Problem("out_of_memory", text, say("Lower the batch size or resolution, set blocks_to_swap or gradient_checkpointing, then resume.",
            "バッチサイズか解像度を下げる、blocks_to_swap や gradient_checkpointing を設定するなどして再開してください。"))  # fmt: skip
    return Problem(
        "internal_error", text, say(f"The whole story is in {run.engine_log}.", f"詳細は {run.engine_log} にあります。")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
