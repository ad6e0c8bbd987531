"""The plan of a tiny model against what its run really held and wrote: byte for byte where the plan says "exact"."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import load_config
from engine.data.cache_files import read_header
from engine.events.types import Memory, NoiseLevels, Plan
from engine.families import family_names
from engine.planner import disk
from engine.planner.plan import make_plan
from musubi_tui.cli.root import run as command
from musubi_tui.presets.planning import gather
from musubi_tui.runs.history import past_runs
from tests.e2e.engine_child import of_type, train

CHANGES = {"max_train_steps": 12, "validation_items": 0, "sample_prompts": "none", "keep_states": 2, "save_state_on_train_end": True}  # fmt: skip


def tensor_bytes(path: Path) -> int:
    """What the tensors of a safetensors file take, its header not counted."""
    with path.open("rb") as file:
        return path.stat().st_size - 8 - struct.unpack("<Q", file.read(8))[0]


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("wan", {}),
        ("qwen_image", {"mixed_precision": "bf16", "network_dim": 5}),
        ("wan", {"mixed_precision": "bf16", "network_args": '["exclude_patterns=[\'.*ffn.*\']"]', "save_precision": "bf16"}),
    ],
    ids=["wan", "qwen", "wan-patterns"],
)  # fmt: skip
def test_exact_lines_are_exact(
    tiny: Callable[[str], Path], family: str, changes: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tiny(family) / "preset.toml"
    asked = gather(load_config(preset, {**CHANGES, **changes}))
    plan = make_plan(asked)
    run, code = train(preset, {**CHANGES, **changes})
    assert code == 0, run.engine_log.read_text()

    memory = of_type(run, Memory)[-1]
    lines = [line for line in map(plan.line, ("weights", "adapter", "optimizer")) if line is not None]
    planned = {line.id: line.amount for line in lines}
    assert planned == {"weights": memory.weights, "adapter": memory.adapter, "optimizer": memory.optimizer}
    assert {line.sure for line in lines} == {"exact"}

    (lora,) = run.output.glob("*.safetensors")
    modules = asked.adapted.modules
    assert tensor_bytes(lora) == disk.lora_tensor_bytes(
        asked.adapter_parameters, modules, changes.get("save_precision")
    )
    (state,) = [path for path in run.state.iterdir() if path.is_dir()]
    stored = sum(tensor_bytes(path) for path in state.glob("*.safetensors"))
    assert stored == memory.adapter + memory.optimizer  # type: ignore[operator]
    assert plan.line("states").amount == 3 * stored  # type: ignore[union-attr]

    assert asked.data.latents_to_write == 0, "the set is cached already"
    for file in (preset.parent / "cache").rglob("*.safetensors"):
        if not file.name.endswith("_te.safetensors"):
            header = read_header(file)
            assert len(header.tensors) == 1

    told = of_type(run, Plan)[-1]
    assert told.resident == asked.transformer.blocks == 4
    assert told.reason
    # What the run screen sets beside what is measured: parts that are counted, and a peak without the driver's own part.
    assert (told.weights, told.adapter, told.optimizer) == (memory.weights, memory.adapter, memory.optimizer)
    train_phase = plan.phase("train")
    assert train_phase is not None
    beside = sum(line.amount or 0 for line in train_phase.lines if line.id in ("context", "allocator"))
    assert told.peak == train_phase.peak - beside == told.weights + told.adapter + told.optimizer + told.activations
    (levels,) = of_type(run, NoiseLevels)
    assert sum(levels.target) == pytest.approx(1, abs=1e-3)  # type: ignore[arg-type]

    (past,) = past_runs(family)  # what this run teaches the next plan
    assert past.parameters == asked.transformer.parameters
    assert command(["plan", str(preset), "--json", *(f"--set={key}={value}" for key, value in changes.items())]) == 0
    again = json.loads(capsys.readouterr().out)
    step = next(line for line in again["time"] if line["id"] == "step")
    if not changes:
        assert step["low"] <= past.seconds <= step["high"]
    assert run.path.name.rpartition("-")[0].rpartition("-")[0] in step["how"]


def test_every_family_can_be_planned_or_says_that_it_cannot(
    tiny: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for family in family_names():
        assert command(["plan", family, "--vram", "8"]) == 2  # not a preset: told, no traceback
    assert "no preset called" in capsys.readouterr().err
