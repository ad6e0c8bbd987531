"""What a step measured, read one step late: the loss stays on the device until the next step is on its way.

``StepReader.push`` takes device scalars and starts their copy to the host; the step before is read by then, so reading
it does not hold up the device. ``flush`` waits, and is called where waiting costs nothing: before a file is saved.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from engine.config.language import say
from engine.config.problems import UserError

PARTS = ("forward", "backward", "optimizer")


class TrainingFailed(UserError):
    """Training itself cannot go on (exit code 1)."""

    exit_code = 1


@dataclass
class StepRecord:
    """One optimizer step. ``loss`` and ``grad_norm`` are filled in when they have arrived; times are seconds."""

    step: int
    epoch: int
    lr: tuple[float, ...]
    timesteps: tuple[float, ...]
    items: tuple[str, ...]
    step_s: float = 0.0
    data_s: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    loss: float = math.nan
    grad_norm: float = math.nan


class PartClock:
    """Seconds spent in the parts of a step: by CUDA events on a GPU (nothing is waited for), else by the host's clock."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._marks: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, finished: str) -> None:
        """Say that the part ``finished`` ends here ("" where none does: a beginning)."""
        if not self._cuda:
            self._marks.append((finished, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append((finished, event))

    def take(self) -> Callable[[], dict[str, float]]:
        """The marks so far as a function that adds them up once the device has passed them; starts anew."""
        marks, self._marks = self._marks, []

        def measure() -> dict[str, float]:
            totals: dict[str, float] = {}
            for (_, before), (part, after) in itertools.pairwise(marks):
                if part:
                    totals[part] = totals.get(part, 0.0) + _seconds(before, after)
            return totals

        return measure


def _seconds(before: float | torch.cuda.Event, after: float | torch.cuda.Event) -> float:
    if isinstance(before, torch.cuda.Event):
        return float(before.elapsed_time(after)) / 1000
    return float(after) - before


@dataclass
class _Pending:
    record: StepRecord
    values: torch.Tensor  # (loss, gradient norm) on the host, perhaps not there yet
    arrived: torch.cuda.Event | None
    parts: Callable[[], dict[str, float]]


class StepReader:
    """Hands finished records to ``emit``, in order, one step late. Raises ``TrainingFailed`` for a loss or gradient that is
    not finite."""

    def __init__(
        self,
        emit: Callable[[StepRecord], None],
        losses: Iterable[float] = (),
        window: int = 100,
        *,
        gradients_may_overflow: bool = False,
    ) -> None:
        """``gradients_may_overflow``: a loss scaler skips such steps by itself (fp16)."""
        self._emit = emit
        self._overflow = gradients_may_overflow
        self._pending: deque[_Pending] = deque()
        self.losses: deque[float] = deque(losses, maxlen=window)

    def push(
        self, record: StepRecord, loss: torch.Tensor, grad_norm: torch.Tensor, parts: Callable[[], dict[str, float]]
    ) -> None:
        """Note a step whose numbers are still on the device; read the one before it."""
        values = torch.stack([loss, grad_norm.to(loss.dtype)])
        arrived = None
        if values.is_cuda:
            host = torch.empty(2, dtype=values.dtype, pin_memory=True)
            host.copy_(values, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
            values = host
        self._pending.append(_Pending(record, values, arrived, parts))
        while len(self._pending) > 1:
            self._read()

    def flush(self) -> None:
        """Read everything, waiting for the device."""
        while self._pending:
            self._read()

    @property
    def loss(self) -> float | None:
        """Mean loss of the last steps that were read."""
        return sum(self.losses) / len(self.losses) if self.losses else None

    def _read(self) -> None:
        pending = self._pending.popleft()
        if pending.arrived is not None:
            pending.arrived.synchronize()
        record = pending.record
        record.loss, record.grad_norm = pending.values.tolist()
        record.parts = pending.parts()
        self._emit(record)
        # A finite loss with a gradient that is not: the adapter is spoilt already, and must not reach a file either.
        if not math.isfinite(record.loss) or not (self._overflow or math.isfinite(record.grad_norm)):
            self._pending.clear()
            raise _diverged(record)
        self.losses.append(record.loss)


def _diverged(record: StepRecord) -> TrainingFailed:
    items = ", ".join(record.items[:4]) + (" …" if len(record.items) > 4 else "")
    levels = ", ".join(f"{level:.0f}" for level in record.timesteps[:4])
    what, value = ("loss", record.loss) if not math.isfinite(record.loss) else ("gradient", record.grad_norm)
    name = say(what, {"loss": "loss", "gradient": "勾配"}[what])
    return TrainingFailed.of(
        f"{what}_not_finite",
        say(f"The {name} of step {record.step} is {value} (items {items}; timesteps {levels}): training stopped, nothing was saved from it.",
            f"ステップ {record.step} の {name} が {value} です（項目 {items}、timestep {levels}）。学習を停止し、この結果は保存していません。"),
        say("Look at these items and their caches; a lower learning_rate or mixed_precision = \"bf16\" often helps. Resume goes on from the last good state.",
            "これらの項目とキャッシュを確認してください。learning_rate を下げるか mixed_precision = \"bf16\" が有効なことがあります。再開は最後の正常な状態から続きます。"),
        key="learning_rate",
    )  # fmt: skip
