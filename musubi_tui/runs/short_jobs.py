"""Short jobs of the engine: work that needs torch and is waited for. Their run directory vanishes when they succeed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import Problem, UserError
from musubi_tui.runs.creating import create_job
from musubi_tui.runs.launching import launch
from musubi_tui.runs.snapshot import snapshot

if TYPE_CHECKING:
    from engine.config import Config


class ShortJobFailed(UserError):
    """A short job ended with problems; ``exit_code`` is the engine's."""

    def __init__(self, problems: Sequence[Problem], exit_code: int) -> None:
        super().__init__(problems)
        self.exit_code = exit_code


def run_short_job(config: Config, *, kind: str, stages: Sequence[str], name: str) -> None:
    """Run ``stages`` in an engine process and wait for it. Raises ``UserError`` with what the engine complained about.

    A failed job leaves its run directory under ``<home>/tmp``, so that its log can be read.
    """
    run = create_job(config, kind=kind, stages=stages, name=name)
    process = launch(run, device="cpu" if config.run.device == "cpu" else "auto")
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    if code == 0:
        shutil.rmtree(run.path, ignore_errors=True)
        return
    now = snapshot(run)
    problems = [Problem(error["code"], error["message"], error["fix"]) for error in now.errors]
    reason = now.reason or say(f"{kind} ended with code {code}; see {run.engine_log}.", f"{kind} が終了コード {code} で終わりました。{run.engine_log} を見てください。")  # fmt: skip
    raise ShortJobFailed(problems or [Problem("job_failed", reason)], now.exit_code or 1)
