"""What a plan is made from, beside the configuration: the dataset in numbers, the machine, and what it did before.

Plain data, gathered once by whoever has the files; making a plan from it touches no disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.data.cache_files import Presence
from engine.data.dataset_spec import DatasetConfig
from engine.data.items import Bucket, Scan, path_text
from engine.families.family import FamilySpec
from engine.planner.cards import Card
from engine.planner.disk import latent_cache_bytes, text_cache_bytes


@dataclass(frozen=True)
class SizeGroup:
    """The items of one bucket of one dataset: ``items`` after repeats, trained ``batch_size`` at a time."""

    width: int
    height: int
    frames: int
    items: int
    batch_size: int

    @property
    def batches(self) -> int:
        """Batches in an epoch, the short one included."""
        return -(-self.items // self.batch_size)

    @property
    def largest_batch(self) -> int:
        """Items in the fullest batch."""
        return min(self.items, self.batch_size)


@dataclass(frozen=True)
class DataSummary:
    """The dataset. ``assumed``: there are no files yet; one picture or clip of the largest size stands for them."""

    groups: tuple[SizeGroup, ...]
    caption_bytes: int = 0  # of the longest caption, in UTF-8
    latents_to_write: int = 0  # bytes of the caches that do not exist yet
    text_to_write: int = 0
    assumed: bool = False

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return sum(group.batches for group in self.groups)

    def with_batch_size(self, size: int) -> DataSummary:
        """The same items, at most ``size`` at a time."""
        return replace(self, groups=tuple(replace(g, batch_size=min(g.batch_size, size)) for g in self.groups))

    def with_batches_of(self, size: int) -> DataSummary:
        """The same items, ``size`` at a time wherever most were batched so far."""
        most = max(g.batch_size for g in self.groups)
        groups = (replace(g, batch_size=size if g.batch_size == most else g.batch_size) for g in self.groups)
        return replace(self, groups=tuple(groups))

    def scaled(self, factor: float, step: int) -> DataSummary:
        """Sides multiplied by ``factor``, in multiples of ``step`` pixels."""

        def side(pixels: int) -> int:
            return max(step, int(pixels * factor) // step * step)

        groups = (replace(g, width=side(g.width), height=side(g.height)) for g in self.groups)
        return replace(self, groups=tuple(groups))

    def with_frames(self, most: int) -> DataSummary:
        """Clips of at most ``most`` frames."""
        return replace(self, groups=tuple(replace(g, frames=min(g.frames, most)) for g in self.groups))


def summarise(scan: Scan, spec: FamilySpec) -> DataSummary:
    """A scan in numbers. Looks whether each cache file exists."""
    counts: Counter[tuple[int, Bucket, int]] = Counter()
    latents: dict[str, Bucket] = {}
    texts: dict[str, str] = {}
    for item in scan.items:
        latents[path_text(item, "latent_cache")] = item.bucket
        texts[path_text(item, "text_cache")] = item.caption
        latents |= {str(view.cache): item.bucket for view in item.views}
        texts |= {str(text.cache): text.caption for text in (*item.texts, *([item.no_text] if item.no_text else []))}
        counts[item.dataset, item.bucket, item.batch_size] += item.repeats
    there = Presence()
    return DataSummary(
        groups=tuple(SizeGroup(*bucket[:3], count, size) for (_, bucket, size), count in sorted(counts.items())),
        caption_bytes=max((len(item.caption.encode("utf-8", "replace")) for item in scan.items), default=0),
        latents_to_write=sum(
            latent_cache_bytes(spec, *bucket[:3]) for file, bucket in latents.items() if not there.has(file)
        ),
        text_to_write=sum(text_cache_bytes(spec, caption) for file, caption in texts.items() if not there.has(file)),
    )


def assume(config: DatasetConfig, spec: FamilySpec) -> DataSummary:
    """What the dataset file promises, where its pictures are not there yet: one item of each dataset's full size."""
    step = spec.pixel_step
    groups = []
    for dataset in config.datasets:
        width, height = (max(step, side // step * step) for side in dataset.resolution)
        frames = spec.frames_allowed(max(dataset.target_frames)) if dataset.kind == "clip" else 1
        groups.append(SizeGroup(width, height, frames, dataset.batch_size, dataset.batch_size))
    return DataSummary(tuple(groups), caption_bytes=400, assumed=True)


@dataclass(frozen=True)
class Machine:
    """Where it will run. ``card`` None: a CPU, or not known. Bytes."""

    card: Card | None = None
    total: int | None = None  # memory of the card
    others: int = 0  # what other processes hold of it
    disk_free: Mapping[str, int] = field(default_factory=dict)  # "caches", "loras", "states" -> free bytes there


@dataclass(frozen=True)
class PastRun:
    """What this machine did before: a run's arithmetic per step, and the seconds a step took."""

    name: str
    card: str
    family: str
    parameters: int
    flops: float
    seconds: float
    steps: int
