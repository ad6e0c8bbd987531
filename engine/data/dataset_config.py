"""The dataset file, read and judged: ``[general]`` and ``[[datasets]]`` become one typed ``DatasetSpec`` per dataset.

All complaints of a file are collected and reported at once, each with its line. Precedence is Musubi Tuner's: the dataset's
own key, then ``[general]``, then the default. What Musubi Tuner lets pass in silence (an unknown extraction mode, no dataset
at all, a key without effect) is said here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.dataset_spec import DEFAULT_FRAME_STRIDE, DEFAULT_STEP, DatasetConfig, DatasetSpec
from engine.data.document import Document, positions_of, read_document
from engine.data.items import Kind
from engine.data.positions import Address
from engine.data.schema import ALIASES, BY_NAME, KEYS, READ_ONLY_BY, DatasetKey
from engine.data.values import WrongValue, typed_value
from engine.families.family import FamilySpec

__all__ = ["DatasetConfig", "DatasetSpec", "check_dataset_config", "read_dataset_config"]


def read_dataset_config(
    source: Path | Mapping[str, Any], *, base_dir: Path, spec: FamilySpec | None, file: str = ""
) -> DatasetConfig:
    """Read a dataset file, or the ``general`` / ``datasets`` tables of a preset (then ``file`` names that preset).

    Relative paths count from ``base_dir``. Without ``spec`` the bucket step is 16 and clips get a warning. Raises
    ``ConfigError`` with every problem of the file.
    """
    config, problems = check_dataset_config(source, base_dir=base_dir, spec=spec, file=file)
    errors = [problem for problem in problems if problem.severity == "error"]
    if config is None or errors:
        raise ConfigError(errors)
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
    reader = _Reader(document, base_dir, spec)
    datasets = reader.read()
    problems = reader.problems
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    config = DatasetConfig(datasets, reader.general, tuple(reader.tables), document.file, tuple(p for p in problems))
    return config, problems


class _Reader:
    """One pass over one document; ``problems``, ``general`` and ``tables`` fill as it reads."""

    def __init__(self, document: Document, base_dir: Path, spec: FamilySpec | None) -> None:
        self.document = document
        self.base_dir = base_dir
        self.spec = spec
        self.problems: list[Problem] = []
        self.general: dict[str, Any] = {}
        self.tables: list[dict[str, Any]] = []

    def read(self) -> tuple[DatasetSpec, ...]:
        """The datasets that could be resolved. Only meaningful as a whole when ``problems`` holds no error."""
        content = self.document.content
        for name in content:
            if name not in ("general", "datasets"):
                self._complain_unknown((name,), name, ("general", "datasets"))
        general_values = self._read_general(content.get("general", {}))
        tables = content.get("datasets", [])
        if not isinstance(tables, list) or any(not isinstance(table, Mapping) for table in tables):
            self._complain(
                ("datasets",),
                "wrong_type",
                say("datasets must be a list of tables.", "datasets はテーブルの配列です。"),
                say("Write each as [[datasets]].", "[[datasets]] と書いてください。"),
            )
            return ()
        if not tables:
            self._complain(
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
        return resolved

    # -- tables

    def _read_general(self, table: Any) -> dict[str, Any]:
        if not isinstance(table, Mapping):
            self._complain(("general",), "wrong_type", say("general must be a table.", "general はテーブルです。"))
            return {}
        values = {}
        for name, key, value in self._typed(("general",), table):
            if key.general:
                values[name] = value
                self.general[name] = _plain(value)
            else:
                self._complain(
                    ("general", name),
                    "misplaced_key",
                    say(f"{name} cannot stand in [general].", f"{name} は [general] には書けません。"),
                    say("Move it into the [[datasets]] it belongs to.", "該当する [[datasets]] に移してください。"),
                )
        return values

    def _read_dataset(self, index: int, table: Mapping[str, Any], general: Mapping[str, Any]) -> DatasetSpec | None:
        address: Address = ("datasets", index)
        before = len(self.problems)
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
        values.update(general)
        values.update(own)
        self._check_built(address, values, set(own))
        self._check_source(address, values, kind)
        if any(problem.severity == "error" for problem in self.problems[before:]):
            return None
        return self._finish(address, values, kind, {*general, *own})

    def _typed(self, address: Address, table: Mapping[str, Any]) -> Iterator[tuple[str, DatasetKey, Any]]:
        for written, raw in table.items():
            name = ALIASES.get(written, written)
            here = (*address, written)
            if name not in BY_NAME:
                self._complain_unknown(here, written, tuple(BY_NAME))
                continue
            if name != written:
                self._warn(
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
                self._complain(here, error.code, str(error))

    def _kind(self, address: Address, table: Mapping[str, Any]) -> Kind | None:
        images = [name for name in ("image_directory", "image_jsonl_file") if name in table]
        clips = [name for name in ("video_directory", "video_jsonl_file") if name in table]
        if images and clips:
            self._complain(
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
            self._complain(
                (*address, second),
                "conflicting_keys",
                say(f"{first} and {second} exclude each other.", f"{first} と {second} は同時に書けません。"),
            )
        if not images and not clips:
            self._complain(
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

    # -- judging

    def _check_built(self, address: Address, values: Mapping[str, Any], own: set[str]) -> None:
        for name, value in values.items():
            if BY_NAME[name].built or value == BY_NAME[name].default:
                continue
            self._complain(
                (*address, name) if name in own else ("general", name),
                "not_built_yet",
                say(
                    f"{name} is not built yet, and without it something else would be learned.",
                    f"{name} は未実装です。無視すると学習内容が変わるため止めます。",
                ),
                say("Remove it.", "削除してください。"),
            )

    def _check_source(self, address: Address, values: Mapping[str, Any], kind: Kind) -> None:
        jsonl = values.get("image_jsonl_file") or values.get("video_jsonl_file")
        if jsonl is not None and values["cache_directory"] is None:
            self._complain(
                address,
                "missing_key",
                say(
                    "a dataset from a jsonl file needs cache_directory.",
                    "jsonlのデータセットには cache_directory が必要です。",
                ),
                say("Name a folder for the encoded files.", "キャッシュを置くフォルダを書いてください。"),
            )
        if kind == "clip" and self.spec is not None and "clips" not in self.spec.capabilities:
            self._complain(
                address,
                "family_without_clips",
                say(f"{self.spec.title} trains on pictures only.", f"{self.spec.title} は画像専用です。"),
                say(
                    "Use image_directory, or another family.", "image_directory を使うか、別のモデルを選んでください。"
                ),
            )
        if kind == "clip" and self.spec is None:
            self._warn(
                address,
                "no_family",
                say(
                    "no family is named: clip lengths count as 4n+1 frames, and source_fps drops nothing.",
                    "モデルの指定がないため、クリップ長は4n+1とし、source_fps による間引きは行いません。",
                ),
                say("Name one with --family.", "--family で指定してください。"),
            )
        if values["caption_extension"] is None and jsonl is None:
            self._warn(
                address,
                "no_captions",
                say(
                    "caption_extension is not set: every item trains with an empty caption.",
                    "caption_extension が未設定のため、キャプションはすべて空になります。",
                ),
                say('Set caption_extension = ".txt".', 'caption_extension = ".txt" を書いてください。'),
            )

    def _finish(self, address: Address, values: dict[str, Any], kind: Kind, written: set[str]) -> DatasetSpec | None:
        if values["bucket_no_upscale"] and not values["enable_bucket"]:
            values["bucket_no_upscale"] = False
            self._no_effect(address, "bucket_no_upscale", "enable_bucket = true")
        extension = values["caption_extension"]
        if extension is not None and "." not in extension:
            values["caption_extension"] = f".{extension}"
            self._warn(
                (*address, "caption_extension"),
                "missing_dot",
                say(
                    f'caption_extension is read as ".{extension}".',
                    f'caption_extension は ".{extension}" として読みます。',
                ),
            )
        if kind == "clip":
            values["target_frames"] = self._clip_lengths(address, values["target_frames"])
            for name, mode in READ_ONLY_BY.items():
                if name in written and values["frame_extraction"] != mode:
                    self._no_effect(address, name, f'frame_extraction = "{mode}"')
        if not self._check_exact_size(address, values):
            return None
        if values["cache_directory"] is None:
            values["cache_directory"] = values.get("image_directory") or values.get("video_directory")
        return DatasetSpec(index=int(address[1]), kind=kind, **values)

    def _clip_lengths(self, address: Address, lengths: tuple[int, ...]) -> tuple[int, ...]:
        stride = DEFAULT_FRAME_STRIDE if self.spec is None else self.spec.frame_stride
        allowed = {length: (length - 1) // stride * stride + 1 for length in lengths}
        rounded = [f"{length} -> {allowed[length]}" for length in sorted(allowed) if allowed[length] != length]
        if rounded:
            self._warn(
                (*address, "target_frames"),
                "rounded_frames",
                say(
                    f"clips have {stride}n+1 frames; rounded down: {', '.join(rounded)}.",
                    f"クリップは {stride}n+1 フレームです。切り下げました: {', '.join(rounded)}",
                ),
            )
        return tuple(sorted(set(allowed.values())))

    def _check_exact_size(self, address: Address, values: Mapping[str, Any]) -> bool:
        """With buckets off the size is used as typed: it must give whole transformer tokens."""
        width, height = values["resolution"]
        step = DEFAULT_STEP if self.spec is None else self.spec.pixel_step
        if values["enable_bucket"]:
            if min(width, height) < step:
                self._complain(
                    (*address, "resolution"),
                    "bad_value",
                    say(
                        f"resolution must be at least {step} pixels a side.",
                        f"resolution の一辺は {step} ピクセル以上です。",
                    ),
                )
            return bool(min(width, height) >= step)
        nearest = f"[{max(step, round(width / step) * step)}, {max(step, round(height / step) * step)}]"
        fix = say(
            f"Use {nearest}, or enable_bucket = true.", f"{nearest} にするか、enable_bucket = true にしてください。"
        )
        if self.spec is not None:
            cells = self.spec.latent_shape(width, height)
            if cells[2] % self.spec.patch[1] or cells[3] % self.spec.patch[2]:
                message = say(
                    f"{self.spec.title} cannot use {width}x{height}: sides must be multiples of {step} pixels.",
                    f"{self.spec.title} は {width}x{height} を扱えません。一辺は {step} の倍数です。",
                )
                self._complain((*address, "resolution"), "bad_value", message, fix)
                return False
        if width % step or height % step:
            self._warn(
                (*address, "resolution"),
                "odd_size",
                say(
                    f"{width}x{height} is no multiple of {step}: up to 15 pixels at the edges are not seen.",
                    f"{width}x{height} は {step} の倍数ではなく、端の数ピクセルは使われません。",
                ),
                fix,
            )
        return True

    def _check_cache_directories(self, datasets: tuple[DatasetSpec, ...]) -> None:
        owners: dict[Path, int] = {}
        for spec in datasets:
            folder = spec.cache_directory.resolve()
            if folder in owners:
                self._complain(
                    ("datasets", spec.index, "cache_directory"),
                    "shared_cache_directory",
                    say(
                        f"datasets {owners[folder] + 1} and {spec.index + 1} would share the cache folder {folder}.",
                        f"{owners[folder] + 1}番目と{spec.index + 1}番目のデータセットのキャッシュが同じ {folder} です。",
                    ),
                    say("Give each its own cache_directory.", "それぞれ別の cache_directory にしてください。"),
                )
            owners.setdefault(folder, spec.index)

    # -- complaints

    def _complain(self, address: Address, code: str, message: str, fix: str = "") -> None:
        self.problems.append(self.document.problem(address, code, message, fix))

    def _warn(self, address: Address, code: str, message: str, fix: str = "") -> None:
        self.problems.append(self.document.problem(address, code, message, fix, warning=True))

    def _no_effect(self, address: Address, name: str, needed: str) -> None:
        self._warn(
            (*address, name),
            "no_effect",
            say(f"{name} has no effect without {needed}.", f"{name} は {needed} でないと効果がありません。"),
        )

    def _complain_unknown(self, address: Address, name: str, known: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか?") if close else ""
        if not close and len(address) == 1:
            fix = say(
                "A dataset file holds [general] and [[datasets]].",
                "データセットファイルに書けるのは [general] と [[datasets]] です。",
            )
        message = say(f"{name!r} is not a key of a dataset file.", f"{name!r} というキーはありません。")
        self._complain(address, "unknown_key", message, fix)

    def _complain_scope(self, address: Address, name: str, kind: Kind) -> None:
        here, other = ("videos", "pictures") if kind == "clip" else ("pictures", "videos")
        here_ja, other_ja = ("動画", "画像") if kind == "clip" else ("画像", "動画")
        self._complain(
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
        return list(value)
    return value
