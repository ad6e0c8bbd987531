"""How many control pictures an item takes, and at which size each is encoded.

Musubi Tuner leaves the sides of a picture as they are when ``no_resize_control`` meets ``control_resolution`` and the picture is
small enough, which gives latents that do not fill whole tokens. Here they are rounded down to the step.
"""

from __future__ import annotations

from engine.data.buckets import control_size, floor_to
from engine.data.dataset_spec import DatasetSpec
from engine.families.family import TaskSpec


def control_bucket(dataset: DatasetSpec, target: tuple[int, int], size: tuple[int, int], step: int) -> tuple[int, int]:
    """(width, height) of a control picture of ``size`` beside a target trained at ``target``.

    A side is 0 when the picture is smaller than one step and keeps its size.
    """
    budget = dataset.control_resolution
    if dataset.no_resize_control:
        if budget is not None and size[0] * size[1] > budget[0] * budget[1]:
            return control_size(*size, budget, step)
        return floor_to(size[0], step), floor_to(size[1], step)
    return target if budget is None else control_size(*size, budget, step)


def controls_wanted(dataset: DatasetSpec, task: TaskSpec | None) -> int | None:
    """How many control pictures each item needs; None: as many as there are."""
    if dataset.fp_1f_clean_indices is not None:
        return len(dataset.fp_1f_clean_indices)
    if task is not None and "control_images" in task.capabilities and "many_controls" not in task.capabilities:
        return 1
    return None
