"""What this machine has done before, for plans: the arithmetic of a step of each finished run, and how long it took.

A run's own files say everything: the resolved configuration, the items and their buckets, the seconds of its steps.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.data.items import Bucket
from engine.events.rundir import RunDirectory
from engine.families import family_names, get_family
from engine.planner.facts import DataSummary, PastRun, SizeGroup
from engine.planner.request import PlanRequest
from engine.planner.speed import step_flops
from engine.planner.transformer import find_transformer
from musubi_tui.runs.snapshot import Snapshot

_MOST = 12  # newest runs that are looked at
_FEWEST_STEPS = 10  # fewer say nothing: the first steps warm up
_NEEDED = {
    "gradient_checkpointing": False, "mixed_precision": "no", "network_dim": 4, "gradient_accumulation_steps": 1,
    "max_train_steps": 1, "max_train_epochs": None, "network_args": None, "optimizer_type": "adamw",
}  # fmt: skip


def past_runs(family: str) -> tuple[PastRun, ...]:
    """The newest trainings of a family whose speed is known, newest first. Runs that cannot be read are passed over."""
    from musubi_tui.runs.registry import Registry

    found = []
    for entry in Registry().runs(whole=True):
        now = entry.summary
        if (
            entry.gone
            or now.kind != "train"
            or now.family != family
            or now.step < _FEWEST_STEPS
            or not now.step_seconds
        ):
            continue
        past = _past_run(RunDirectory(entry.path), now)
        if past is not None:
            found.append(past)
        if len(found) == _MOST:
            break
    return tuple(found)


def _past_run(run: RunDirectory, now: Snapshot) -> PastRun | None:
    try:
        document = tomllib.loads(run.run_toml.read_text("utf-8"))
        groups = _groups(run, document)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not groups or not now.step_seconds:
        return None
    ask = _request(now.family, {**_NEEDED, **_flat(document)}, groups)
    if ask is None:
        return None
    parameters = ask.transformer.parameters
    return PastRun(now.name, _card(now.gpu), ask.spec.name, parameters, step_flops(ask), now.step_seconds, now.step)


def request_of(run: RunDirectory) -> PlanRequest | None:
    """What the planner would have been asked about this run; None where its files do not tell. Raises ``ConfigError``."""
    from engine.config import read_run_toml

    values = read_run_toml(run.run_toml).config.values()
    try:
        groups = _groups(run, tomllib.loads(run.run_toml.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return _request(str(values["family"]), values, groups) if groups else None


def _request(family: str, values: Mapping[str, Any], groups: tuple[SizeGroup, ...]) -> PlanRequest | None:
    if family not in family_names():
        return None
    spec = get_family(family)
    dit = values.get("dit")
    try:
        task = spec.task(values.get("task"))
        transformer = find_transformer(spec, task.name, Path(dit) if dit else None)
    except (KeyError, LookupError):
        return None
    if dit and not transformer.source:  # the file is gone or unreadable: its size is not known
        return None
    return PlanRequest(values, spec, task, transformer, DataSummary(groups, caption_bytes=200))


def _card(gpu: str) -> str:
    """The name in the table of cards of what the run said of its card; "" for a CPU."""
    from engine.planner.cards import card_of_driver

    name = gpu.partition(",")[0].strip()
    known = card_of_driver(name, 0.0) if name else None
    return known.name if known else name


def _groups(run: RunDirectory, document: Mapping[str, Any]) -> tuple[SizeGroup, ...]:
    sizes = [
        int(table.get("batch_size") or _general(document).get("batch_size") or 1) for table in document["datasets"]
    ]
    counts: Counter[tuple[int, Bucket]] = Counter()
    for line in run.items.read_text("utf-8").splitlines():
        item = json.loads(line)
        counts[int(item["dataset"]), Bucket(*item["bucket"])] += int(item["repeats"])
    return tuple(SizeGroup(*bucket, count, sizes[dataset]) for (dataset, bucket), count in counts.items())


def _general(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found = document.get("general")
    return found if isinstance(found, Mapping) else {}


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, whatever section they stand in."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= dict(value) if isinstance(value, Mapping) and key != "general" else {key: value}
    return flat
