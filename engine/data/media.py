"""What a picture or a video is, read from its header: size with rotation honoured, frames, rate. No pixel is decoded.

Musubi Tuner ignores the orientation that cameras write into EXIF; here a photograph is as wide as a viewer shows it.
"""

from __future__ import annotations

import os
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import av
from PIL import Image, UnidentifiedImageError

from engine.config.language import say
from engine.data.frames import FrameTimes
from engine.data.headers import quick_size

_ORIENTATION = 0x0112
_TURNS_SIDEWAYS = {5, 6, 7, 8}

_JXL = ".jxl"
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", _JXL)
VIDEO_EXTENSIONS = (".mp4", ".webm", ".avi", ".mkv", ".mov", ".flv", ".wmv", ".m4v", ".mpg", ".mpeg")


# What Pillow and its plug-ins raise on damaged bytes, opening, decoding, turning upright or converting: a picture is what a
# stranger wrote, so any of these means that the file is at fault. RuntimeError is AVIF's, TypeError and struct.error come from
# EXIF, LookupError from modes that do not exist.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnreadableMedia(Exception):
    """A file is not the picture or video it should be; the text says what is wrong with it."""


@dataclass(frozen=True)
class ClipInfo:
    """A video's facts: size as shown (rotation applied), frames that are there, frames per second (0 when unknown).

    ``promised``: frames that the header speaks of, when the file ends before them; else 0. ``steady``: all frames last equally
    long, as far as the header tells.
    """

    width: int
    height: int
    frames: int
    fps: float
    promised: int = 0
    steady: bool = True


def is_folder(path: Path) -> bool:
    """Whether it is a folder; a name that the system does not even look up is none."""
    try:
        return path.is_dir()
    except OSError:  # too long a name, a loop of links
        return False


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder of frames, in the order they are shown: by name. Raises ``OSError``."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS and not entry.name.startswith(".")
        ]
    return [folder / name for name in sorted(names)]


def open_image(path: Path) -> Image.Image:
    """The picture with its header read and its pixels not. Raises ``UnreadableMedia``."""
    if path.suffix.lower() == _JXL and not _reads_jxl():
        raise UnreadableMedia(
            say(
                "JPEG XL is read once its plug-in is there: pip install pillow-jxl-plugin.",
                "JPEG XL を読むにはプラグインが必要です: pip install pillow-jxl-plugin",
            )
        )
    try:
        _demand_content(path)
        _hush()
        return Image.open(path)
    except UnidentifiedImageError:
        raise UnreadableMedia(_not_a_picture(path)) from None
    except Image.DecompressionBombError as error:
        raise UnreadableMedia(
            say("it claims more pixels than a photograph has.", "画素数が異常に大きいファイルです。")
        ) from error
    except DECODER_ERRORS as error:
        raise UnreadableMedia(decoder_says(error)) from error


def _demand_content(path: Path) -> None:
    """A decoder would wait for a pipe for ever, and has no plain word for a folder. Raises ``UnreadableMedia``, and ``OSError``."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableMedia(say("it is a folder, not a file.", "ファイルではなくフォルダです。"))
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableMedia(
            say("it is a pipe or a device, not a file.", "ファイルではなくパイプまたはデバイスです。")
        )
    if status.st_size == 0:
        raise UnreadableMedia(say("the file is empty.", "ファイルが空です。"))


def _hush() -> None:
    """Pillow's warning of large pictures is for nobody here. Off for good: what catches warnings undoes that of other threads."""
    if not any(
        action == "ignore" and kind is Image.DecompressionBombWarning for action, _, kind, *_ in warnings.filters
    ):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@lru_cache(maxsize=1)
def _reads_jxl() -> bool:
    """Whether a JPEG XL plug-in of Pillow is installed; it is registered by being imported."""
    for name in ("pillow_jxl", "jxlpy.JXLImagePlugin"):
        try:
            import_module(name)
        except ImportError:
            continue
        return True
    return False


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. Only what stands before the pixels counts: a PNG is not decoded for it."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except DECODER_ERRORS:  # a damaged EXIF block says nothing
        return 1
    return value if value in range(1, 9) else 1


def is_turned(path: Path, *, clip: bool) -> bool:
    """Whether a viewer turns or mirrors what is stored. Of a video one frame is decoded; what cannot be read is not turned."""
    try:
        return _is_turned(path, clip, path.stat().st_mtime_ns)
    except (UnreadableMedia, OSError):
        return False


@lru_cache(maxsize=1 << 16)
def _is_turned(path: Path, clip: bool, mtime_ns: int) -> bool:
    if not clip:
        with open_image(path) as image:
            return orientation(image) != 1
    if path.is_dir():
        return any(is_turned(frame, clip=False) for frame in frame_files(path))
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(container.streams.video[0]), None)
            return frame is not None and frame.rotation % 360 != 0
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise UnreadableMedia(decoder_says(error)) from error


def image_size(path: Path | str) -> tuple[int, int]:
    """(width, height) of a picture as a viewer shows it. Raises ``UnreadableMedia``."""
    file = os.fspath(path)
    quick = None if file.lower().endswith(_JXL) else quick_size(file)
    if quick is not None:
        return quick
    with open_image(Path(path)) as image:
        width, height = image.size
        return (height, width) if orientation(image) in _TURNS_SIDEWAYS else (width, height)


