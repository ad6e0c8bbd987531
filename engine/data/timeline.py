"""Which frames of a video each of its clips uses, counted in frames of the file: what ``data frames`` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from engine.data.frames import FrameTimes, frames_by_time, kept_frames
from engine.data.items import Bucket
from engine.data.media import ClipInfo
from engine.data.summary import printable


@dataclass(frozen=True)
class ClipSpan:
    """One clip. ``first`` and ``last`` are frames of the file (from 0), ``start`` counts after the frame-rate conversion."""

    start: int
    frames: int
    first: int
    last: int
    bucket: Bucket


@dataclass(frozen=True)
class Timeline:
    """One video. ``kept`` are the frames of the file that are left after the frame-rate conversion."""

    path: Path
    info: ClipInfo
    kept: tuple[int, ...]
    clips: tuple[ClipSpan, ...]
    source_fps: float | None = None
    target_fps: float = 0.0
    too_long: tuple[int, ...] = ()  # clip lengths asked for that are longer than the video
    times: FrameTimes | None = None  # of a video whose frames last differently long
    by_time: bool = False  # whether those decide which frames are left

    @property
    def used(self) -> int:
        """Different frames of the file that some clip uses."""
        return len({frame for clip in self.clips for frame in self.kept[clip.start : clip.start + clip.frames]})

    def seconds(self, frame: int) -> float | None:
        """When a frame of the file is shown; None where the rate is unknown."""
        if self.times is not None:
            return self.times.seconds(frame)
        return frame / self.info.fps if self.info.fps else None

    def as_json(self) -> dict[str, Any]:
        """The document of ``data frames --json`` for one video."""
        return {
            "path": printable(self.path),
            "width": self.info.width,
            "height": self.info.height,
            "frames": self.info.frames,
            "fps": self.info.fps,
            "source_fps": self.source_fps,
            "target_fps": self.target_fps,
            "variable": self.times is not None,
            "by_time": self.by_time,
            "kept": len(self.kept),
            "used": self.used,
            "too_long": list(self.too_long),
            "clips": [
                {"start": clip.start, "frames": clip.frames, "first": clip.first, "last": clip.last,
                 "bucket": {"width": clip.bucket.width, "height": clip.bucket.height, "frames": clip.bucket.frames}}
                for clip in self.clips
            ],
        }  # fmt: skip


def timeline(
    path: Path,
    info: ClipInfo,
    clips: Sequence[tuple[int, Bucket]],
    *,
    source_fps: float | None = None,
    target_fps: float = 0.0,
    lengths: Sequence[int] = (),
    times: FrameTimes | None = None,
    by_number: bool = False,
) -> Timeline:
    """The timeline of a video whose ``clips`` are (start after conversion, bucket); ``lengths`` are those asked for.

    ``times`` are those of a video of variable frame rate, which decide unless the dataset goes ``by_number``.
    """
    shown = () if by_number else frames_by_time(times, info.frames, source_fps, target_fps)
    kept = shown or tuple(takewhile(lambda index: index < info.frames, kept_frames(source_fps, target_fps)))
    spans = [
        ClipSpan(start, bucket.frames, kept[start], kept[min(start + bucket.frames, len(kept)) - 1], bucket)
        for start, bucket in clips
        if start < len(kept)
    ]
    return Timeline(
        path,
        info,
        kept,
        tuple(spans),
        source_fps,
        target_fps,
        tuple(length for length in lengths if length > len(kept)),
        times if times is not None and times.vary else None,
        bool(shown),
    )


def track(line: Timeline, clip: ClipSpan, cells: int) -> str:
    """A clip over the length of its video in ``cells`` characters: ``#`` where frames are used, ``:`` where they are passed over
    for the frame rate, ``.`` where the clip has nothing. A cell stands for one or more frames; of a video with fewer frames than
    cells, each frame has one or more cells.
    """
    total = max(1, line.info.frames)
    places = min(cells, total)
    marks = ["."] * places
    for frame in range(clip.first, clip.last + 1):
        marks[min(places - 1, frame * places // total)] = ":"
    for frame in line.kept[clip.start : clip.start + clip.frames]:
        marks[min(places - 1, frame * places // total)] = "#"
    return "".join(marks[cell * places // cells] for cell in range(cells))
