"""The fit page: the same data at three sizes, each with its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.families import FamilySpec, TaskSpec
from engine.planner.facts import DataSummary, SizeGroup, summarise
from engine.planner.lines import Line, Plan, gib
from engine.planner.plan import make_plan
from engine.planner.request import PlanRequest
from engine.planner.transformer import file_parameters, find_transformer
from musubi_tui.presets.wizard.around import TINY_PARAMETERS, Around
from musubi_tui.presets.wizard.words import chosen, trains_clips
from musubi_tui.runs.money import money_range

if TYPE_CHECKING:
    from engine.data.items import Scan

Answers = Mapping[str, Any]
IDS = ("light", "balanced", "fine")
_TITLES = {"light": say("light", "軽い"), "balanced": say("balanced", "標準"), "fine": say("fine", "細かい")}
TOO_LARGE = "! "  # before the memory of what does not fit: words would not fit into a line
_GRID = 64
_BATCH_OF_TOYS = 4
_BAR_CELLS = 6


@dataclass(frozen=True)
class Offer:
    """One way to train: the sides of the training size, frames per clip, and what it comes to."""

    id: str
    title: str
    note: str
    resolution: tuple[int, int]
    frames: int
    batch_size: int
    plan: Plan


def tiny(spec: FamilySpec, task: TaskSpec, around: Around) -> bool:
    """Whether the model at hand is a toy."""
    found = around.best(spec, task).get(spec.slot("transformer").option)
    return found is not None and 0 < found.parameters < TINY_PARAMETERS


def sizes(task: TaskSpec, clip: bool, toy: bool) -> dict[str, tuple[tuple[int, int], int]]:
    """Offer -> (width and height, frames)."""
    if toy:
        sides = [(64, 64), (96, 96), (128, 128)] if not clip else [(64, 48), (96, 64), (128, 96)]
        return {name: (side, 9 if clip else 1) for name, side in zip(IDS, sides, strict=True)}
    shown = task.sample
    if clip:
        width, height = shown.width, shown.height
        smaller = (_grid(width * 0.6), _grid(height * 0.6))
        return {"light": (smaller, 17), "balanced": (smaller, 33), "fine": ((_grid(width), _grid(height)), 33)}
    side = (shown.width * shown.height) ** 0.5
    factors = (0.6, 0.8, 1.0) if side >= 1024 else (0.8, 1.0, 1.25)
    return {name: ((_grid(side * factor),) * 2, 1) for name, factor in zip(IDS, factors, strict=True)}


def _grid(side: float) -> int:
    return max(_GRID, round(side / _GRID) * _GRID)


def tables(answers: Answers, around: Around, resolution: tuple[int, int], frames: int, batch: int) -> dict[str, Any]:
    """The dataset as its TOML tables; the paths are absolute."""
    found, clip = around.pictures(Path(answers["data"])), trains_clips(answers, around)
    general: dict[str, Any] = {
        "resolution": list(resolution),
        "batch_size": batch,
        "enable_bucket": True,
        "bucket_no_upscale": True,
    }
    if has_captions(answers, around):
        general["caption_extension"] = ".txt"
    if answers.get("trigger"):
        general["trigger_word"] = answers["trigger"]
    entry: dict[str, Any] = {}
    entry["video_directory" if clip else "image_directory"] = str(found.folder)
    entry["cache_directory"] = str(Path(answers.get("folder") or around.cwd) / "cache")
    if clip:
        entry |= {"target_frames": [frames], "frame_extraction": "head"}
    return {"general": general, "datasets": [entry]}


def has_captions(answers: Answers, around: Around) -> bool:
    """Whether there are text files to be read: all items have one, or only the described ones are trained."""
    found = around.pictures(Path(answers["data"]))
    return found.captions == found.count or answers.get("captions") == "described"


def reads_captions(answers: Answers, around: Around) -> bool:
    """Whether text files are read, those that the wizard will write included."""
    return has_captions(answers, around) or answers.get("captions") == "write"


def scan_at(answers: Answers, around: Around, spec: FamilySpec, task: TaskSpec, offer: str = "balanced") -> Scan:
    """The dataset scanned at the size of an offer."""
    clip = trains_clips(answers, around)
    toy = tiny(spec, task, around)
    resolution, frames = sizes(task, clip, toy)[offer]
    batch = _batch(toy, clip)
    return around.scan(spec, task, tables(answers, around, resolution, frames, batch))


def _batch(toy: bool, clip: bool) -> int:
    return _BATCH_OF_TOYS if toy and not clip else 1


def offers(answers: Answers, around: Around) -> list[Offer]:
    """Three sizes with their plans, smallest first."""
    spec, task = chosen(answers)
    clip = trains_clips(answers, around)
    toy = tiny(spec, task, around)
    found = []
    for name, (resolution, frames) in sizes(task, clip, toy).items():
        batch = _batch(toy, clip)
        scanned = scan_at(answers, around, spec, task, name) if around.pictures(Path(answers["data"])).count else None
        data = summarise(scanned, spec) if scanned and scanned.items else _assumed(resolution, frames, batch)
        plan = make_plan(request(answers, around, data), advise=False)
        size = f"{resolution[0]}x{resolution[1]}" + (f"x{frames}" if frames > 1 else "")
        title = f"{_TITLES[name]} {size}"
        found.append(Offer(name, title, _figures(plan), resolution, frames, batch, plan))
    return found


def offer_of(answers: Answers, around: Around) -> Offer:
    """The offer that was chosen."""
    found = {offer.id: offer for offer in offers(answers, around)}
    return found.get(str(answers.get("fit")), found["balanced"])


def request(answers: Answers, around: Around, data: DataSummary) -> PlanRequest:
    """What the planner is asked for these answers."""
    from engine.config.schema import Config

    spec, task = chosen(answers)
    toy = tiny(spec, task, around)
    files = around.best(spec, task)
    transformer = files.get(spec.slot("transformer").option)
    values = Config.of({**spec.defaults, **model_values(toy), "family": spec.name, "task": task.name}).values()
    return PlanRequest(
        values={**values, "max_train_steps": int(answers.get("steps") or 1000)},
        spec=spec,
        task=task,
        transformer=find_transformer(spec, task.name, transformer.path if transformer else None),
        data=data,
        machine=around.card(str(answers.get("card", "here"))),
        files={
            slot.role: size
            for slot in spec.slots
            if slot.role in ("vae", "text_encoder")
            and (one := files.get(slot.option)) is not None
            and (size := file_parameters(one.path)) is not None
        },
        past=around.past(spec.name),
        price=float(answers.get("price") or 0) or None,
    )


def model_values(toy: bool) -> dict[str, Any]:
    """Options that differ for a toy: full precision is faster on a CPU, and memory is no concern."""
    if not toy:
        return {}
    return {
        "mixed_precision": "no", "vae_dtype": "float32", "gradient_checkpointing": False, "optimizer_type": "adamw", "learning_rate": 3e-3,
        "network_dim": 16, "network_alpha": 16.0,
    }  # fmt: skip


def _assumed(resolution: tuple[int, int], frames: int, batch: int) -> DataSummary:
    return DataSummary((SizeGroup(*resolution, frames, batch, batch),), caption_bytes=200, assumed=True)


def _figures(plan: Plan) -> str:
    """``12.1 GB  1.2 s  20 min  $0.31``: memory (``! `` before too much of it), a step, and 1000 steps; a range where it is one."""
    parts = [f"{_bar(plan)}{TOO_LARGE if plan.fits is False else ''}{gib(plan.peak)}"]
    step = plan.line("step")
    if step is not None and step.amount is not None:
        parts += [_time(step, 1), _time(step, 1000)]
        if plan.money and plan.steps:
            cost = plan.money[0]
            low, high = ((amount or 0) * 1000 / plan.steps for amount in (cost.low, cost.high))
            parts.append(money_range(low, high))
    return "  ".join(parts)


def _bar(plan: Plan) -> str:
    """How much of the card it fills."""
    if not plan.available:
        return ""
    filled = min(_BAR_CELLS, round(_BAR_CELLS * plan.peak / plan.available))
    return f"▕{'█' * filled}{'░' * (_BAR_CELLS - filled)}▏ "


def _time(line: Line, times: float) -> str:
    """``0.9–2.3 s``, ``12–31 min``, ``1.5–3.9 h``."""
    low, high = ((amount or 0) * times for amount in (line.low, line.high))
    factor, unit, digits = (1.0, "s", 2) if high < 100 else (60.0, "min", 0) if high < 5400 else (3600.0, "h", 1)
    shown = [f"{value / factor:.{digits}g}" if unit == "s" else f"{value / factor:.{digits}f}" for value in (low, high)]
    return f"{shown[0]} {unit}" if shown[0] == shown[1] else f"{shown[0]}–{shown[1]} {unit}"
