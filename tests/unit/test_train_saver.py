"""File names, which files make room, dialects side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.events.types import Checkpoint
from engine.networks.dialects import read_lora
from engine.train.saver import Saver, epoch_stem, epoch_to_remove, step_stem, step_to_remove
from tests.unit.train_bench import adapter, tiny_wan

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "data" / "file_names.json").read_text())


def test_names() -> None:
    assert f"{epoch_stem('n', 3)}.safetensors" == GOLDEN["epoch"]
    assert f"{step_stem('n', 12)}.safetensors" == GOLDEN["step"]


@pytest.mark.parametrize("case", GOLDEN["remove_epoch"])
def test_epoch_files_that_make_room(case: str) -> None:
    every, last, epoch = map(int, re.findall(r"\d+", case))
    assert epoch_to_remove(epoch, every, last) == GOLDEN["remove_epoch"][case]


@pytest.mark.parametrize("case", GOLDEN["remove_step"])
def test_step_files_that_make_room(case: str) -> None:
    every, last, step = map(int, re.findall(r"\d+", case))
    assert step_to_remove(step, every, last) == GOLDEN["remove_step"][case]


def test_without_a_limit_nothing_goes() -> None:
    assert step_to_remove(100, 5, None) is None
    assert epoch_to_remove(100, 5, None) is None


def test_every_dialect_beside_the_first(tmp_path: Path) -> None:
    network = adapter(tiny_wan())
    told: list[Any] = []
    warnings: list[str] = []
    saver = Saver(
        network, tmp_path, "cat", lambda step, epoch: {"ss_steps": str(step), "ss_epoch": str(epoch)},
        emit=told.append, warn=lambda code, message, fix: warnings.append(code), precision="bf16",
        dialects=("musubi", "diffusers"),
    )  # fmt: skip
    saver.save("cat", 5, 2)
    assert warnings == ["lora_changes_nothing"]
    with torch.no_grad():
        next(iter(network)).up.fill_(1.0)
    saver.save("cat", 6, 2)
    assert warnings == ["lora_changes_nothing"]

    assert [path.name for path in saver.outputs] == ["cat.safetensors", "cat.diffusers.safetensors"]
    assert [read_lora(path).dialect for path in saver.outputs] == ["musubi", "diffusers"]
    assert read_lora(saver.outputs[1]).metadata["ss_steps"] == "6"
    assert {(event.kind, event.step) for event in told} == {("lora", 5), ("lora", 6)}
    assert all(isinstance(event, Checkpoint) and event.bytes > 0 for event in told)
    saver.remove("cat")
    assert not list(tmp_path.iterdir())
    assert not saver.outputs


def test_what_a_killed_save_left_is_removed_by_the_same_run_alone(tmp_path: Path) -> None:
    def saver(owner: str) -> Saver:
        return Saver(
            adapter(tiny_wan()), tmp_path, "cat", lambda step, epoch: {},
            emit=lambda event: None, warn=lambda *words: None, owner=owner,
        )  # fmt: skip

    for name in (
        ".cat.safetensors.mine.part",
        ".cat.safetensors.other.part",
        ".cat.safetensors.1234.part",
        "cat.mine.part",
    ):
        (tmp_path / name).write_bytes(b"half")
    saver("mine").save("cat", 1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".cat.safetensors.1234.part", ".cat.safetensors.other.part", "cat.mine.part", "cat.safetensors",
    ]  # fmt: skip


def test_an_unfinished_file_carries_the_name_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        "engine.networks.files._check", lambda stored, path, keys: (seen.append(stored.name), (1.0, 1))[1]
    )
    Saver(
        adapter(tiny_wan()), tmp_path, "cat", lambda step, epoch: {},
        emit=lambda event: None, warn=lambda *words: None, owner="a1b2",
    ).save("cat", 1, 1)  # fmt: skip
    assert seen == [".cat.safetensors.a1b2.part"]
