"""When previews are made during a training run: a pure function of the step, so that a resumed run agrees with itself."""

from __future__ import annotations


def samples_due(
    step: int,
    *,
    epoch: int | None = None,
    every_n_steps: int | None = None,
    every_n_epochs: int | None = None,
    at_first: bool = False,
    early: int | None = None,
    last: int | None = None,
) -> bool:
    """Whether previews are due after ``step`` optimizer steps (0: before the first; ``early``: once after so many).

    ``epoch``: the number of the epoch that ended with this step, or ``None`` in the middle of one. ``last``: the step of
    the latest previews; the same step never makes them twice, although both cadences may name it (in Musubi Tuner the end
    of an epoch repeats the pictures of a step).
    """
    if step == last:
        return False
    if step == 0:
        return at_first
    by_steps = bool(every_n_steps) and step % every_n_steps == 0  # type: ignore[operator]
    by_epochs = bool(every_n_epochs) and epoch is not None and epoch % every_n_epochs == 0  # type: ignore[operator]
    return by_steps or by_epochs or step == early
