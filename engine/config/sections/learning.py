"""What is learned, and for how long: the adapter, the loop."""

from __future__ import annotations

from typing import Literal

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import AnyPath, Words

_ONLY_LORA = (
    "Only LoRA training is built; full fine-tuning is not.",
    "対応しているのは LoRA 学習のみで、フルファインチューニングは未対応です。",
)


class NetworkSection(Section):
    """The LoRA."""

    network_module: str | None = option(
        None,
        musubi=None,
        expert=True,
        en="Musubi Tuner's name for the adapter, such as networks.lora_wan; unset takes the family's LoRA.",
        ja="networks.lora_wan など、アダプターを表す Musubi Tuner の名前。未指定ならファミリーの LoRA を使います。",
    )
    network_dim: int = option(
        32,
        musubi=None,
        minimum=1,
        maximum=4096,
        unit="rank",
        en="Rank of the LoRA: how many independent directions each adapted layer can learn.",
        ja="LoRA のランク。適用する各層が学習できる独立な方向の数です。",
        lower=("smaller file, less memory, simpler concepts", "ファイルもメモリも小さいが、単純な概念向き"),
        higher=("learns more detail, and overfits sooner", "細部まで学べるが、過学習しやすい"),
    )
    network_alpha: float = option(
        32.0,
        musubi=1,
        minimum=0,
        en="Strength of the LoRA: its output is multiplied by alpha / rank; 0 means alpha = rank.",
        ja="LoRA の強さ。出力に alpha / ランク を掛けます。0 はランクと同じ値を意味します。",
        lower=("learns more slowly at the same learning rate", "同じ学習率でも学習が遅くなる"),
        higher=("learns faster, unstable when far above the rank", "学習が速いが、ランクを大きく超えると不安定"),
    )
    network_dropout: float | None = option(
        None,
        musubi=None,
        minimum=0,
        maximum=0.99,
        en="Share of the adapter's inner activations that are dropped at each step, against overfitting.",
        ja="過学習を抑えるため、各ステップでアダプター内部の活性を落とす割合。",
        lower=("learns faster", "学習が速い"),
        higher=("generalises more, learns more slowly", "汎化しやすいが、学習が遅い"),
    )
    network_args: list[str] | None = option(
        None,
        musubi=None,
        expert=True,
        en='More settings of the adapter as "name=value" texts: rank_dropout, module_dropout, exclude_patterns, '
        "include_patterns, loraplus_lr_ratio.",
        ja='アダプターの追加設定 ("名前=値" の形): rank_dropout、module_dropout、exclude_patterns、'
        "include_patterns、loraplus_lr_ratio。",
    )
    network_weights: AnyPath | None = option(
        None,
        musubi=None,
        path="file",
        en="LoRA file to start from instead of fresh weights; rank and names must fit.",
        ja="新規の重みの代わりに学習を始める LoRA ファイル。ランクと名前が一致している必要があります。",
    )
    dim_from_weights: bool = option(
        False,
        musubi=False,
        expert=True,
        only_with=[("network_weights", ())],
        en="Take the rank from the file in network_weights.",
        ja="network_weights のファイルからランクを読み取ります。",
    )
    base_weights: list[AnyPath] | None = option(
        None,
        musubi=None,
        path="file",
        expert=True,
        en="LoRA files that are merged into the model before training.",
        ja="学習前にモデルへマージする LoRA ファイル。",
    )
    base_weights_multiplier: list[float] | None = option(
        None,
        musubi=None,
        expert=True,
        only_with=[("base_weights", ())],
        en="Strength of each file in base_weights.",
        ja="base_weights の各ファイルの強さ。",
    )
    scale_weight_norms: float | None = option(
        None,
        musubi=None,
        minimum=0,
        expert=True,
        status="deferred-result",
        consequence=("Weight norms are not limited yet.", "重みのノルムの制限は未対応です。"),
        en="Upper bound for the norm of each LoRA layer's change, enforced after every step.",
        ja="各 LoRA 層の変化量のノルムの上限。ステップごとに適用されます。",
    )
    lora_dialects: list[Literal["musubi", "comfy", "diffusers"]] = option(
        ["musubi"],
        en="Key names of the saved LoRA, one file each: Musubi Tuner's, ComfyUI's, diffusers'.",
        ja="保存する LoRA のキー名の形式 (1 つにつき 1 ファイル): Musubi Tuner、ComfyUI、diffusers。",
    )


