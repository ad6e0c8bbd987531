"""The order of training: which items stand in which batch of which epoch, as arithmetic on a seed.

A batch holds items of one bucket of one dataset with control pictures of the same sizes; the last one of a bucket may be short, nothing is dropped or mixed. Order
comes from hashes of (seed, epoch, item id), not from a random generator's state: it does not depend on the file system, on
workers or on the Python version, and step 100,000 is found without going through the steps before it.

``numerics = "musubi"`` shuffles as Musubi Tuner does within a dataset (``golden/batch_order.json``). There, torch's data loader
shuffles the batches once more; its generator's state at that moment is not reproducible, so here the batches of several
datasets are mixed by a permutation of their own.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from typing import Literal

from engine.data.items import Bucket, Item
from engine.data.variants import drawn

Batch = tuple[int, ...]
Controls = tuple[tuple[int, int], ...]  # sizes of the control pictures: those of one batch are equal
Shape = tuple[Bucket, Controls]


class BatchPlan:
    """Batches of ``items`` for every epoch. Epochs count from 1, steps (batches) from 0.

    ``heaviest_first`` takes the batch with the most to hold in memory out of the first epoch's order and puts it in front.
    """

    def __init__(
        self,
        items: Sequence[Item],
        *,
        seed: int,
        numerics: Literal["exact", "musubi"] = "exact",
        heaviest_first: bool = False,
    ) -> None:
        if not items:
            raise ValueError("a batch plan needs at least one item")
        self.items = tuple(items)
        self.seed = seed
        self.numerics = numerics
        self.heaviest_first = heaviest_first
        self._buckets = _group(self.items)
        self.batches_per_epoch = sum(
            math.ceil(len(members) / self._batch_size(members)) for members in self._buckets.values()
        )
        self._last: tuple[int, list[Batch]] = (0, [])

    def epoch(self, number: int) -> list[Batch]:
        """The batches of one epoch in order, each a tuple of indices into ``items`` (repeated items stand repeatedly)."""
        if number < 1:
            raise ValueError(f"epochs count from 1, not {number}")
        if self._last[0] != number:
            order = self._musubi_order(number) if self.numerics == "musubi" else self._exact_order(number)
            if self.heaviest_first and number == 1:
                heaviest = max(range(len(order)), key=lambda place: (self._weight(order[place]), -place))
                order.insert(0, order.pop(heaviest))
            self._last = (number, order)
        return self._last[1]

    def at(self, step: int) -> tuple[int, int, Batch]:
        """(epoch, position in it, batch) of the batch that is taken after ``step`` others."""
        epoch, position = divmod(step, self.batches_per_epoch)
        return epoch + 1, position, self.epoch(epoch + 1)[position]

    def take(self, step: int) -> tuple[int, int, tuple[Item, ...]]:
        """As ``at``, with the items themselves, each in the words and the cut that are drawn for it here."""
        epoch, position, indices = self.at(step)
        items = []
        for place, index in enumerate(indices):
            item = self.items[index]
            items.append(drawn(item, self._hash(epoch, "variant", f"{item.id}:{position}", place)))
        return epoch, position, tuple(items)

    def _batch_size(self, members: Sequence[int]) -> int:
        return self.items[members[0]].batch_size

    def _weight(self, batch: Batch) -> int:
        """Latent cells of a batch up to a factor: its pixels, four frames after the first as one, controls included."""
        item = self.items[batch[0]]
        frames = (item.bucket.frames - 1) // 4 + 1
        controls = sum(width * height for width, height in (control.bucket for control in item.controls))
        of_controls = controls * (frames if item.kind == "clip" else 1)
        return len(batch) * (item.bucket.width * item.bucket.height * frames + of_controls)

    def _exact_order(self, epoch: int) -> list[Batch]:
        batches: list[tuple[bytes, Batch]] = []
        for (dataset, bucket, controls), members in self._buckets.items():
            counts: dict[int, int] = {}
            keyed = []
            for index in members:
                counts[index] = counts.get(index, 0) + 1
                keyed.append((self._hash(epoch, "item", self.items[index].id, counts[index]), index))
            ordered = [index for _, index in sorted(keyed)]
            size = self._batch_size(members)
            for number, start in enumerate(range(0, len(ordered), size)):
                name = f"{dataset}:{'x'.join(map(str, bucket))}{_control_name(controls)}"
                key = self._hash(epoch, "batch", name, number)
                batches.append((key, tuple(ordered[start : start + size])))
        return [batch for _, batch in sorted(batches)]

    def _hash(self, epoch: int, what: str, name: str, number: int) -> bytes:
        text = f"{self.seed}\0{epoch}\0{what}\0{number}\0{name}"
        return hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=12).digest()

    # -- musubi

    def _dataset_seed(self, epoch: int) -> int:
        """Musubi Tuner draws one number after seeding, adds the epoch, and seeds every dataset with the sum."""
        return random.Random(self.seed).randint(0, 2**31) + epoch

    def _dataset_buckets(self, dataset: int) -> list[tuple[Shape, list[int]]]:
        return [
            ((bucket, controls), list(members))
            for (owner, bucket, controls), members in self._buckets.items()
            if owner == dataset
        ]

    def _musubi_order(self, epoch: int) -> list[Batch]:
        datasets = sorted({key[0] for key in self._buckets})
        batches: list[Batch] = []
        for dataset in datasets:
            groups = self._dataset_buckets(dataset)
            size = self._batch_size(groups[0][1])
            generator = random.Random(self._dataset_seed(epoch))
            by_shape = dict(groups)
            for shape, number in _shuffle_dataset(groups, size, generator):
                batches.append(tuple(by_shape[shape][number * size : (number + 1) * size]))
        if len(datasets) > 1:
            random.Random(f"{self.seed} {epoch}").shuffle(batches)
        return batches


def _group(items: Sequence[Item]) -> dict[tuple[int, Bucket, Controls], list[int]]:
    groups: dict[tuple[int, Bucket, Controls], list[int]] = {}
    for index, item in enumerate(items):
        controls = tuple(control.bucket for control in item.controls)
        groups.setdefault((item.dataset, item.bucket, controls), []).extend([index] * item.repeats)
    return groups


def _control_name(controls: Controls) -> str:
    return "".join(f"+{width}x{height}" for width, height in controls)


def _shuffle_dataset(
    groups: list[tuple[Shape, list[int]]], batch_size: int, generator: random.Random
) -> list[tuple[Shape, int]]:
    """Musubi Tuner's shuffle: the items of each bucket in place, then the list of (bucket, batch number)."""
    indices = [
        (shape, number)
        for shape, members in sorted(groups, key=lambda group: group[0])
        for number in range(math.ceil(len(members) / batch_size))
    ]
    for _, members in groups:
        generator.shuffle(members)
    generator.shuffle(indices)
    return indices
