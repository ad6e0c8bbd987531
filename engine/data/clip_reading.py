"""The clips of one video in one pass: every frame is decoded at most once, kept only while a clip needs it, and made RGB
and resized only if one does.

Memory is the open clips at bucket size, whatever the length of the video: once where a clip shares no frames with another, as the
whole of a video does, else twice while it is put together. A gap is jumped over by seeking to the key frame
before the next frame that is needed, where that is exact: every packet has its own time, so that the number of a frame is
the rank of its time, and the first frame after the jump is the key frame that was asked for. Otherwise it is decoded through.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np

from engine.config.language import say
from engine.data.frames import kept_frames
from engine.data.items import Item
from engine.data.media import UnreadableMedia, frame_files, frame_times
from engine.data.pictures import read_image
from engine.data.resize import Pixels, resize_to_bucket

Cut = tuple[tuple[float, float], bool]
_WORTH_A_JUMP = 96  # frames; a jump costs reading the packets of the file once, and a few frames


class Abandoned(Exception):
    """The caller does not want the rest."""


def read_clips(
    items: Sequence[Item], go_on: Callable[[], bool] = lambda: True, reserve: Callable[[int], None] = lambda size: None
) -> Iterator[tuple[Item, Pixels]]:
    """(item, (F, H, W, 3) uint8) for the clips of one video, in the order of their last frames.

    All items have one path, choice of frames and bucket width and height; their cuts may differ. ``reserve(bytes)`` is called when a clip is opened; when
    ``go_on()`` is no longer true, ``Abandoned`` is raised. Raises ``UnreadableMedia``.
    """
    ordered = sorted(items, key=lambda item: (item.start, item.bucket.frames))
    kept = _kept(ordered[0], max(item.start + item.bucket.frames for item in ordered))
    waiting, opened = list(ordered), list[Item]()
    frames: dict[int, dict[Cut, Pixels]] = {}  # position -> the frame in every cut that several clips need
    alone = _alone(ordered)
    wholes: dict[int, Pixels] = {}  # of the open clips that share no frames
    with open_frames(ordered[0].path) as video:
        position = waiting[0].start
        while waiting or opened:
            while waiting and waiting[0].start <= position:
                item = waiting.pop(0)
                reserve(clip_bytes(item) * (1 if id(item) in alone else 2))
                opened.append(item)
                if id(item) in alone:
                    wholes[id(item)] = np.empty(
                        (item.bucket.frames, item.bucket.height, item.bucket.width, 3), np.uint8
                    )
            if not opened:
                position = waiting[0].start
                continue
            if not go_on():
                raise Abandoned
            pixels = video.pixels(kept[position], go_on)
            if pixels is None:
                raise UnreadableMedia(_ends_early(opened[0], position - opened[0].start))
            whole = np.ascontiguousarray(pixels)
            sharing = [item for item in opened if id(item) not in wholes]
            frames[position] = {(item.crop, item.flip): fit(whole, item) for item in _one_per_cut(sharing)}
            for item in opened:
                if id(item) in wholes:
                    wholes[id(item)][position - item.start] = fit(whole, item)
            position += 1
            for item in [item for item in opened if item.start + item.bucket.frames == position]:
                opened.remove(item)
                if id(item) in wholes:
                    yield item, wholes.pop(id(item))
                    continue
                cut = (item.crop, item.flip)
                yield item, np.stack([frames[number][cut] for number in range(item.start, position)])
            first = min((item.start for item in (*opened, *waiting)), default=position)
            for number in [number for number in frames if number < first]:
                del frames[number]


def clip_bytes(item: Item) -> int:
    """Bytes of the item's pixels."""
    return 3 * item.bucket.width * item.bucket.height * item.bucket.frames


def _alone(ordered: Sequence[Item]) -> set[int]:
    """Identities of the clips that share no frame with another of the same cut; ``ordered`` by their starts."""
    alone, last = set[int](), dict[Cut, Item]()  # the clip of each cut that reaches furthest so far
    for item in ordered:
        cut = (item.crop, item.flip)
        before = last.get(cut)
        if before is None or before.start + before.bucket.frames <= item.start:
            alone.add(id(item))
        else:
            alone.discard(id(before))
        if before is None or item.start + item.bucket.frames > before.start + before.bucket.frames:
            last[cut] = item
    return alone


def clip_frames(item: Item, go_on: Callable[[], bool] = lambda: True) -> Generator[Pixels]:
    """(H, W, 3) uint8 of one clip, frame by frame: what ``read_clips`` gives, and never more than one of them is held.

    Raises ``Abandoned`` and ``UnreadableMedia`` as that does.
    """
    kept = _kept(item, item.start + item.bucket.frames)
    with open_frames(item.path) as video:
        for number in range(item.bucket.frames):
            if not go_on():
                raise Abandoned
            pixels = video.pixels(kept[item.start + number], go_on)
            if pixels is None:
                raise UnreadableMedia(_ends_early(item, number))
            yield fit(np.ascontiguousarray(pixels), item)


