"""A notice with a deadline ends a step that would outlast it between two blocks; what is saved is the step before, and it resumes bit-equal."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.job import Interrupted, StopRequest
from engine.train import deadline
from engine.train.state import newest_state
from tests.unit.test_train_loop import Attempt

CHANGES: dict[str, Any] = {"max_train_steps": 5, "network_dropout": 0.2}


def hooks() -> int:
    return len(torch.nn.modules.module._global_forward_pre_hooks)


def notice_in_step(attempt: Attempt, number: int, call: int, left: float) -> list[int]:
    """At the ``call``-th block of step ``number``, a thread brings a notice; the blocks that were entered in that step."""
    calls: list[int] = []
    entered: list[int] = []

    def enter(module: Any, inputs: Any) -> None:
        calls.append(len(calls))
        if attempt.job.steps and attempt.job.steps[-1] == number - 1:
            entered.append(len(entered))
            if len(entered) == call:
                request = StopRequest("preempted", "now", "AWS: terminate", deadline=time.time() + left)
                attempt.job.stop_requested = request
                thread = threading.Thread(target=attempt.job.hear, args=(request,))
                thread.start()
                thread.join()

    for block in attempt.model.blocks:
        block.register_forward_pre_hook(enter)
    return entered


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_that_would_outlast_the_machine_ends_at_a_block(tmp_path: Path, checkpointing: bool) -> None:
    changes = CHANGES | {"gradient_checkpointing": checkpointing}
    straight = Attempt(tmp_path / "straight", **changes)
    straight.go()
    attempt = Attempt(tmp_path / "broken", **changes)
    # Two blocks forward; with checkpointing each is entered again in the backward pass: the third entry is there.
    call = 3 if checkpointing else 1
    entered = notice_in_step(attempt, 3, call, left=deadline.LEAST_RESERVE_S - 1)
    with pytest.raises(Interrupted):
        attempt.go()
    assert len(entered) == call  # no further block
    assert attempt.job.steps[-1] == 2
    state = newest_state(tmp_path / "broken" / "state")
    assert state is not None
    assert state.position.step == 2
    assert hooks() == 0
    again = Attempt(tmp_path / "broken", **changes)
    again.go()
    assert attempt.losses | again.losses == straight.losses


def test_a_step_that_fits_is_finished(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, **CHANGES)
    entered = notice_in_step(attempt, 3, 1, left=deadline.LEAST_RESERVE_S + 60)
    with pytest.raises(Interrupted):
        attempt.go()
    assert len(entered) == 2
    assert attempt.job.steps[-1] == 3


def test_how_long_a_state_takes_to_save_is_kept_free(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, **CHANGES)
    watch = deadline.Deadline(attempt.job)
    watch.saving_s = 20.0
    try:
        for left, outlasts in ((45.0, False), (35.0, True)):
            watch.close()
            with watch.micro_step():
                pass
            attempt.job.hear(StopRequest("preempted", deadline=time.time() + left))
            if outlasts:
                with pytest.raises(deadline.StepOutlasts), watch.micro_step():
                    torch.nn.Identity()(torch.zeros(1))
            else:
                with watch.micro_step():
                    torch.nn.Identity()(torch.zeros(1))
    finally:
        watch.close()


def test_signals_and_people_without_a_deadline_leave_no_hook(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, **CHANGES)
    watch = deadline.Deadline(attempt.job)
    attempt.job.hear(StopRequest("preempted", "now", "SIGTERM"))
    attempt.job.hear(StopRequest("stopped", "now", "id", deadline=1.0))
    assert hooks() == 0
    watch.close()
