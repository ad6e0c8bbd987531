"""Where a run came from: the preset it was made of, its version, and what that version changed. ``origin.json`` in the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.atomic import write_text_atomically
from engine.events.redaction import redact
from engine.events.rundir import RunDirectory

if TYPE_CHECKING:
    from engine.config import LoadedConfig


@dataclass(frozen=True)
class Origin:
    """``changes`` is one line: what the version had changed since its parent when the run was made."""

    preset: Path
    version: int = 1
    note: str = ""
    parent: str = ""
    changes: str = ""


def write_origin(run: RunDirectory, loaded: LoadedConfig) -> None:
    """Note it. Raises ``OSError``."""
    from musubi_tui.presets.lineage import describe
    from musubi_tui.presets.versions import version_of

    version = version_of(loaded.path)
    parent = str(version.parent) if version.parent else ""
    values = {
        "preset": str(version.preset),
        "version": version.number,
        "note": redact(version.note),
        "parent": parent,
        "changes": redact(describe(version)) if parent else "",
    }
    write_text_atomically(_file(run), json.dumps(values, ensure_ascii=False, indent=1) + "\n")


def read_origin(run: RunDirectory) -> Origin | None:
    """What was noted; None for a run of an older version, a demo, or a damaged note."""
    try:
        values: Any = json.loads(_file(run).read_text("utf-8"))
        texts = {name: str(values.get(name, "")) for name in ("note", "parent", "changes")}
        return Origin(Path(values["preset"]), int(values.get("version", 1)), **texts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def preset_of(run: RunDirectory) -> Path:
    """The preset a run was made of, where it still lies. Raises ``UserError`` (no_preset)."""
    origin = read_origin(run)
    if origin is not None and origin.preset.is_file():
        return origin.preset
    what = (
        say(
            f"The preset of {run.id} is gone: {origin.preset}",
            f"{run.id} のプリセットが見つかりません: {origin.preset}",
        )
        if origin is not None
        else say(f"Nobody noted which preset {run.id} was made of.", f"{run.id} のプリセットは記録されていません。")
    )
    fix = say(f"The run's own copies lie in {run.source}.", f"run 内の写しは {run.source} にあります。")
    raise UserError.of("no_preset", what, fix, file=run.path)


def runs_of(preset: Path) -> list[RunDirectory]:
    """The runs that were made of a preset, newest first."""
    return runs_by_preset().get(preset.absolute(), [])


def runs_by_preset() -> dict[Path, list[RunDirectory]]:
    """All runs by the preset they were made of, newest first."""
    from musubi_tui.runs.finding import list_runs

    found: dict[Path, list[RunDirectory]] = {}
    for run in list_runs():
        origin = read_origin(run)
        if origin is not None:
            found.setdefault(origin.preset, []).append(run)
    return found


def _file(run: RunDirectory) -> Path:
    return run.path / "origin.json"
