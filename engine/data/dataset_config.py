"""The dataset file, read and judged: ``[general]`` and ``[[datasets]]`` become one typed ``DatasetSpec`` per dataset.

All complaints of a file are collected and reported at once, each with its line. Precedence is Musubi Tuner's: the dataset's
own key, then ``[general]``, then the default. What Musubi Tuner lets pass in silence (an unknown extraction mode, no dataset
at all, a key without effect) is said here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.complaints import Complaints
from engine.data.dataset_rules import Written, judge_dataset
from engine.data.dataset_spec import DatasetConfig, DatasetSpec
from engine.data.document import Document, positions_of, read_document
from engine.data.items import Kind
from engine.data.key import DatasetKey
from engine.data.positions import Address
from engine.data.schema import ALIASES, BY_NAME, ELSEWHERE, KEYS
from engine.data.values import WrongValue, typed_value
from engine.families.family import FamilySpec

__all__ = ["DatasetConfig", "DatasetSpec", "check_dataset_config", "read_dataset_config"]


def read_dataset_config(
    source: Path | Mapping[str, Any],
    *,
    base_dir: Path,
    spec: FamilySpec | None,
    file: str = "",
    numerics: Literal["exact", "musubi"] = "exact",
) -> DatasetConfig:
    """Read a dataset file, or the ``general`` / ``datasets`` tables of a preset (then ``file`` names that preset).

    Relative paths count from ``base_dir``. Without ``spec`` the bucket step is 16 and clips get a warning. ``numerics`` is the
    preset's. Raises ``ConfigError`` with every problem of the file.
    """
    config, problems = check_dataset_config(source, base_dir=base_dir, spec=spec, file=file)
    errors = [problem for problem in problems if problem.severity == "error"]
    if config is None or errors:
        raise ConfigError(errors)
    if numerics == "musubi":
        return replace(config, datasets=tuple(replace(dataset, frames_by_number=True) for dataset in config.datasets))
    return config


def check_dataset_config(
    source: Path | Mapping[str, Any], *, base_dir: Path, spec: FamilySpec | None, file: str = ""
) -> tuple[DatasetConfig | None, list[Problem]]:
    """As ``read_dataset_config``, but never raises on what the user wrote: the config is None when there are errors."""
    if isinstance(source, Path):
        try:
            document = read_document(source)
        except ConfigError as error:
            return None, list(error.problems)
    else:
        document = Document(source, file, positions_of(Path(file)) if file else {})
    complaints = Complaints(document)
    reader = _Reader(complaints, base_dir, spec)
    datasets = reader.read()
    problems = list(
        dict.fromkeys(complaints.problems)
    )  # a value of [general] is complained of once, not for each dataset
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    family = spec.name if spec is not None and isinstance(source, Path) else ""
    config = DatasetConfig(datasets, reader.general, tuple(reader.tables), document.file, tuple(problems), family)
    return config, problems


class _Reader:
    """One pass over one document; ``complaints``, ``general`` and ``tables`` fill as it reads."""

    def __init__(self, complaints: Complaints, base_dir: Path, spec: FamilySpec | None) -> None:
        self.complaints = complaints
        self.base_dir = base_dir
        self.spec = spec
        self.general: dict[str, Any] = {}
        self.tables: list[dict[str, Any]] = []

    def read(self) -> tuple[DatasetSpec, ...]:
        """The datasets that could be resolved. Only meaningful as a whole when ``complaints`` hold no error."""
        content = self.complaints.document.content
        for name in content:
            if name not in ("general", "datasets"):
                self._complain_unknown((name,), name, ("general", "datasets"))
        general_values = self._read_general(content.get("general", {}))
        tables = content.get("datasets", [])
        if not isinstance(tables, list) or any(not isinstance(table, Mapping) for table in tables):
            self.complaints.complain(
                ("datasets",),
                "wrong_type",
                say("datasets must be a list of tables.", "datasets はテーブルの配列です。"),
                say("Write each as [[datasets]].", "[[datasets]] と書いてください。"),
            )
            return ()
        if not tables:
            self.complaints.complain(
                ("datasets",),
                "no_datasets",
                say("there is no dataset in the file.", "データセットがありません。"),
                say(
                    "Add [[datasets]] with image_directory or video_directory.",
                    "[[datasets]] に image_directory か video_directory を書いてください。",
                ),
            )
        specs = [self._read_dataset(index, table, general_values) for index, table in enumerate(tables)]
        resolved = tuple(spec for spec in specs if spec is not None)
        self._check_cache_directories(resolved)
        self._check_something_is_trained(resolved, len(tables))
        return resolved

    def _read_general(self, table: Any) -> dict[str, Any]:
        if not isinstance(table, Mapping):
            self.complaints.complain(
                ("general",), "wrong_type", say("general must be a table.", "general はテーブルです。")
            )
            return {}
        values = {}
        for name, key, value in self._typed(("general",), table):
            if key.general:
                values[name] = value
                self.general[name] = _plain(value)
            else:
                self.complaints.complain(
                    ("general", name),
                    "misplaced_key",
                    say(f"{name} cannot stand in [general].", f"{name} は [general] には書けません。"),
                    say("Move it into the [[datasets]] it belongs to.", "該当する [[datasets]] に移してください。"),
                )
        return values

    def _read_dataset(self, index: int, table: Mapping[str, Any], general: Mapping[str, Any]) -> DatasetSpec | None:
        address: Address = ("datasets", index)
        before = len(self.complaints.problems)
        kind = self._kind(address, table)
        own: dict[str, Any] = {}
        for name, key, value in self._typed(address, table):
            if kind is not None and key.scope not in ("any", kind):
                self._complain_scope((*address, name), name, kind)
                continue
            own[name] = value
        self.tables.append({name: _plain(value) for name, value in own.items()})
        if kind is None:
            return None
        values: dict[str, Any] = {key.name: key.default for key in KEYS if key.scope in ("any", kind)}
        values.update({name: value for name, value in general.items() if name in values})
        values.update(own)
        written = Written(address, frozenset(own), frozenset(general))
        spec = judge_dataset(values, kind, written, self.spec, self.complaints)
        return None if self.complaints.errors_since(before) else spec

    def _typed(self, address: Address, table: Mapping[str, Any]) -> Iterator[tuple[str, DatasetKey, Any]]:
        for written, raw in table.items():
            name = ALIASES.get(written, written)
            here = (*address, written)
            if name not in BY_NAME:
                self._complain_unknown(here, written, tuple(BY_NAME))
                continue
            if name != written:
                self.complaints.warn(
                    here,
                    "deprecated_key",
                    say(f"{written} is an old name of {name}.", f"{written} は {name} の古い名前です。"),
                    say(f"Rename it to {name}.", f"{name} に書き換えてください。"),
                )
                if name in table:
                    continue  # the new name wins
            try:
                yield name, BY_NAME[name], typed_value(BY_NAME[name], raw, self.base_dir)
            except WrongValue as error:
                self.complaints.complain(here, error.code, str(error))

    def _kind(self, address: Address, table: Mapping[str, Any]) -> Kind | None:
        images = [name for name in ("image_directory", "image_jsonl_file") if name in table]
        clips = [name for name in ("video_directory", "video_jsonl_file") if name in table]
        if images and clips:
            self.complaints.complain(
                (*address, clips[0]),
                "conflicting_keys",
                say(
                    f"{images[0]} and {clips[0]} cannot stand in one dataset.",
                    f"{images[0]} と {clips[0]} は同じデータセットに書けません。",
                ),
                say("Make two [[datasets]] of it.", "[[datasets]] を2つに分けてください。"),
            )
            return None
        if len(images) + len(clips) == 2:
            first, second = images or clips
            self.complaints.complain(
                (*address, second),
                "conflicting_keys",
                say(f"{first} and {second} exclude each other.", f"{first} と {second} は同時に書けません。"),
            )
        if not images and not clips:
            self.complaints.complain(
                address,
                "missing_key",
                say("the dataset names no source.", "データセットの場所が書かれていません。"),
                say(
                    "Add image_directory, image_jsonl_file, video_directory or video_jsonl_file.",
                    "image_directory, image_jsonl_file, video_directory, video_jsonl_file のどれかを書いてください。",
                ),
            )
            return None
        return "clip" if clips else "image"

    def _check_cache_directories(self, datasets: tuple[DatasetSpec, ...]) -> None:
        owners: dict[Path, int] = {}
        for spec in datasets:
            folder = spec.cache_directory.resolve()
            if folder in owners:
                self.complaints.complain(
                    ("datasets", spec.index, "cache_directory"),
                    "shared_cache_directory",
                    say(
                        f"datasets {owners[folder] + 1} and {spec.index + 1} would share the cache folder {folder}.",
                        f"{owners[folder] + 1}番目と{spec.index + 1}番目のデータセットのキャッシュが同じ {folder} です。",
                    ),
                    say("Give each its own cache_directory.", "それぞれ別の cache_directory にしてください。"),
                )
            owners.setdefault(folder, spec.index)

    def _check_something_is_trained(self, datasets: tuple[DatasetSpec, ...], written: int) -> None:
        if written and len(datasets) == written and all(spec.validation for spec in datasets):
            self.complaints.complain(
                ("datasets", 0, "validation"),
                "nothing_to_train",
                say(
                    "every dataset is held out for validation: nothing would be trained.",
                    "すべてのデータセットが検証用で、学習するものがありません。",
                ),
                say("Remove validation from one of them.", "どれかから validation を外してください。"),
            )

    def _complain_unknown(self, address: Address, name: str, known: tuple[str, ...]) -> None:
        close = [ELSEWHERE[name]] if name in ELSEWHERE else difflib.get_close_matches(name, known, n=1)
        fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか?") if close else ""
        if not close and len(address) == 1:
            fix = say(
                "A dataset file holds [general] and [[datasets]].",
                "データセットファイルに書けるのは [general] と [[datasets]] です。",
            )
        message = say(f"{name!r} is not a key of a dataset file.", f"{name!r} というキーはありません。")
        self.complaints.complain(address, "unknown_key", message, fix)

    def _complain_scope(self, address: Address, name: str, kind: Kind) -> None:
        here, other = ("videos", "pictures") if kind == "clip" else ("pictures", "videos")
        here_ja, other_ja = ("動画", "画像") if kind == "clip" else ("画像", "動画")
        self.complaints.complain(
            address,
            "misplaced_key",
            say(
                f"{name} belongs to datasets of {other}, and this one holds {here}.",
                f"{name} は{other_ja}用です (ここは{here_ja}のデータセット)。",
            ),
            say("Remove it.", "削除してください。"),
        )


def _plain(value: Any) -> Any:
    """A typed value as TOML can hold it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value
