"""The architectures of the recorded tables: the families that are built, and the facts of those that are not.

The dataset room knows no family by name. What it makes of the facts of a family that has no folder yet is what that
family will get, so the recorded tables of those families are compared as well: names, headers, buckets and frames, not encoders.
"""

from __future__ import annotations

from dataclasses import replace

from engine.families import FamilySpec, TaskSpec, family_names, get_family

_FPS = {"hv": 24.0, "hv15": 24.0, "k5": 24.0, "fp": 30.0}
_STEPS = {"ho1": 32}
_NAMES = {
    "hv": "hunyuan_video", "fp": "framepack", "fk": "flux_kontext", "hv15": "hunyuan_video_1_5", "k5": "kandinsky5",
    "f2d": "flux_2_dev", "f2k4b": "flux_2_klein_4b", "f2k9b": "flux_2_klein_9b", "zi": "z_image", "ho1": "hidream_o1_image",
    "i4": "ideogram4", "kr2": "krea2",
}  # fmt: skip
_TEXT_TENSORS = {
    "hv": {"llm": 4096, "clipL": 768},
    "fp": {"llama_vec": 4096, "clip_l_pooler": 768},
    "fk": {"t5_vec": 4096, "clip_l_pooler": 768},
}
UNBUILT = frozenset(_NAMES)  # ids of cache files whose family has no folder


def built() -> dict[str, tuple[FamilySpec, TaskSpec]]:
    """Cache id -> a family that is built and its first task of that id."""
    found: dict[str, tuple[FamilySpec, TaskSpec]] = {}
    for name in family_names():
        spec = get_family(name)
        for task in spec.tasks.values():
            found.setdefault(task.cache_id, (spec, task))
    return found


def architecture(cache_id: str) -> tuple[FamilySpec, TaskSpec]:
    """The family and task of a cache id; of one that is not built, its facts on the folder of Wan."""
    if cache_id not in UNBUILT:
        return built()[cache_id]
    wan = get_family("wan")
    name = _NAMES[cache_id]
    task = replace(wan.task(None), name=name, cache_id=cache_id, architecture=name)
    spec = replace(
        wan,
        name=name,
        title=name,
        tasks={name: task},
        default_task=name,
        fps=_FPS.get(cache_id, 0.0),
        pixel_step=_STEPS.get(cache_id, 16),
        text_tensors=_TEXT_TENSORS.get(cache_id, {}),
    )
    return spec, task
