"""Words and small facts that several questions share."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.families import FamilySpec, TaskSpec, get_family
from musubi_tui.presets.wizard.around import Around, Pictures
from musubi_tui.presets.wizard.flow import Answers, refused
from musubi_tui.presets.wizard.model_files import can_be_written

MADE_UP = "mylora"  # a trigger word where the folder's name gives none: no model knows it
# Words of folder names that say nothing of what is in them, or that every model knows.
_EVERYDAY = frozenset({
    "a", "all", "album", "camera", "clip", "clips", "data", "dataset", "datasets", "dir", "files", "final",
    "folder", "frames", "good", "image", "images", "img", "imgs", "input", "lora", "media", "misc", "movies", "my",
    "new", "old", "our", "photo", "photos", "photoshoot", "pic", "pics", "picture", "pictures", "raw", "sample",
    "samples", "set", "sets", "shots", "stuff", "temp", "test", "the", "tmp", "train", "training", "video",
    "videos", "vids",
})  # fmt: skip


def chosen(answers: Answers) -> tuple[FamilySpec, TaskSpec]:
    """Family and task of the model answer."""
    family, _, task = str(answers["model"]).partition("/")
    spec = get_family(family)
    return spec, spec.task(task)


def pictures_of(answers: Answers, around: Around) -> Pictures:
    """The folder of the data answer."""
    return around.pictures(Path(answers["data"]))


def trains_clips(answers: Answers, around: Around) -> bool:
    """Whether the data is trained as clips; of a folder that is still empty the goal tells."""
    found = pictures_of(answers, around)
    return found.clip if found.count else answers["goal"] == "motion"


def slug(text: str) -> str:
    """A word that may name a file: ``Bella the cat`` -> ``bella-the-cat``."""
    return re.sub(r"[^a-zA-Z0-9_]+", "-", text).strip("-").lower()


def word_in(name: str) -> str:
    """The word that a folder's name gives for a LoRA, ``Bella`` -> ``bella``; nothing of ``my-pictures`` and ``photos_2``."""
    found = slug(name)
    parts = [part for part in re.split(r"[-_0-9]+", found) if part]
    return "" if all(part in _EVERYDAY for part in parts) else found


def beside(folder: Path, data: Path) -> Path:
    """``folder``, or one beside the pictures where it would lie among them."""
    if not folder.is_relative_to(data):
        return folder
    name = folder.name
    return data.parent / (f"{name}-lora" if name == data.name else name)


def folder_of(text: str, around: Around) -> Path:
    """A folder in what was typed: quotes, ~ and relative paths are understood. Raises ``UserError`` for one that no TOML
    file can name."""
    path = Path(text.strip().strip("'\"")).expanduser()
    folder = Path(os.path.abspath(path if path.is_absolute() else around.cwd / path))
    if not can_be_written(folder):
        raise refused(
            "folder",
            say("The name of that folder is not UTF-8 text.", "フォルダー名が UTF-8 ではありません。"),
            say("Rename it.", "名前を変更してください。"),
        )
    return folder


def short(path: Path, around: Around) -> str:
    """The path as a person reads it: from here, or from home."""
    for base, mark in ((around.cwd, ""), (around.home, "~/")):
        if path.is_relative_to(base):
            return f"{mark}{path.relative_to(base)}"
    return str(path)


def how_many(found: Pictures) -> str:
    """``12 clips``, ``4 pictures``: what of a folder is trained."""
    if not found.count:
        return say("no pictures yet", "画像未準備")
    if found.clip:
        return say(counted(found.count, "clip"), f"動画 {found.count} 本")
    return say(counted(found.count, "picture"), f"画像 {found.count} 枚")


def contents(found: Pictures) -> str:
    """What lies in a folder, in words."""
    kinds: list[Any] = []
    if found.pictures:
        kinds.append(say(counted(found.pictures, "picture"), f"画像 {found.pictures} 枚"))
    if found.clips:
        kinds.append(say(counted(found.clips, "clip"), f"動画 {found.clips} 本"))
    text = say(f"{found.captions} with a text file", f"テキスト付き {found.captions} 件")
    return ", ".join([*kinds, text]) if kinds else say("nothing there yet", "まだ何もありません")
