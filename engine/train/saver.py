"""Saved adapters: Musubi Tuner's file names, which older ones make room, every dialect the user asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.config.language import say
from engine.dtypes import DTYPES
from engine.events.types import Checkpoint, Event
from engine.networks.dialects import Dialect
from engine.networks.files import remove_unfinished
from engine.networks.lora import LoraNetwork


def step_stem(name: str, step: int) -> str:
    """Stem of the file saved after ``step`` steps."""
    return f"{name}-step{step:08d}"


def epoch_stem(name: str, epoch: int) -> str:
    """Stem of the file saved at the end of ``epoch``."""
    return f"{name}-{epoch:06d}"


def step_to_remove(step: int, every: int, last: int | None) -> int | None:
    """The step whose file goes when ``step``'s is written: ``last`` is a distance in steps."""
    if last is None:
        return None
    oldest = step - last - 1
    return None if oldest < 0 else oldest - oldest % every


def epoch_to_remove(epoch: int, every: int, last: int | None) -> int | None:
    """The epoch whose file goes when ``epoch``'s is written: ``last`` counts files."""
    if last is None:
        return None
    gone = epoch - every * last
    return None if gone < 0 else gone


class Saver:
    """Writes the adapter into ``folder`` and tells the run about it."""

    def __init__(
        self,
        network: LoraNetwork,
        folder: Path,
        name: str,
        metadata: Callable[[int, int], dict[str, str]],
        *,
        emit: Callable[[Event], None],
        warn: Callable[[str, str, str], None],
        precision: str | None = None,
        dialects: Sequence[Dialect] = ("musubi",),
        owner: str = "",
    ) -> None:
        """``owner`` names the run in unfinished files: what a killed attempt of it left in ``folder`` is removed now."""
        self.network = network
        self.folder = folder
        self.name = name
        self.outputs: list[Path] = []
        self._metadata = metadata
        self._emit = emit
        self._warn = warn
        self._dtype = DTYPES[precision or "fp32"]
        self._dialects = tuple(dialects) or ("musubi",)
        self._owner = owner
        remove_unfinished(folder, owner)

    def save(self, stem: str, step: int, epoch: int) -> None:
        """Write ``stem`` in every dialect: the first under the plain name, others as ``stem.<dialect>.safetensors``.

        Raises ``CheckpointError`` for an adapter that must not be saved, ``OSError`` when the disk refuses.
        """
        for path, dialect in self._files(stem):
            begin = time.monotonic()
            saved = self.network.save(path, dialect, self._metadata(step, epoch), self._dtype, self._owner)
            seconds = time.monotonic() - begin
            self._emit(Checkpoint(path=str(path), kind="lora", bytes=saved.bytes, seconds=seconds, step=step))
            if path not in self.outputs:
                self.outputs.append(path)
        if not saved.delta_norm:
            self._warn(
                "lora_changes_nothing",
                say(f"The LoRA saved at step {step} does not change the model.", f"ステップ {step} で保存した LoRA はモデルを変化させません。"),
                say("No learning has taken place yet (a warm-up starts at 0), learning_rate is 0, or the loss is: masks that are all black, a loss_weight of 0.",
                    "まだ学習が進んでいない（ウォームアップは 0 から始まります）、learning_rate が 0、または損失が 0（真っ黒なマスクや loss_weight = 0）です。"),
            )  # fmt: skip

    def remove(self, stem: str) -> None:
        """Remove an earlier file of this run in every dialect, if it is there."""
        for path, _ in self._files(stem):
            path.unlink(missing_ok=True)
            if path in self.outputs:
                self.outputs.remove(path)

    def _files(self, stem: str) -> list[tuple[Path, Dialect]]:
        first, *others = self._dialects
        named = [(self.folder / f"{stem}.safetensors", first)]
        return named + [(self.folder / f"{stem}.{dialect}.safetensors", dialect) for dialect in others]
