"""Every key of a dataset file, said once: name, type, default, where it may stand, what it does, and whether it is built.

Names, types and defaults are Musubi Tuner's, so that its dataset files are read as they are. A key that is known but not
built yet is refused as soon as it would change what is learned, never ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Scope = Literal["any", "image", "clip"]
ValueType = Literal["int", "bool", "text", "path", "number", "size", "ints", "choice"]


@dataclass(frozen=True)
class DatasetKey:
    """One key of ``[general]`` or ``[[datasets]]``. ``inactive`` values of an unbuilt key change nothing and are accepted."""

    name: str
    scope: Scope
    type: ValueType
    default: Any
    help_en: str
    help_ja: str
    general: bool = False  # may also stand in [general]
    minimum: float | None = None
    choices: tuple[str, ...] = ()
    built: bool = True


KEYS: tuple[DatasetKey, ...] = (
    DatasetKey(
        "resolution",
        "any",
        "size",
        (960, 544),
        "Target area as [width, height] or one number for a square; the exact size when buckets are off.",
        "目標の面積 [幅, 高さ]。数値ひとつなら正方形。バケットを使わない場合はそのままの寸法。",
        general=True,
        minimum=16,
    ),
    DatasetKey(
        "batch_size",
        "any",
        "int",
        1,
        "Items per step and device.",
        "1ステップ・1デバイスあたりの件数。",
        general=True,
        minimum=1,
    ),
    DatasetKey(
        "num_repeats",
        "any",
        "int",
        1,
        "How often each item is shown per epoch.",
        "1エポックに各項目を何回使うか。",
        general=True,
        minimum=1,
    ),
    DatasetKey(
        "caption_extension",
        "any",
        "text",
        None,
        "Extension of the caption files, such as .txt; items without one are left out. Unset: empty captions.",
        "キャプションファイルの拡張子 (.txt など)。ないものは学習されない。未設定なら空のキャプション。",
        general=True,
    ),
    DatasetKey(
        "enable_bucket",
        "any",
        "bool",
        False,
        "Keep each item's aspect ratio by choosing from a list of sizes of equal area.",
        "同じ面積の寸法の一覧から選び、縦横比を保つ。",
        general=True,
    ),
    DatasetKey(
        "bucket_no_upscale",
        "any",
        "bool",
        False,
        "Items smaller than the target area keep their own size.",
        "目標より小さいものは拡大しない。",
        general=True,
    ),
    DatasetKey(
        "on_bad_item",
        "any",
        "choice",
        "stop",
        "What to do about files that cannot be read: stop before training with the full list, or skip them.",
        "読めないファイルの扱い。学習前に一覧を出して止まるか、飛ばすか。",
        general=True,
        choices=("stop", "skip"),
    ),
    DatasetKey("image_directory", "image", "path", None, "Folder of pictures.", "画像のフォルダ。"),
    DatasetKey(
        "image_jsonl_file",
        "image",
        "path",
        None,
        "File with one JSON object per line: image_path, caption.",
        "1行に1つのJSON (image_path, caption) を書いたファイル。",
    ),
    DatasetKey("video_directory", "clip", "path", None, "Folder of videos.", "動画のフォルダ。"),
    DatasetKey(
        "video_jsonl_file",
        "clip",
        "path",
        None,
        "File with one JSON object per line: video_path, caption.",
        "1行に1つのJSON (video_path, caption) を書いたファイル。",
    ),
    DatasetKey(
        "cache_directory",
        "any",
        "path",
        None,
        "Where latents and text are cached; the source folder when unset. Every dataset needs its own.",
        "キャッシュの置き場所。未設定なら元のフォルダ。データセットごとに別にする。",
    ),
    DatasetKey(
        "control_directory",
        "any",
        "path",
        None,
        "Control pictures or videos that belong to the items.",
        "項目に対応する制御画像・動画のフォルダ。",
        built=False,
    ),
    DatasetKey(
        "multiple_target",
        "image",
        "bool",
        False,
        "Several target pictures per item.",
        "1項目に複数の目標画像。",
        built=False,
    ),
    DatasetKey(
        "fp_latent_window_size",
        "any",
        "int",
        9,
        "Latent frames per section in FramePack training.",
        "FramePackの1区間の潜在フレーム数。",
        minimum=1,
        built=False,
    ),
    DatasetKey(
        "fp_1f_clean_indices",
        "image",
        "ints",
        None,
        "Temporal indices of the control pictures in one-frame training.",
        "1フレーム学習での制御画像の時間位置。",
        built=False,
    ),
    DatasetKey(
        "fp_1f_target_index",
        "image",
        "int",
        None,
        "Temporal index of the target in one-frame training.",
        "1フレーム学習での目標の時間位置。",
        built=False,
    ),
    DatasetKey(
        "fp_1f_no_post",
        "image",
        "bool",
        False,
        "One-frame training without the trailing zero latent.",
        "1フレーム学習で末尾のゼロ潜在を付けない。",
        built=False,
    ),
    DatasetKey(
        "no_resize_control",
        "image",
        "bool",
        False,
        "Control pictures keep their size.",
        "制御画像の寸法を変えない。",
        built=False,
    ),
    DatasetKey(
        "control_resolution",
        "image",
        "size",
        None,
        "Target area of the control pictures.",
        "制御画像の目標の面積。",
        minimum=16,
        built=False,
    ),
    DatasetKey(
        "target_frames",
        "clip",
        "ints",
        (1,),
        "Clip lengths in frames; each is rounded down to 4n+1.",
        "クリップの長さ (フレーム数)。4n+1に切り下げる。",
        minimum=1,
    ),
    DatasetKey(
        "frame_extraction",
        "clip",
        "choice",
        "head",
        "Which parts of a video become clips: its head, chunks end to end, a sliding window, uniform samples, or all of it.",
        "動画のどこをクリップにするか。先頭、連続した区間、スライド、等間隔、全体。",
        choices=("head", "chunk", "slide", "uniform", "full"),
    ),
    DatasetKey(
        "frame_stride",
        "clip",
        "int",
        1,
        "Distance between the clips of frame_extraction = slide.",
        "frame_extraction = slide の間隔。",
        minimum=1,
    ),
    DatasetKey(
        "frame_sample",
        "clip",
        "int",
        1,
        "Number of clips of frame_extraction = uniform.",
        "frame_extraction = uniform のクリップ数。",
        minimum=1,
    ),
    DatasetKey(
        "max_frames",
        "clip",
        "int",
        129,
        "Longest clip of frame_extraction = full.",
        "frame_extraction = full の最長フレーム数。",
        minimum=1,
    ),
    DatasetKey(
        "source_fps",
        "clip",
        "number",
        None,
        "Frame rate of the videos; frames are dropped down to the family's rate. Unset: every frame is used.",
        "動画のフレームレート。モデルのレートまで間引く。未設定なら全フレームを使う。",
    ),
)

BY_NAME = {key.name: key for key in KEYS}

ALIASES = {
    "flux_kontext_no_resize_control": "no_resize_control",
    "qwen_image_edit_no_resize_control": "no_resize_control",
    "qwen_image_edit_control_resolution": "control_resolution",
}

# Keys that only one way of cutting clips reads: with another one they have no effect, and that is said.
READ_ONLY_BY = {"frame_stride": "slide", "frame_sample": "uniform", "max_frames": "full"}
