"""What the wizard sees of this machine: model files, pictures, cards, earlier runs. Every look is remembered."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.families import FamilySpec, ModelSlot, TaskSpec, family_names, get_family
from engine.planner.cards import CARDS, Card
from engine.planner.facts import Machine, PastRun
from engine.planner.lines import GIB
from musubi_tui.presets.wizard.model_files import FoundFile, can_be_written, find_files, usual_places

if TYPE_CHECKING:
    from engine.data.items import Scan

TINY_PARAMETERS = 50_000_000  # a smaller transformer is a toy to try things with: small pictures, a CPU will do
CLIPS = (".mp4", ".mov", ".webm", ".mkv", ".avi")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_LEAST_SHARE = 0.2  # of the released file's size: a smaller one is a toy (8-bit files are half, 4-bit ones a quarter)
_LOOKED_INTO = 400  # folders near by
_MANY = 20_000  # files of a folder that are counted


@dataclass(frozen=True)
class Pictures:
    """A folder as the wizard found it. ``captions`` counts files that have a text file beside them."""

    folder: Path
    pictures: int = 0
    clips: int = 0
    captions: int = 0

    @property
    def clip(self) -> bool:
        """Whether it is trained as clips."""
        return self.clips > self.pictures

    @property
    def count(self) -> int:
        """Files of the kind that is trained."""
        return self.clips if self.clip else self.pictures


@dataclass
class Around:
    """The looks. ``extra``: folders the person named; ``machine``: the card that is here."""

    cwd: Path
    home: Path
    environment: Mapping[str, str]
    machine: Machine
    extra: list[Path] = field(default_factory=list)
    _found: dict[tuple[str, tuple[Path, ...]], dict[str, list[FoundFile]]] = field(default_factory=dict)
    _scans: dict[tuple[Any, ...], Scan] = field(default_factory=dict)
    _past: dict[str, tuple[PastRun, ...]] = field(default_factory=dict)
    _places: list[Path] | None = None
    _likely: list[Path] | None = None

    @classmethod
    def here(cls) -> Around:
        """This machine, from the working directory."""
        from musubi_tui.presets.planning import this_machine

        return cls(Path.cwd(), Path.home(), os.environ, this_machine())

    def forget_files(self) -> None:
        """Look for model files again: some were downloaded."""
        self._found.clear()
        self._places = None

    def go_to(self, cwd: Path, folders: Iterable[Path]) -> None:
        """Look from another folder, and where the person said then."""
        self.cwd = cwd
        self.extra[:0] = folders
        self._likely = None
        self.forget_files()

    def only(self, folders: Iterable[Path]) -> None:
        """Look for model files in these folders and nowhere else."""
        self.forget_files()
        self.extra, self._places = list(folders), []

    def places(self) -> list[Path]:
        """Where model files are looked for, the folders the person named first."""
        if self._places is None:
            self._places = usual_places(self.cwd, self.home, self.environment)
        return [*self.extra, *self._places]

    def offers(self) -> Iterator[tuple[FamilySpec, TaskSpec]]:
        """Everything that can be trained and planned in this release."""
        for name in family_names():
            spec = get_family(name)
            for task in spec.tasks.values():
                if task.built and spec.transformer is not None:
                    yield spec, task

    def files(self, spec: FamilySpec) -> dict[str, list[FoundFile]]:
        """Option -> model files that fit, in the folders the person named first."""
        places = tuple(self.places())
        key = (spec.name, places)
        if key not in self._found:
            self._found[key] = find_files(spec, places)
        return self._found[key]

    def best(self, spec: FamilySpec, task: TaskSpec) -> dict[str, FoundFile]:
        """Option -> the file that serves this task best."""

        files = self.files(spec)
        transformer = self._transformer(spec, task, files[spec.slot("transformer").option])
        toy = transformer is not None and transformer.parameters < TINY_PARAMETERS
        chosen: dict[str, FoundFile] = {}
        for slot in slots_for(spec, task):
            found = [one for one in files[slot.option] if not _named_for_others(slot, one.path)]
            if (
                slot.role == "tokenizer"
            ):  # the one of the encoder that was chosen: a toy's words are not those of the released one
                encoder = chosen.get(spec.slot("text_encoder").option)
                found = [one for one in found if encoder is not None and _belongs(one.path, encoder.path)]
            elif slot.role == "transformer":
                found = [transformer] if transformer is not None else []
            elif toy and transformer is not None:  # a toy goes with the toys beside it
                found = [one for one in found if _near(one.path, transformer.path)]
            else:  # and a real model with real ones
                found = [one for one in found if one.size > _LEAST_SHARE * slot.size_gb * 1e9]
            if found:
                chosen[slot.option] = min(found, key=lambda one: one.path.name not in slot.files)
        return chosen

    def _transformer(self, spec: FamilySpec, task: TaskSpec, found: list[FoundFile]) -> FoundFile | None:
        """The first of the task's size, else, for the smallest task, the first toy: it has no size of its own."""
        from engine.planner.transformer import find_transformer

        sizes = {
            one.name: find_transformer(spec, one.name, None).parameters for one in spec.tasks.values() if one.built
        }
        wanted = find_transformer(spec, task.name, None).parameters
        fitting = [one for one in found if abs(one.parameters - wanted) < 0.05 * wanted]
        if not fitting and wanted > min(sizes.values(), default=wanted):
            return None
        toys = [one for one in found if 0 < one.parameters < TINY_PARAMETERS]
        return next(iter(fitting or toys), None)

    def pictures(self, folder: Path) -> Pictures:
        """Count what lies in a folder."""
        names = Counter[str]()
        stems, texts = set(), set()
        try:
            with os.scandir(folder) as entries:
                for number, entry in enumerate(entries):
                    if number > _MANY:
                        break
                    stem, suffix = os.path.splitext(entry.name)
                    suffix = suffix.lower()
                    kind = "clip" if suffix in CLIPS else "picture" if suffix in PICTURES else ""
                    names[kind] += 1
                    if kind:
                        stems.add(stem)
                    elif suffix == ".txt":
                        texts.add(stem)
        except OSError:
            return Pictures(folder)
        return Pictures(folder, names["picture"], names["clip"], len(stems & texts))

    def likely_folders(self) -> list[Path]:
        """Folders near by that hold pictures or clips, fullest first."""
        if self._likely is not None:
            return self._likely
        near = _folders_below(self.cwd)
        near += [self.home / "Pictures", self.home / "datasets", Path("/workspace/datasets")]
        counted = [self.pictures(folder) for folder in near[:_LOOKED_INTO] if _quiet_folder(folder)]
        self._likely = [one.folder for one in sorted(counted, key=lambda one: -one.count) if one.count]
        return self._likely

    def scan(self, spec: FamilySpec, task: TaskSpec, tables: Mapping[str, Any]) -> Scan:
        """Sizes and buckets of a dataset that is not written yet. Raises ``ConfigError`` for tables that are wrong."""
        from engine.data.dataset_config import read_dataset_config
        from engine.data.inventory import scan
        from musubi_tui.datasets.opening import scan_index

        key = (spec.name, task.name, repr(tables))
        if key not in self._scans:
            config = read_dataset_config(dict(tables), base_dir=self.cwd, spec=spec, file="")
            with scan_index() as index:
                self._scans[key] = scan(config, spec, task, strict=False, index=index)
        return self._scans[key]

    def past(self, family: str) -> tuple[PastRun, ...]:
        """What this machine trained before."""
        from musubi_tui.runs.history import past_runs

        if family not in self._past:
            self._past[family] = past_runs(family)
        return self._past[family]

    def card(self, name: str) -> Machine:
        """The machine an answer to the card question means."""
        if name == "here":
            return self.machine
        found = next((card for card in CARDS if card.name == name), None)
        return Machine(found, int(found.memory_gib * GIB)) if isinstance(found, Card) else Machine()


