"""The wizard's answers and choices in words, for both faces."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.language import say
from engine.planner.disk import gigabytes
from engine.planner.lines import duration
from musubi_tui.presets.wizard.around import Around
from musubi_tui.presets.wizard.flow import Question
from musubi_tui.presets.wizard.words import chosen, how_many, pictures_of

_BETWEEN_SECONDS = 0.5
_BAR_CELLS = 24


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
        parts.append(how_many(pictures_of(answers, around)))
    if answers.get("trigger"):
        parts.append(str(answers["trigger"]))
    if "card" in answers:
        parts.append(str(answers["card"]))
    if "steps" in answers:
        parts.append(say(f"{answers['steps']} steps", f"{answers['steps']} ステップ"))
    return " · ".join(part for part in parts if part) or say("nothing yet", "まだありません")


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@dataclass
class Download:
    """How fast a file comes. ``first`` are the bytes that were here when it ``began`` (seconds of a steady clock)."""

    name: str
    first: int
    began: float
    _said: float = 0.0

    def told(self, done: int, total: int, now: float, bar: Callable[[float, int], str]) -> str:
        """``Downloading x.pth ███░░ 1.2 GB of 11.4 GB, 35 MB/s, 5 min left``; nothing where it was said just now."""
        if now - self._said < _BETWEEN_SECONDS and done < total:
            return ""
        self._said = now
        rate = (done - self.first) / max(now - self.began, 1e-3)
        text = say(f"Downloading {self.name}", f"ダウンロード中 {self.name}")
        if not total:
            return text
        text += f"\n{bar(done / total, _BAR_CELLS)} {gigabytes(done)} / {gigabytes(total)}"
        if rate > 0 and done < total:
            left = duration((total - done) / rate)
            text += say(
                f", {rate / 1e6:.1f} MB/s, {left} left. esc stops.",
                f"、{rate / 1e6:.1f} MB/s、残り {left}。esc で中止。",
            )
        return text
