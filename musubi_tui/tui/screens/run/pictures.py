"""Which samples stand in the strip, and their thumbnails, drawn on a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from engine.config.language import say
from musubi_tui.runs.telling import clean
from musubi_tui.tui.numbers import fit as shorten
from musubi_tui.tui.run_view import Picture, RunView
from musubi_tui.tui.widgets.lines import Line, Span, fit
from musubi_tui.tui.widgets.picture import Gallery, Thumbnail

_CELLS = 14  # of a thumbnail, with the gap


class Strip:
    """The samples of one prompt up to the cursor. ``drawn``: path -> thumbnail."""

    def __init__(self) -> None:
        self.prompt = 0
        self.drawn: dict[str, Thumbnail] = {}
        self.gallery = Gallery()
        self._wanted: tuple[tuple[str, ...], tuple[int, int], bool] = ((), (0, 0), True)
        self._done: object = None

    def prompts(self, view: RunView) -> list[str]:
        """The prompts in the order in which they were first seen."""
        return list(dict.fromkeys(picture.prompt for picture in view.pictures))

    def choose(self, view: RunView, step: float, size: tuple[int, int]) -> tuple[list[Picture], tuple[int, int]]:
        """The newest pictures of the prompt that are not after ``step``, as many as fit; and the size of one."""
        width, height = size
        prompts = self.prompts(view)
        self.prompt = min(self.prompt, max(0, len(prompts) - 1))
        rows = max(1, height - 2)
        mine = self.of_prompt(view)
        past = [picture for picture in mine if picture.step <= step]
        chosen = (past or mine[:1])[-max(1, width // _CELLS) :]
        return chosen, (max(_CELLS, min(width // max(1, len(chosen)), rows * 4 + 1)), rows)

    def of_prompt(self, view: RunView) -> list[Picture]:
        """All pictures of the chosen prompt, by step."""
        prompts = self.prompts(view)
        return [picture for picture in view.pictures if prompts and picture.prompt == prompts[self.prompt]]

    def missing(self, chosen: list[Picture], cell: tuple[int, int], colour: bool) -> bool:
        """Whether something is to be drawn for these; remembers it."""
        self._wanted = (tuple(picture.path for picture in chosen), (cell[0] - 1, cell[1]), colour)
        return bool(chosen) and self._wanted != self._done

    def fill(self) -> bool:
        """Draw what is wanted; True when anything changed. For a thread."""
        wanted = self._wanted
        paths, (width, height), colour = wanted
        made = {path: self.gallery.draw(path, width, height, colour=colour) for path in paths}
        changed = made != {path: self.drawn.get(path) for path in paths}
        self.drawn = {**self.drawn, **made}
        self._done = wanted
        return changed


def samples(
    pictures: Sequence[Picture],
    drawn: dict[str, Thumbnail],
    prompt: int,
    prompts: int,
    cell: tuple[int, int],
    height: int,
    hint: Callable[[str], str],
) -> list[Line]:
    """Pictures of one prompt along the timeline side by side, the newest right, their steps below."""
    if not pictures:
        return [
            [
                (
                    hint(
                        say(
                            " no samples yet; {run.sample} makes one now",
                            " サンプルはまだありません（{run.sample} で今すぐ生成）",
                        )
                    ),
                    "muted",
                )
            ]
        ]
    width, rows = cell
    lines: list[list[Span]] = [[(" ", "")] for _ in range(rows + 1)]
    for place, picture in enumerate(pictures):
        thumbnail = drawn.get(picture.path, Thumbnail(problem="…"))
        for row in range(rows):
            cells: tuple[Span, ...] = thumbnail.lines[row] if row < len(thumbnail.lines) else ()
            if not thumbnail.lines and row == rows // 2:
                cells = ((shorten(hint(_problem(thumbnail.problem)), width - 1), "muted"),)
            lines[row] += fit(cells, width)
        newest = place == len(pictures) - 1
        lines[rows] += fit([(f"{say('step', 'ステップ')} {picture.step}", "bold" if newest else "muted")], width)
    last = pictures[-1]
    seed = f" seed {last.seed}" if last.seed is not None else ""
    text = f" {prompt + 1}/{prompts} {clean(last.prompt)}{seed}  {os.path.basename(clean(last.path))}"
    lines.append([(text, "muted")])
    return list(lines[:height])


def _problem(text: str) -> str:
    words = {
        "not on this machine": say("not here", "ここにはありません"),
        "not a picture": say("no picture", "画像ではありません"),
        "off": say("off; {run.picture} shows", "オフ（{run.picture} で表示）"),
    }
    return words.get(text, text)
