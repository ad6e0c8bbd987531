"""The order of training: which items stand in which batch of which epoch, as arithmetic on a seed.

A batch holds items of one bucket of one dataset with control pictures of the same sizes; the last one of a bucket may be short, nothing is dropped or mixed. Order
comes from hashes of (seed, epoch, item id), not from a random generator's state: it does not depend on the file system, on
workers or on the Python version, and step 100,000 is found without going through the steps before it.

``numerics = "musubi"`` shuffles as Musubi Tuner does within a dataset: each epoch what the one before left. There, torch's data
loader shuffles the batches once more; its generator's state at that moment is not reproducible, so here the batches of several
datasets are mixed by a permutation of their own.

``timestep_buckets`` spreads the noise levels of an epoch evenly: every item is told the quantile at which its level stands.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from itertools import islice
from typing import Literal

from engine.data.items import Bucket, Item
from engine.data.variants import drawn

Batch = tuple[int, ...]
Quantiles = tuple[float, ...]  # one in [0, 1) for each item of a batch; empty where levels are drawn freely
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
        timestep_buckets: int | None = None,
    ) -> None:
        if not items:
            raise ValueError("a batch plan needs at least one item")
        self.items = tuple(items)
        self.seed = seed
        self.numerics = numerics
        self.heaviest_first = heaviest_first
        self.timestep_buckets = timestep_buckets if timestep_buckets and timestep_buckets > 1 else 0
        self._buckets = _group(self.items)
        self.batches_per_epoch = sum(
            math.ceil(len(members) / self._batch_size(members)) for members in self._buckets.values()
        )
        self._last: tuple[int, list[Batch], list[Quantiles]] = (0, [], [])
        self._shuffled: tuple[int, list[_Shuffled]] = (0, [])

    def epoch(self, number: int) -> list[Batch]:
        """The batches of one epoch in order, each a tuple of indices into ``items`` (repeated items stand repeatedly)."""
        return self._epoch(number)[0]

    def at(self, step: int) -> tuple[int, int, Batch]:
        """(epoch, position in it, batch) of the batch that is taken after ``step`` others."""
        epoch, position = divmod(step, self.batches_per_epoch)
        return epoch + 1, position, self.epoch(epoch + 1)[position]

    def quantiles(self, step: int) -> Quantiles:
        """Where in the distribution of noise levels the items of that batch stand; empty without ``timestep_buckets``."""
        epoch, position = divmod(step, self.batches_per_epoch)
        return self._epoch(epoch + 1)[1][position] if self.timestep_buckets else ()

    def take(self, step: int) -> tuple[int, int, tuple[Item, ...]]:
        """As ``at``, with the items themselves, each in the words and the cut that are drawn for it here."""
        epoch, position, indices = self.at(step)
        items = []
        for place, index in enumerate(indices):
            item = self.items[index]
            items.append(drawn(item, self._hash(epoch, "variant", f"{item.id}:{position}", place)))
        return epoch, position, tuple(items)

    def _epoch(self, number: int) -> tuple[list[Batch], list[Quantiles]]:
        if number < 1:
            raise ValueError(f"epochs count from 1, not {number}")
        last, order, quantiles = self._last
        if last != number:
            musubi = self.numerics == "musubi"
            order, quantiles = self._musubi_order(number) if musubi else (self._exact_order(number), [])
            if self.heaviest_first and number == 1:
                heaviest = max(range(len(order)), key=lambda place: (self._weight(order[place]), -place))
                order.insert(0, order.pop(heaviest))
                if quantiles:
                    quantiles.insert(0, quantiles.pop(heaviest))
            if self.timestep_buckets and not musubi:
                quantiles = self._spread(number, order)
            self._last = (number, order, quantiles)
        return order, quantiles

    def _spread(self, epoch: int, order: list[Batch]) -> list[Quantiles]:
        """As many quantiles from each of the equal ranges as from any other, or one more, in an order of their own."""
        count = sum(map(len, order))
        drawn = []
        for number in range(count):
            key = self._hash(epoch, "level", "", number)
            within = int.from_bytes(key[:6], "big") / (1 << 48)
            drawn.append((key[6:], (number % self.timestep_buckets + within) / self.timestep_buckets))
        left = iter([quantile for _, quantile in sorted(drawn)])
        return [tuple(islice(left, len(batch))) for batch in order]

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

    def _musubi_order(self, epoch: int) -> tuple[list[Batch], list[Quantiles]]:
        done, datasets = self._shuffled
        if done >= epoch or not datasets:
            done = 0
            datasets = [
                _Shuffled(self._dataset_buckets(dataset)) for dataset in sorted({key[0] for key in self._buckets})
            ]
        pairs: list[tuple[Batch, Quantiles]] = []
        for number in range(done + 1, epoch + 1):
            pairs = []
            for dataset in datasets:
                size = self._batch_size(dataset.groups[0][1])
                pairs += dataset.next(size, random.Random(self._dataset_seed(number)), self.timestep_buckets)
        self._shuffled = (epoch, datasets)
        if len(datasets) > 1:
            random.Random(f"{self.seed} {epoch}").shuffle(pairs)
        return [batch for batch, _ in pairs], [quantiles for _, quantiles in pairs]


class _Shuffled:
    """Musubi Tuner's order of one dataset. It shuffles its lists in place, so each epoch goes on from the one before."""

    def __init__(self, groups: list[tuple[Shape, list[int]]]) -> None:
        self.groups = groups
        self.order: list[tuple[Shape, int]] = []

    def next(self, size: int, generator: random.Random, buckets: int) -> list[tuple[Batch, Quantiles]]:
        """The batches of the next epoch, of ``size`` items each, with their quantiles where there are ``buckets`` of levels."""
        self.order = self.order or batch_numbers(self.groups, size)
        shuffle_dataset(self.groups, self.order, generator)
        levels = shuffled_levels(len(self.order) * size, buckets, generator) if buckets else []
        members = dict(self.groups)
        pairs = []
        for place, (shape, number) in enumerate(self.order):
            batch = tuple(members[shape][number * size : (number + 1) * size])
            pairs.append((batch, tuple(levels[place * size : (place + 1) * size][: len(batch)])))
        return pairs


