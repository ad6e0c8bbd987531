"""What the fixes of a plan take out of a dataset: files, and lines of lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.findings import Entry, Finding
from musubi_tui.datasets.list_lines import lines_of, removal
from musubi_tui.datasets.opening import OpenedDataset
from musubi_tui.datasets.record import Change

MOVES = frozenset(
    {
        "corrupt", "unusable", "duplicates", "blank", "low_resolution", "slow_video", "too_short", "unused_caption", "damaged_cache",
        "nan_cache", "cut_off", "empty_mask", "cache_name_collision", "list_line",
    }
)  # fmt: skip
FILLS = frozenset(
    {"empty_caption", "missing_caption"}
)  # with a trigger word they are written, else their files are set aside


def word_of(opened: OpenedDataset, entry: Entry, trigger: str) -> str:
    """The trigger word that a caption of this file may be made of; empty where there is none."""
    spec = opened.config.datasets[entry.dataset]
    return "" if spec.is_reg else trigger or (spec.trigger_word or "").strip()


def goes(opened: OpenedDataset, finding: Finding, entry: Entry, trigger: str) -> bool:
    """Whether the fix takes this file out of the dataset."""
    fills = word_of(opened, entry, trigger) and opened.config.datasets[entry.dataset].has_captions
    return not entry.keep and (finding.fix in MOVES or (finding.fix in FILLS and not fills))


class Leaving:
    """What the fixes of a plan take out of the dataset: files, and lines of lists."""

    def __init__(self, opened: OpenedDataset) -> None:
        self._opened = opened
        self._of_lists: dict[int, dict[str, list[int]]] = {}  # dataset -> its lines by the file that they name
        self._lines: dict[int, dict[int, str]] = {}  # dataset -> line -> the first fix that takes it out
        self.going: set[Path] = set()

    def note(self, finding: Finding, trigger: str) -> None:
        """Remember what a fix takes out."""
        for entry in finding.entries:
            if not goes(self._opened, finding, entry, trigger):
                continue
            lines = self._lines_of(entry)
            for number in lines:
                self._lines.setdefault(entry.dataset, {}).setdefault(number, finding.fix)
            if not lines or entry.path != self._opened.config.datasets[entry.dataset].jsonl:
                self.going.add(entry.path)

    def has_line(self, entry: Entry) -> bool:
        """Whether it goes by its line in a list."""
        return bool(self._lines_of(entry))

    def demand_unused(self, entry: Entry) -> None:
        """Raises ``UserError`` where a list of another dataset names the file and keeps its line: it would lead to nothing."""
        for spec in self._opened.config.datasets:
            if spec.jsonl is None or spec.index == entry.dataset:
                continue
            lines = set(self._lines_in(spec.index).get(str(entry.path), ())) - self._lines.get(spec.index, {}).keys()
            if lines:
                raise UserError.of(
                    "used_elsewhere",
                    say(f"{entry.path.name} stands in {spec.jsonl.name}:{min(lines)} too: it stays.", f"{entry.path.name} は {spec.jsonl.name}:{min(lines)} にも載っているため、そのままにします。"),
                    say("Take that line out first, or mend the file.", "先にその行を取り除くか、ファイルを直してください。"),
                    file=entry.path,
                )  # fmt: skip

    def removals(self) -> Iterator[Change]:
        """One change for each list."""
        for dataset, lines in self._lines.items():
            spec = self._opened.config.datasets[dataset]
            if spec.jsonl is not None:
                code = next(iter(lines.values()))
                yield removal(spec.jsonl, dataset, code, spec.caption_encoding, lines)

    def _lines_of(self, entry: Entry) -> list[int]:
        spec = self._opened.config.datasets[entry.dataset]
        if spec.jsonl is None:
            return []
        if entry.line:
            return [entry.line]
        if entry.path == spec.jsonl or entry.path.parent == spec.cache_directory:
            return []
        return self._lines_in(entry.dataset).get(str(entry.path), [])

    def _lines_in(self, dataset: int) -> dict[str, list[int]]:
        if dataset not in self._of_lists:
            self._of_lists[dataset] = lines_of(self._opened.config.datasets[dataset])
        return self._of_lists[dataset]
