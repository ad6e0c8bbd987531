"""Captions that alone may be text in several encodings: a short one is read as the other captions of its folder are.

``日本`` saved by a Japanese Windows is ``“ú–{`` to a Western one. Where the captions beside it are Japanese there is no doubt.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from engine.data.captions import ASIAN, NEVER_WRITTEN, CaptionFile, WrongCaption, read_caption

Read = tuple[str, CaptionFile | WrongCaption | OSError]  # path of a caption file, and what came of reading it

WESTERN = "cp1252"
_INSIDE_A_WORD = re.compile("[A-Za-z][\u3005\u4e00-\u9fff]|[\u3005\u4e00-\u9fff][A-Za-z]")  # été read as Japanese


def in_doubt(notices: Sequence[str]) -> bool:
    """Whether captions with these notices are to be looked at together."""
    return WESTERN in notices and any(notice in ASIAN for notice in notices)


def as_others(read: Sequence[list[Read]]) -> Sequence[list[Read]]:
    """The captions of one folder as they were read, those in doubt in the Asian encoding that most others are in."""
    found = [caption for one in read for _, caption in one]
    counts = Counter(caption.notice for caption in found if isinstance(caption, CaptionFile))
    usual, count = max(((name, counts[name]) for name in ASIAN), key=lambda pair: pair[1])
    if not count:
        return read
    return [[(path, _again(path, caption, usual)) for path, caption in one] for one in read]


def _again(
    path: str, caption: CaptionFile | WrongCaption | OSError, encoding: str
) -> CaptionFile | WrongCaption | OSError:
    """The caption in that encoding if it was in doubt and gives text there."""
    doubtful = caption.notice == WESTERN if isinstance(caption, CaptionFile) else isinstance(caption, WrongCaption)
    if doubtful:
        with suppress(WrongCaption, OSError):  # then it stays as it was read
            text = read_caption(path, encoding).text
            if not NEVER_WRITTEN.search(text) and not _INSIDE_A_WORD.search(text):
                return CaptionFile(text, encoding)
    return caption
