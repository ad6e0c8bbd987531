"""What other values would cost, as the form tells it: figures where the planner has them, and nothing where it has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.config.schema import OPTIONS, Config
from engine.families import get_family
from engine.planner.facts import DataSummary, Machine, SizeGroup
from engine.planner.lines import GIB
from engine.planner.plan import make_plan
from engine.planner.request import PlanRequest
from engine.planner.transformer import find_transformer
from musubi_tui.presets import effects
from musubi_tui.presets.dataset_cells import dataset_cells
from musubi_tui.presets.facts import facts_of


@pytest.fixture
def ask() -> PlanRequest:
    from engine.planner.cards import find_card

    spec = get_family("wan")
    values = Config.of({**spec.defaults, "family": "wan", "task": "t2v-1.3B", "max_train_steps": 2000}).values()
    data = DataSummary((SizeGroup(832, 480, 81, 40, 2),), caption_bytes=300)
    machine = Machine(find_card("4090"), 24 * GIB)
    transformer = find_transformer(spec, "t2v-1.3B", None)
    return PlanRequest(values, spec, spec.task("t2v-1.3B"), transformer, data, machine, price=1.0)


def found(ask: PlanRequest, name: str) -> dict[str, effects.Effect]:
    return {one.words: one for one in effects.of_neighbours(ask, OPTIONS[name], ask.values[name])}


def test_the_values_beside_cost_what_the_plan_says_with_them(ask: PlanRequest) -> None:
    ranks = found(ask, "network_dim")
    assert set(ranks) == {"16", "64"}
    now, then = make_plan(ask).phase("train"), make_plan(ask.but(network_dim=64)).phase("train")
    assert now is not None
    assert then is not None
    assert ranks["64"].memory == then.peak - now.peak > 0
    assert ranks["16"].memory < 0
    assert ranks["16"].step < 0 < ranks["64"].step
    assert ranks["64"].figures(brief=True).startswith("+")
    assert "s/it" in ranks["64"].figures(brief=True)
    steps = found(ask, "max_train_steps")
    assert not steps["2100"].memory
    assert not steps["2100"].step
    assert steps["2100"].whole > 0
    assert "cost +" in steps["2100"].figures()
    assert found(ask, "save_precision")["bf16"].figures().startswith("disk -")


def test_every_choice_that_works_has_its_figures_and_others_have_none(ask: PlanRequest) -> None:
    assert set(found(ask.but(optimizer_type="adamw"), "optimizer_type")) == {"adamw8bit"}
    assert found(ask, "gradient_checkpointing")["off"].memory > 0
    for name in ("learning_rate", "network_alpha", "seed", "output_name", "lr_scheduler", "dit"):
        assert found(ask, name) == {}, name
    unbuilt = [name for name, option in OPTIONS.items() if option.status == "deferred-cost" and option.kind != "path"]
    assert all(found(ask, name) == {} for name in unbuilt), "what is not built saves nothing"


def test_a_value_that_would_not_fit_is_said(ask: PlanRequest) -> None:
    small = replace(ask, machine=Machine(ask.machine.card, make_plan(ask).peak + GIB))
    assert make_plan(small).fits
    assert found(small, "gradient_checkpointing")["off"].fits is False


def test_a_value_against_its_default(ask: PlanRequest) -> None:
    higher = found(ask, "network_dim")["64"]
    now = effects.against_default(ask.but(network_dim=64), OPTIONS["network_dim"], 64, 32)
    assert now is not None
    assert (now.memory, now.step) == (higher.memory, pytest.approx(higher.step))
    assert effects.against_default(ask, OPTIONS["network_dim"], 32, 32) is None
    assert effects.against_default(ask.but(seed=3), OPTIONS["seed"], 3, 42) is None


def test_keys_of_the_dataset(ask: PlanRequest) -> None:
    text = 'family = "wan"\n[general]\nresolution = [832, 480]\nbatch_size = 2\n[[datasets]]\nimage_directory = "a"\n'
    cells = {cell.key: cell for cell in dataset_cells(facts_of(text, Path("/nowhere/ink.toml")))}
    sizes = {one.words: one for one in effects.of_cell(ask, cells["general.batch_size"])}
    assert set(sizes) == {"1", "4"}
    assert sizes["1"].memory < 0 < sizes["4"].memory
    (smaller,) = effects.of_cell(ask, cells["general.resolution"])
    assert smaller.words == "624x352"
    assert smaller.memory < 0
    other = replace(ask.data, groups=(replace(ask.data.groups[0], batch_size=3),))
    assert effects.of_cell(ask.on(other), cells["general.batch_size"]) == (), "scanned before the edit"


def test_figures_are_short(ask: PlanRequest) -> None:
    effect = effects.Effect("64", memory=int(0.2 * GIB), step=0.0312, whole=754.0, cost=0.2, disk=-int(3e8))
    assert effect.figures() == "+0.2 GB  +0.031 s/it  +13 min  cost +0.20  disk -0.3 GB"
    assert effect.figures(brief=True) == "+0.2 GB  +0.031 s/it"
    assert effect.tight() == "+0.2G +0.03s/it"
    assert effects.Effect("x", disk=4_000_000).figures(brief=True) == "disk +4 MB"
    assert effects.Effect("x", memory=-(3 << 20), phase="previews").figures() == "previews -3 MB"
