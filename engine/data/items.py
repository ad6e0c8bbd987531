"""The nouns of the room: a bucket, an item that will be trained, a file that will not be, and the scan that holds both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from engine.config.problems import Problem

Kind = Literal["image", "clip"]


class Bucket(NamedTuple):
    """Pixels of one training sample: width, height and frames (1 for pictures)."""

    width: int
    height: int
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or clip that is trained, with everything needed to encode, find and batch it."""

    id: str  # unique in the run and stable: "0:cat" or "1:street@00000-025"; events refer to items by it
    dataset: int  # index of its [[datasets]] entry
    name: str  # the file's stem
    path: Path  # the source; for an item known from its cache alone, the latent cache file
    caption: str
    width: int  # of the source in pixels, rotation honoured
    height: int
    kind: Kind
    start: int  # first frame, counted after the frame-rate conversion; 0 for pictures
    bucket: Bucket
    latent_cache: Path
    text_cache: Path
    repeats: int
    batch_size: int
    source_fps: float | None = None  # frame rate the user states; None: every frame is used
    target_fps: float = 0.0  # frame rate of the family; 0: no conversion
    cached_only: bool = False  # the source is gone: only the cache files are there


@dataclass(frozen=True, slots=True)
class Skipped:
    """One file that is not trained, and why."""

    path: Path
    code: str  # "missing_caption", "unreadable_image", "too_short" …
    reason: str
    dataset: int = 0
    broken: bool = False  # damaged or undecodable: stops the run unless on_bad_item = "skip"


@dataclass(frozen=True, slots=True)
class Scan:
    """What is there: items in a fixed order, what was left out, and what the user should know."""

    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()  # why training must not start; empty unless the scan was asked not to raise
