"""Captions for what has none: a sentence made of the goal, the trigger word and the file's name. Nothing that exists is written over.

They are shown before anything is written, written with the preset at the end, and recorded: ``data doctor --undo`` and ``u`` on the
Data screen take them back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.wizard.around import CLIPS, PICTURES, Around
from musubi_tui.presets.wizard.flow import Answers, Question, refused
from musubi_tui.presets.wizard.words import chosen, pictures_of, trains_clips

NAME = "{name}"
_LONGEST = 1000  # characters of a sentence that serves for many
_SHOWN = 4
_CAMERAS = frozenset({"img", "dsc", "dscn", "dscf", "pxl", "mvi", "mov", "vid", "image", "photo", "picture", "screenshot", "untitled", "frame", "file", "whatsapp"})  # fmt: skip


def which_sentence(answers: Answers, around: Around) -> Question | None:
    """What the missing captions say; asked only where they are to be written."""
    if answers.get("captions") != "write":
        return None
    files = without_caption(pictures_of(answers, around).folder)

    def check(text: str) -> str:
        if not text or len(text) > _LONGEST or any(char in text for char in "\n\r\0"):
            raise refused("caption_text", say("A caption is one line of text.", "キャプションは 1 行のテキストです。"))
        return text

    def preview(text: str) -> tuple[str, ...]:
        text = text.strip() or default
        lines = [f"  {file.stem}.txt  {sentence(text, file, str(answers['trigger']))}" for file in files[:_SHOWN]]
        more = len(files) - len(lines)
        return (*lines, say(f"  and {more} more", f"  他 {more} 件")) if more else tuple(lines)

    default = proposed(answers, around, files)
    return Question(
        "caption_text",
        "data",
        "text",
        say("What shall each caption say? ({name}: the file's name)", "キャプションの文は？（{name} はファイル名）"),
        default,
        say(
            "One sentence for all that have none; {name} puts the words of each file's name in. The files are written when the preset is; "
            "texts that are there stay as they are, and `data doctor --undo` takes these back.",
            "キャプションのないもの全部に使う文です。{name} には各ファイル名の語が入ります。プリセットと同時に書き、既存のテキストは変更しません。`data doctor --undo` で取り消せます。",
        ),
        lines=(say(f"{len(files)} text files will be written:", f"テキストを {len(files)} 件書きます:"),),
        check=check,
        preview=preview,
    )


def proposed(answers: Answers, around: Around, files: Sequence[Path]) -> str:
    """A sentence made of the goal, or the files' names where most of them are words."""
    word = str(answers["trigger"])
    if sum(bool(name_in_words(file)) for file in files) * 2 > len(files):
        return f"{word}, {NAME}".removeprefix(", ")
    kind = "a video" if trains_clips(answers, around) else "a picture"
    if not word:
        return kind
    return f"{kind} in the style of {word}" if answers["goal"] == "style" else f"{kind} of {word}"


def sentence(template: str, file: Path, trigger: str) -> str:
    """The caption of one file: its name put in, and what the lack of one leaves behind taken out."""
    name = name_in_words(file)
    text = template.replace(NAME, name)
    return text if name else text.strip(" ,") or trigger or "a picture"


def name_in_words(file: Path) -> str:
    """``red_car-at_night_03`` -> ``red car at night``; nothing for names that a camera gave."""
    words = [word for word in re.split(r"[\W_]+", re.sub(r"\d+", " ", file.stem)) if len(word) > 1]
    return " ".join(words) if any(word.lower() not in _CAMERAS for word in words) else ""


def without_caption(folder: Path) -> list[Path]:
    """Pictures and clips of a folder that have no text file beside them now, by name; one of those that would share it."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    texts = {os.path.splitext(name)[0] for name in names if name.endswith(".txt")}
    found: dict[str, Path] = {}
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in (*PICTURES, *CLIPS) and stem not in texts:
            found.setdefault(stem, folder / name)
    return list(found.values())


def read_only(folder: Path) -> str:
    """Why no captions can be written here, or nothing."""
    if os.access(folder, os.W_OK) and os.access(folder.parent, os.W_OK):
        return ""
    return say("the folder cannot be written", "フォルダーに書き込めません")


def planned(answers: Answers, around: Around) -> dict[Path, str]:
    """File -> the caption that will be written for it."""
    if answers.get("captions") != "write":
        return {}
    template, trigger = str(answers["caption_text"]), str(answers["trigger"])
    return {file: sentence(template, file, trigger) for file in without_caption(pictures_of(answers, around).folder)}


def write_captions(answers: Answers, around: Around) -> int:
    """Write them with a record, so that they can be taken back; how many. Raises ``UserError``."""
    from engine.data import read_dataset_config
    from musubi_tui.datasets.mending import add_captions
    from musubi_tui.datasets.opening import OpenedDataset

    texts = planned(answers, around)
    if not texts:
        return 0
    spec, task = chosen(answers)
    folder = pictures_of(answers, around).folder
    kind = "video" if trains_clips(answers, around) else "image"
    entry: dict[str, Any] = {f"{kind}_directory": str(folder), "caption_extension": ".txt"}
    if kind == "video":
        entry["target_frames"] = [1]
    config = read_dataset_config({"general": {}, "datasets": [entry]}, base_dir=folder, spec=spec, file="")
    return add_captions(OpenedDataset(folder, config, spec, task), texts)