def _kept(item: Item, count: int) -> Sequence[int]:
    """Numbers in the file of the frames that are used; at least the first ``count``."""
    return item.shown or list(islice(kept_frames(item.source_fps, item.target_fps), count))


def fit(pixels: Pixels, item: Item) -> Pixels:
    """(H, W, 3) -> the item's cut of it at bucket size."""
    fitted = resize_to_bucket(pixels, item.bucket[:2], item.crop)
    return np.ascontiguousarray(fitted[:, ::-1]) if item.flip else fitted


def _one_per_cut(items: Sequence[Item]) -> Iterator[Item]:
    yield from {(item.crop, item.flip): item for item in items}.values()


def open_frames(path: Path) -> VideoFrames | FolderFrames:
    """The frames of a video, or of a folder of pictures. Raises ``UnreadableMedia``."""
    return FolderFrames(path) if path.is_dir() else VideoFrames(path)


class FolderFrames:
    """The frames of a folder of pictures, by name; all of the first one's shape."""

    def __init__(self, path: Path) -> None:
        """Raises ``UnreadableMedia``."""
        try:
            self._files = frame_files(path)
        except OSError as error:
            raise UnreadableMedia(_undecodable(error)) from error
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing stays open between two frames."""

    def pixels(self, number: int, go_on: Callable[[], bool] = lambda: True) -> Pixels | None:
        """As ``VideoFrames.pixels``."""
        if number >= len(self._files):
            return None
        pixels = read_image(self._files[number])
        size = (pixels.shape[1], pixels.shape[0])
        self._size = self._size or size
        if size != self._size:
            name, wanted = self._files[number].name, self._size
            raise UnreadableMedia(
                say(
                    f"its frame {name} is {size[0]}x{size[1]}, and the others are {wanted[0]}x{wanted[1]}.",
                    f"フレーム {name} だけ {size[0]}x{size[1]} です (他は {wanted[0]}x{wanted[1]})。",
                )
            )
        return pixels


class VideoFrames:
    """The frames of a video by number, asked for in rising order. Close it, or use ``with``."""

    def __init__(self, path: Path) -> None:
        """Raises ``UnreadableMedia``."""
        self._path = path
        self._next = 0  # number of the frame that decoding gives next
        self._times: list[int] | None = None  # of all frames in order; empty: unknown, no jumps
        self._keys: list[int] = []  # numbers of key frames
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._container.close()

    def pixels(self, number: int, go_on: Callable[[], bool] = lambda: True) -> Pixels | None:
        """(H, W, 3) uint8 of frame ``number``, upright; None when the video ends before. Raises ``UnreadableMedia``."""
        try:
            if number - self._next >= _WORTH_A_JUMP:
                self._jump(number)
            while (frame := next(self._frames, None)) is not None:
                self._next += 1
                if self._next > number:
                    return upright(frame)
                if not go_on():
                    raise Abandoned
        except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
            raise UnreadableMedia(_undecodable(error)) from error
        return None

    def _open(self) -> None:
        try:
            self._container = av.open(str(self._path))
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            self._frames = self._container.decode(self._stream)
        except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
            raise UnreadableMedia(_undecodable(error)) from error

    def _jump(self, number: int) -> None:
        if self._times is None:
            self._times, self._keys, _ = frame_times(self._path)
        if not self._times or number >= len(self._times):
            return
        key = self._keys[bisect_right(self._keys, number) - 1]
        if key - self._next < _WORTH_A_JUMP // 2:
            return
        before = self._next
        try:
            self._container.seek(self._times[key], stream=self._stream, backward=True, any_frame=False)
            self._frames = self._container.decode(self._stream)
            first = next(self._frames, None)
        except av.error.FFmpegError:  # not every file can be jumped in; all can be read through
            first = None
        if first is None or not first.key_frame or first.pts != self._times[key]:
            self._times = []
            self._container.close()
            self._open()
            for _ in islice(self._frames, before):  # back to where we were
                pass
            return
        self._frames = _with_first(first, self._frames)
        self._next = key


def upright(frame: Any) -> Pixels:
    """A decoded frame as (H, W, 3) uint8, turned as the phone that filmed it was held."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    return np.rot90(pixels, frame.rotation // 90) if frame.rotation % 360 else pixels


def _with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _undecodable(error: Exception) -> str:
    return say(f"the video cannot be decoded: {error}.", f"動画をデコードできません: {error}")


def _ends_early(item: Item, filled: int) -> str:
    return say(
        f"the video ends after {filled} of the {item.bucket.frames} frames its header promises for this clip.",
        f"動画が途中で終わっています ({item.bucket.frames} フレーム中 {filled} まで)。",
    )
