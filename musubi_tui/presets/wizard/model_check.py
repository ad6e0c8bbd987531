"""Which model files of a task are on this machine, and whether they are whole. ``models check`` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.families import FamilySpec, ModelSlot, TaskSpec, family_names, get_family
from engine.families.recognise import describe, fits
from musubi_tui.presets.wizard.around import TINY_PARAMETERS, Around, slots_for
from musubi_tui.presets.wizard.model_files import files_below, shards, tensor_names, what_is_wrong

State = Literal["ok", "damaged", "missing", "later"]  # later: the run fetches it when it needs it


@dataclass(frozen=True)
class SlotCheck:
    """One file of a task. ``wrong`` says why a damaged one cannot be used."""

    slot: ModelSlot
    state: State
    path: Path | None = None
    size: int = 0
    wrong: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        slot = self.slot
        place = {"repository": slot.repository, "file": slot.files[0], "size_gb": slot.size_gb}
        return {"option": slot.option, "state": self.state, "path": self.path, "size": self.size, "wrong": self.wrong, **place}  # fmt: skip


@dataclass(frozen=True)
class TaskCheck:
    """The files of one task."""

    spec: FamilySpec
    task: TaskSpec
    slots: tuple[SlotCheck, ...]
    toy: bool  # the model is a tiny one

    @property
    def complete(self) -> bool:
        """Whether it can be trained with what is here."""
        return all(one.state in ("ok", "later") for one in self.slots)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "family": self.spec.name, "task": self.task.name, "complete": self.complete, "tiny": self.toy,
            "files": [one.as_json() for one in self.slots],
        }  # fmt: skip


@dataclass(frozen=True)
class FileCheck:
    """What one file is. ``serves``: (family, option) of every place it can stand in."""

    path: Path
    size: int
    what: str
    serves: tuple[tuple[str, str], ...]
    wrong: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        serves = [{"family": family, "option": option} for family, option in self.serves]
        return {"path": self.path, "size": self.size, "what": self.what, "serves": serves, "wrong": self.wrong}


def check_task(spec: FamilySpec, task: TaskSpec, around: Around) -> TaskCheck:
    """Look for the files of a task where the wizard does."""
    here = around.best(spec, task)
    found = []
    for slot in slots_for(spec, task):
        file = here.get(slot.option)
        if file is not None:
            wrong = what_is_wrong(file.path) if slot.role != "tokenizer" else ""
            size = sum(part.stat().st_size for part in shards(file.path) if part.is_file())
            found.append(SlotCheck(slot, "damaged" if wrong else "ok", file.path, size, wrong))
        elif slot.role == "tokenizer":
            found.append(SlotCheck(slot, "later"))
        else:
            found.append(_damaged(spec, slot, around) or SlotCheck(slot, "missing"))
    transformer = here.get(spec.slot("transformer").option)
    toy = transformer is not None and 0 < transformer.parameters < TINY_PARAMETERS
    return TaskCheck(spec, task, tuple(found), toy)


def check_file(path: Path) -> FileCheck:
    """Tell a file by the names of its tensors."""
    wrong, names = what_is_wrong(path), tensor_names(path)
    specs = [get_family(name) for name in family_names()]
    serves = tuple((spec.name, slot.option) for spec in specs for slot in spec.slots if names and fits(slot, names))
    size = sum(part.stat().st_size for part in shards(path) if part.is_file())
    return FileCheck(path, size, describe(names) if names else "", serves, wrong)


def _damaged(spec: FamilySpec, slot: ModelSlot, around: Around) -> SlotCheck | None:
    """A file that is told by its keys, or called as the released one, and cannot be used."""
    known = [file.path for file in around.files(spec)[slot.option]]
    for path in (*known, *(path for path in files_below(around.places()) if path.name in slot.files)):
        wrong = what_is_wrong(path)
        if wrong:
            return SlotCheck(slot, "damaged", path, path.stat().st_size, wrong)
    return None
