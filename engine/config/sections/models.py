"""The model files, and how they are read."""

from __future__ import annotations

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import AnyPath, Dtype

_NO_FAMILY = ("No family that uses it is built yet.", "これを使うファミリーは未対応です。")
_WHOLE_VAE = ("The VAE works on whole pictures.", "VAE は画像全体を一度に処理します。")
_BF16_ENCODER = (
    "The text encoder stays in 16 bits while captions are cached, which needs about twice its fp8 memory for that phase.",
    "キャプションのキャッシュ中、テキストエンコーダーは 16 ビットのままで、その間 fp8 の約 2 倍のメモリを使います。",
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