def _group(items: Sequence[Item]) -> dict[tuple[int, Bucket, Controls], list[int]]:
    groups: dict[tuple[int, Bucket, Controls], list[int]] = {}
    for index, item in enumerate(items):
        controls = tuple(control.bucket for control in item.controls)
        groups.setdefault((item.dataset, item.bucket, controls), []).extend([index] * item.repeats)
    return groups


def _control_name(controls: Controls) -> str:
    return "".join(f"+{width}x{height}" for width, height in controls)


def batch_numbers(groups: list[tuple[Shape, list[int]]], size: int) -> list[tuple[Shape, int]]:
    """All (bucket, number of a batch of it), ascending."""
    return [
        (shape, number)
        for shape, members in sorted(groups, key=lambda group: group[0])
        for number in range(math.ceil(len(members) / size))
    ]


def shuffle_dataset(
    groups: list[tuple[Shape, list[int]]], order: list[tuple[Shape, int]], generator: random.Random
) -> None:
    """Musubi Tuner's shuffle, in place: the items of each bucket, then the list of (bucket, batch number)."""
    for _, members in groups:
        generator.shuffle(members)
    generator.shuffle(order)


def shuffled_levels(count: int, buckets: int, generator: random.Random) -> list[float]:
    """Musubi Tuner's quantiles of ``count`` noise levels: as many uniform draws in each of ``buckets`` equal ranges, shuffled."""
    each = math.ceil(count / buckets)
    levels = [
        generator.uniform(number / buckets, (number + 1) / buckets) for number in range(buckets) for _ in range(each)
    ]
    generator.shuffle(levels)
    return levels[:count]
