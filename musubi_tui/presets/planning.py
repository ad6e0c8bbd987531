"""From a loaded preset to the question the planner answers: reads headers, scans the dataset, asks the driver.

``gather`` is done once per preset; what an edit changes is put into the same question again with ``ask.but(…)``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.config.problems import MissingRequirement, UserError
from engine.planner.facts import DataSummary, Machine, PastRun, assume, summarise
from engine.planner.lines import GIB
from engine.planner.request import PlanRequest
from engine.planner.transformer import file_parameters, find_transformer

_SIZE_FLAG = re.compile(r"--([whf])\s+(\d{1,5})\b")

if TYPE_CHECKING:
    from engine.config import LoadedConfig
    from engine.families import FamilySpec, TaskSpec


def gather(
    loaded: LoadedConfig,
    *,
    machine: Machine | None = None,
    price: float | None = None,
    past: tuple[PastRun, ...] = (),
) -> PlanRequest:
    """Everything a plan of this preset is made from. ``machine``: by default the one this runs on.

    Raises ``UserError`` when the dataset file is wrong or the family cannot be planned.
    """
    from engine.budget import price_of
    from engine.families import get_family

    config = loaded.config
    spec = get_family(str(config.run.family))
    task = spec.task(config.run.task)
    try:
        transformer = find_transformer(spec, task.name, _path(config.model.dit))
    except LookupError:
        raise MissingRequirement.of(
            "no_plan",
            say(f"There is no plan for {spec.title} yet.", f"{spec.title} の計画はまだ作れません。"),
            say("The run itself can be started.", "学習自体は開始できます。"),
        ) from None
    values = config.values()
    machine = machine or this_machine()
    prompts, preview = read_previews(_path(config.sampling.sample_prompts), task)
    return PlanRequest(
        values=values,
        spec=spec,
        task=task,
        transformer=transformer,
        data=_data(loaded, spec),
        machine=replace(machine, disk_free=_disk_free(values)),
        files=_files(spec, values),
        unbuilt=unbuilt_options(loaded),
        past=past,
        price=price if price is not None else price_of(config, os.environ),
        prompts=prompts,
        preview=preview,
        start=_start(values),
    )


def unbuilt_options(loaded: LoadedConfig) -> frozenset[str]:
    """The options that are set and have no effect in this release."""
    return frozenset(warning.key for warning in loaded.warnings if warning.code == "not_built_yet")


def this_machine() -> Machine:
    """The first card the driver shows, with what other processes hold of it; no card without a driver."""
    from engine.planner.cards import Card, card_of_driver
    from musubi_tui.machine.gpus import read_gpus

    gpus = read_gpus()
    if not gpus:
        return Machine()
    gpu = gpus[0]
    card = card_of_driver(gpu.name, gpu.total / GIB) or Card(gpu.name, gpu.total / GIB, 0.0, 0.0)
    return Machine(card=card, total=gpu.total, others=max(0, gpu.total - gpu.free))


def other_machine(card: str = "", vram_gb: float | None = None) -> Machine:
    """A card that is not here: by its name, by its memory, or both. Raises ``UserError`` for an unknown name."""
    from engine.planner.cards import find_card

    if vram_gb is not None and not 0 < vram_gb < 10_000:
        raise UserError.of(
            "wrong_value",
            say(f"--vram takes gigabytes, not {vram_gb:g}.", f"--vram には GB 数を指定します（{vram_gb:g} は不可）。"),
            key="vram",
        )
    found = find_card(card) if card else None
    memory = vram_gb if vram_gb is not None else found.memory_gib if found else None
    return Machine(card=found, total=None if memory is None else int(memory * GIB))


def _data(loaded: LoadedConfig, spec: FamilySpec) -> DataSummary:
    """The dataset in numbers; what its file promises where the pictures are not there."""
    from engine.data.inventory import scan
    from engine.data.preset_dataset import read_preset_dataset
    from musubi_tui.datasets.opening import scan_index

    dataset = read_preset_dataset(loaded, spec)
    with scan_index() as index:
        found = scan(dataset, spec, spec.task(loaded.config.run.task), strict=False, index=index)
    return summarise(found, spec) if found.items else assume(dataset, spec)


def _files(spec: FamilySpec, values: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    found = {}
    for slot in spec.slots:
        if slot.role in ("vae", "text_encoder"):
            size = file_parameters(_path(values.get(slot.option)))
            if size is not None:
                found[slot.role] = size
    return found


def _start(values: Mapping[str, Any]) -> int | None:
    """Parameters of the LoRA whose shape is copied, by its header."""
    path = _path(values.get("network_weights"))
    if not values.get("dim_from_weights") or path is None:
        return None
    found = file_parameters(path)
    return found[0] if found and found[0] else None


def read_previews(path: Path | None, task: TaskSpec) -> tuple[int, tuple[int, int, int] | None]:
    """(how many sample prompts, width x height x frames of the largest): of a .txt file by its lines and their flags, of a
    TOML or JSON file by its entries. Nothing of a file that cannot be read: the check of the preset tells that."""
    if path is None:
        return 0, None
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return 0, None
    if path.suffix in (".toml", ".json"):
        return max(1, sum("prompt" in line.partition("=")[0].partition(":")[0] for line in lines)), None
    prompts = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    sizes = [_flagged(line, task) for line in prompts]
    return len(prompts), max(sizes, key=lambda size: size[0] * size[1] * size[2], default=None)


def _flagged(line: str, task: TaskSpec) -> tuple[int, int, int]:
    """Width, height and frames that a prompt line asks for."""
    shown = task.sample
    given = {flag: int(number) for flag, number in _SIZE_FLAG.findall(line)}
    return given.get("w", shown.width), given.get("h", shown.height), given.get("f", shown.frames)


def _disk_free(values: Mapping[str, Any]) -> dict[str, int]:
    """Free bytes where LoRA files and states will be written."""
    from musubi_tui.runs.home import find_home

    output = _path(values.get("output_dir"))
    home = find_home(output).path
    places = {"loras": output or home, "states": home}
    return {name: free for name, place in places.items() if (free := _free(place)) is not None}


def _free(folder: Path) -> int | None:
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _path(value: Any) -> Path | None:
    return Path(value) if value else None
