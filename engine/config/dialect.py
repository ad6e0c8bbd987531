"""Whose file is it, and for which family and task? Our presets say so; Musubi Tuner's are recognised by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from engine.config.language import say
from engine.config.problems import Problem
from engine.families import FamilySpec, TaskSpec, family_names, family_of_network_module, get_family

Dialect = Literal["musubi", "musubi-tui"]

# Adapters of Musubi Tuner whose families cannot be trained here yet: a config that names one deserves a true answer.
_UNBUILT_MODULES = {
    "networks.lora": "HunyuanVideo",
    "networks.lora_framepack": "FramePack",
    "networks.lora_flux": "FLUX.1 Kontext",
    "networks.lora_flux_2": "FLUX.2",
    "networks.lora_zimage": "Z-Image",
    "networks.lora_hv_1_5": "HunyuanVideo 1.5",
    "networks.lora_kandinsky": "Kandinsky 5",
    "networks.lora_hidream_o1": "HiDream-O1",
    "networks.lora_ideogram4": "Ideogram 4",
    "networks.lora_krea2": "Krea 2",
}
# Adapters that go with any family.
_OTHER_ADAPTERS = {"networks.loha": "LoHa", "networks.lokr": "LoKr"}
# Musubi Tuner's other words for a task: option -> its value -> task.
_TASK_WORDS: dict[str, dict[Any, str]] = {
    "model_version": {"original": "t2i"},  # its other values are task names
    "edit_plus": {True: "edit-2509"},
    "edit": {True: "edit"},
}


@dataclass
class Identity:
    """What is trained. ``spec`` is None when that cannot be told or is not built; ``problems`` says why."""

    dialect: Dialect
    spec: FamilySpec | None = None
    task: TaskSpec | None = None
    unbuilt_family: bool = False
    task_source: str = ""  # option that named the task; empty for the family's default
    problems: list[Problem] = field(default_factory=list)


def identify(values: Mapping[str, Any], *, ours: bool) -> Identity:
    """Family and task from the given options. ``ours``: the file itself names its family."""
    identity = Identity("musubi-tui" if ours else "musubi")
    if "family" in values:
        _named_family(identity, values["family"])
    else:
        _implied_family(identity, values)
    if identity.spec is not None:
        _check_network_module(identity, values.get("network_module"))
        _choose_task(identity, identity.spec, values)
    return identity


def _named_family(identity: Identity, name: Any) -> None:
    if name in family_names():
        identity.spec = get_family(name)
        return
    close = get_close_matches(str(name).lower().replace("-", "_"), family_names(), n=1)
    fix = say(f'Did you mean "{close[0]}"?', f"「{close[0]}」のことですか。") if close else ""
    known = ", ".join(family_names())
    message = say(
        f"there is no family {name!r}; these can be trained: {known}.",
        f"ファミリー {name!r} はありません。学習できるもの: {known}。",
    )
    identity.problems.append(Problem("unknown_family", message, fix, key="family"))


def _implied_family(identity: Identity, values: Mapping[str, Any]) -> None:
    module = values.get("network_module")
    if isinstance(module, str):
        if module in _UNBUILT_MODULES:
            identity.unbuilt_family = True
            identity.problems.append(_unbuilt_family(_UNBUILT_MODULES[module], module))
            return
        identity.spec = family_of_network_module(module)
        if identity.spec is not None:
            return
    hints = {name: sorted(get_family(name).musubi_keys & values.keys()) for name in family_names()}
    named = [name for name, keys in hints.items() if keys]
    if len(named) == 1:
        identity.spec = get_family(named[0])
        return
    if values.get("datasets") and not values.get("dit"):
        identity.problems.append(_dataset_file())
    else:
        identity.problems.append(_unclear_family(hints))


def _unbuilt_family(title: str, module: str) -> Problem:
    built = ", ".join(get_family(name).title for name in family_names())
    return Problem(
        "not_built_yet",
        say(
            f"this file trains {title} ({module}), which is not built yet.", f"{title} ({module}) の学習は未対応です。"
        ),
        say(f"Built so far: {built}.", f"対応済み: {built}"),
        key="network_module",
    )


def _dataset_file() -> Problem:
    return Problem(
        "not_a_preset",
        say("this is a dataset file, not a preset.", "これはプリセットではなくデータセットファイルです。"),
        say("Name it in a preset: dataset_config = …", "プリセットに dataset_config = … として指定してください。"),
        key="datasets",
    )


def _unclear_family(hints: Mapping[str, list[str]]) -> Problem:
    because = "; ".join(f"{name}: {', '.join(keys)}" for name, keys in hints.items() if keys)
    candidates = ", ".join(f'"{name}"' for name in hints)
    return Problem(
        "unclear_family",
        say(
            f"the model family cannot be told from the options ({because})."
            if because
            else "the model family cannot be told: neither network_module nor an option of one family is set.",
            f"モデルファミリーを特定できません ({because})。"
            if because
            else "network_module もファミリー固有の項目もなく、モデルファミリーを特定できません。",
        ),
        say(f"Add family = … with one of {candidates}.", f"family = … を追加してください。候補: {candidates}"),
        key="family",
    )


def _check_network_module(identity: Identity, module: Any) -> None:
    spec = identity.spec
    if spec is None or not isinstance(module, str) or module == spec.network_module:
        return
    if module in _OTHER_ADAPTERS:
        message = say(
            f"{_OTHER_ADAPTERS[module]} adapters are not built yet.",
            f"{_OTHER_ADAPTERS[module]} アダプターは未対応です。",
        )
        code = "not_built_yet"
    else:
        message = say(
            f"{module} is not an adapter of {spec.title}.", f"{module} は {spec.title} のアダプターではありません。"
        )
        code = "wrong_value"
    fix = say(f'Use "{spec.network_module}".', f'"{spec.network_module}" を指定してください。')
    identity.problems.append(Problem(code, message, fix, key="network_module"))


def _choose_task(identity: Identity, spec: FamilySpec, values: Mapping[str, Any]) -> None:
    named: dict[str, str] = {}
    if isinstance(values.get("task"), str):
        named["task"] = values["task"]
    for option, words in _TASK_WORDS.items():
        value = values.get(option)
        if isinstance(value, str) and value and option in spec.musubi_keys:
            named[option] = words.get(value, value)
        elif value is True and option in spec.musubi_keys:
            named[option] = words[True]
    if "task" not in named and "model_version" in named:  # Musubi Tuner lets model_version overrule the older switches
        named = {"model_version": named["model_version"]}
    if len(set(named.values())) > 1:
        both = ", ".join(f"{option} → {task}" for option, task in named.items())
        message = say(f"the options name different tasks: {both}.", f"異なるタスクが指定されています: {both}")
        fix = say("Keep task and remove the others.", "task だけを残してください。")
        identity.problems.append(Problem("contradiction", message, fix, key=list(named)[-1]))
        return
    source, name = next(iter(named.items())) if named else ("", spec.default_task)
    if name not in spec.tasks:
        identity.problems.append(_unknown_task(spec, source, name))
        return
    identity.task, identity.task_source = spec.tasks[name], source
    if not identity.task.built:
        built = ", ".join(task.name for task in spec.tasks.values() if task.built)
        message = say(
            f"{identity.task.title} ({name}) is not built yet.", f"{identity.task.title} ({name}) は未対応です。"
        )
        fix = say(f"Built so far for {spec.title}: {built}.", f"{spec.title} で対応済み: {built}")
        identity.problems.append(Problem("not_built_yet", message, fix, key=source))


def _unknown_task(spec: FamilySpec, source: str, name: str) -> Problem:
    close = get_close_matches(name, spec.tasks, n=1, cutoff=0.5)
    fix = say(f'Did you mean "{close[0]}"?', f"「{close[0]}」のことですか。") if close else ""
    known = ", ".join(spec.tasks)
    return Problem(
        "unknown_task",
        say(
            f"{spec.title} has no task {name!r}; it has {known}.",
            f"{spec.title} にタスク {name!r} はありません。候補: {known}",
        ),
        fix,
        key=source,
    )
