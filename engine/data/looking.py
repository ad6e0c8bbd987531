"""Decode every source once, small: is it whole, and what does it look like? One file at a time per thread; nothing is kept but a
signature.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from engine.config.language import say
from engine.data.likeness import Signature, signature
from engine.data.media import (
    DECODER_ERRORS,
    UnreadableMedia,
    clip_info,
    decoder_says,
    frame_files,
    is_folder,
    open_image,
    orientation,
)

_THREADS = 2
_AHEAD = 8
_DRAFT = 64  # pixels; a JPEG is decoded no larger than needed for that


@dataclass(frozen=True, slots=True)
class Look:
    """What decoding a file gave: its signature, or what is wrong with it. ``frames`` counts what a video really holds."""

    path: Path
    signature: Signature | None = None
    problem: str = ""
    frames: int = 0


def look_at_all(paths: Iterable[tuple[Path, str]], done: Callable[[], None]) -> Iterator[Look]:
    """Looks at (path, kind) in order, a few at once; ``done`` is called after each."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="look") as pool:
        pending: deque[Future[Look]] = deque()
        try:
            for path, kind in paths:
                pending.append(pool.submit(look_at_image if kind == "image" else look_at_video, path))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
                    done()
            while pending:
                yield pending.popleft().result()
                done()
        finally:
            for future in pending:
                future.cancel()


def look_at_image(path: Path) -> Look:
    """Decode a picture to its last pixel."""
    try:
        with open_image(path) as image, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turned = orientation(image)
            image.draft("RGB", (_DRAFT, _DRAFT))
            image.load()
            upright = ImageOps.exif_transpose(image) if turned != 1 else image
            return Look(path, signature(_rgb(upright)))
    except UnreadableMedia as error:
        return Look(path, problem=str(error))
    except DECODER_ERRORS as error:
        text = decoder_says(error)
        return Look(path, problem=say(f"it cannot be decoded: {text}", f"デコードできません: {text}"))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: the upper eight bits
        grey = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    return image.convert("RGB")


def look_at_video(path: Path) -> Look:
    """Decode a video to its end, or every frame of a folder; its middle frame stands for it."""
    if is_folder(path):
        return _look_at_folder(path)
    frames = 0
    middle: Image.Image | None = None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                return Look(path, problem=say("there is no video in it.", "映像が入っていません。"))
            stream = container.streams.video[0]
            wanted = stream.frames // 2
            for frame in container.decode(stream):
                if frames == wanted or middle is None:
                    middle = frame.to_image(width=_DRAFT, height=_DRAFT)
                frames += 1
        there = clip_info(path).frames  # what its header promises beyond that is told apart: it is only cut off
    except UnreadableMedia as error:
        return Look(path, problem=str(error), frames=frames)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        text = str(getattr(error, "strerror", None) or error).rstrip(".")
        return Look(path, problem=say(f"frame {frames} cannot be decoded: {text}.", f"フレーム {frames} をデコードできません: {text}"), frames=frames)  # fmt: skip
    if middle is None:
        return Look(path, problem=say("no frame of it can be decoded.", "デコードできるフレームがありません。"))
    if frames < there:
        return Look(path, problem=say(f"{frames} of the {there} frames that are in it can be decoded.", f"{there} フレーム中 {frames} しかデコードできません。"), frames=frames)  # fmt: skip
    return Look(path, signature(middle.convert("RGB")), frames=frames)


def _look_at_folder(folder: Path) -> Look:
    files = frame_files(folder)
    middle = Look(folder, problem=say("the folder holds no pictures.", "フォルダに画像がありません。"))
    for number, file in enumerate(files):
        look = look_at_image(file)
        if look.problem:
            return Look(folder, problem=f"{file.name}: {look.problem}", frames=number)
        if number == len(files) // 2:
            middle = Look(folder, look.signature, frames=len(files))
    return middle
