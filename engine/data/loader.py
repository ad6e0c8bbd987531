"""Cache files to training batches, read ahead by one thread. The only torch file of this room.

Tensors are named and stacked by Musubi Tuner's rule: dtype and size leave the name, ``varlen_`` tensors stay a list, all others
are stacked in the dtype they were stored in. Only those that the model is given are read: caches of Musubi Tuner may hold more, and
not all alike.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from safetensors import SafetensorError, safe_open

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.batches import BatchPlan
from engine.data.cache_files import batch_key
from engine.data.items import Item
from engine.data.masks import read_mask

Tensors = dict[str, torch.Tensor | list[torch.Tensor]]
LOSS_WEIGHT = "loss_weight"  # (B,), in a batch only where a weight is not 1
LOSS_MASK = "loss_mask"  # (B, 1, 1, h, w), in a batch only where an item has a mask
QUANTILES = "timestep_quantiles"  # (B,), in a batch only where the noise levels of an epoch are spread evenly
_WAIT_SECONDS = 0.2  # how long a blocked thread waits before it looks whether it shall end


@dataclass(frozen=True)
class Batch:
    """One micro-batch: its tensors, the items they came from, and where in the order it stands (epochs from 1)."""

    tensors: Tensors
    items: tuple[Item, ...]
    epoch: int
    position: int


def load_batch(items: Sequence[Item], names: Collection[str]) -> Tensors:
    """The tensors ``names`` of the caches of ``items`` as one batch, on the CPU. Dense ones gain a first axis of ``len(items)``.

    Where a dataset weighs its items otherwise than 1, ``loss_weight`` (B,) says how; where items have masks, ``loss_mask``
    (B, 1, 1, h, w) holds them.

    Raises ``UserError`` naming the file that is missing, damaged or does not fit the others.
    """
    rows: dict[str, list[torch.Tensor]] = {}
    ragged: set[str] = set()
    for item in items:
        for path in (item.latent_cache, item.text_cache):
            try:
                stored = _read(path, names)
            except (OSError, SafetensorError) as error:
                raise UserError.of(
                    "damaged_cache",
                    say(f"the cache file cannot be read: {error}", f"キャッシュファイルを読めません: {error}"),
                    say("Run `musubi-tui cache PRESET` again.", "`musubi-tui cache PRESET` を実行し直してください。"),
                    file=path,
                ) from error
            for (key, varies), tensor in stored.items():
                if key == "latents" and tensor.dim() == 3:
                    tensor = tensor[:, None]  # a picture stored without the frame axis
                rows.setdefault(key, []).append(tensor)
                if varies:
                    ragged.add(key)
    batch: Tensors = {}
    for key in names:
        row = rows.get(key, [])
        if len(row) != len(items) or (key not in ragged and len({tensor.shape for tensor in row}) > 1):
            raise _mixed(key, items)
        batch[key] = row if key in ragged else torch.stack(row)
    if any(item.loss_weight != 1 for item in items):
        batch[LOSS_WEIGHT] = torch.tensor([item.loss_weight for item in items])
    if any(item.mask is not None for item in items):
        batch[LOSS_MASK] = _masks(items, batch["latents"])
    return batch


def _masks(items: Sequence[Item], latents: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    """(B, 1, 1, h, w) in 0..1 for latents (B, C, F, h, w)."""
    height, width = latents[0].shape[-2:]
    masks = [torch.from_numpy(read_mask(item, (height, width))) for item in items]
    return torch.stack(masks)[:, None, None]


def _read(path: Path, names: Collection[str]) -> dict[tuple[str, bool], torch.Tensor]:
    """(key, ragged) -> tensor for those of ``names`` that the file holds. Raises ``OSError`` and ``SafetensorError``."""
    with safe_open(path, "pt") as file:
        keys = {name: batch_key(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
        return {key: file.get_tensor(name) for name, key in keys.items() if key[0] in names}


def _mixed(key: str, items: Sequence[Item]) -> UserError:
    """The check before the first step finds these; a file that was changed since comes out here."""
    names = ", ".join(item.name for item in items)
    return UserError.of(
        "mixed_caches",
        say(
            f"the cache files of {names} do not fit into one batch: {key} differs.",
            f"{names} のキャッシュをまとめられません ({key} が異なります)。",
        ),
        say("Run `musubi-tui cache PRESET` again.", "`musubi-tui cache PRESET` を実行し直してください。"),
        file=items[0].latent_cache,
    )


class Loader:
    """Iterates batches without end from ``start_step`` on, ``prefetch`` of them read ahead. Close it, or use ``with``.

    An error of the reading thread is raised at the batch it belongs to. ``pin`` puts batches into page-locked memory, from
    which the copy to a CUDA device does not stall the step.
    """

    def __init__(
        self, plan: BatchPlan, names: Collection[str], start_step: int = 0, *, prefetch: int = 2, pin: bool = False
    ) -> None:
        """``names``: the tensors a batch is made of."""
        self._plan, self._names = plan, names
        self._pin = pin
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(maxsize=max(1, prefetch))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(start_step,), name="batch-loader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while not self._end.is_set():
            try:
                got = self._ready.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                continue
            if isinstance(got, BaseException):
                self.close()
                raise got
            return got
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the reading thread; what was read ahead is dropped."""
        self._end.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _read(self, step: int) -> None:
        try:
            while not self._end.is_set():
                epoch, position, items = self._plan.take(step)
                tensors = load_batch(items, self._names)
                if quantiles := self._plan.quantiles(step):
                    tensors[QUANTILES] = torch.tensor(quantiles)
                if self._pin:
                    tensors = _pinned(tensors)
                self._offer(Batch(tensors, items, epoch, position))
                step += 1
        except BaseException as error:  # noqa: BLE001 -- handed over to the thread that takes the batches
            self._offer(error)

    def _offer(self, what: Batch | BaseException) -> None:
        while not self._end.is_set():
            try:
                self._ready.put(what, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return


def _pinned(tensors: Tensors) -> Tensors:
    return {
        key: [tensor.pin_memory() for tensor in value] if isinstance(value, list) else value.pin_memory()
        for key, value in tensors.items()
    }
