"""What only changes memory and speed: offloading, attention kernels, compilation, several GPUs."""

from __future__ import annotations

from typing import Literal

from engine.config.option import option
from engine.config.sections.base import Section

_SDPA = (
    "PyTorch's scaled dot product attention computes the same.",
    "PyTorch の scaled dot product attention が同じ計算をします。",
)
_UNCOMPILED = ("The model runs uncompiled, somewhat slower.", "モデルはコンパイルされず、やや遅くなります。")
_RESIDENT = (
    "All blocks stay on the GPU, which must hold the whole model ({model}).",
    "すべてのブロックが GPU に残り、モデル全体 ({model}) が載る必要があります。",
)
_SIXTEEN_BITS = (
    "The weights stay in 16 bits; fp8 would have saved {half_model} of GPU memory.",
    "重みは 16 ビットのままです (fp8 で節約できた GPU メモリ: {half_model})。",
)
_ONE_PROCESS = ("Training runs in one process.", "学習は 1 プロセスで実行されます。")
_SWAPPING = [("blocks_to_swap", ())]
_COMPILING = [("compile", (True,))]
_DYNAMO = [("dynamo_backend", ())]
_BACKENDS = Literal[
    "NO",
    "EAGER",
    "AOT_EAGER",
    "INDUCTOR",
    "AOT_TS_NVFUSER",
    "NVPRIMS_NVFUSER",
    "CUDAGRAPHS",
    "OFI",
    "FX2TRT",
    "ONNXRT",
    "TENSORRT",
    "AOT_TORCHXLA_TRACE_ONCE",
    "TORCHXLA_TRACE_ONCE",
    "IPEX",
    "TVM",
    "HPU_BACKEND",
]


class MemorySection(Section):
    """How a large model fits a small GPU."""

    fp8_base: bool = option(
        False,
        musubi=False,
        status="deferred-cost",
        consequence=_SIXTEEN_BITS,
        en="Hold the frozen model in 8-bit floats: half the memory, slightly less exact.",
        ja="凍結したモデルを 8 ビット浮動小数点で保持します。メモリは半分、精度はわずかに下がります。",
    )
    fp8_scaled: bool = option(
        False,
        musubi=False,
        status="deferred-cost",
        consequence=_SIXTEEN_BITS,
        only_with=[("fp8_base", (True,))],
        en="Give small blocks of the 8-bit weights their own scale, which keeps more precision than fp8_base alone.",
        ja="8 ビットの重みに小ブロックごとのスケールを持たせ、fp8_base だけの場合より精度を保ちます。",
    )
    blocks_to_swap: int | None = option(
        None,
        musubi=None,
        minimum=0,
        unit="blocks",
        status="deferred-cost",
        inactive=(0,),
        consequence=_RESIDENT,
        en="Transformer blocks kept in main memory and brought to the GPU when their turn comes.",
        ja="メインメモリに置き、順番が来たら GPU に送るトランスフォーマーブロックの数。",
        lower=("faster, more GPU memory", "速いが GPU メモリが多く必要"),
        higher=("less GPU memory, slower", "GPU メモリは減るが遅い"),
    )
    use_pinned_memory_for_block_swap: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_RESIDENT,
        only_with=_SWAPPING,
        en="Use page-locked main memory for swapped blocks: faster copies, memory other programs cannot use.",
        ja="スワップ用にページロックメモリを使います。転送は速くなりますが、他のプログラムは使えなくなります。",
    )
    block_swap_h2d_only: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_RESIDENT,
        only_with=_SWAPPING,
        en="Copy swapped blocks only towards the GPU; frozen weights need no way back.",
        ja="スワップするブロックを GPU 方向にだけ転送します (凍結した重みは書き戻す必要がありません)。",
    )
    block_swap_ring_size: int = option(
        2,
        musubi=2,
        minimum=1,
        unit="blocks",
        expert=True,
        status="deferred-cost",
        consequence=_RESIDENT,
        only_with=[("block_swap_h2d_only", (True,))],
        en="Blocks that may be on their way to the GPU at once.",
        ja="同時に GPU へ転送中にできるブロック数。",
    )
    img_in_txt_in_offloading: bool = option(
        False,
        musubi=False,
        expert=True,
        needs=("two_text_encoders",),
        status="deferred-cost",
        consequence=("The input layers stay on the GPU.", "入力層は GPU に残ります。"),
        en="Keep HunyuanVideo's input layers in main memory while they are not used.",
        ja="HunyuanVideo の入力層を、使わない間メインメモリに置きます。",
    )
    vram_budget_gb: float | None = option(
        None,
        minimum=1,
        unit="GB",
        status="deferred-cost",
        consequence=_RESIDENT,
        en="GPU memory that training may use; the tool decides from it how many blocks to swap.",
        ja="学習が使ってよい GPU メモリ量。ここからスワップするブロック数を自動で決めます。",
    )
    probe_heaviest: bool = option(
        False,
        en="Train the batch with the most pixels, frames and controls first, so that a lack of memory shows in the first step.",
        ja="ピクセル・フレーム・制御画像の合計が最大のバッチを最初に学習し、メモリ不足を最初のステップで見つけます。",
    )


