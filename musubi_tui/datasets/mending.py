"""Apply the fixes that ``data doctor`` proposes: planned first, so that they can be shown, then made one by one with a record.

Nothing is deleted. Files are moved into the set-aside folder with their captions, captions are replaced atomically, the dataset file gets
one line. ``undo`` takes back the newest batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.data.caption_checks import holds
from engine.data.findings import Diagnosis, Entry, Finding
from engine.data.tokens import TokenCounter
from musubi_tui.datasets.belongings import belongings
from musubi_tui.datasets.captions import caption_place, caption_places
from musubi_tui.datasets.dataset_text import read_dataset_text, with_dataset_key, write_dataset_text
from musubi_tui.datasets.leaving import FILLS, MOVES, Leaving, goes, word_of
from musubi_tui.datasets.list_lines import lines_of, put_back, removal, settled, take_out
from musubi_tui.datasets.opening import OpenedDataset
from musubi_tui.datasets.record import Change, aside_folder, last_batch, tidy, write_down, write_undone

FIXES = MOVES | FILLS | {"trigger_word", "long_caption", "frame_rate"}
_LEFT_FREE = 8  # of a limit that tokens are only estimated against, an eighth

Written = dict[tuple[Path, Path], str]  # (file of the caption, its picture or video) -> what it will hold


@dataclass(frozen=True)
class Plan:
    """What fixes would change, in order; and in sentences what they have to leave as it is."""

    changes: tuple[Change, ...]
    left: tuple[str, ...] = ()


def plan(
    opened: OpenedDataset, diagnosis: Diagnosis, codes: Sequence[str], *, trigger: str = "", counter: TokenCounter
) -> Plan:
    """What these fixes would change. ``all`` stands for every fix. A fix that nothing here needs is left.

    Raises ``UserError`` for a fix that does not exist, or that lacks the trigger word.
    """
    proposed = {finding.fix: finding for finding in diagnosis.findings if finding.fix}
    for code in codes:
        _demand_possible(code, diagnosis, trigger)
    changes: list[Change] = []
    out = Leaving(opened)
    idle = [code for code in codes if code != "all" and code not in proposed]
    left = dict.fromkeys(say(f"nothing to do for {code}.", f"{code} で直すものはありません。") for code in idle)
    moved: set[Path] = set()
    written: Written = {}
    chosen = [finding for code, finding in proposed.items() if code in codes or "all" in codes]
    for finding in chosen:
        out.note(finding, trigger)
    for finding in chosen:
        for make in _makers(opened, finding, trigger, counter, written, out):
            try:
                wanted = make()
            except UserError as error:
                left[str(error)] = None
                continue
            changes += [change for change in wanted if change.path not in moved]  # what goes away needs no other fix
            moved |= {change.path for change in wanted if change.kind == "move"}
    return Plan((*changes, *out.removals()), tuple(left))


def _demand_possible(code: str, diagnosis: Diagnosis, trigger: str) -> None:
    """Raises ``UserError`` for a fix that does not exist, or that lacks what it puts in or measures with."""
    if code == "all":
        return
    proposed = ", ".join(finding.fix for finding in diagnosis.findings if finding.fix) or say("none", "なし")
    if code not in FIXES:
        raise UserError.of(
            "unknown_fix",
            say(f"there is no fix {code}.", f"{code} という修正はありません。"),
            say(f"Proposed here: {proposed}. There are: {', '.join(sorted(FIXES))}.", f"提案: {proposed}。使えるもの: {', '.join(sorted(FIXES))}"),
            key="--fix",
        )  # fmt: skip
    if code == "trigger_word" and not trigger:
        raise UserError.of(
            "usage",
            say(f"{code} puts the trigger word in, and none is named.", f"{code} はトリガーワードを入れる修正ですが、指定がありません。"),
            say("Name it: --trigger WORD.", "--trigger で指定してください。"),
            key="--fix",
        )  # fmt: skip
    found = [finding for finding in diagnosis.findings if finding.code == code]
    if found and not any(finding.fix for finding in found):
        raise UserError.of(
            "unknown_fix",
            say(f"{code} cannot be mended here by itself; proposed: {proposed}.", f"{code} は自動では直せません。提案: {proposed}"),
            key="--fix",
        )  # fmt: skip


def _makers(
    opened: OpenedDataset, finding: Finding, trigger: str, counter: TokenCounter, written: Written, out: Leaving
) -> Iterator[Callable[[], list[Change]]]:
    """One function per independent part of a fix. What stands in a list loses its line instead of being moved."""
    if finding.fix == "frame_rate":
        yield lambda: _source_fps(opened, (*finding.entries, *finding.beside))
        return
    for entry in finding.entries:
        if goes(opened, finding, entry, trigger):
            if not out.has_line(entry):
                yield partial(_aside_if_unused, opened, entry, finding.fix, out)
        elif not entry.keep and entry.path not in out.going:
            word = word_of(opened, entry, trigger)
            yield partial(_captions, opened, entry, finding.fix, word, counter, written)


def _aside_if_unused(opened: OpenedDataset, entry: Entry, code: str, out: Leaving) -> list[Change]:
    out.demand_unused(entry)
    return set_aside(opened, entry.path, entry.dataset, code, out.going)


def without_item(opened: OpenedDataset, path: Path, dataset: int, code: str) -> list[Change]:
    """One file out of the dataset: its line out of a list, else moved as ``set_aside`` does. Raises ``UserError``."""
    spec = opened.config.datasets[dataset]
    lines = [] if spec.jsonl is None else lines_of(spec).get(str(path), [])
    if spec.jsonl is None or not lines:
        return set_aside(opened, path, dataset, code)
    return [removal(spec.jsonl, dataset, code, spec.caption_encoding, lines)]


def set_aside(opened: OpenedDataset, path: Path, dataset: int, code: str, going: Collection[Path] = ()) -> list[Change]:
    """Move a file with its captions and further targets into the set-aside folder. ``going``: what is moved as well.

    Raises ``UserError`` for a file outside the dataset's folders.
    """
    spec = opened.config.datasets[dataset]
    homes = [folder.resolve() for folder in (spec.directory, spec.cache_directory) if folder is not None]
    if homes and not any(path.parent.resolve().is_relative_to(home) for home in homes):
        raise UserError.of(
            "outside_dataset",
            say(f"{path} lies outside the dataset's folder.", f"{path} はデータセットのフォルダの外にあります。"),
            say("Move it yourself, if nothing else needs it.", "ほかで使われていなければ、手動で移動してください。"),
            file=path,
        )
    base = spec.directory
    changes = []
    for file in (path, *(belongings(spec, path, going) if path.suffix != ".safetensors" else ())):
        inside = file.relative_to(base) if base is not None and file.is_relative_to(base) else Path(file.name)
        changes.append(Change("move", file, dataset, code, _free(aside_folder(spec) / inside)))
    return changes


def _free(target: Path) -> Path:
    """A name that is not taken."""
    number, free = 1, target
    while free.exists():
        free = target.with_name(f"{target.stem}.{number}{target.suffix}")
        number += 1
    return free


def _captions(
    opened: OpenedDataset, entry: Entry, fix: str, word: str, counter: TokenCounter, written: Written
) -> list[Change]:
    """What a fix makes of each caption of a file, of what the fixes before it made."""
    spec = opened.config.datasets[entry.dataset]
    changes = []
    for number, place in enumerate(caption_places(spec, entry.path)):
        known = written.get((place.file, place.source))
        before, text = (place.raw(), (place.read() or "").strip()) if known is None else (known, known)
        lines = text.splitlines() if spec.multiple_captions else [text]  # each line is a caption of its own
        match fix:
            case "empty_caption" | "missing_caption":
                after = text or word
            case "trigger_word":
                after = "\n".join(
                    line if not line.strip() or holds(line, word) else f"{word}, {line}" for line in lines
                )
            case _:
                limit = opened.spec.token_limit if opened.spec is not None else 0
                limit -= 0 if counter.exact else limit // _LEFT_FREE
                after = "\n".join(shortened(line, limit, counter.count) for line in lines)
        if after != text:
            written[place.file, place.source] = after
            file = place.file if number else None
            changes.append(Change("caption", entry.path, entry.dataset, fix, before=before, after=after, file=file))
    return changes


def shortened(text: str, limit: int, count: Callable[[str], int]) -> str:
    """The longest beginning of at most ``limit`` tokens that ends with a sentence, else a phrase, else a word."""
    low, high = 0, len(text)
    while low < high:  # the longest beginning at all
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle]) <= limit else (low, middle - 1)
    beginning = text[:low]
    for ends in (".!?。！？", ",;、；", " \n"):
        cut = max(beginning.rfind(end) for end in ends)
        if cut > low // 2:
            return beginning[: cut + 1].rstrip(" ,;、；\n")
    return beginning


def _source_fps(opened: OpenedDataset, entries: Sequence[Entry]) -> list[Change]:
    """``source_fps`` for each dataset whose videos share one rate, ``fps_from_file`` for the others."""
    rates: dict[int, set[str]] = {}
    for entry in entries:
        rates.setdefault(entry.dataset, set()).add(entry.detail.removesuffix(" fps"))
    file = Path(opened.config.file)
    before = text = read_dataset_text(file)
    for dataset, found in rates.items():
        spec = opened.config.datasets[dataset]
        if len(found) == 1:
            text = with_dataset_key(text, dataset, "source_fps", found.pop(), file)
        elif spec.source_fps is None:
            text = with_dataset_key(text, dataset, "fps_from_file", "true", file)
        else:
            raise UserError.of(
                "several_rates",
                say(f"the videos of {spec.name} have several rates: {', '.join(sorted(found))}.", f"{spec.name} の動画にはレートが複数あります: {', '.join(sorted(found))}"),
                say("Write fps_from_file = true instead of source_fps.", "source_fps の代わりに fps_from_file = true と書いてください。"),
                file=file,
            )  # fmt: skip
    return [Change("text", file, min(rates), "frame_rate", before=before, after=text)] if text != before else []


# -- doing it


def apply(opened: OpenedDataset, changes: Sequence[Change], *, now: datetime | None = None) -> str:
    """Make the changes; the batch's name. Raises ``UserError`` at the first that cannot be made; those before it are recorded."""
    batch = _batch_name(now)
    for planned in changes:
        change = settled(planned) if planned.kind == "lines" else planned
        write_down(aside_folder(opened.config.datasets[change.dataset]), batch, change)
        _make(opened, change)
    return batch


