"""What a dataset file comes to: one typed ``DatasetSpec`` per dataset, and the ``DatasetConfig`` that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.config.problems import Problem
from engine.config.spelling import shell_word
from engine.data.items import Kind

DEFAULT_STEP = 16  # bucket step of every family so far; used where no family is named
DEFAULT_FRAME_STRIDE = 4


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One ``[[datasets]]`` entry, resolved: every key has a value, every path is absolute."""

    index: int
    kind: Kind
    cache_directory: Path
    resolution: tuple[int, int] = (960, 544)
    resolutions: tuple[tuple[int, int], ...] = ()  # all of them when there are several, ``resolution`` the first
    batch_size: int = 1
    num_repeats: int = 1
    caption_extension: str | None = None
    caption_extensions: tuple[str, ...] = ()  # all of them, ``caption_extension`` the first
    enable_bucket: bool = False
    bucket_no_upscale: bool = False
    on_bad_item: Literal["stop", "skip"] = "stop"
    image_directory: Path | None = None
    image_jsonl_file: Path | None = None
    video_directory: Path | None = None
    video_jsonl_file: Path | None = None
    control_directory: Path | None = None
    multiple_target: bool = False
    fp_latent_window_size: int = 9
    fp_1f_clean_indices: tuple[int, ...] | None = None
    fp_1f_target_index: int | None = None
    fp_1f_no_post: bool = False
    no_resize_control: bool = False
    control_resolution: tuple[int, int] | None = None
    target_frames: tuple[int, ...] = (1,)  # sorted, without repetition, each 4n+1
    frame_extraction: str = "head"
    frame_stride: int = 1
    frame_sample: int = 1
    max_frames: int = 129
    source_fps: float | None = None
    fps_from_file: bool = False
    frames_by_number: bool = False  # frames are dropped by their numbers, also where they last differently long
    recursive: bool = False
    min_bucket_size: int | None = None
    max_bucket_size: int | None = None
    trigger_word: str | None = None
    caption_encoding: str | None = None
    multiple_captions: bool = False
    tag_shuffle: int = 0
    keep_tags: int = 0
    caption_dropout: float = 0.0
    flip: bool = False
    random_crop: int = 0
    loss_weight: float = 1.0
    is_reg: bool = False
    mask_directory: Path | None = None
    alpha_mask: bool = False
    validation_split: int | float | None = None  # files, or a share of them
    validation: bool = False

    @property
    def directory(self) -> Path | None:
        """The source folder, if the dataset is one."""
        return self.image_directory or self.video_directory

    @property
    def jsonl(self) -> Path | None:
        """The source list, if the dataset is one."""
        return self.image_jsonl_file or self.video_jsonl_file

    @property
    def shows_motion(self) -> bool:
        """Whether it gives clips of more than one frame."""
        return self.kind == "clip" and (self.frame_extraction == "full" or max(self.target_frames) > 1)

    @property
    def has_captions(self) -> bool:
        """Whether a caption is expected with each of its files."""
        return self.caption_extension is not None or self.jsonl is not None

    @property
    def name(self) -> str:
        """What the dataset is called in tables: the name of its folder or list."""
        source = self.directory or self.jsonl
        return source.name if source is not None and source.name else str(source)


@dataclass(frozen=True)
class DatasetConfig:
    """A dataset file without errors."""

    datasets: tuple[DatasetSpec, ...]
    general: Mapping[str, Any] = field(default_factory=dict)  # as written, paths absolute, old names replaced
    tables: tuple[Mapping[str, Any], ...] = ()
    file: str = ""
    warnings: tuple[Problem, ...] = ()
    family: str = ""  # it was read for; empty where the file itself names it, as a preset does

    @property
    def typed(self) -> str:
        """What a person types behind a command to mean this dataset as it was read: ``'my set.toml' --family wan``."""
        return shell_word(self.file or "DATASET.toml") + (f" --family {self.family}" if self.family else "")

    def document(self) -> dict[str, Any]:
        """``{"general": …, "datasets": […]}`` with absolute paths: what run.toml embeds; reading it gives this config."""
        return {"general": dict(self.general), "datasets": [dict(table) for table in self.tables]}
