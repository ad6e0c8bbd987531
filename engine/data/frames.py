"""Which frames of a video become which clip: the frame-rate rule and the ways of cutting, by indices and times alone.

Frame rate: a position advances by target/source per frame, and a frame is kept when the position enters a new whole number, so
frames are dropped and never repeated. The position is a running float sum, because Musubi Tuner's is: 2/3 added three times is
not 2, and the kept frames follow from that. One bug is not kept: there the limit of ``head`` counts positions instead of kept
frames, so a clip whose rate is below the family's comes out short and is dropped.

Where the frames of a video last differently long, its number says nothing about when a frame is shown: there the same rule goes
by the frames' times (``numerics = "musubi"``: by their numbers all the same).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, takewhile
from typing import Literal

_NEAR = 0.02  # rates that differ less count as equal: 23.976 is 24


def kept_frames(source_fps: float | None, target_fps: float) -> Iterator[int]:
    """Indices of the source frames that are used, without end. All of them when either rate is unknown."""
    advance = 1.0 if not source_fps or not target_fps else target_fps / source_fps
    position, last, index = 0.0, -1, 0
    while True:
        if advance >= 1 or int(position) != last:
            last = int(position)
            yield index
        position += advance
        index += 1


def count_kept(frames: int, source_fps: float | None, target_fps: float) -> int:
    """How many of the first ``frames`` source frames are used."""
    if not source_fps or not target_fps or target_fps >= source_fps:
        return frames
    return sum(1 for _ in takewhile(lambda index: index < frames, kept_frames(source_fps, target_fps)))


def rate_trouble(fps: float, source_fps: float | None, target_fps: float) -> Literal["", "wrong", "slow"]:
    """Whether motion is learned at another speed than it was filmed: ``wrong`` where another ``source_fps`` would mend it, ``slow``
    where nothing in the dataset file does, because the video has fewer frames a second than the model shows and none is repeated.

    ``fps`` is what the file states, 0 when it states nothing: then the user's word counts.
    """
    rate = fps or source_fps
    if not rate or not target_fps:
        return ""
    kept = rate * min(1.0, target_fps / source_fps) if source_fps else rate
    if abs(kept - target_fps) <= _NEAR * target_fps:
        return ""
    slow = rate < target_fps * (1 - _NEAR) and (
        not source_fps or source_fps <= target_fps or abs(fps - source_fps) <= _NEAR * source_fps
    )
    return "slow" if slow else "wrong"


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When each frame of a video is shown: rising ``ticks`` of ``base`` seconds."""

    ticks: tuple[int, ...]
    base: Fraction

    @property
    def vary(self) -> bool:
        """Whether the frames last differently long: by more than a container's rounding and a tenth."""
        steps = [after - before for before, after in pairwise(self.ticks)]
        usual = sorted(steps)[len(steps) // 2] if steps else 0
        off = max((abs(step - usual) for step in steps), default=0)
        return (off > 1 and 10 * off > usual) or 2 * off > usual

    def seconds(self, frame: int) -> float:
        """When a frame is shown, counted from the first one; of the number after the last: when the video ends, about."""
        if frame >= len(self.ticks) > 1:
            return self.seconds(len(self.ticks) - 1) * len(self.ticks) / (len(self.ticks) - 1)
        return float((self.ticks[frame] - self.ticks[0]) * self.base)

    def kept(self, target_fps: float) -> tuple[int, ...]:
        """Indices of the frames that are used: each that is the first in its 1/``target_fps`` of a second. None is repeated."""
        rate = self.base * Fraction(target_fps)
        kept, last = [], -1
        for index, tick in enumerate(self.ticks):
            # Half a tick later: containers round times, and one that stands on the border belongs behind it.
            position = (2 * (tick - self.ticks[0]) + 1) * rate.numerator // (2 * rate.denominator)
            if position != last:
                last = position
                kept.append(index)
        return tuple(kept)


def frames_by_time(
    times: FrameTimes | None, frames: int, source_fps: float | None, target_fps: float
) -> tuple[int, ...]:
    """Which of the first ``frames`` frames are used, where their times decide; empty where their numbers do.

    Times decide when they are known, the frames last differently long, and a rate is asked for.
    """
    if times is None or not source_fps or not target_fps or not times.vary:
        return ()
    return tuple(frame for frame in times.kept(target_fps) if frame < frames)


def cut_clips(
    mode: str, frames: int, lengths: tuple[int, ...], *, stride: int, sample: int, longest: int, frame_stride: int
) -> list[tuple[int, int]]:
    """(start, length) of the clips taken from ``frames`` used frames; lengths that do not fit give none.

    ``head``: the beginning. ``chunk``: whole pieces end to end. ``slide``: a piece every ``stride`` frames. ``uniform``:
    ``sample`` pieces spread evenly, equal starts once (Musubi Tuner writes them over each other). ``full``: one piece of at
    most ``longest`` frames, ``frame_stride`` * n + 1 long; ``lengths`` are not read.
    """
    if mode == "full":
        return [(0, (min(frames, longest) - 1) // frame_stride * frame_stride + 1)] if frames > 0 else []
    clips = []
    for length in (length for length in lengths if length <= frames):
        last = frames - length
        match mode:
            case "chunk":
                starts = list(range(0, last + 1, length))
            case "slide":
                starts = list(range(0, last + 1, stride))
            case "uniform" if sample > 1:
                starts = sorted({last * number // (sample - 1) for number in range(sample)})
            case _:
                starts = [0]
        clips += [(start, length) for start in starts]
    return clips
