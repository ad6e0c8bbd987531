"""Open what a person points at: a dataset file with a family, a preset that names or holds a dataset, or the run.toml of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.data import DatasetConfig, Scan, read_dataset_config
from engine.data.document import read_document
from engine.families import FamilySpec, TaskSpec, family_names, get_family
from musubi_tui.presets.library import holds_preset

if TYPE_CHECKING:
    from engine.config import Config
    from engine.data.index import ScanIndex

_SOURCE_KEYS = ("image_directory", "video_directory", "image_jsonl_file", "video_jsonl_file")


@dataclass(frozen=True)
class OpenedDataset:
    """A dataset file or preset without errors. ``spec`` and ``task`` are None for a dataset file without a family."""

    file: Path
    config: DatasetConfig
    spec: FamilySpec | None = None
    task: TaskSpec | None = None
    is_preset: bool = False
    tokenizer: Path | None = None  # as the preset names it
    accumulation: int = 1  # batches per optimizer step
    note: str = ""  # what the person should know about how it was read
    options: Config | None = None  # of the preset

    @property
    def family_title(self) -> str:
        """``Wan 2.1 (t2v-1.3B)``, or that none is named."""
        if self.spec is None or self.task is None:
            return say("no family: sizes in steps of 16", "モデル未指定: 16 刻み")
        return f"{self.spec.title} ({self.task.name})"


def open_dataset(file: Path, family: str | None = None) -> OpenedDataset:
    """Read the file. Raises ``UserError`` with everything that is wrong in it."""
    document = read_document(file)
    if _is_run(document.content):
        return _open_run(file, family)
    if holds_preset(document.content):
        return _open_preset(file, family)
    spec = None if family is None else require_known(family)
    base, note = _base_folder(file, document.content)
    config = read_dataset_config(file, base_dir=base, spec=spec)
    return OpenedDataset(file, config, spec, None if spec is None else spec.task(None), note=note)


def scan_opened(
    opened: OpenedDataset, *, index: ScanIndex | None = None, progress: Callable[[int, int], None] | None = None
) -> Scan:
    """Everything in it, what is broken included. With ``index`` files that did not change are not opened again."""
    from engine.data import scan

    return scan(opened.config, opened.spec, opened.task, strict=False, index=index, progress=progress)


def scan_index() -> ScanIndex:
    """What earlier scans read, kept in the home. Use it with ``with``."""
    from engine.data.index import ScanIndex

    return ScanIndex(scan_memory())


def scan_memory() -> Path:
    """The folder of the home where scans remember what they read."""
    from engine.data.index import INDEX_FOLDER
    from musubi_tui.runs.home import find_home

    return find_home().path / INDEX_FOLDER


def require_known(name: str) -> FamilySpec:
    """The family of that name. Raises ``UserError`` with the nearest one."""
    wanted = name.lower().replace("-", "_")
    if wanted in family_names():
        return get_family(wanted)
    close = get_close_matches(wanted, family_names(), n=1)
    known = ", ".join(family_names())
    raise UserError.of(
        "unknown_family",
        say(f"there is no family {name!r}.", f"{name!r} というモデルはありません。"),
        say(
            f"Did you mean {close[0]}? Known: {known}." if close else f"Known: {known}.",
            f"{close[0]} のことですか? 使えるもの: {known}" if close else f"使えるもの: {known}",
        ),
        key="--family",
    )


def _open_preset(file: Path, family: str | None) -> OpenedDataset:
    from engine.config import load_config
    from engine.data.preset_dataset import read_preset_dataset

    loaded = load_config(file)
    spec = _family_of(file, loaded.config, family)
    return _opened(file, loaded.config, spec, read_preset_dataset(loaded, spec))


def _is_run(content: Mapping[str, Any]) -> bool:
    return "schema_version" in content and "stages" in content


def _open_run(file: Path, family: str | None) -> OpenedDataset:
    """What a run trains, as its engine reads it: warnings of runs name this file."""
    from engine.config.run_file import read_run_toml

    config = read_run_toml(file).config
    spec = _family_of(file, config, family)
    tables = {"general": config.dataset.general, "datasets": config.dataset.datasets}
    if not config.dataset.datasets:
        raise UserError.of(
            "missing_key", say("this run has no dataset.", "この run にデータセットはありません。"), file=file
        )
    dataset = read_dataset_config(
        tables, base_dir=file.absolute().parent, spec=spec, file=str(file), numerics=config.run.numerics
    )
    return _opened(file, config, spec, dataset)


def _family_of(file: Path, config: Config, family: str | None) -> FamilySpec:
    name = str(config.get("family"))
    if family is not None and require_known(family).name != name:
        raise UserError.of(
            "conflicting_keys",
            say(
                f"the preset is for {name}, not {family}.",
                f"このプリセットは {name} 用です ({family} ではありません)。",
            ),
            say("Leave --family out.", "--family を外してください。"),
            file=file,
        )
    return get_family(name)


def _opened(file: Path, config: Config, spec: FamilySpec, dataset: DatasetConfig) -> OpenedDataset:
    tokenizer = config.get("tokenizer")
    return OpenedDataset(
        file,
        dataset,
        spec,
        spec.task(config.get("task")),
        is_preset=True,
        tokenizer=None if not tokenizer else Path(tokenizer),
        accumulation=int(config.get("gradient_accumulation_steps") or 1),
        options=config,
    )


def _base_folder(file: Path, content: Mapping[str, Any]) -> tuple[Path, str]:
    """What relative paths of a bare dataset file count from: its folder, or the working directory when only that fits."""
    beside, here = file.absolute().parent, Path.cwd()
    tables = content.get("datasets")
    written = [
        value
        for table in (tables if isinstance(tables, list) else [])
        if isinstance(table, Mapping)
        for key, value in table.items()
        if key in _SOURCE_KEYS and isinstance(value, str) and "\0" not in value and not Path(value).is_absolute()
    ]
    if not written or beside == here:
        return beside, ""
    if all((here / path).exists() for path in written) and not any((beside / path).exists() for path in written):
        return here, say(
            f"Relative paths are read against the working directory {here}.",
            f"相対パスは作業フォルダ {here} を基準に読みます。",
        )
    return beside, ""
