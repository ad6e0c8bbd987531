"""Many clips of one video: the frames they say, decoded once, jumped to where that is exact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engine.data import Bucket, Item, clip_reading
from engine.data.clip_reading import Abandoned, VideoFrames, frame_times, read_clips
from engine.data.media import UnreadableMedia
from tests.unit.test_data_pixels import item_of

FRAMES, GROUP = 400, 20


def coded(number: int) -> np.ndarray:
    """A frame that says its number: nine squares, black or white, survive any codec."""
    bits = [(number >> bit) & 1 for bit in range(9)]
    return np.kron(np.array(bits, np.uint8).reshape(3, 3), np.full((16, 16), 255, np.uint8))[..., None].repeat(3, 2)


def number_of(frame: np.ndarray) -> int:
    squares = frame.reshape(3, 16, 3, 16, 3).mean((1, 3, 4)).flatten() > 127
    return int(sum(1 << bit for bit, on in enumerate(squares) if on))


def film(path: Path, codec: str, frames: int = FRAMES, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16, options=options)
        stream.width = stream.height = 48
        stream.pix_fmt, stream.gop_size = "yuv420p", GROUP
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(coded(number), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module", params=["libx264.mp4", "libx264.mkv", "mpeg4.mp4", "libvpx.webm"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    codec, ending = request.param.split(".")
    options = {"bf": "3"} if codec == "libx264" else {}
    return film(tmp_path_factory.mktemp("film") / f"a.{ending}", codec, **options)


def clip(path: Path, start: int, frames: int, **changes: Any) -> Item:
    return item_of(path, Bucket(48, 48, frames), start=start, **changes)


def test_each_clip_has_its_frames_wherever_it_begins(path: Path) -> None:
    items = [clip(path, 390, 9), clip(path, 0, 1), clip(path, 0, 9), clip(path, 5, 13), clip(path, 203, 5)]
    found = [(item, [number_of(frame) for frame in pixels]) for item, pixels in read_clips(items)]
    assert len(found) == len(items)
    for item, numbers in found:
        assert numbers == list(range(item.start, item.start + item.bucket.frames))
    ends = [item.start + item.bucket.frames for item, _ in found]
    assert ends == sorted(ends)


def test_dropped_frames_count_before_the_jump(path: Path) -> None:
    items = [clip(path, 0, 5, source_fps=32.0, target_fps=16.0), clip(path, 150, 5, source_fps=32.0, target_fps=16.0)]
    found = [[number_of(frame) for frame in pixels] for _, pixels in read_clips(items)]
    assert found == [[0, 2, 4, 6, 8], [300, 302, 304, 306, 308]]


def test_a_gap_is_jumped_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    original = VideoFrames.pixels

    class Counting:
        """The decoder's frames, counted."""

        def __init__(self, frames: Iterator[Any]) -> None:
            self.frames = frames

        def __iter__(self) -> Counting:
            return self

        def __next__(self) -> Any:
            frame = next(self.frames)
            decoded.append(frame.pts)
            return frame

    def counted(self: VideoFrames, number: int, go_on: Any) -> Any:
        if not isinstance(self._frames, Counting):
            self._frames = Counting(self._frames)  # type: ignore[assignment]
        return original(self, number, go_on)

    monkeypatch.setattr(VideoFrames, "pixels", counted)
    numbers = [number_of(frame) for _, pixels in read_clips([clip(path, 350, 5)]) for frame in pixels]
    assert numbers == list(range(350, 355))
    assert len(decoded) < 2 * GROUP + 10


def test_packets_without_distinct_times_are_decoded_through(tmp_path: Path) -> None:
    path = film(tmp_path / "raw.h264", "libx264", 150)  # an elementary stream: its packets carry no times
    assert frame_times(path)[:2] == ([], [])
    ((_, pixels),) = read_clips([clip(path, 140, 5)])
    assert [number_of(frame) for frame in pixels] == list(range(140, 145))


def test_a_jump_that_does_not_land_where_it_should_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The times say one thing and the container another: then the frames in between are decoded."""
    times, keys, base = frame_times(path)
    monkeypatch.setattr(clip_reading, "frame_times", lambda _: ([time + 1 for time in times], keys, base))
    found = [[number_of(frame) for frame in pixels] for _, pixels in read_clips([clip(path, 3, 5), clip(path, 350, 5)])]
    assert found == [list(range(3, 8)), list(range(350, 355))]


def test_memory_is_the_open_clips(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips end to end: each is given away before the next one is begun."""
    opened: list[int] = []
    given: list[int] = []
    items = [clip(path, start, 9) for start in range(0, 90, 9)]
    for item, _ in read_clips(items, reserve=opened.append):
        given.append(item.start)
        assert len(opened) - len(given) <= 0
    assert opened == [9 * 48 * 48 * 3] * 10  # held once
    assert given == list(range(0, 90, 9))


def test_only_clips_that_share_frames_are_held_twice(path: Path) -> None:
    spans = [(0, 5), (3, 9), (12, 5), (20, 5), (21, 1), (22, 9), (40, 5)]
    items = [clip(path, start, frames) for start, frames in spans]
    reserved: list[int] = []
    for item, pixels in read_clips(items, reserve=reserved.append):
        assert [number_of(frame) for frame in pixels] == list(range(item.start, item.start + item.bucket.frames))
    frame = 48 * 48 * 3
    assert [size // frame for size in reserved] == [2 * 5, 2 * 9, 5, 2 * 5, 2, 2 * 9, 5]


def test_it_ends_when_told(path: Path) -> None:
    wanted = iter([True, True])
    with pytest.raises(Abandoned):
        list(read_clips([clip(path, 0, 9)], lambda: next(wanted, False)))


def test_a_video_that_ends_early_says_how_far_it_went(path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="ends after 5 of the 9"):
        list(read_clips([clip(path, FRAMES - 5, 9)]))
