"""What goes in: the run itself, and the dataset."""

from __future__ import annotations

from typing import Any, Literal

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import AnyPath

_ONE_THREAD = (
    "One background thread reads the cached batches, whatever the number.",
    "指定した数に関わらず、キャッシュは 1 つのバックグラウンドスレッドで読み込みます。",
)


class RunSection(Section):
    """What is trained, where the results go, and on what."""

    family: str = option(
        "wan",
        en="Model family to train; a file that names it is read with this tool's recommended defaults.",
        ja="学習するモデルファミリー。指定したファイルは本ツールの推奨デフォルトで読み込まれます。",
    )
    task: str | None = option(
        None,
        musubi="t2v-14B",
        en="Kind of training within the family, such as t2v-14B or t2i; sizes are read from the model file.",
        ja="ファミリー内の学習の種類 (t2v-14B、t2i など)。モデルの大きさはファイルから読み取ります。",
    )
    base: str | None = option(
        None,
        en="The preset this one builds on: a name of `presets list`, or a file. This file then holds only what differs.",
        ja="元にするプリセット (`presets list` の名前かファイル)。このファイルには違いだけを書きます。",
    )
    base_unset: list[str] | None = option(
        None,
        expert=True,
        only_with=[("base", ())],
        en="Options of the base preset that go back to their defaults here.",
        ja="元のプリセットの項目のうち、ここでデフォルトに戻すもの。",
    )
    numerics: Literal["exact", "musubi"] = option(
        "exact",
        expert=True,
        en='"exact" follows the formulas; "musubi" reproduces Musubi Tuner\'s numerical quirks, to compare or continue its runs.',
        ja='"exact" は数式どおりに計算し、"musubi" は Musubi Tuner の数値的な癖を再現します (比較や継続用)。',
    )
    seed: int | None = option(
        42,
        musubi=None,
        minimum=0,
        maximum=2**32 - 1,
        en="Start of every random choice, so that two runs differ only by what you changed; unset draws one.",
        ja="すべての乱数の種。固定すると、変えた設定だけを比較できます。未指定なら自動で選ばれます。",
    )
    output_dir: AnyPath | None = option(
        None,
        musubi=None,
        path="output",
        en="Folder for LoRA files and samples; unset keeps them in the run directory.",
        ja="LoRA とサンプルの出力フォルダー。未指定なら実行ディレクトリに置きます。",
    )
    output_name: str | None = option(
        None,
        musubi=None,
        en="Base name of the LoRA files and of the run; unset takes the preset's file name.",
        ja="LoRA ファイルと実行の基本名。未指定ならプリセットのファイル名を使います。",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option(
        "auto",
        en='Where the model computes; "auto" takes the GPU when there is one.',
        ja='計算に使うデバイス。"auto" は GPU があれば GPU を使います。',
    )
    price_per_hour: float | None = option(
        None,
        minimum=0,
        unit="per hour",
        en="Rent of the machine per hour in your currency; recorded with the run, so that its cost can be told.",
        ja="マシンの 1 時間あたりの料金。実行と一緒に記録され、費用の計算に使われます。",
    )
    max_cost: float | None = option(
        None,
        minimum=0.01,
        en="Money after which the run saves and stops, counted over all its attempts; needs price_per_hour.",
        ja="この金額に達すると保存して停止します (すべての試行の合計)。price_per_hour が必要です。",
    )
    max_hours: float | None = option(
        None,
        minimum=0.0001,
        unit="hours",
        en="Hours of engine time, pauses included, after which the run saves and stops, counted over all its attempts.",
        ja="この時間 (一時停止を含む、すべての試行の合計) に達すると保存して停止します。",
    )
    cloud_notices: Literal["auto", "off", "aws", "gcp", "azure"] = option(
        "auto",
        expert=True,
        en='Whose notice that a spot machine stops to listen for, to save in time; "auto" finds out by the metadata service.',
        ja='スポットマシンの停止通知をどのクラウドから受けるか。"auto" はメタデータサービスで判別し、停止前に保存します。',
    )
    training_comment: str | None = option(
        None,
        musubi=None,
        en="A note that is saved inside the LoRA file's metadata.",
        ja="LoRA ファイルのメタデータに保存されるメモ。",
    )
    on_finish: list[str] | None = option(
        None,
        expert=True,
        en="Command (program and arguments, no shell) to run when training is done; only after --allow-hooks.",
        ja="学習完了時に実行するコマンド (プログラムと引数のリスト。シェルは使いません)。--allow-hooks が必要です。",
    )
    on_error: list[str] | None = option(
        None,
        expert=True,
        en="Command (program and arguments, no shell) to run when training fails; only after --allow-hooks.",
        ja="学習失敗時に実行するコマンド (プログラムと引数のリスト。シェルは使いません)。--allow-hooks が必要です。",
    )
    on_preempt: list[str] | None = option(
        None,
        expert=True,
        en="Command (program and arguments, no shell) to run after a state was saved because the machine stops; only after --allow-hooks.",
        ja="マシン停止に伴う状態保存の後に実行するコマンド (プログラムと引数のリスト。シェルは使いません)。--allow-hooks が必要です。",
    )
    hook_grace_seconds: float = option(
        30.0,
        minimum=0,
        maximum=86400,
        unit="seconds",
        expert=True,
        en="How long on_finish and on_error wait, so that a person can cancel them with `runs cancel-hooks`.",
        ja="on_finish と on_error の実行前に待つ秒数。その間に `runs cancel-hooks` で取り消せます。",
    )
    config_file: str | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-result",
        consequence=("A preset cannot load a second file.", "プリセットから別のファイルは読み込めません。"),
        en="Musubi Tuner's command-line switch that names the preset; here the preset is the argument itself.",
        ja="Musubi Tuner でプリセットを指すコマンドラインオプション。本ツールではプリセット自体を引数に渡します。",
    )


