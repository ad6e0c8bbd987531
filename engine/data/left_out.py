"""Why a file that was looked at is left out, in words: what the decoder did not say, and what became of a video's frames."""

from __future__ import annotations

import os
from pathlib import Path

from engine.config.language import counted, say
from engine.data.dataset_spec import DatasetSpec
from engine.data.media import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, ClipInfo
from engine.families.family import FamilySpec


def why_unreadable(dataset: DatasetSpec, path: Path, whose: str = "") -> tuple[str, str] | None:
    """Code and reason where a file cannot be read because it is not there or of another kind, as happens in lists; None: the decoder knows better.

    ``whose`` names what the file is to its item, if it is not the item itself: ``"its mask "``.
    """
    if not _is_there(path):
        hint = ""
        if any(char < " " for char in str(path)):  # C:\new: JSON reads \n as the end of a line
            hint = say(
                r"; in JSON a backslash is written twice: \\", r" (JSON ではバックスラッシュを2つ重ねて書きます: \\)"
            )
        return "no_such_file", say(
            f"{whose}{path} is not there{hint}." if whose else f"there is no {path}{hint}.",
            f"{whose}{path} がありません{hint}。",
        )
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        return "broken_link", say(
            f"{whose or 'it '}is a link to a file that is not there: {path} -> {target}.",
            f"{whose}リンク先のファイルがありません: {path} -> {target}",
        )
    if not whose and dataset.kind == "image" and path.suffix.lower() in VIDEO_EXTENSIONS:
        return "unsupported_type", say(
            "it is a video: videos belong in a list of their own, video_jsonl_file.",
            "動画です。動画は別のリスト (video_jsonl_file) に書きます。",
        )
    return None


def _is_there(path: Path) -> bool:
    """Whether something of that name is there, be it a link that leads nowhere; a name that is too long for the system is not."""
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def too_short(dataset: DatasetSpec, spec: FamilySpec | None, path: Path, facts: ClipInfo, frames: int) -> str:
    """Why ``frames``, which are left of a video, give no clip."""
    shortest = min(dataset.target_frames)
    if path.suffix.lower() in IMAGE_EXTENSIONS:
        return say(
            f"it is a picture, one frame, and the shortest clip needs {shortest}.",
            f"画像 (1 フレーム) です。最短のクリップは {shortest} フレームです。",
        )
    if frames == facts.frames:
        return say(
            f"it has {counted(frames, 'frame')}, and the shortest clip needs {shortest}.",
            f"{frames} フレームしかありません (最短のクリップは {shortest})。",
        )
    target = 0.0 if spec is None else spec.fps
    stated = None if dataset.fps_from_file else dataset.source_fps
    rate_en = f"{facts.fps:g} fps" if facts.fps else "an unknown rate"
    rate_ja = f"{facts.fps:g} fps " if facts.fps else "レート不明"
    stated_en = "" if stated is None else f" because source_fps = {stated:g} is written"
    stated_ja = "" if stated is None else f" (source_fps = {stated:g} と書かれているため)"
    return say(
        f"of its {counted(facts.frames, 'frame')} at {rate_en}, {counted(frames, 'is', 'are')} left at {target:g} fps{stated_en}, and the shortest clip needs {shortest}.",
        f"{rate_ja}の {facts.frames} フレームが、{target:g} fps では {frames} フレームになり{stated_ja}、最短のクリップ {shortest} に足りません。",
    )