def clip_info(path: Path) -> ClipInfo:
    """Size, frames and rate of a video. Raises ``UnreadableMedia``.

    One frame is decoded, because the rotation belongs to frames. Where the container does not count its frames, or its index
    does not agree, its packets are counted.
    """
    if is_folder(path):
        return _folder_info(path)
    try:
        _demand_content(path)
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UnreadableMedia(say("there is no video in it.", "映像が入っていません。"))
            stream = container.streams.video[0]
            frame = next(container.decode(stream), None)
            if frame is None:
                raise UnreadableMedia(say("no frame of it can be decoded.", "デコードできるフレームがありません。"))
            width, height = frame.width, frame.height
            if frame.rotation % 180:
                width, height = height, width
            fps = float(stream.average_rate or 0)
            promised, steady = stream.frames, _is_steady(stream)
            frames = _frames_there(stream, path.stat().st_size)
            length = float((container.duration or 0) / av.time_base)
        if frames is None:
            frames = _count_packets(path)
            if not promised and is_cut_off(path):
                promised = round(length * fps)
        return ClipInfo(width, height, frames, fps, promised if promised > frames else 0, steady)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise UnreadableMedia(decoder_says(error)) from error


def is_cut_off(path: Path) -> bool:
    """Whether a Matroska or WebM file ends before the size that its segment states (RFC 8794): a download that broke off."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return False
    try:
        size, at = _ebml_size(head, 4)
        start = at + size
        if head[start : start + 4] != b"\x18\x53\x80\x67":
            return False
        size, at = _ebml_size(head, start + 4)
    except IndexError:
        return False
    return size >= 0 and at + size > path.stat().st_size


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """The length that stands at ``at``, -1 for one that is not known (a live recording), and where it ends. Raises ``IndexError``."""
    width = 9 - data[at].bit_length()
    if width > 8 or at + width > len(data):
        raise IndexError(at)
    bits = 7 * width
    value = int.from_bytes(data[at : at + width]) & ((1 << bits) - 1)
    return -1 if value == (1 << bits) - 1 else value, at + width


def _frames_there(stream: Any, file_size: int) -> int | None:
    """Frames whose bytes lie inside the file, by the container's index; None when only reading the file can tell.

    A download that broke off still has the header of the whole video when that stands in front.
    """
    promised, entries = stream.frames, getattr(stream, "index_entries", None)
    if promised <= 0:
        return None
    if entries is None:
        return int(promised)
    if len(entries) != promised:
        return None
    if entries[promised - 1].pos + entries[promised - 1].size <= file_size:
        return int(promised)
    return sum(1 for entry in entries if entry.pos + entry.size <= file_size)


def _is_steady(stream: Any) -> bool:
    """Whether the mean rate is the rate at which all times can be written (or half of it: interlaced video counts fields)."""
    mean, fine = float(stream.average_rate or 0), float(stream.base_rate or 0)
    return not mean or not fine or any(abs(fine / times / mean - 1) < 0.01 for times in (1, 2))


def _folder_info(folder: Path) -> ClipInfo:
    """A folder of frames: as many as it holds pictures, of the first one's size, at no known rate."""
    try:
        frames = frame_files(folder)
    except OSError as error:
        raise UnreadableMedia(decoder_says(error)) from error
    if not frames:
        raise UnreadableMedia(say("the folder holds no pictures.", "フォルダに画像がありません。"))
    width, height = image_size(frames[0])
    return ClipInfo(width, height, len(frames), 0.0)


def _count_packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)


def frame_times(path: Path) -> tuple[list[int], list[int], Fraction]:
    """Times of all frames in the order they are shown, the numbers of those that are key frames, and the times' unit in seconds.

    Nothing is decoded. Both empty when the packets do not tell: one has no time, two have the same, or one is marked broken or not
    to be shown. Raises FFmpeg's errors.
    """
    packets: list[tuple[int, bool]] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = Fraction(stream.time_base or 1)
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.pts is None or packet.is_corrupt or packet.is_discard:
                return [], [], base
            packets.append((packet.pts, bool(packet.is_keyframe)))
    packets.sort()
    times = [time for time, _ in packets]
    keys = [number for number, (_, key) in enumerate(packets) if key]
    if len(set(times)) != len(times) or not keys or keys[0] != 0:
        return [], [], base
    return times, keys, base


def times_shown(path: Path) -> FrameTimes | None:
    """When the frames of a video are shown; None where its packets do not tell."""
    try:
        ticks, _, base = frame_times(path)
    except (av.error.FFmpegError, OSError, IndexError, ValueError):
        return None
    return FrameTimes(tuple(ticks), base) if ticks else None


def _not_a_picture(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.lstrip()[:1] in (b"<", b"{") or head.isascii():
        return say("it holds text, not a picture.", "中身は画像ではなくテキストです。")
    return say("it is not a picture in a format this machine reads.", "読める形式の画像ではありません。")


def decoder_says(error: Exception) -> str:
    """The decoder's own words as a sentence; its error's name when it has none."""
    if isinstance(error, av.error.InvalidDataError):
        return say(
            "it is cut off, damaged, or not what its name says.",
            "途中で切れているか、壊れているか、名前と中身が違います。",
        )
    text = str(getattr(error, "strerror", None) or error)  # FFmpeg's errors carry one too, without being OSErrors
    return f"{text.rstrip('.')}." if text else f"{type(error).__name__}."
