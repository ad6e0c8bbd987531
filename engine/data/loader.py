"""Cache files to training batches, read ahead by one thread. The only torch file of this room.

Tensors are named and stacked by Musubi Tuner's rule: dtype and size leave the name, ``varlen_`` tensors stay a list, all others
are stacked in the dtype they were stored in.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.batches import BatchPlan
from engine.data.cache_files import batch_key
from engine.data.items import Item
from engine.data.masks import read_mask

Tensors = dict[str, torch.Tensor | list[torch.Tensor]]
LOSS_WEIGHT = "loss_weight"  # (B,), in a batch only where a weight is not 1
LOSS_MASK = "loss_mask"  # (B, 1, 1, h, w), in a batch only where an item has a mask
_WAIT_SECONDS = 0.2  # how long a blocked thread waits before it looks whether it shall end


@dataclass(frozen=True)
class Batch:
    """One micro-batch: its tensors, the items they came from, and where in the order it stands (epochs from 1)."""

    tensors: Tensors
    items: tuple[Item, ...]
    epoch: int
    position: int


def load_batch(items: Sequence[Item]) -> Tensors:
    """Latent and text caches of ``items`` as one batch, on the CPU. Dense tensors gain a first axis of ``len(items)``.

    Where a dataset weighs its items otherwise than 1, ``loss_weight`` (B,) says how; where items have masks, ``loss_mask``
    (B, 1, 1, h, w) holds them.

    Raises ``UserError`` naming the file that is missing, damaged or does not fit the others.
    """
    rows: dict[str, list[torch.Tensor]] = {}
    ragged: set[str] = set()
    for item in items:
        for path in (item.latent_cache, item.text_cache):
            try:
                stored = load_file(path)
            except (OSError, SafetensorError) as error:
                raise UserError.of(
                    "damaged_cache",
                    say(f"the cache file cannot be read: {error}", f"キャッシュファイルを読めません: {error}"),
                    say("Run musubi-tui cache again.", "musubi-tui cache を実行してください。"),
                    file=path,
                ) from error
            for name, tensor in stored.items():
                key, varies = batch_key(name)
                if key == "latents" and tensor.dim() == 3:
                    tensor = tensor[:, None]  # a picture stored without the frame axis
                rows.setdefault(key, []).append(tensor)
                if varies:
                    ragged.add(key)
    batch: Tensors = {key: row if key in ragged else _stack(key, row, items) for key, row in rows.items()}
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


def _stack(key: str, tensors: list[torch.Tensor], items: Sequence[Item]) -> torch.Tensor:
    if len(tensors) != len(items) or len({tensor.shape for tensor in tensors}) > 1:
        names = ", ".join(item.name for item in items)
        raise UserError.of(
            "mixed_caches",
            say(
                f"the cache files of {names} do not fit into one batch: {key} differs.",
                f"{names} のキャッシュをまとめられません ({key} が異なります)。",
            ),
            say("Run musubi-tui cache again.", "musubi-tui cache を実行してください。"),
            file=items[0].latent_cache,
        )
    return torch.stack(tensors)


class Loader:
    """Iterates batches without end from ``start_step`` on, ``prefetch`` of them read ahead. Close it, or use ``with``.

    An error of the reading thread is raised at the batch it belongs to. ``pin`` puts batches into page-locked memory, from
    which the copy to a CUDA device does not stall the step.
    """

    def __init__(self, plan: BatchPlan, start_step: int = 0, *, prefetch: int = 2, pin: bool = False) -> None:
        self._plan = plan
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
                tensors = load_batch(items)
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
