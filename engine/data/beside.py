"""What lies in a dataset's folder and becomes no item: subfolders that are not read, folders of frames without a caption, captions
of nothing. All of it is told: a folder that was meant to be trained must not be missed in silence.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

_MOST_FOLDERS = 100


def count_frames(folder: str) -> int:
    """Pictures in a folder that holds nothing else to read; 0 when it has videos or subfolders too. Raises ``OSError``."""
    frames = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            extension = os.path.splitext(entry.name)[1].lower()
            if extension in VIDEO_EXTENSIONS or entry.is_dir():
                return 0
            frames += extension in IMAGE_EXTENSIONS
    return frames


def frames_alone(name: str, frames: int, extensions: Sequence[str]) -> str:
    """Why a folder of frames is no clip."""
    if extensions:
        return say(
            f"it holds {counted(frames, 'frame')} and has no caption file {name}{extensions[0]}.",
            f"{frames} フレームありますが、キャプション {name}{extensions[0]} がありません。",
        )
    return say(
        f"it holds {counted(frames, 'frame')}: such a folder needs a caption beside it, and caption_extension is not set.",
        f"{frames} フレームあります。このようなフォルダには隣にキャプションが必要ですが、caption_extension が未設定です。",
    )


def holds_something(folder: str, wanted: Collection[str]) -> bool:
    """Whether files with the ``wanted`` extensions lie in a folder, or somewhere below it as far as a short look tells."""
    pending = deque([folder])
    for _ in range(_MOST_FOLDERS):
        if not pending:
            return False
        try:
            with os.scandir(pending.popleft()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif os.path.splitext(entry.name)[1].lower() in wanted:
                        return True
        except OSError:  # lost+found, and what others keep to themselves
            continue
    return False


def captions_of_nothing(names: Iterable[str], stems: Collection[str], extensions: Sequence[str]) -> list[str]:
    """Those of ``names`` that end as captions do and that no picture or clip of ``stems`` has as its caption."""
    ends = tuple(extensions)
    found = [name for name in names if name.endswith(ends) and not name.startswith(".")]
    for end in ends:
        found = [name for name in found if not name.endswith(end) or name[: -len(end)] not in stems]
    return found


def unread_subfolders(folder: Path, names: Sequence[str]) -> list[Problem]:
    """One warning for the subfolders of a dataset that is not recursive."""
    if not names:
        return []
    message = say(
        f"{counted(len(names), 'subfolder is', 'subfolders are')} not read, such as {min(names)}.",
        f"読まれないサブフォルダが {len(names)} 個あります ({min(names)} など)。",
    )
    fix = say("Set recursive = true to read them.", "読むには recursive = true と書いてください。")
    return [Problem("unread_subfolders", message, fix, file=str(folder), severity="warning")]


def unused_captions(paths: Sequence[Path]) -> list[Problem]:
    """One warning for captions that belong to nothing: often a name that was mistyped, of a picture that lacks its caption."""
    if not paths:
        return []
    message = say(
        f"{counted(len(paths), 'caption file belongs', 'caption files belong')} to no picture or video, such as {paths[0].name}.",
        f"どの画像・動画にも対応しないキャプションファイルが {len(paths)} 個あります ({paths[0].name} など)。",
    )
    fix = say("Name them as their pictures, or take them out.", "画像と同じ名前にするか、取り除いてください。")
    return [Problem("unused_caption", message, fix, file=str(paths[0]), severity="warning")]
