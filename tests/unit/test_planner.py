"""The plan in numbers: sizes against recorded checkpoints, published measurements, and what must hold for every request."""

from __future__ import annotations

import builtins
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.network_args import NetworkArguments
from engine.config.schema import OPTIONS, Config
from engine.families import family_names, get_family
from engine.planner import advice, memory, speed
from engine.planner.cards import CARDS, card_of_driver, find_card
from engine.planner.facts import DataSummary, Machine, PastRun, SizeGroup
from engine.planner.lines import GIB
from engine.planner.plan import make_plan
from engine.planner.request import PlanRequest
from engine.planner.transformer import find_transformer
from tests.golden.collapsed import expand

GOLDEN = Path(__file__).parents[1] / "golden" / "data"
LAYOUTS = {
    "wan/t2v-1.3B": ("wan", "t2v-1.3B"),
    "wan/t2v-14B": ("wan", "t2v-14B"),
    "wan/i2v-14B": ("wan", "i2v-14B"),
    "qwen_image": ("qwen_image", "t2i"),
    "qwen_image_layered": ("qwen_image", "layered"),
}


def request(
    family: str = "wan",
    task: str = "t2v-1.3B",
    *,
    size: tuple[int, int, int] = (512, 512, 1),
    batch: int = 1,
    items: int = 16,
    card: str = "",
    vram: float | None = None,
    **values: Any,
) -> PlanRequest:
    spec = get_family(family)
    config = Config.of({**spec.defaults, "family": family, "task": task, "max_train_steps": 1000, **values})
    known = find_card(card) if card else None
    memory_gib = vram if vram is not None else known.memory_gib if known else None
    return PlanRequest(
        values=config.values(),
        spec=spec,
        task=spec.task(task),
        transformer=find_transformer(spec, task, None),
        data=DataSummary((SizeGroup(*size, items, batch),), caption_bytes=300, latents_to_write=1, text_to_write=1),
        machine=Machine(known, None if memory_gib is None else int(memory_gib * GIB)),
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_released_shapes_are_those_of_the_recorded_checkpoints(name: str) -> None:
    recorded = json.loads((GOLDEN / "checkpoint_layouts.json").read_text())[name]["tensors"]
    family, task = LAYOUTS[name]
    facts = get_family(family).transformer
    assert facts is not None
    assert dict(facts.released(task)) == {key: tuple(shape) for key, shape in expand(recorded)}


@pytest.mark.parametrize("name", ["wan/t2v-1.3B", "wan/t2v-14B", "qwen_image"])
def test_the_adapter_has_the_recorded_number_of_modules_and_parameters(name: str) -> None:
    recorded = json.loads((GOLDEN / "lora_targets.json").read_text())[name]
    asked = request(*LAYOUTS[name], network_dim=4, network_alpha=4.0)
    assert asked.adapted.modules == recorded["n_modules"]
    assert asked.adapter_parameters == recorded["params_rank4"]


def test_patterns_of_network_args_choose_layers() -> None:
    asked = request(network_args=[r"exclude_patterns=['.*ffn.*']"])
    assert asked.adapted.modules == 240  # 8 of 10 layers of each of 30 blocks
    arguments = NetworkArguments(exclude_patterns=(r".*",), include_patterns=(r".*\.self_attn\.q",))
    assert asked.spec.transformer is not None
    assert asked.transformer.adapted(asked.spec.transformer, arguments).modules == 30


# Published: docs of Musubi Tuner (1024 px, batch 1, checkpointing: 42 GB) and SimpleTuner (41.0 GiB) for Qwen-Image.
def test_qwen_image_takes_what_others_measured() -> None:
    peak = make_plan(request("qwen_image", "t2i", size=(1024, 1024, 1), vram=80)).peak
    assert 40 * GIB < peak < 46 * GIB


# Published by SimpleTuner: seconds per step of LoRA training with checkpointing of every block, batch 1.
@pytest.mark.parametrize(
    ("family", "task", "size", "card", "seconds"),
    [
        ("qwen_image", "t2i", (1024, 1024, 1), "H100", 1.202),
        ("qwen_image", "t2i", (1024, 1024, 1), "L40S", 3.377),
        ("wan", "t2v-1.3B", (832, 480, 81), "H100", 2.099),
        ("wan", "t2v-1.3B", (832, 480, 81), "L40S", 4.459),
        ("wan", "t2v-14B", (832, 480, 81), "H100", 7.16),
        ("wan", "t2v-14B", (832, 480, 81), "L40S", 21.8),
    ],
)
def test_the_range_of_seconds_holds_published_measurements(
    family: str, task: str, size: tuple[int, int, int], card: str, seconds: float
) -> None:
    line = make_plan(request(family, task, size=size, card=card)).line("step")
    assert line is not None
    assert line.low is not None
    assert line.high is not None
    assert line.low <= seconds <= line.high
    assert line.sure == "rough"


def test_arithmetic_of_a_step_is_that_of_the_paper_calculation() -> None:
    # 40 blocks of 351 M parameters at 32,760 tokens: linears 3 times, attention 4.5 times, 6.4 PFLOP
    asked = request("wan", "t2v-14B", size=(832, 480, 81))
    assert speed.step_flops(asked) == pytest.approx(6.4e15, rel=0.05)


SIZES = st.tuples(
    st.integers(16, 90).map(lambda n: n * 16), st.integers(16, 90).map(lambda n: n * 16),
    st.sampled_from([1, 5, 17, 33, 81]),
)  # fmt: skip
FAMILIES = st.sampled_from([("wan", "t2v-1.3B"), ("wan", "t2v-14B"), ("qwen_image", "t2i")])


@settings(max_examples=20, deadline=None)
@given(FAMILIES, SIZES, st.integers(1, 8), st.integers(1, 64), st.booleans(), st.sampled_from(["adamw", "adamw8bit"]))
def test_more_never_takes_less(
    which: tuple[str, str], size: tuple[int, int, int], batch: int, rank: int, checkpointing: bool, optimizer: str
) -> None:
    if which[0] == "qwen_image":
        size = (*size[:2], 1)
    asked = request(
        *which, size=size, batch=batch, items=batch, card="H100",
        network_dim=rank, gradient_checkpointing=checkpointing, optimizer_type=optimizer,
    )  # fmt: skip
    plan = make_plan(asked, advise=False)

    def peak(other: PlanRequest) -> int:
        return make_plan(other, advise=False).peak

    assert peak(asked.but(network_dim=rank + 1)) >= plan.peak
    larger = asked.data.groups[0]
    for more in (replace(larger, width=larger.width + 16), replace(larger, items=batch + 1, batch_size=batch + 1)):
        assert peak(asked.on(replace(asked.data, groups=(more,)))) >= plan.peak
    assert memory_peak(asked.but(gradient_checkpointing=True)) <= memory_peak(asked.but(gradient_checkpointing=False))
    assert memory_peak(asked.but(optimizer_type="adamw8bit")) <= memory_peak(asked.but(optimizer_type="adamw"))
    assert memory_peak(asked.but(mixed_precision="no")) >= memory_peak(asked.but(mixed_precision="bf16"))
    assert speed.step_flops(asked.but(network_dim=rank + 1)) > speed.step_flops(asked)
    assert all((line.amount or 0) >= 0 for phase in plan.phases for line in phase.lines)


def memory_peak(asked: PlanRequest) -> float:
    return sum(line.amount or 0 for line in memory.train_lines(asked))


def test_what_is_not_built_saves_nothing_and_the_plan_says_so() -> None:
    plain = request("wan", "t2v-14B", card="4090")
    asked = replace(plain.but(blocks_to_swap=30, fp8_base=True), unbuilt=frozenset({"blocks_to_swap", "fp8_base"}))
    plan = make_plan(asked)
    assert plan.peak == make_plan(plain).peak
    assert any("blocks_to_swap is not built yet" in note for note in plan.notes)
    assert not {one.key for one in plan.suggestions} & {"blocks_to_swap", "fp8_base"}


def test_what_is_built_saves() -> None:
    """The day block swap and fp8 are built the plan counts them: it goes by status, not by a list of its own."""
    plain = request("wan", "t2v-14B", vram=24)
    whole = memory_peak(plain)
    block = plain.transformer.block_parameters * 2 / 40
    assert whole - memory_peak(plain.but(blocks_to_swap=30)) == pytest.approx(
        28 * block, rel=1e-6
    )  # two are on their way
    assert whole - memory_peak(plain.but(fp8_base=True)) == pytest.approx(plain.transformer.block_parameters, rel=1e-6)


def test_memory_of_others_is_not_there() -> None:
    asked = request(vram=24)
    free, shared = make_plan(asked), make_plan(replace(asked, machine=replace(asked.machine, others=20 * GIB)))
    assert free.fits is True
    assert shared.fits is False
    assert shared.available == 4 * GIB
    assert any("Other processes hold 20.0 GB" in note for note in shared.notes)


def test_suggestions_are_true_and_ranked() -> None:
    data = DataSummary((SizeGroup(832, 480, 81, 12, 4),), caption_bytes=100)
    asked = request(vram=24, gradient_checkpointing=False, optimizer_type="adamw").on(data)
    plan = make_plan(asked)
    assert plan.fits is False
    assert plan.suggestions[0].key == "gradient_checkpointing"
    fits = [one.fits for one in plan.suggestions]
    assert fits == sorted(fits, reverse=True)
    assert plan.available is not None
    for one in plan.suggestions:
        assert one.peak < plan.peak
        assert one.fits == (one.peak <= plan.available)
        if one.where == "preset":
            assert OPTIONS[one.key].status_of(one.value) == "built"
            assert make_plan(asked.but(**{one.key: one.value}), advise=False).peak == one.peak


def test_where_no_single_change_is_enough_several_are() -> None:
    data = DataSummary((SizeGroup(1280, 720, 81, 12, 8),), caption_bytes=100)
    asked = request(vram=6.5, gradient_checkpointing=False).on(data)
    asked = replace(asked, data=replace(data, latents_to_write=0, text_to_write=0))
    plan = make_plan(asked)
    assert not any(one.fits for one in plan.suggestions)
    assert len(plan.together) > 1
    assert plan.together[-1].fits


def test_a_model_that_is_too_large_gets_no_false_hope() -> None:
    plan = make_plan(request("wan", "t2v-14B", vram=24))
    assert plan.fits is False
    assert plan.suggestions == plan.together == ()


def test_earlier_runs_replace_the_data_sheet() -> None:
    asked = request(card="4090", size=(640, 640, 1))
    flops, parameters = speed.step_flops(asked), asked.transformer.parameters
    run = PastRun("bella", "RTX 4090", "wan", parameters, flops, 0.5, 100)
    line = make_plan(replace(asked, past=(run,))).line("step")
    assert line is not None
    assert line.amount == pytest.approx(0.5)
    assert line.sure == "close"
    assert "bella" in line.how
    twice = make_plan(replace(asked, past=(run,)).on(asked.data.with_batch_size(1).scaled(1.5, 16))).line("step")
    assert twice is not None
    assert (twice.amount or 0) > 2 * 0.5  # more pixels than twice as many
    for other in (replace(run, card="H100"), replace(run, parameters=12_000, flops=1e6)):  # another card, a tiny model
        assert make_plan(replace(asked, past=(other,))).line("step") == make_plan(asked).line("step")


def test_a_size_alone_has_no_speed_and_a_cpu_has_its_own() -> None:
    asked = request(size=(640, 640, 1))
    run = PastRun("slow", "", "wan", asked.transformer.parameters, speed.step_flops(asked), 60.0, 100)
    asked = replace(asked, past=(run,))
    line = make_plan(asked).line("step")
    assert line is not None
    assert line.amount == pytest.approx(60)
    other = make_plan(replace(asked, machine=Machine(None, 24 * GIB))).line("step")
    assert other is not None
    assert other.amount is None


def test_a_card_nobody_listed_is_known_by_its_own_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from musubi_tui.machine import gpus
    from musubi_tui.presets.planning import this_machine

    strange = gpus.Gpu(0, "Some Card 9000", 32 * GIB, 20 * GIB, "1", "12.4")
    monkeypatch.setattr(gpus, "read_gpus", lambda: [strange])
    machine = this_machine()
    assert (machine.total, machine.others) == (32 * GIB, 12 * GIB)
    asked = replace(request(size=(640, 640, 1)), machine=machine)
    unknown = make_plan(asked).line("step")
    assert unknown is not None
    assert unknown.amount is None
    run = PastRun("mine", "Some Card 9000", "wan", asked.transformer.parameters, speed.step_flops(asked), 0.7, 100)
    measured = make_plan(replace(asked, past=(run,))).line("step")
    assert measured is not None
    assert measured.amount == pytest.approx(0.7)


def test_money_is_hours_times_price() -> None:
    plan = make_plan(replace(request(card="H100"), price=3.6))
    (cost,) = plan.money
    whole = plan.line("whole")
    assert whole is not None
    assert cost.amount == pytest.approx((whole.amount or 0) / 1000)
    assert make_plan(request(card="H100")).money == ()
    assert make_plan(replace(request(), price=3.6)).money == ()  # no card, no time, no money


@pytest.mark.parametrize("family", family_names())
def test_no_edit_reads_a_file_or_computes_much(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps an edit under 50 ms, counted instead of timed: no file is touched, and memory is summed few times."""
    spec = get_family(family)
    asked = request(family, spec.default_task, vram=2, size=(512, 512, 1), batch=8, gradient_checkpointing=False)
    make_plan(asked)
    counted = []
    monkeypatch.setattr(builtins, "open", lambda *_, **__: pytest.fail("a plan opens no file"))
    monkeypatch.setattr(os, "stat", lambda *_, **__: pytest.fail("a plan looks at no file"))
    sums = memory.phases

    def counting(ask: PlanRequest) -> Any:
        counted.append(1)
        return sums(ask)

    monkeypatch.setattr(advice, "phases", counting)
    make_plan(asked.but(network_dim=64))
    make_plan(replace(asked, machine=Machine(None, 200 * GIB)).but(network_dim=64))
    monkeypatch.undo()
    assert len(counted) <= 40


def test_a_header_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.planner import transformer

    file = tmp_path / "dit.safetensors"
    write_header(file, {"model.diffusion_model." + name: shape for name, shape in small_wan().items()})
    reads = []
    monkeypatch.setattr(transformer, "read_header", lambda path: reads.append(path) or real(path))
    spec = get_family("wan")
    first = find_transformer(spec, "t2v-1.3B", file)
    assert (first.source, first.width, first.blocks) == ("dit.safetensors", 256, 2)
    assert find_transformer(spec, "t2v-1.3B", file) is first
    assert len(reads) == 1
    write_header(file, small_wan(blocks=3))
    os.utime(file, (1, 1))
    assert find_transformer(spec, "t2v-1.3B", file).blocks == 3


def test_another_models_file_is_not_counted(tmp_path: Path) -> None:
    write_header(tmp_path / "vae.safetensors", {"decoder.conv.weight": (3, 3)})
    (tmp_path / "page.safetensors").write_text("<html>")
    spec = get_family("wan")
    for name in ("vae.safetensors", "page.safetensors", "gone.safetensors"):
        assert find_transformer(spec, "t2v-1.3B", tmp_path / name).source == ""


@pytest.mark.parametrize(
    ("told", "gib", "name"),
    [
        ("NVIDIA H100 80GB HBM3", 79.6, "H100"),
        ("NVIDIA H100 PCIe", 79.6, "H100 PCIe"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "A100 40GB"),
        ("NVIDIA A100 80GB PCIe", 79.3, "A100 80GB"),
        ("NVIDIA A100-SXM4-80GB", 0.0, "A100 80GB"),
        ("NVIDIA GeForce RTX 4090", 24.0, "RTX 4090"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 16.0, "RTX 4070 Ti SUPER"),
        ("NVIDIA RTX 6000 Ada Generation", 48.0, "RTX 6000 Ada"),
        ("NVIDIA H200", 140.4, "H200"),
        ("NVIDIA L40S", 45.0, "L40S"),
        ("Some Card 9000", 8.0, None),
    ],
)
def test_the_drivers_names_are_understood(told: str, gib: float, name: str | None) -> None:
    card = card_of_driver(told, gib)
    assert (card.name if card else None) == name
    assert card is None or card.memory_gib == gib


def test_a_persons_names_are_understood() -> None:
    assert [find_card(text).name for text in ("4090", "rtx 3090", "h100", "RTX 5090", "a100 80gb")] == [
        "RTX 4090", "RTX 3090", "H100", "RTX 5090", "A100 80GB",
    ]  # fmt: skip
    assert all(find_card(card.name) == card for card in CARDS)


def small_wan(blocks: int = 2) -> dict[str, tuple[int, ...]]:
    shapes = {"patch_embedding.weight": (256, 16, 1, 2, 2)}
    for index in range(blocks):
        shapes |= {f"blocks.{index}.ffn.0.weight": (512, 256), f"blocks.{index}.self_attn.q.weight": (256, 256)}
    return shapes


def real(path: Path) -> Any:
    from engine.data.cache_files import read_header

    return read_header(path)


def write_header(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file whose tensors are holes: the header is whole, the size is right, nothing is stored."""
    entries, offset = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        entries[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + offset)