def slots_for(spec: FamilySpec, task: TaskSpec) -> tuple[ModelSlot, ...]:
    """The family's model slots, with the files of this task's size first, and that file's size."""
    size = re.search(r"\d+(\.\d+)?B", task.name)
    found = []
    for slot in spec.slots:
        if slot.role == "transformer" and size is not None:
            names = sorted(slot.files, key=lambda name: size[0].lower() not in name.lower())
            slot = replace(slot, files=tuple(names), size_gb=round(_released_bytes(spec, task) / 1e9, 1))
        found.append(slot)
    return tuple(found)


def _released_bytes(spec: FamilySpec, task: TaskSpec) -> int:
    from engine.planner.transformer import find_transformer

    return 2 * find_transformer(spec, task.name, None).parameters


def _named_for_others(slot: ModelSlot, path: Path) -> bool:
    """Whether the file is called as another family's release is: some share a layout, and not the weights."""
    if path.name in slot.files:
        return False
    others = (other for name in family_names() for other in get_family(name).slots)
    return any(other.role == slot.role and path.name in other.files for other in others)


def _near(one: Path, other: Path) -> bool:
    """In the folder of the other or below it, or a little above: downloads keep the folders of their repositories."""
    return one.parent.is_relative_to(other.parent) or one.parent in list(other.parents)[1:3]


def _belongs(tokenizer: Path, encoder: Path) -> bool:
    """Whether a tokenizer lies beside a text encoder, or beside its folder."""
    return any(tokenizer.is_relative_to(folder) for folder in (encoder.parent, encoder.parent.parent))


def _folders_below(top: Path, deepest: int = 4) -> list[Path]:
    """``top`` and the folders below it, level by level, each once: links back up, or to one that was seen, are not followed."""
    found, level, seen = [top], [top], {os.path.realpath(top)}
    for _ in range(deepest):
        inside = [entry for folder in level for entry in _subfolders(folder)]
        level = []
        for entry in sorted(inside, key=lambda entry: entry.is_symlink()):  # where both are there, the folder itself
            real = os.path.realpath(entry.path)
            if real not in seen:
                seen.add(real)
                level.append(Path(entry.path))
        level.sort()
        found += level
        if len(found) >= _LOOKED_INTO:
            break
    return found


def _subfolders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_dir()]
    except OSError:  # not ours to read, or a link to itself
        return []


def _quiet_folder(folder: Path) -> bool:
    hidden = (
        folder.name.startswith(".")
        or not can_be_written(folder)
        or folder.name in ("cache", "node_modules", "models", "runs", "output")
    )
    try:
        return not hidden and folder.is_dir()
    except OSError:
        return False
