"""Which frames of a video become which clip: the frame-rate rule and the ways of cutting, by indices alone.

Frame rate: a position advances by target/source per frame, and a frame is kept when the position enters a new whole number, so
frames are dropped and never repeated. The position is a running float sum, because Musubi Tuner's is: 2/3 added three times is
not 2, and the kept frames follow from that. One bug is not kept: there the limit of ``head`` counts positions instead of kept
frames, so a clip whose rate is below the family's comes out short and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile


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