class AttentionSection(Section):
    """Which kernel computes attention."""

    sdpa: bool = option(
        True,
        musubi=False,
        en="PyTorch's own attention, which picks the fastest kernel it has for the GPU.",
        ja="PyTorch 標準のアテンション。GPU に合った最速のカーネルが選ばれます。",
    )
    flash_attn: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_SDPA,
        en="FlashAttention 2 from its own package.",
        ja="flash-attn パッケージの FlashAttention 2。",
    )
    flash3: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_SDPA,
        en="FlashAttention 3, for Hopper GPUs.",
        ja="Hopper 世代 GPU 向けの FlashAttention 3。",
    )
    sage_attn: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-result",
        consequence=(
            "SageAttention has no backward pass, so nothing can be trained with it.",
            "SageAttention には逆伝播がなく、学習には使えません。",
        ),
        en="SageAttention, an 8-bit kernel for making pictures; it cannot train.",
        ja="画像生成用の 8 ビットカーネル SageAttention。学習には使えません。",
    )
    xformers: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_SDPA,
        en="Memory-efficient attention of the xformers package.",
        ja="xformers パッケージの省メモリアテンション。",
    )
    split_attn: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=(
            "The pictures of a batch go through attention together, with masks where captions differ in length.",
            "バッチ内の画像はまとめて処理され、キャプション長の違いはマスクで扱います。",
        ),
        en="Let each picture of a batch go through attention alone.",
        ja="バッチ内の画像を 1 枚ずつアテンションに通します。",
    )


class CompileSection(Section):
    """Compiling the model, and CUDA switches."""

    compile: bool = option(
        False,
        musubi=False,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        en="Compile each transformer block with torch.compile: minutes at the start, faster steps after that.",
        ja="各ブロックを torch.compile でコンパイルします。開始に数分かかり、以後のステップが速くなります。",
    )
    compile_backend: str = option(
        "inductor",
        musubi="inductor",
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_COMPILING,
        en="Backend of torch.compile.",
        ja="torch.compile のバックエンド。",
    )
    compile_mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = option(
        "default",
        musubi="default",
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_COMPILING,
        en="How hard torch.compile tries.",
        ja="torch.compile の最適化の度合い。",
    )
    compile_dynamic: Literal["true", "false", "auto"] | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_COMPILING,
        en="Whether one compiled block serves all bucket sizes.",
        ja="コンパイルしたブロックをすべてのバケットサイズで共用するかどうか。",
    )
    compile_fullgraph: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_COMPILING,
        en="Fail when a block cannot be compiled in one piece.",
        ja="ブロックを 1 つのグラフにコンパイルできない場合にエラーにします。",
    )
    compile_cache_size_limit: int | None = option(
        None,
        musubi=None,
        minimum=1,
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_COMPILING,
        en="Compiled variants of a block that are kept, one per bucket size.",
        ja="保持するコンパイル済みブロックの数 (バケットサイズごとに 1 つ)。",
    )
    cuda_allow_tf32: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=("32-bit multiplications keep full precision.", "32 ビットの乗算は完全な精度のままです。"),
        en="Let 32-bit matrix multiplications use the faster TF32 format.",
        ja="32 ビットの行列積に、より速い TF32 形式を許可します。",
    )
    cuda_cudnn_benchmark: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=("cuDNN chooses its kernels without measuring.", "cuDNN は計測せずにカーネルを選びます。"),
        en="Let cuDNN measure which convolution kernel is fastest for each size.",
        ja="サイズごとに最速の畳み込みカーネルを cuDNN に計測させます。",
    )
    dynamo_backend: _BACKENDS = option(
        "NO",
        musubi="NO",
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        en="Backend for compiling the whole model through accelerate; compile does it block by block.",
        ja="accelerate でモデル全体をコンパイルする際のバックエンド。compile はブロック単位で行います。",
    )
    dynamo_mode: Literal["default", "reduce-overhead", "max-autotune"] | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_DYNAMO,
        en="How hard the dynamo backend tries.",
        ja="dynamo バックエンドの最適化の度合い。",
    )
    dynamo_fullgraph: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_DYNAMO,
        en="Fail when the model cannot be compiled in one piece.",
        ja="モデルを 1 つのグラフにコンパイルできない場合にエラーにします。",
    )
    dynamo_dynamic: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_UNCOMPILED,
        only_with=_DYNAMO,
        en="Compile the model once for all sizes.",
        ja="すべてのサイズに対してモデルを一度だけコンパイルします。",
    )


class DistributedSection(Section):
    """Several GPUs."""

    ddp_timeout: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="minutes",
        expert=True,
        status="deferred-cost",
        consequence=_ONE_PROCESS,
        en="Minutes one GPU waits for the others before giving up.",
        ja="1 つの GPU が他の GPU を待つ上限時間 (分)。",
    )
    ddp_gradient_as_bucket_view: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_ONE_PROCESS,
        en="Share memory between gradients and the buffers they are exchanged in.",
        ja="勾配と通信用バッファーでメモリを共有します。",
    )
    ddp_static_graph: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=_ONE_PROCESS,
        en="Promise PyTorch that every step uses the same weights in the same order.",
        ja="毎ステップ同じ重みを同じ順序で使うことを PyTorch に約束します。",
    )