class DatasetSection(Section):
    """The pictures and clips: a dataset file, or the same tables inside the preset."""

    dataset_config: AnyPath | None = option(
        None,
        musubi=None,
        path="file",
        en="Dataset file (TOML) in Musubi Tuner's format; or write [general] and [[datasets]] into the preset itself.",
        ja="Musubi Tuner 形式のデータセット設定 (TOML)。[general] と [[datasets]] をプリセットに直接書くこともできます。",
    )
    general: dict[str, Any] = option(
        {},
        en="Settings shared by all [[datasets]] tables of this file.",
        ja="このファイルの [[datasets]] すべてに共通する設定。",
    )
    datasets: list[dict[str, Any]] = option(
        [],
        en="Folders or lists of pictures and clips, one table each.",
        ja="画像や動画のフォルダーまたはリスト。1 つにつき 1 テーブル。",
    )
    cache_processes: int = option(
        1,
        minimum=1,
        maximum=64,
        expert=True,
        en="Processes that encode pictures and captions, one per GPU where there are several; each holds the encoders once.",
        ja="画像とキャプションをエンコードするプロセス数。複数 GPU なら 1 つずつ使います。エンコーダーはプロセスごとに読み込まれます。",
        lower=("less memory", "メモリが少なくて済む"),
        higher=("faster caching on several GPUs or many cores", "複数 GPU・多コアでキャッシュが速い"),
    )
    max_data_loader_n_workers: int = option(
        1,
        musubi=8,
        minimum=0,
        expert=True,
        status="deferred-cost",
        inactive=(0, 1),
        consequence=_ONE_THREAD,
        en="Processes that read cached batches ahead of training; one thread is enough for cached latents.",
        ja="学習に先立ってキャッシュを読み込むプロセス数。キャッシュ済みの潜在表現には 1 スレッドで十分です。",
    )
    persistent_data_loader_workers: bool = option(
        False,
        musubi=False,
        expert=True,
        en="Keep the readers alive between epochs; this tool's reading thread always lives through the whole run.",
        ja="読み込み処理をエポック間で維持します。本ツールの読み込みスレッドは常に実行の最後まで維持されます。",
    )
