"""The frame in which everything runs and fails: what a person can act on becomes a paragraph and an exit code.

A traceback means a bug of ours. No Typer here: the app starts in this frame too, and need not wait for it.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

from engine.config.language import say
from engine.config.problems import Problem, UserError
from musubi_tui import __version__
from musubi_tui.cli.output import INTERRUPTED, JOB_FAILED, MISSING_REQUIREMENT, WRONG_INPUT, narrate, print_problems


def guarded(job: Callable[[], int]) -> int:
    """The exit code of ``job``; everything that went wrong has been told on stderr by then."""
    try:
        code = job()
        sys.stdout.flush()  # a disk that is full is found now, not when Python leaves
        return code
    except UserError as error:
        print_problems(error.problems)
        return error.exit_code
    except KeyboardInterrupt:
        narrate(say("Interrupted.", "中断しました。"))
        return INTERRUPTED
    except OSError as error:
        return _system_error(error)
    except Exception:  # noqa: BLE001 - the outermost frame: a bug is shown whole, then explained
        traceback.print_exc()
        narrate(
            say(
                f"This is a bug in musubi-tui {__version__}, not your mistake: please open an issue with the lines above.",
                f"これは musubi-tui {__version__} のバグで、あなたの間違いではありません。上の行を添えて issue で知らせてください。",
            )
        )
        return JOB_FAILED


def _system_error(error: OSError) -> int:
    """A file or disk refused: what, where and what to do, without a traceback."""
    reason = error.strerror or str(error)
    where = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = say("Free some space, or write elsewhere.", "空き容量を作るか、別の場所に書き出してください。")
        problem, code = Problem("disk_full", f"{reason}.", fix, file=where), MISSING_REQUIREMENT
    else:
        fix = say("Check the path and its permissions.", "パスと権限を確認してください。")
        problem, code = Problem("system_error", f"{reason}.", fix, file=where), WRONG_INPUT
    try:
        print_problems([problem])
    except OSError:  # stderr itself refuses: the exit code is all that can be told
        _forget("stderr")
    try:
        sys.stdout.flush()
    except OSError:
        _forget("stdout")
    return code


def _forget(stream: str) -> None:
    """What waits in a stream that refuses it is lost: Python must not try again when it leaves."""
    setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives
