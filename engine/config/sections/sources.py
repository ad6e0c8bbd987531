"""What goes in: the run itself, the model files, the dataset."""

from __future__ import annotations

from typing import Any, Literal

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import AnyPath, Dtype

_ONE_THREAD = (
    "One background thread reads the cached batches, whatever the number.",
    "指定した数に関わらず、キャッシュは 1 つのバックグラウンドスレッドで読み込みます。",
)
_NO_FAMILY = ("No family that uses it is built yet.", "これを使うファミリーは未対応です。")
_WHOLE_VAE = ("The VAE works on whole pictures.", "VAE は画像全体を一度に処理します。")
_BF16_ENCODER = (
    "The text encoder stays in 16 bits while captions are cached, which needs about twice its fp8 memory for that phase.",
    "キャプションのキャッシュ中、テキストエンコーダーは 16 ビットのままで、その間 fp8 の約 2 倍のメモリを使います。",
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


class ModelSection(Section):
    """The model files, and how they are read."""

    dit: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        en="Diffusion model to train the LoRA on: one safetensors file or the first of its shards.",
        ja="LoRA を学習する拡散モデル。safetensors ファイル、または分割ファイルの 1 つ目を指定します。",
    )
    dit_high_noise: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("two_experts",),
        status="deferred-result",
        consequence=(
            "Wan 2.2's two experts cannot be trained together yet.",
            "Wan 2.2 の 2 つのエキスパートの同時学習はまだできません。",
        ),
        en="Second diffusion model for the high-noise steps of two-expert models such as Wan 2.2.",
        ja="Wan 2.2 のような 2 エキスパートモデルで、ノイズの多いステップを受け持つ 2 つ目の拡散モデル。",
    )
    vae: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        en="VAE that turns pictures into latents for the cache, and latents into sample pictures.",
        ja="画像をキャッシュ用の潜在表現に、潜在表現をサンプル画像に変換する VAE。",
    )
    t5: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("t5",),
        en="T5-type text encoder (UMT5-XXL for Wan) for captions and sample prompts.",
        ja="キャプションとサンプルプロンプト用の T5 系テキストエンコーダー (Wan では UMT5-XXL)。",
    )
    text_encoder: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("qwen_vl",),
        en="Qwen2.5-VL text encoder for captions and sample prompts.",
        ja="キャプションとサンプルプロンプト用の Qwen2.5-VL テキストエンコーダー。",
    )
    text_encoder1: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("two_text_encoders",),
        status="deferred-result",
        consequence=_NO_FAMILY,
        en="First text encoder: LLaVA-LLaMA for HunyuanVideo and FramePack, T5-XXL for FLUX.1 Kontext.",
        ja="1 つ目のテキストエンコーダー。HunyuanVideo と FramePack は LLaVA-LLaMA、FLUX.1 Kontext は T5-XXL。",
    )
    text_encoder2: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("two_text_encoders",),
        status="deferred-result",
        consequence=_NO_FAMILY,
        en="Second text encoder: CLIP-L for HunyuanVideo, FramePack and FLUX.1 Kontext.",
        ja="2 つ目のテキストエンコーダー。HunyuanVideo、FramePack、FLUX.1 Kontext では CLIP-L。",
    )
    clip: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("i2v",),
        status="deferred-cost",
        consequence=("Text-to-video does not use it.", "text-to-video では使われません。"),
        en="CLIP vision model that reads the first frame in Wan 2.1 image-to-video.",
        ja="Wan 2.1 の image-to-video で最初のフレームを読み取る CLIP ビジョンモデル。",
    )
    image_encoder: AnyPath | None = option(
        None,
        musubi=None,
        path="file or folder",
        needs=("siglip",),
        status="deferred-result",
        consequence=_NO_FAMILY,
        en="SigLIP vision model that FramePack reads its start image with.",
        ja="FramePack が開始画像を読み取る SigLIP ビジョンモデル。",
    )
    tokenizer: AnyPath | None = option(
        None,
        path="file or folder",
        en="Tokenizer folder or file, for machines without internet; unset looks beside the text encoder, then on the hub.",
        ja="トークナイザーのフォルダーまたはファイル (オフライン用)。未指定ならテキストエンコーダーの隣、次にハブを探します。",
    )
    vae_dtype: Dtype | None = option(
        None,
        musubi=None,
        expert=True,
        en="Precision the VAE computes in; unset takes the family's own.",
        ja="VAE の計算精度。未指定ならファミリーの標準を使います。",
        lower=("16 bits: less memory, tiny rounding differences", "16 ビット: 省メモリ、わずかな丸め誤差"),
        higher=("float32: exact, twice the memory while caching", "float32: 正確、キャッシュ時のメモリは 2 倍"),
    )
    dit_dtype: Dtype | None = option(
        None,
        musubi=None,
        expert=True,
        en="Precision the frozen diffusion model is held in; unset takes that of mixed_precision.",
        ja="凍結した拡散モデルを保持する精度。未指定なら mixed_precision と同じです。",
    )
    text_encoder_dtype: str | None = option(
        None,
        musubi=None,
        expert=True,
        needs=("two_text_encoders",),
        status="deferred-cost",
        consequence=("The text encoders load in bfloat16.", "テキストエンコーダーは bfloat16 で読み込まれます。"),
        en="Precision of HunyuanVideo's text encoders.",
        ja="HunyuanVideo のテキストエンコーダーの精度。",
    )
    fp8_t5: bool = option(
        False,
        musubi=False,
        needs=("t5",),
        status="deferred-cost",
        consequence=_BF16_ENCODER,
        en="Hold the T5 text encoder in 8-bit floats to save memory while captions are encoded.",
        ja="T5 テキストエンコーダーを 8 ビット浮動小数点で保持し、キャプション処理時のメモリを節約します。",
    )
    fp8_vl: bool = option(
        False,
        musubi=False,
        needs=("qwen_vl",),
        status="deferred-cost",
        consequence=_BF16_ENCODER,
        en="Hold Qwen2.5-VL in 8-bit floats to save memory while captions are encoded.",
        ja="Qwen2.5-VL を 8 ビット浮動小数点で保持し、キャプション処理時のメモリを節約します。",
    )
    fp8_llm: bool = option(
        False,
        musubi=False,
        needs=("two_text_encoders",),
        status="deferred-cost",
        consequence=_BF16_ENCODER,
        en="Hold the LLaMA text encoder of HunyuanVideo and FramePack in 8-bit floats to save memory.",
        ja="HunyuanVideo と FramePack の LLaMA テキストエンコーダーを 8 ビット浮動小数点で保持し、メモリを節約します。",
    )
    num_layers: int | None = option(
        None,
        musubi=None,
        minimum=1,
        expert=True,
        needs=("qwen_vl",),
        status="deferred-cost",
        consequence=(
            "The number of blocks is always read from the model file.",
            "ブロック数は常にモデルファイルから読み取ります。",
        ),
        en="Number of transformer blocks of a pruned Qwen-Image model.",
        ja="枝刈りされた Qwen-Image モデルのトランスフォーマーブロック数。",
    )
    dit_in_channels: int = option(
        16,
        musubi=16,
        minimum=1,
        expert=True,
        needs=("embedded_guidance",),
        status="deferred-result",
        consequence=("Image-to-video is not built for this family.", "このファミリーの image-to-video は未対応です。"),
        en="Input channels of HunyuanVideo: 16 for text-to-video, 32 for SkyReels image-to-video.",
        ja="HunyuanVideo の入力チャンネル数。16 は text-to-video、32 は SkyReels の image-to-video。",
    )
    timestep_boundary: float | None = option(
        None,
        musubi=None,
        minimum=0,
        maximum=1000,
        expert=True,
        needs=("two_experts",),
        status="deferred-result",
        consequence=("There is one model for all timesteps.", "すべてのタイムステップを 1 つのモデルが受け持ちます。"),
        only_with=[("dit_high_noise", ())],
        en="Timestep at which the high-noise expert hands over to the low-noise one, as 0-1 or 0-1000.",
        ja="高ノイズ側から低ノイズ側のエキスパートに切り替わるタイムステップ (0〜1 または 0〜1000)。",
    )
    force_v2_1_time_embedding: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("two_experts",),
        status="deferred-cost",
        consequence=(
            "Wan 2.1 already has one time embedding per picture, so nothing changes for it.",
            "Wan 2.1 は元から画像ごとに 1 つの時刻埋め込みを使うため、影響はありません。",
        ),
        en="Let Wan 2.2 use one time embedding per picture instead of one per token, to save memory.",
        ja="Wan 2.2 の時刻埋め込みをトークンごとではなく画像ごとにして、メモリを節約します。",
    )
    offload_inactive_dit: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("two_experts",),
        status="deferred-cost",
        consequence=("There is no second expert to move away.", "退避させる 2 つ目のエキスパートがありません。"),
        only_with=[("dit_high_noise", ())],
        en="Keep the expert that is not in use in main memory.",
        ja="使っていない側のエキスパートをメインメモリに置きます。",
    )
    one_frame: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("clips",),
        status="deferred-cost",
        consequence=("Samples are made in the normal way.", "サンプルは通常の方法で作られます。"),
        en="Make the samples during training with one-frame inference.",
        ja="学習中のサンプルを 1 フレーム推論で作ります。",
    )
    f1: bool = option(
        False,
        musubi=False,
        needs=("sections",),
        status="deferred-result",
        consequence=("FramePack is not built yet.", "FramePack は未対応です。"),
        en="The model is FramePack-F1, which goes forward in time.",
        ja="モデルが時間順に進む FramePack-F1 であることを示します。",
    )
    latent_window_size: int = option(
        9,
        musubi=9,
        minimum=1,
        expert=True,
        needs=("sections",),
        status="deferred-result",
        consequence=("FramePack is not built yet.", "FramePack は未対応です。"),
        en="Latent frames per FramePack section.",
        ja="FramePack の 1 セクションあたりの潜在フレーム数。",
    )
    bulk_decode: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("sections",),
        status="deferred-cost",
        consequence=("Samples are decoded in one way only.", "サンプルのデコード方法は 1 通りです。"),
        en="Decode all FramePack sections of a sample at once.",
        ja="サンプルの FramePack セクションをまとめてデコードします。",
    )
    vae_cache_cpu: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("t5",),
        status="deferred-cost",
        consequence=("The VAE's frame cache stays on its device.", "VAE のフレームキャッシュはデバイス上に残ります。"),
        en="Keep the Wan VAE's frame cache in main memory while samples are decoded.",
        ja="サンプルのデコード中、Wan VAE のフレームキャッシュをメインメモリに置きます。",
    )
    vae_tiling: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("tiled_vae",),
        status="deferred-cost",
        consequence=_WHOLE_VAE,
        en="Let the HunyuanVideo VAE work in tiles to save memory.",
        ja="HunyuanVideo の VAE をタイル単位で処理し、メモリを節約します。",
    )
    vae_chunk_size: int | None = option(
        None,
        musubi=None,
        minimum=1,
        expert=True,
        needs=("tiled_vae",),
        status="deferred-cost",
        consequence=_WHOLE_VAE,
        en="Frames that the HunyuanVideo VAE's convolutions take at once.",
        ja="HunyuanVideo の VAE の畳み込みが一度に処理するフレーム数。",
    )
    vae_spatial_tile_sample_min_size: int | None = option(
        None,
        musubi=None,
        minimum=16,
        unit="pixels",
        expert=True,
        needs=("tiled_vae",),
        status="deferred-cost",
        consequence=_WHOLE_VAE,
        en="Side of the HunyuanVideo VAE's tiles.",
        ja="HunyuanVideo の VAE のタイルの一辺。",
    )
    model_version: str | None = option(
        None,
        musubi=None,
        needs=("qwen_vl",),
        suggestions=("original", "edit", "edit-2509", "edit-2511", "layered"),
        en="Musubi Tuner's word for the Qwen-Image task; task says the same.",
        ja="Qwen-Image のタスクを表す Musubi Tuner の項目。task と同じ意味です。",
    )
    edit: bool = option(
        False,
        musubi=False,
        needs=("qwen_vl",),
        expert=True,
        en='Musubi Tuner\'s older switch for task = "edit".',
        ja='task = "edit" を表す Musubi Tuner の古い指定。',
    )
    edit_plus: bool = option(
        False,
        musubi=False,
        needs=("qwen_vl",),
        expert=True,
        en='Musubi Tuner\'s older switch for task = "edit-2509".',
        ja='task = "edit-2509" を表す Musubi Tuner の古い指定。',
    )
    remove_first_image_from_target: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("layers",),
        status="deferred-result",
        consequence=("Layered training is not built yet.", "レイヤー分割の学習は未対応です。"),
        en="Leave the composed picture out of what Qwen-Image-Layered learns to produce.",
        ja="Qwen-Image-Layered の学習対象から合成画像を除きます。",
    )
    disable_numpy_memmap: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=("Model files are read through memory mapping.", "モデルファイルはメモリマップで読み込みます。"),
        en="Read model files without memory mapping, which some network drives make slow.",
        ja="モデルファイルをメモリマップなしで読み込みます (一部のネットワークドライブではメモリマップが遅いため)。",
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
