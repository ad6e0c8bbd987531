"""Whether the task can learn from what the dataset holds: asked of its capabilities, before anything is encoded.

A dataset may be looked at whatever it holds. Training on it must not leave out the controls in silence, so a task that takes none
refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.config.language import say
from engine.config.problems import Problem
from engine.data.dataset_spec import DatasetConfig, DatasetSpec
from engine.data.document import Document, positions_of
from engine.data.items import Item
from engine.families.family import FamilySpec, TaskSpec


def unmet_needs(config: DatasetConfig, items: Sequence[Item], spec: FamilySpec, task: TaskSpec | None) -> list[Problem]:
    """What the task cannot take of the datasets, one problem for each key or kind of file."""
    capabilities = spec.capabilities | (frozenset() if task is None else task.capabilities)
    title = spec.title if task is None else task.title
    controlled = {item.dataset for item in items if item.controls}
    document = Document({}, config.file, positions_of(Path(config.file)) if config.file else {})
    problems = []
    for dataset in config.datasets:
        for name, needed, what_en, what_ja in _asked(dataset, dataset.index in controlled):
            if needed in capabilities:
                continue
            others = ", ".join(other.name for other in spec.tasks.values() if needed in other.capabilities)
            fix_en, fix_ja = f"Take {name} out.", f"{name} を外してください。"
            if others:
                fix_en = f"Take {name} out, or train a task that takes them ({others})."
                fix_ja = f"{name} を外すか、対応するタスク ({others}) を選んでください。"
            problems.append(
                document.problem(
                    ("datasets", dataset.index, name),
                    "task_without_" + needed,
                    say(f"{title} takes no {what_en} ({needed}).", f"{title} は{what_ja}を使いません ({needed})。"),
                    say(fix_en, fix_ja),
                )
            )
    return problems


def _asked(dataset: DatasetSpec, has_controls: bool) -> list[tuple[str, str, str, str]]:
    """(key, capability, what it is in English and Japanese) of everything that only some tasks can learn from.

    ``fp_latent_window_size`` is none of it: where nothing works in sections it changes nothing, and reading the dataset said so.
    """
    key = "control_directory" if dataset.jsonl is None else "control_path"
    asked: list[tuple[str, str, str, str]] = []
    if dataset.kind == "image" and (has_controls or dataset.control_directory is not None):
        asked.append((key, "control_images", "control pictures", "制御画像"))
    if dataset.kind == "clip" and (has_controls or dataset.control_directory is not None):
        asked.append((key, "control_video", "control videos", "制御動画"))
    if dataset.multiple_target:
        asked.append(("multiple_target", "layers", "several target pictures", "複数の目標画像"))
    one_frame = [
        name
        for name, used in (
            ("fp_1f_clean_indices", dataset.fp_1f_clean_indices is not None),
            ("fp_1f_target_index", dataset.fp_1f_target_index is not None),
            ("fp_1f_no_post", dataset.fp_1f_no_post),
        )
        if used
    ]
    asked += [(name, "one_frame", "one-frame settings", "1フレーム学習の設定") for name in one_frame]
    return asked
