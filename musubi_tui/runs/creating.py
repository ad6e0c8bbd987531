"""A run directory from a configuration: run.toml, the user's files without their secrets, a first status. Starts nothing."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import ConfigError, MissingRequirement
from engine.events.atomic import write_text_atomically
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from engine.events.rundir import RunDirectory
from engine.events.status import Status
from musubi_tui.runs.home import Home, find_home, remember
from musubi_tui.runs.hooking import refuse_hooks_from_browser
from musubi_tui.runs.origin import write_origin

if TYPE_CHECKING:
    from engine.config import Config, LoadedConfig
    from engine.data.dataset_config import DatasetConfig
    from engine.families import FamilySpec

STAGES = {
    "train": ("cache_latents", "cache_text", "train"),
    "cache": ("cache_latents", "cache_text"),
}
_SOURCE_LIMIT = 1 << 20  # a larger "preset" is not copied


def create_run(
    loaded: LoadedConfig, *, kind: str = "train", stages: Sequence[str] | None = None, home: Home | None = None
) -> RunDirectory:
    """A new run of a preset that was loaded and checked, in state "queued".

    ``run.toml`` holds the resolved configuration with the dataset embedded. Raises ``UserError`` when the home cannot be
    written, the dataset cannot be read, or nothing could be trained from it.
    """
    refuse_hooks_from_browser(loaded.config.run, loaded.path)
    output_dir = loaded.config.run.output_dir
    home = home or find_home(Path(output_dir) if output_dir else None)
    config = _with_dataset(loaded, check_in=home if kind == "train" else None)
    name = config.run.output_name or loaded.path.stem
    run = _create(home, name)
    try:
        _fill(run, loaded, config, kind, stages or STAGES[kind])
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    remember(home)
    return run


def dry_run_text(loaded: LoadedConfig, *, kind: str = "train", stages: Sequence[str] | None = None) -> str:
    """The run.toml that ``create_run`` would write. Raises ``ConfigError`` for the dataset."""
    from engine.config.run_file import run_toml_text

    return run_toml_text(
        _with_dataset(loaded, check_in=find_home() if kind == "train" else None),
        kind=kind,
        stages=stages or STAGES[kind],
        sources=loaded.sources,
    )


def create_job(
    config: Config, *, kind: str, stages: Sequence[str], name: str, home: Home | None = None
) -> RunDirectory:
    """A run directory for a short job that has no preset (tools that need torch), under ``<home>/tmp``."""
    from engine.config import write_run_toml

    home = home or find_home()
    run = _create(Home(home.path / "tmp", home.reason, home.survives), name)
    write_run_toml(config, run.run_toml, kind=kind, stages=stages)
    _first_status(run, config, name, kind)
    return run


def _create(home: Home, name: str) -> RunDirectory:
    try:
        return RunDirectory.create(home.path, name)
    except OSError as error:
        raise MissingRequirement.of(
            "home_not_writable",
            say(
                f"No run can be made in {home.path}: {error.strerror or error}.",
                f"{home.path} に run を作成できません: {error.strerror or error}。",
            ),
            say(
                "Set MUSUBI_TUI_HOME to a folder that can be written.",
                "MUSUBI_TUI_HOME に書き込めるフォルダーを設定してください。",
            ),
            file=home.path,
        ) from error


def _fill(run: RunDirectory, loaded: LoadedConfig, config: Config, kind: str, stages: Sequence[str]) -> None:
    from engine.config import redacted_source, write_run_toml

    write_run_toml(config, run.run_toml, kind=kind, stages=stages, sources=loaded.sources)
    sources = [loaded.path, *loaded.bases]
    if loaded.config.dataset.dataset_config:
        sources.append(Path(loaded.config.dataset.dataset_config))
    for path in sources:
        if path.is_file() and path.stat().st_size <= _SOURCE_LIMIT:
            text = path.read_bytes().decode("utf-8", "replace")
            write_text_atomically(_free_name(run.source, path), redacted_source(text))
    write_origin(run, loaded)
    _first_status(run, config, config.run.output_name or loaded.path.stem, kind)


def _free_name(folder: Path, path: Path) -> Path:
    """Where a copy goes: presets of the same name that build on each other stay apart."""
    target, number = folder / path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    return target


def _first_status(run: RunDirectory, config: Config, name: str, kind: str) -> None:
    Status(
        state="queued",
        process=ProcessIdentity.of_this_process(),
        heartbeat=iso_time(time.time()),
        max_steps=int(config.training.max_train_steps or 0) if kind == "train" else 0,
        name=name,
        family=str(config.run.family or ""),
        kind=kind,
    ).write(run)


def discard(run: RunDirectory) -> None:
    """Take back a run that was just made and whose engine was never started."""
    shutil.rmtree(run.path, ignore_errors=True)


def _with_dataset(loaded: LoadedConfig, *, check_in: Home | None) -> Config:
    """The configuration with the dataset's tables in it, all paths absolute, so that run.toml stands alone.

    With ``check_in`` what ``presets check`` refuses of the dataset's files is a ``ConfigError``; what was read of them is kept
    in this home, where the engine finds it.
    """
    from engine.data.preset_dataset import read_preset_dataset
    from engine.families import get_family

    spec = get_family(str(loaded.config.run.family))
    dataset = read_preset_dataset(loaded, spec)
    if check_in is not None:
        _refuse_contents(loaded, dataset, spec, check_in)
    return loaded.config.with_values({"dataset_config": None, **dataset.document()})


def _refuse_contents(loaded: LoadedConfig, dataset: DatasetConfig, spec: FamilySpec, home: Home) -> None:
    from engine.data.index import INDEX_FOLDER, ScanIndex
    from engine.data.inventory import content_problems

    models = [slot.option for slot in spec.slots if loaded.config.get(slot.option) is not None]
    task = spec.task(loaded.config.run.task)
    with ScanIndex(home.path / INDEX_FOLDER) as index:
        found = content_problems(dataset, spec, task, models=models, index=index)
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise ConfigError([one if one.file else replace(one, file=str(loaded.path)) for one in errors])
