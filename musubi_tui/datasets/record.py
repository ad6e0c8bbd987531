"""What was changed in a dataset, written down so that it can be taken back: one line per change in ``record.jsonl``.

It lies in ``<folder>.set-aside`` beside the dataset's folder (never inside it: it would be scanned), with the files that were moved there.
A line is written before its change is made, so a record never lacks what happened.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from engine.config.language import say
from engine.config.problems import UserError
from engine.data import DatasetConfig, DatasetSpec

NAME = "record.jsonl"
Kind = Literal["move", "caption", "text", "lines"]


@dataclass(frozen=True)
class Change:
    """One change. ``move``: ``path`` went to ``to``. ``caption``: of ``path``, from ``before`` to ``after`` (None: there was none).
    ``text``: the dataset file ``path``, whole texts before and after. ``lines``: out of the list ``path`` (see ``list_lines``). ``file``: where the caption stands, if not in its first file.
    """

    kind: Kind
    path: Path
    dataset: int
    code: str = ""
    to: Path | None = None
    before: str | None = None
    after: str | None = None
    file: Path | None = None


def aside_folder(dataset: DatasetSpec) -> Path:
    """Where files of this dataset are set aside: beside the folder itself, on its own disk, also when it is reached by a link."""
    source = Path(os.path.realpath(dataset.directory or dataset.jsonl or dataset.cache_directory))
    return source.with_name(f"{source.name}.set-aside")


def write_down(folder: Path, batch: str, change: Change) -> None:
    """Append one change. Raises ``UserError`` when the folder cannot be written."""
    values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(change).items()}
    line = json.dumps({"batch": batch, **values}, ensure_ascii=True)
    _append(folder, line)


def write_undone(folder: Path, batch: str) -> None:
    """Note that a batch was taken back."""
    _append(folder, json.dumps({"undone": batch}))


def tidy(folder: Path, moved: Path | None) -> None:
    """After a batch was taken back: remove what this tool made and nothing is in any more, the folder itself last."""
    with contextlib.suppress(OSError):  # not empty
        for parent in moved.parents if moved is not None and moved.is_relative_to(folder) else ():
            if parent == folder:
                break
            parent.rmdir()
    try:
        alone = os.listdir(folder) == [NAME]
    except OSError:  # removed already
        return
    told = list(_read(folder / NAME)) if alone else []
    undone = {values["undone"] for values in told if "undone" in values}
    if alone and all(values.get("batch", values.get("undone")) in undone for values in told):
        with contextlib.suppress(OSError):
            (folder / NAME).unlink()
            folder.rmdir()


def _append(folder: Path, line: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / NAME).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or str(error)
        message = say(f"files cannot be set aside here: {reason}.", f"ここにはファイルをよけられません: {reason}")
        raise UserError.of("unwritable_folder", message, say("Nothing was changed.", "変更していません。"), file=folder) from error  # fmt: skip


def last_batch(config: DatasetConfig) -> tuple[str, list[Change]]:
    """The newest batch that was not taken back, over all datasets of the file; empty when there is none."""
    batches: dict[str, list[Change]] = {}
    undone = set()
    for folder in {aside_folder(dataset) for dataset in config.datasets}:
        for values in _read(folder / NAME):
            if "undone" in values:
                undone.add(values["undone"])
                continue
            try:
                to, file = values.get("to"), values.get("file")
                change = Change(cast("Kind", values["kind"]), Path(values["path"]), int(values["dataset"]), values.get("code", ""),
                                None if to is None else Path(to), values.get("before"), values.get("after"),
                                None if file is None else Path(file))  # fmt: skip
            except (KeyError, TypeError, ValueError):
                continue  # a torn or foreign line
            batches.setdefault(str(values.get("batch", "")), []).append(change)
    left = sorted(name for name in batches if name not in undone)
    return (left[-1], batches[left[-1]]) if left else ("", [])


def _read(file: Path) -> Iterator[dict[str, str]]:
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            yield values
