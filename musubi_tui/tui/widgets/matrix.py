"""Samples of several runs side by side: one prompt, the same moment of each run, so that the eye compares like with like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from engine.config.language import say
from engine.events.types import Sample
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.images import kind_now
from musubi_tui.tui.run_view import Picture
from musubi_tui.tui.widgets.lines import Line, Lines, Span, fit
from musubi_tui.tui.widgets.overlay import ROLES
from musubi_tui.tui.widgets.picture import Gallery, Thumbnail

if TYPE_CHECKING:
    from musubi_tui.runs.comparing import Compared

StepOf = Callable[["Compared"], float]


class Matrix(Lines):
    """``feed`` gives it the runs and says at which step each one is looked at."""

    can_focus = True
    ALLOW_MAXIMIZE = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, rows=6)
        self.runs: Sequence[Compared] = ()
        self.prompt = 0
        self.gallery = Gallery()
        self._step_of: StepOf = lambda run: float("inf")
        self._drawn: dict[tuple[str, int, int, bool], Thumbnail] = {}

    @property
    def prompts(self) -> list[str]:
        """Those that most runs have first."""
        counts = Counter(prompt for run in self.runs for prompt in dict.fromkeys(one.prompt for one in run.samples))
        return [prompt for prompt, _ in counts.most_common()]

    def feed(self, runs: Sequence[Compared], step_of: StepOf) -> None:
        """Other runs, a newer moment of them, or another place of the cursor."""
        self.runs, self._step_of = runs, step_of
        self.draw()

    def choose(self, by: int) -> None:
        """Another prompt."""
        self.prompt = (self.prompt + by) % max(1, len(self.prompts))
        self.draw()

    def chosen(self) -> list[Sample | None]:
        """Of each run the newest sample of the prompt that is not after its step, else its first."""
        prompts = self.prompts
        self.prompt = min(self.prompt, max(0, len(prompts) - 1))
        found: list[Sample | None] = []
        for run in self.runs:
            mine = [one for one in run.samples if prompts and one.prompt == prompts[self.prompt]]
            past = [one for one in mine if one.step <= self._step_of(run)]
            found.append((past or mine[:1] or [None])[-1])  # type: ignore[list-item]
        return found

    def pictures(self) -> list[Picture]:
        """What is shown, for the whole screen: the run's name before the prompt."""
        pairs = zip(self.runs, self.chosen())
        return [
            Picture(_located(run, one), f"{run.letter} {run.now.name}: {one.prompt}", one.seed, one.step)
            for run, one in pairs
            if one is not None
        ]

    def draw(self) -> None:
        """What is drawn already now; the rest when it is decoded."""
        width, height = self.size.width, self.size.height
        if width < 20 or height < 3 or not self.runs:
            return
        chosen, each = self.chosen(), width // len(self.runs)
        kind = kind_now(self.app)
        rows, colour = height - 1, kind != "ascii"
        wanted = [
            (_located(run, one), each - 1, rows, colour) for run, one in zip(self.runs, chosen) if one is not None
        ]
        if kind != "off" and any(key not in self._drawn for key in wanted):
            self._decode(tuple(wanted))
        heads: list[Span] = []
        body: list[list[Span]] = [[] for _ in range(rows)]
        for run, one, role in zip(self.runs, chosen, ROLES):
            step = (
                say(f"step {one.step}", f"ステップ {one.step}")
                if one
                else say("none of this prompt", "このプロンプトはなし")
            )
            heads += fit([(f"{run.letter} ", role), (step, "muted")], each)
            picture = self._drawn.get((_located(run, one), each - 1, rows, colour)) if one else None
            problem = (
                say("off; enter shows", "オフ（enter で表示）") if kind == "off" else picture.problem if picture else ""
            )
            for row, line in enumerate(body):
                cells: Line = picture.lines[row] if picture and row < len(picture.lines) else ()
                if not cells and one and row == rows // 2 and not (picture and picture.lines):
                    cells = [(problem, "muted")]
                line += fit(cells, each)
        self.show([heads, *body])

    @property
    def title(self) -> str:
        """For the border: which prompt of how many, and its seed."""
        prompts = self.prompts
        seeds = dict.fromkeys(one.seed for one in self.chosen() if one is not None and one.seed is not None)
        seed = f"  seed {', '.join(map(str, seeds))}" if seeds else ""
        words = clean(prompts[self.prompt])[:60] if prompts else ""
        return say("samples", "サンプル") + f"  {self.prompt + 1}/{len(prompts)} {words}{seed}"

    @work(thread=True, group="matrix", exclusive=True)
    def _decode(self, wanted: tuple[tuple[str, int, int, bool], ...]) -> None:
        made = {key: self.gallery.draw(key[0], key[1], key[2], colour=key[3]) for key in wanted}
        self.app.call_from_thread(self._take, made)

    def _take(self, made: dict[tuple[str, int, int, bool], Thumbnail]) -> None:
        self._drawn = made
        if self.is_mounted:
            self.draw()

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.draw()


def _located(run: Compared, sample: Sample | None) -> str:
    from engine.events.rundir import RunDirectory
    from musubi_tui.tui.run_source import find_file

    if sample is None:
        return ""
    folder = RunDirectory(Path(run.now.run_dir))
    return find_file(sample.path, folder.path, folder.output, folder.output / "sample")
