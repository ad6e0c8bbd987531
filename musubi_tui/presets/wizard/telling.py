"""The wizard's answers and choices in words, for both faces."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.wizard.around import Around
from musubi_tui.presets.wizard.flow import Question
from musubi_tui.presets.wizard.words import chosen


def choice_rows(question: Question) -> list[str]:
    """One line per choice, the notes aligned."""
    width = max((_cells(choice.title) for choice in question.choices), default=0)
    rows = []
    for choice in question.choices:
        note = choice.unavailable or choice.note
        rows.append(f"{choice.title}{' ' * (width - _cells(choice.title))}   {note}".rstrip())
    return rows


def so_far(answers: Mapping[str, Any], around: Around) -> str:
    """What was answered, in one line."""
    goals = {
        "character": say("a character", "キャラクター"),
        "style": say("a style", "画風"),
        "motion": say("a motion", "動き"),
    }
    parts = [goals.get(str(answers.get("goal")), "")]
    if "model" in answers:
        parts.append(chosen(answers)[1].title)
    if "data" in answers:
        found = around.pictures(Path(answers["data"]))
        parts.append(say(f"{found.count} clips", f"動画 {found.count} 本") if found.clip else say(f"{found.count} pictures", f"画像 {found.count} 枚"))  # fmt: skip
    if answers.get("trigger"):
        parts.append(str(answers["trigger"]))
    if "card" in answers:
        parts.append(str(answers["card"]))
    if "steps" in answers:
        parts.append(say(f"{answers['steps']} steps", f"{answers['steps']} ステップ"))
    return " · ".join(part for part in parts if part) or say("nothing yet", "まだありません")


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
