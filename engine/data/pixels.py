"""From an item to its pixels: decode, fit into the bucket, cut. Memory is one clip at bucket size."""

from __future__ import annotations

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.clip_reading import fit, read_clips
from engine.data.items import Item
from engine.data.media import UnreadableMedia
from engine.data.pictures import read_image
from engine.data.resize import Pixels


def read_pixels(item: Item) -> Pixels:
    """(F, H, W, 3) uint8, resized and cropped to ``item.bucket``.

    Raises ``UserError`` naming the file when it cannot be decoded or a video ends before the clip does.
    """
    try:
        if item.kind == "image":
            return fit(read_image(item.path), item)[None]
        return next(read_clips([item]))[1]
    except UnreadableMedia as error:
        raise unreadable(item, str(error)) from error


def unreadable(item: Item, reason: str) -> UserError:
    """What to tell a person when an item's file cannot be decoded."""
    code = "unreadable_image" if item.kind == "image" else "unreadable_clip"
    fix = say(
        'Repair or remove the file, or set on_bad_item = "skip".',
        '直すか取り除くか、on_bad_item = "skip" にしてください。',
    )
    return UserError.of(code, reason, fix, file=item.path)
