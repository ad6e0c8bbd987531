"""Resume states on disk: whole or absent, the newest whole one wins, and only a state that fits is taken."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.config.problems import UserError
from engine.networks.lora import LoraNetwork
from engine.train import state as states
from engine.train.optimizers import make_optimizer
from engine.train.state import Position, is_complete, newest_state, restore_generators, save_state
from tests.unit.train_bench import adapter, tiny_wan


def parts(rank: int = 4, kind: str = "adamw", **options: Any) -> tuple[LoraNetwork, torch.optim.Optimizer]:
    network = adapter(tiny_wan(), rank=rank, **options)
    optimizer = make_optimizer(kind, None, network.parameter_groups(1e-2), 1e-2).optimizer
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    return network, optimizer


def saved(folder: Path, step: int, **options: Any) -> Path:
    return save_state(folder, Position(step, step * 2, (1.0, 0.5), {"max_train_steps": 9}), *parts(), **options)


def test_everything_comes_back(tmp_path: Path) -> None:
    network, optimizer = parts()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    path = save_state(tmp_path, Position(3, 6, (0.5,), {"learning_rate_factor": 0.5}), network, optimizer)
    drawn = (random.random(), np.random.rand(), torch.rand(1).item())

    state = newest_state(tmp_path)
    assert state is not None
    other, its_optimizer = parts(seed=99)
    state.restore(other, its_optimizer)

    assert state.position == Position(3, 6, (0.5,), {"learning_rate_factor": 0.5})
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    for p, q in zip(network.parameters(), other.parameters(), strict=True):
        for key, value in optimizer.state[p].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(its_optimizer.state[q][key]))
    assert {file.name for file in path.iterdir()} == {
        "adapter.safetensors", "optimizer.safetensors", "state.json", "manifest.json",
    }  # fmt: skip
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in path.iterdir())


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 11):
        saved(tmp_path, step, keep=2)
    again = saved(tmp_path, 11, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000011-1", "00000011-2"]
    state = newest_state(tmp_path)
    assert state is not None
    assert state.path == again


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "manifest", "empty"])
def test_a_damaged_state_is_passed_over(tmp_path: Path, damage: str) -> None:
    good, bad = saved(tmp_path, 1), saved(tmp_path, 2)
    file = bad / "optimizer.safetensors"
    if damage == "truncate":
        os.truncate(file, file.stat().st_size // 2)
    elif damage == "flip":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    elif damage == "remove":
        file.unlink()
    elif damage == "manifest":
        (bad / "manifest.json").write_text('{"version": 1}')
    else:
        for path in bad.iterdir():
            path.unlink()
    assert not is_complete(bad)
    state = newest_state(tmp_path)
    assert state is not None
    assert state.path == good


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_save_that_breaks_off_leaves_the_states_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    good = saved(tmp_path, 1)
    calls = 0

    def breaks(original: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise OSError(28, "No space left on device")
            return original(*arguments, **named)

        return call

    monkeypatch.setattr(states, "save_file", breaks(states.save_file))
    monkeypatch.setattr(states, "sync", breaks(states.sync))
    monkeypatch.setattr(Path, "rename", breaks(Path.rename))
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path, 2)
    monkeypatch.undo()

    state = newest_state(tmp_path)
    assert state is not None
    assert state.path == good
    assert not list(tmp_path.glob(".building*"))


def test_leftovers_of_a_killed_process_go_with_the_next_save(tmp_path: Path) -> None:
    (tmp_path / ".building-x").mkdir()
    (tmp_path / ".building-x" / "adapter.safetensors").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    assert newest_state(tmp_path) is None
    saved(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001-1", "notes.txt"]


def test_no_folder_no_state(tmp_path: Path) -> None:
    assert newest_state(tmp_path / "none") is None


@pytest.mark.parametrize("changed", [{"rank": 8}, {"kind": "adamw8bit"}, {"exclude_patterns": (".*ffn.*",)}])
def test_a_state_of_another_network_or_optimizer_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    saved(tmp_path, 1)
    state = newest_state(tmp_path)
    assert state is not None
    with pytest.raises(UserError, match="another network or optimizer"):
        state.restore(*parts(**changed))


def test_state_json_is_plain(tmp_path: Path) -> None:
    document = json.loads((saved(tmp_path, 1) / "state.json").read_text())
    assert document["version"] == 1
    assert document["position"]["step"] == 1
    restore_generators(document["generators"])


def test_the_generator_of_an_apple_gpu_comes_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    put_back: list[torch.Tensor] = []
    state = torch.arange(9, dtype=torch.uint8)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state)
    monkeypatch.setattr(torch.mps, "set_rng_state", put_back.append)
    restore_generators(json.loads(json.dumps(states.capture_generators())))
    assert torch.equal(put_back[0], state)