def _batch_name(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def add_captions(opened: OpenedDataset, texts: Mapping[Path, str]) -> int:
    """Write captions for files of the first dataset that have none, as one batch that ``undo`` takes back; how many were written.

    A caption that is there by now stays. Raises ``UserError`` at the first that cannot be written; those before it are recorded.
    """
    spec = opened.config.datasets[0]
    batch = _batch_name(None)
    written = 0
    for path, text in texts.items():
        place = caption_place(spec, path)
        if place.raw() is not None:
            continue
        write_down(aside_folder(spec), batch, Change("caption", path, 0, "missing_caption", before=None, after=text))
        place.write(text)
        written += 1
    return written


def undo(opened: OpenedDataset) -> list[Change]:
    """Take back the newest batch; what was taken back. Raises ``UserError`` when something was changed since."""
    batch, changes = last_batch(opened.config)
    if not changes:
        raise UserError.of("nothing_to_undo", say("there is nothing to take back.", "取り消せる変更がありません。"), file=opened.file)  # fmt: skip
    for change in reversed(changes):
        _make(opened, _reversed(change), checked=change)
    for folder in {aside_folder(opened.config.datasets[change.dataset]) for change in changes}:
        write_undone(folder, batch)
    for change in changes:
        tidy(aside_folder(opened.config.datasets[change.dataset]), change.to)
    return changes


def _reversed(change: Change) -> Change:
    if change.kind == "move" and change.to is not None:
        return Change("move", change.to, change.dataset, change.code, change.path)
    return change if change.kind == "lines" else replace(change, before=change.after, after=change.before)


def _make(opened: OpenedDataset, change: Change, checked: Change | None = None) -> None:
    if change.kind == "move" and change.to is not None:
        _move(change.path, change.to, missing_is_fine=checked is not None)
        return
    if change.kind == "lines":
        try:
            put_back(change) if checked is not None else take_out(change)
        except OSError as error:
            raise UserError.of("unwritable_list", say(f"the list cannot be written: {error.strerror or error}.", f"リストに書き込めません: {error.strerror or error}"), file=change.path) from error  # fmt: skip
        return
    if change.kind == "text":
        write_dataset_text(change.path, change.before or "", change.after or "")
        return
    place = caption_place(opened.config.datasets[change.dataset], change.path)
    place = place if change.file is None else replace(place, file=change.file)
    if checked is None:
        place.write(change.after)
        return
    if place.raw() == checked.before:
        return  # was never made, or is undone already
    if (place.read() or "").strip() != (checked.after or "").strip():
        raise UserError.of("changed_since", say("the caption was changed since; it stays.", "その後に変更されているため、そのままにします。"), file=place.file)  # fmt: skip
    place.write(checked.before, exactly=True)


def _move(path: Path, to: Path, *, missing_is_fine: bool) -> None:
    if missing_is_fine and not os.path.lexists(path):
        return  # its move was never made
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.exists():
            raise FileExistsError(17, say("there is a file of that name already", "同名のファイルがあります"), str(to))
        os.rename(path, to)
    except OSError as error:
        reason = error.strerror or str(error)
        message = say(f"it cannot be moved to {to}: {reason}.", f"{to} へ移動できません: {reason}")
        raise UserError.of("cannot_move", message, file=path) from error
