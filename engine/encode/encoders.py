"""The VAE on threads of its own: one for a GPU, one for each core of a CPU.

A VAE of one torch thread leaves the other cores idle, and several threads for one VAE spin against each other. Copies share
the weights; each item is encoded by one thread, so the numbers do not depend on how many there are. Clips are encoded one after
the other: what a VAE keeps of all frames at once is the most that caching ever holds, on some processors a gigabyte for a short one.
"""

from __future__ import annotations

import copy
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from engine.config.problems import Problem, UserError
from engine.data.clip_reading import Abandoned
from engine.data.items import Item
from engine.data.media import UnreadableMedia
from engine.data.pixels import unreadable
from engine.data.provenance import CacheState, Stamps
from engine.encode.frames import Bytes, LongClip, ScaledFrames
from engine.families.family import FamilyModel


class Decoded(NamedTuple):
    """An item's pixels (F, H, W, 3) uint8, or what decodes them, what its source files were when they were read, and the state of its old cache."""

    pixels: Bytes | LongClip
    stamps: Stamps
    old: CacheState


class Encoders:
    """``count`` threads that encode. Use it with ``with``."""

    def __init__(
        self, family_model: FamilyModel, vae: nn.Module, device: torch.device, stored: torch.dtype, count: int
    ) -> None:
        self.count = count
        self._model, self._device, self._stored = family_model, device, stored
        self._pending: deque[tuple[Item, Decoded, Future[torch.Tensor]]] = deque()
        self._keep: Callable[[Item, Decoded, torch.Tensor], None] = lambda item, decoded, latents: None
        self._lose: Callable[[Item, Problem], None] = lambda item, problem: None
        self._clips = threading.Lock()
        self._free: queue.SimpleQueue[nn.Module] = queue.SimpleQueue()
        self._free.put(vae)
        for _ in range(count - 1):
            shared: dict[int, Any] = {id(tensor): tensor for tensor in (*vae.parameters(), *vae.buffers())}
            self._free.put(copy.deepcopy(vae, shared))
        self.abandoned = False  # whether a clip was left in the middle, because the work shall stop
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="encoder")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def drive(
        self,
        flow: Iterable[tuple[Item, Decoded]],
        before: Callable[[], None],
        keep: Callable[[Item, Decoded, torch.Tensor], None],
        lose: Callable[[Item, Problem], None],
    ) -> None:
        """Encode all of ``flow``: ``before()`` ahead of each item, where it may raise to stop; ``keep`` after each, in order, or
        ``lose`` where a long clip turns out to be unreadable.

        What is being encoded when the work stops is kept, too, but for a long clip that was told to stop.
        """
        self._keep, self._lose = keep, lose
        try:
            for item, decoded in flow:
                before()
                self._pending.append((item, decoded, self._pool.submit(self._encode, item, decoded.pixels)))
                if len(self._pending) == self.count:
                    self._finish()
        finally:
            while self._pending:
                self._finish()

    def keep_finished(self) -> None:
        """Keep what is encoded by now. To be called while ``flow`` waits: another process may wait for just that file."""
        while self._pending and self._pending[0][2].done():
            self._finish()

    def _finish(self) -> None:
        item, decoded, encoded = self._pending.popleft()
        try:
            latents = encoded.result()
        except UserError as error:
            self._lose(item, error.problems[0])
        except Abandoned:  # the work stops, and the clip begins anew next time
            self.abandoned = True
        else:
            self._keep(item, decoded, latents)

    def _encode(self, item: Item, pixels: Bytes | LongClip) -> torch.Tensor:
        """(F, H, W, 3) uint8 -> (C, f, h, w) on the CPU as it is stored."""
        vae = self._free.get()
        try:
            with torch.inference_mode(), self._clips if item.bucket.frames > 1 else nullcontext():
                latents = self._model.encode_latents(vae, ScaledFrames(pixels, self._device))[0]
            return latents.to("cpu", self._stored)
        except Abandoned:
            raise
        except UnreadableMedia as error:
            raise unreadable(item, str(error)) from error
        except Exception as error:
            error.add_note(str(item.path))  # which item it was, for the person who reads of it
            raise
        finally:
            self._free.put(vae)
            if isinstance(pixels, LongClip):
                pixels.close()
