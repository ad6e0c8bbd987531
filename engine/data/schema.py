"""Every key of a dataset file, said once: name, type, default, where it may stand and what it does.

Names, types and defaults are Musubi Tuner's, so that its dataset files are read as they are; ``own_keys`` holds what it lacks.
"""

from __future__ import annotations

from engine.data.key import DatasetKey
from engine.data.own_keys import OWN_KEYS

_MUSUBI: tuple[DatasetKey, ...] = (
    DatasetKey(
        "resolution",
        "any",
        "sizes",
        (960, 544),
        "Target area as [width, height] or one number for a square; the exact size when buckets are off. A list of such pairs "
        "trains every item at each of them.",
        "目標の面積 [幅, 高さ]。数値ひとつなら正方形。バケットを使わない場合はそのままの寸法。"
        "[幅, 高さ] の配列なら、各項目をすべての寸法で学習する。",
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
        "texts",
        None,
        "Extension of the caption files, such as .txt; items without one are left out. Unset: empty captions. "
        "A list takes a caption from each file that is there.",
        "キャプションファイルの拡張子 (.txt など)。ないものは学習されない。未設定なら空のキャプション。"
        "配列なら、あるファイルそれぞれから1つずつ取る。",
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
        "Folder of what the model is given beside the caption: pictures name.png or name_0.png, name_1.png …, or videos.",
        "キャプションのほかにモデルへ渡すもののフォルダ。画像 name.png または name_0.png, name_1.png …、もしくは動画。",
    ),
    DatasetKey(
        "multiple_target",
        "image",
        "bool",
        False,
        "Several target pictures per item: name.png with its caption, and name_0.png, name_1.png … beside it.",
        "1項目に複数の目標画像。キャプションのある name.png と、隣の name_0.png, name_1.png …。",
    ),
    DatasetKey(
        "fp_latent_window_size",
        "any",
        "int",
        9,
        "Latent frames per section in FramePack training.",
        "FramePackの1区間の潜在フレーム数。",
        minimum=1,
    ),
    DatasetKey(
        "fp_1f_clean_indices",
        "image",
        "ints",
        None,
        "Temporal indices of the control pictures in one-frame training.",
        "1フレーム学習での制御画像の時間位置。",
    ),
    DatasetKey(
        "fp_1f_target_index",
        "image",
        "int",
        None,
        "Temporal index of the target in one-frame training.",
        "1フレーム学習での目標の時間位置。",
    ),
    DatasetKey(
        "fp_1f_no_post",
        "image",
        "bool",
        False,
        "One-frame training without the trailing zero latent.",
        "1フレーム学習で末尾のゼロ潜在を付けない。",
    ),
    DatasetKey(
        "no_resize_control",
        "image",
        "bool",
        False,
        "Control pictures keep their size, rounded down to the step.",
        "制御画像の寸法を変えない (刻みに切り下げる)。",
    ),
    DatasetKey(
        "control_resolution",
        "image",
        "size",
        None,
        "Target area of the control pictures; with no_resize_control only larger ones are made smaller.",
        "制御画像の目標の面積。no_resize_control と併用すると、大きいものだけを縮める。",
        minimum=16,
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

KEYS = (*_MUSUBI, *OWN_KEYS)
BY_NAME = {key.name: key for key in KEYS}

ALIASES = {
    "flux_kontext_no_resize_control": "no_resize_control",
    "qwen_image_edit_no_resize_control": "no_resize_control",
    "qwen_image_edit_control_resolution": "control_resolution",
}

# What other trainers call the same thing: named in the complaint, never read.
ELSEWHERE = {
    "shuffle_caption": "tag_shuffle",
    "caption_dropout_rate": "caption_dropout",
    "keep_tokens": "keep_tags",
    "class_tokens": "trigger_word",
    "flip_aug": "flip",
    "min_bucket_reso": "min_bucket_size",
    "max_bucket_reso": "max_bucket_size",
    "recursive_scan": "recursive",
    "enable_wildcard": "multiple_captions",
    "conditioning_data_dir": "control_directory",
    "image_dir": "image_directory",
    "video_dir": "video_directory",
    "folder_path": "image_directory",
    "caption_ext": "caption_extension",
    "repeats": "num_repeats",
}

# Keys that only one way of cutting clips reads: with another one they have no effect, and that is said.
READ_ONLY_BY = {"frame_stride": "slide", "frame_sample": "uniform", "max_frames": "full"}
