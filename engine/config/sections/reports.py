"""What is told about a run elsewhere: logs, metadata, uploads."""

from __future__ import annotations

from typing import Literal

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import AnyPath

_EVENTS_ONLY = (
    "Losses and rates go into the run's events file and the monitor; no tracker is written.",
    "損失などは実行のイベントファイルとモニターに記録され、トラッカーには書き出されません。",
)
_NO_UPLOAD = (
    "Nothing is uploaded; the files stay in the output folder.",
    "アップロードはされず、出力フォルダーに残ります。",
)
_LOGGING = [("log_with", ()), ("logging_dir", ())]
_UPLOADING = [("huggingface_repo_id", ())]


class LoggingSection(Section):
    """Trackers outside this tool."""

    logging_dir: AnyPath | None = option(
        None,
        musubi=None,
        path="output",
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        en="Folder for TensorBoard files.",
        ja="TensorBoard 用ファイルのフォルダー。",
    )
    log_with: Literal["tensorboard", "wandb", "all"] | None = option(
        None,
        musubi=None,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        en="Tracker to log to: TensorBoard, Weights & Biases or both.",
        ja="記録先のトラッカー: TensorBoard、Weights & Biases、または両方。",
    )
    log_prefix: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        only_with=_LOGGING,
        en="Beginning of the log folder's name.",
        ja="ログフォルダー名の先頭。",
    )
    log_tracker_name: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        only_with=_LOGGING,
        en="Project name in the tracker.",
        ja="トラッカーでのプロジェクト名。",
    )
    log_tracker_config: AnyPath | None = option(
        None,
        musubi=None,
        path="file",
        expert=True,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        only_with=_LOGGING,
        en="TOML file with settings of the tracker.",
        ja="トラッカーの設定を書いた TOML ファイル。",
    )
    wandb_run_name: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        only_with=[("log_with", ("wandb", "all"))],
        en="Name of the run in Weights & Biases.",
        ja="Weights & Biases での実行名。",
    )
    wandb_api_key: str | None = option(
        None,
        musubi=None,
        secret=True,
        expert=True,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        only_with=[("log_with", ("wandb", "all"))],
        en="Key for Weights & Biases; the environment variable WANDB_API_KEY keeps it out of your files.",
        ja="Weights & Biases のキー。環境変数 WANDB_API_KEY を使えばファイルに残りません。",
    )
    log_config: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_EVENTS_ONLY,
        only_with=_LOGGING,
        en="Send all settings to the tracker; the run directory always keeps them in run.toml.",
        ja="すべての設定をトラッカーに送ります。実行ディレクトリの run.toml には常に残ります。",
    )


class MetadataSection(Section):
    """What the LoRA file says about itself."""

    metadata_title: str | None = option(
        None,
        musubi=None,
        en="Title in the LoRA file's metadata; unset takes output_name.",
        ja="LoRA ファイルのメタデータのタイトル。未指定なら output_name を使います。",
    )
    metadata_author: str | None = option(
        None, musubi=None, en="Author in the LoRA file's metadata.", ja="LoRA ファイルのメタデータの作者名。"
    )
    metadata_description: str | None = option(
        None, musubi=None, en="Description in the LoRA file's metadata.", ja="LoRA ファイルのメタデータの説明文。"
    )
    metadata_license: str | None = option(
        None, musubi=None, en="License in the LoRA file's metadata.", ja="LoRA ファイルのメタデータのライセンス。"
    )
    metadata_tags: str | None = option(
        None,
        musubi=None,
        en="Tags in the LoRA file's metadata, separated by commas.",
        ja="LoRA ファイルのメタデータのタグ (カンマ区切り)。",
    )
    metadata_reso: str | None = option(
        None,
        musubi=None,
        expert=True,
        en="Resolution in the LoRA file's metadata, such as \"1024x1024\"; unset takes the task's.",
        ja='LoRA ファイルのメタデータの解像度 ("1024x1024" など)。未指定ならタスクの値を使います。',
    )
    metadata_arch: str | None = option(
        None,
        musubi=None,
        expert=True,
        en="Architecture name in the LoRA file's metadata; unset takes the task's.",
        ja="LoRA ファイルのメタデータのアーキテクチャ名。未指定ならタスクの値を使います。",
    )


class HuggingFaceSection(Section):
    """Uploading results to Hugging Face."""

    huggingface_repo_id: str | None = option(
        None,
        musubi=None,
        status="deferred-cost",
        consequence=_NO_UPLOAD,
        en="Repository that saved files are uploaded to.",
        ja="保存したファイルのアップロード先リポジトリ。",
    )
    huggingface_repo_type: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_NO_UPLOAD,
        only_with=_UPLOADING,
        suggestions=("model", "dataset"),
        en="Kind of that repository.",
        ja="リポジトリの種類。",
    )
    huggingface_path_in_repo: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_NO_UPLOAD,
        only_with=_UPLOADING,
        en="Folder inside the repository.",
        ja="リポジトリ内のフォルダー。",
    )
    huggingface_token: str | None = option(
        None,
        musubi=None,
        secret=True,
        expert=True,
        en="Token for Hugging Face downloads; the environment variable HF_TOKEN keeps it out of your files.",
        ja="Hugging Face からのダウンロードに使うトークン。環境変数 HF_TOKEN を使えばファイルに残りません。",
    )
    huggingface_repo_visibility: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_NO_UPLOAD,
        only_with=_UPLOADING,
        suggestions=("private", "public"),
        en="Whether a newly made repository is private or public.",
        ja="新しく作るリポジトリを非公開にするか公開にするか。",
    )
    save_state_to_huggingface: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_NO_UPLOAD,
        only_with=_UPLOADING,
        en="Upload resume states as well.",
        ja="再開用の状態もアップロードします。",
    )
    async_upload: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_NO_UPLOAD,
        only_with=_UPLOADING,
        en="Upload in the background while training goes on.",
        ja="学習を続けながらバックグラウンドでアップロードします。",
    )
