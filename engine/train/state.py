"""Resume states: everything a run needs to go on as if it had never stopped, each complete or absent.

A state is a folder ``<step>-<n>``: ``adapter.safetensors``, ``optimizer.safetensors``, ``state.json`` (step, data position,
random generators, live changes …) and ``manifest.json`` with the hashes of the others, written last. It is built in a
hidden folder, synced, and renamed; a folder whose hashes do not fit its manifest is passed over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.atomic import sync
from engine.networks.lora import LoraNetwork

_NAME = re.compile(r"(\d{8,})-(\d+)")
_VERSION = 1


@dataclass(frozen=True)
class Position:
    """Where training stands. All counts are of finished work: ``step`` optimizer steps, ``batches`` taken from the plan."""

    step: int = 0
    batches: int = 0
    losses: tuple[float, ...] = ()  # of the last steps, oldest first
    live: Mapping[str, Any] = field(default_factory=dict)  # values changed while running
    attempt: int = 0  # that saved this


@dataclass(frozen=True)
class State:
    """A resume state that was read: position, tensors and generators."""

    path: Path
    position: Position
    adapter: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    generators: Mapping[str, Any]
    scaler: Mapping[str, Any]

    def restore(
        self, network: LoraNetwork, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Put adapter, optimizer and the random generators where they were.

        Raises ``UserError`` when the adapter or the optimizer of the preset is no longer the one that was saved.
        """
        try:
            network.load_musubi(self.adapter)
            _check_groups(optimizer, self.optimizer)
            optimizer.load_state_dict(dict(self.optimizer))
        except (KeyError, ValueError) as error:
            raise UserError.of(
                "state_does_not_fit",
                say(f"The state {self.path.name} was saved with another network or optimizer ({error}).",
                    f"状態 {self.path.name} は別のネットワークまたは optimizer で保存されたものです（{error}）。"),
                say("Start a new run, or give this one its network_dim, network_args and optimizer_type back.",
                    "新しい run を始めるか、network_dim・network_args・optimizer_type を元に戻してください。"),
                file=self.path,
            ) from error  # fmt: skip
        if scaler is not None and self.scaler:
            scaler.load_state_dict(dict(self.scaler))
        restore_generators(self.generators)


def save_state(
    folder: Path,
    position: Position,
    network: LoraNetwork,
    optimizer: torch.optim.Optimizer,
    *,
    generators: Mapping[str, Any] | None = None,
    scaler: torch.amp.GradScaler | None = None,
    keep: int = 2,
) -> Path:
    """Write a state into ``folder`` and remove all but the newest ``keep``. ``generators``: as they were at ``position``
    (default: as they are). Raises ``OSError`` and leaves the earlier states as they are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clean(folder)
    tensors, values = _flatten(optimizer.state_dict())
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        adapter = {key: tensor for key, tensor in network.state_dict_musubi().items() if not key.endswith(".alpha")}
        save_file(adapter, building / "adapter.safetensors")
        save_file(tensors, building / "optimizer.safetensors")
        document = {
            "version": _VERSION,
            "position": asdict(position),
            "optimizer": values,
            "generators": dict(generators or capture_generators()),
            "scaler": dict(scaler.state_dict()) if scaler is not None else {},
        }
        (building / "state.json").write_text(json.dumps(document))
        hashes = {path.name: _hash(path) for path in sorted(building.iterdir())}
        (building / "manifest.json").write_text(json.dumps({"version": _VERSION, "sha256": hashes}, indent=1))
        for path in building.iterdir():
            path.chmod(0o600)
            sync(path)
        sync(building)
        numbers = [number for step, number, _ in _states(folder) if step == position.step]
        final = folder / f"{position.step:08d}-{max(numbers, default=0) + 1}"
        building.rename(final)
        sync(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    for _, _, path in sorted(_states(folder), reverse=True)[max(1, keep) :]:
        shutil.rmtree(path)
    return final


def newest_state(folder: Path) -> State | None:
    """The newest complete state in ``folder``, or None. Damaged ones are passed over."""
    for _, _, path in sorted(_states(folder), reverse=True):
        if is_complete(path):
            return read_state(path)
    return None


def is_complete(path: Path) -> bool:
    """Whether every file of a state is there with the hash its manifest gives."""
    try:
        hashes: dict[str, str] = json.loads((path / "manifest.json").read_text())["sha256"]
        return bool(hashes) and all(_hash(path / name) == digest for name, digest in hashes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_state(path: Path) -> State:
    """A complete state."""
    document = json.loads((path / "state.json").read_text())
    position = Position(**document["position"])
    return State(
        path=path,
        position=replace(position, losses=tuple(position.losses)),
        adapter=load_file(path / "adapter.safetensors"),
        optimizer=_unflatten(load_file(path / "optimizer.safetensors"), document["optimizer"]),
        generators=document["generators"],
        scaler=document["scaler"],
    )


def capture_generators() -> dict[str, Any]:
    """The random generators of torch (CPU, all CUDA devices, MPS), Python and numpy, as JSON values."""
    version, internal, gauss = random.getstate()
    name, keys, place, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "cuda": [state.numpy().tobytes().hex() for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_initialized()
        else [],
        "mps": torch.mps.get_rng_state().numpy().tobytes().hex() if torch.backends.mps.is_available() else "",
        "python": [version, list(internal), gauss],
        "numpy": [name, np.asarray(keys).tolist(), int(place), int(has_gauss), float(cached)],
    }


def restore_generators(captured: Mapping[str, Any]) -> None:
    """Put the generators back. A device's are restored as far as this machine has it."""
    torch.set_rng_state(_bytes(captured["torch"]))
    for device, state in enumerate(captured["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(_bytes(state), device)
    if captured.get("mps") and torch.backends.mps.is_available():
        torch.mps.set_rng_state(_bytes(captured["mps"]))
    version, internal, gauss = captured["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, place, has_gauss, cached = captured["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), place, has_gauss, cached))


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)


def _flatten(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimizer's state as tensors under ``index/key`` (deeper for nested ones) and the rest as JSON values."""
    tensors: dict[str, torch.Tensor] = {}

    def rest(entries: Mapping[Any, Any], path: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{path}{key}"] = value.detach().to("cpu", copy=True).contiguous()
            else:
                kept[str(key)] = rest(value, f"{path}{key}/") if isinstance(value, Mapping) else value
        return kept

    return tensors, {"state": rest(state["state"], ""), "param_groups": state["param_groups"]}


def _unflatten(tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = values["state"]
    for name, tensor in tensors.items():
        *path, key = name.split("/")
        entries = state
        for part in path:
            entries = entries[part]
        entries[key] = tensor
    return {"state": {int(index): entries for index, entries in state.items()}, "param_groups": values["param_groups"]}


def _check_groups(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """torch checks group sizes itself, but takes any optimizer's numbers for its own."""
    for ours, theirs in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        if set(ours) - {"params"} != set(theirs) - {"params"}:
            raise ValueError(say("another optimizer", "別の optimizer"))


def _states(folder: Path) -> Iterator[tuple[int, int, Path]]:
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and path.is_dir():
            yield int(match[1]), int(match[2]), path


def _clean(folder: Path) -> None:
    """Remove what an earlier attempt left unfinished (only the lease holder writes here)."""
    for path in folder.glob(".building-*"):
        shutil.rmtree(path, ignore_errors=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