class TrainingSection(Section):
    """The loop: how long, in which precision, with which memory for gradients."""

    max_train_steps: int = option(
        1600,
        musubi=1600,
        minimum=1,
        unit="steps",
        en="Optimizer steps after which training ends; max_train_epochs, when set, counts instead.",
        ja="学習を終えるまでの最適化ステップ数。max_train_epochs を指定した場合はそちらで数えます。",
        lower=("cheaper, and the concept may stay weak", "安く済むが、概念が弱いままのことがある"),
        higher=("learns more, and overfits at some point", "よく学ぶが、いずれ過学習する"),
    )
    max_train_epochs: int | None = option(
        None,
        musubi=None,
        minimum=1,
        unit="epochs",
        en="Passes over the dataset after which training ends; replaces max_train_steps.",
        ja="学習を終えるまでのデータセットの周回数。max_train_steps より優先されます。",
    )
    gradient_accumulation_steps: int = option(
        1,
        musubi=1,
        minimum=1,
        unit="batches",
        en="Batches whose gradients are averaged into one optimizer step.",
        ja="勾配を平均して 1 回の最適化ステップにまとめるバッチ数。",
        higher=("steadier steps, each takes that many times longer", "ステップは安定するが、その倍数だけ時間がかかる"),
    )
    gradient_checkpointing: bool = option(
        True,
        musubi=False,
        en="Compute each block twice instead of keeping its activations: far less memory, about a third slower.",
        ja="各ブロックの活性を保持せず再計算します。メモリは大幅に減り、速度は約 3 割遅くなります。",
    )
    gradient_checkpointing_cpu_offload: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=(
            "The blocks' inputs stay on the GPU, a few GB for long clips.",
            "ブロックの入力は GPU に残ります (長いクリップでは数 GB)。",
        ),
        only_with=[("gradient_checkpointing", (True,))],
        en="Keep the blocks' inputs for the second computation in main memory.",
        ja="再計算に使うブロックの入力をメインメモリに置きます。",
    )
    mixed_precision: Literal["no", "fp16", "bf16"] = option(
        "bf16",
        musubi=None,
        values={"no": "built", "bf16": "built"},
        status="deferred-result",
        consequence=("Built so far: bf16 and no.", "対応済み: bf16 と no。"),
        en='Precision the model computes in: "bf16" is right for every current GPU, "no" computes in 32 bits.',
        ja='モデルの計算精度。現行の GPU では "bf16" が適切で、"no" は 32 ビットで計算します。',
    )
    max_grad_norm: float = option(
        1.0,
        musubi=1.0,
        minimum=0,
        en="Gradients longer than this are shortened to it, so that one odd picture cannot throw training off; 0 is off.",
        ja="勾配をこの長さまでに抑え、1 枚の外れた画像で学習が崩れるのを防ぎます。0 で無効。",
        lower=("calmer, slower where gradients are large", "穏やかだが、勾配が大きい場面では遅い"),
        higher=("rarely limits anything", "ほとんど制限しない"),
    )
    guidance_scale: float = option(
        1.0,
        musubi=1.0,
        minimum=0,
        expert=True,
        needs=("embedded_guidance",),
        en="Guidance that distilled models such as HunyuanVideo are told during training.",
        ja="HunyuanVideo のような蒸留モデルに学習中に与えるガイダンス値。",
    )
    full_bf16: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-result",
        consequence=_ONLY_LORA,
        en="Train the whole model with bfloat16 gradients (full fine-tuning).",
        ja="bfloat16 の勾配でモデル全体を学習します (フルファインチューニング)。",
    )
    full_fp16: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-result",
        consequence=_ONLY_LORA,
        en="Train the whole model with float16 gradients (full fine-tuning).",
        ja="float16 の勾配でモデル全体を学習します (フルファインチューニング)。",
    )
    trainable_modules: Words = option(
        ["."],
        musubi=".",
        expert=True,
        status="deferred-result",
        inactive=(["."],),
        consequence=_ONLY_LORA,
        en="Parts of the module names that full fine-tuning trains.",
        ja="フルファインチューニングで学習するモジュール名の一部。",
    )
    fused_backward_pass: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-result",
        consequence=_ONLY_LORA,
        en="Step the optimizer for each weight during the backward pass (full fine-tuning with Adafactor).",
        ja="逆伝播中に重みごとに最適化ステップを行います (Adafactor によるフルファインチューニング)。",
    )
    mem_eff_save: bool = option(
        False,
        musubi=False,
        expert=True,
        status="deferred-cost",
        consequence=("LoRA files are small and saved at once.", "LoRA は小さいため一度に保存されます。"),
        en="Save a fully fine-tuned model piece by piece to save main memory.",
        ja="フルファインチューニングしたモデルを少しずつ保存し、メインメモリを節約します。",
    )
