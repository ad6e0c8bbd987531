"""Leaving in the middle of a step: when a notice says when the machine will be gone, and the step would take longer.

A step of a large model may take a minute, a spot machine gives thirty seconds. Until such a notice comes nothing is in the way of the
computation. Then a hook looks at the clock before each module's forward: in a block of the forward pass, or of the recomputation that
gradient checkpointing does in the backward pass. It gives up the step as soon as the time that is left would not do for the
rest of it and for saving the state of the step before.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from engine.job import Job, StopRequest

LEAST_RESERVE_S = 5.0  # for the state, where saving has not been measured or is quick
_REMEMBERED = 8


class StepOutlasts(Exception):
    """The step would not be done before the machine is gone."""


class Deadline:
    """Watches the micro-steps of one attempt. ``saving_s``: how long the last state took to save."""

    def __init__(self, job: Job) -> None:
        self.saving_s = 0.0
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._began: float | None = None
        self._gone_at: float | None = None
        self._hook: RemovableHandle | None = None
        job.on_stop(self._hear)

    @contextmanager
    def micro_step(self) -> Iterator[None]:
        """Around forward and backward of one micro-batch. Raises ``StepOutlasts`` from within."""
        self._began = time.monotonic()
        try:
            yield
            self._took.append(time.monotonic() - self._began)
        finally:
            self._began = None

    def close(self) -> None:
        """Take the hook away."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _hear(self, request: StopRequest) -> None:
        """Called on the thread that hears of the notice."""
        if request.reason == "preempted" and request.deadline is not None and self._hook is None:
            self._gone_at = time.monotonic() + request.deadline - time.time()
            self._hook = register_module_forward_pre_hook(self._look)

    def _look(self, module: nn.Module, inputs: Any) -> None:
        began, gone_at = self._began, self._gone_at
        if began is None or gone_at is None:  # a preview or a validation
            return
        # Nothing is known of the first step: it is given up, and nothing is lost with it.
        usual = statistics.median(self._took) if self._took else float("inf")
        ends = max(began + usual, time.monotonic())
        if ends + max(LEAST_RESERVE_S, 2 * self.saving_s) > gone_at:
            raise StepOutlasts
