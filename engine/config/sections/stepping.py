"""How a step is made: the optimizer, and which noise levels it sees."""

from __future__ import annotations

from typing import Literal

from engine.config.option import option
from engine.config.sections.base import Section
from engine.config.values import OptimizerName, StepsOrShare

_SCHEDULES = (
    "Built so far: constant, constant_with_warmup, cosine, linear.",
    "対応済み: constant、constant_with_warmup、cosine、linear。",
)
_SAMPLINGS = (
    "The size-dependent shifts of Ideogram 4 and the qinglong mixtures are not built.",
    "Ideogram 4 のサイズ依存シフトと qinglong の混合分布は未対応です。",
)
_BUILT_SAMPLINGS = (
    "sigma",
    "uniform",
    "sigmoid",
    "shift",
    "flux_shift",
    "flux2_shift",
    "qwen_shift",
    "krea2_shift",
    "logsnr",
)
_LOGIT_NORMAL = [
    ("weighting_scheme", ("logit_normal",)),
    ("timestep_sampling", ("logsnr", "qinglong_flux", "qinglong_qwen")),
]
_NORMAL_DRAWS = (
    "sigmoid",
    "shift",
    "flux_shift",
    "flux2_shift",
    "qwen_shift",
    "krea2_shift",
    "qinglong_flux",
    "qinglong_qwen",
)


class OptimizerSection(Section):
    """How the weights move."""

    optimizer_type: OptimizerName = option(
        "adamw",
        musubi="",
        status="deferred-result",
        values={"adamw": "built", "adamw8bit": "built"},
        suggestions=("adamw", "adamw8bit"),
        consequence=("Built so far: adamw, adamw8bit.", "対応済み: adamw、adamw8bit。"),
        en="Optimizer: adamw, or adamw8bit, whose two running averages take a quarter of the memory (needs a GPU).",
        ja="最適化手法。adamw、または内部状態のメモリが 4 分の 1 になる adamw8bit (GPU が必要)。",
    )
    optimizer_args: list[str] | None = option(
        None,
        musubi=None,
        expert=True,
        en='Settings of the optimizer as "name=value" texts, such as "weight_decay=0.01" or "betas=(0.9,0.99)".',
        ja='最適化手法の設定 ("名前=値" の形)。例: "weight_decay=0.01"、"betas=(0.9,0.99)"。',
    )
    learning_rate: float = option(
        1e-4,
        musubi=2e-6,
        minimum=0,
        en="Size of each step of the weights: the most important number after the pictures.",
        ja="重みを動かす歩幅。画像の次に重要な値です。",
        lower=("slower, safer", "遅いが安全"),
        higher=("faster, breaks the model when too high", "速いが、高すぎると壊れる"),
    )
    lr_scheduler: str = option(
        "constant",
        musubi="constant",
        status="deferred-result",
        values={"constant": "built", "constant_with_warmup": "built", "cosine": "built", "linear": "built"},
        suggestions=("constant", "constant_with_warmup", "cosine", "linear"),
        consequence=_SCHEDULES,
        en="How the learning rate changes over the run: constant, constant_with_warmup, cosine or linear (to zero).",
        ja="学習率の推移: constant、constant_with_warmup、cosine、linear (0 まで減少)。",
    )
    lr_warmup_steps: StepsOrShare = option(
        0,
        musubi=0,
        minimum=0,
        unit="steps or share",
        en='Steps over which the learning rate rises from zero; 0.1 or "10%" is a share of the run.',
        ja='学習率を 0 から上げていくステップ数。0.1 や "10%" は全体に対する割合です。',
        higher=("gentler start", "始まりが穏やか"),
    )
    lr_decay_steps: StepsOrShare = option(
        0,
        musubi=0,
        minimum=0,
        unit="steps or share",
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        only_with=[("lr_scheduler", ("warmup_stable_decay",))],
        en="Steps over which the warmup_stable_decay schedule goes down at the end.",
        ja="warmup_stable_decay スケジュールの最後に学習率を下げるステップ数。",
    )
    lr_scheduler_num_cycles: int = option(
        1,
        musubi=1,
        minimum=1,
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        only_with=[("lr_scheduler", ("cosine_with_restarts", "cosine_with_min_lr", "warmup_stable_decay"))],
        en="Number of cosine waves of the cosine_with_restarts schedule.",
        ja="cosine_with_restarts スケジュールのコサイン波の数。",
    )
    lr_scheduler_power: float = option(
        1,
        musubi=1,
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        only_with=[("lr_scheduler", ("polynomial",))],
        en="Exponent of the polynomial schedule.",
        ja="polynomial スケジュールの指数。",
    )
    lr_scheduler_timescale: int | None = option(
        None,
        musubi=None,
        minimum=1,
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        only_with=[("lr_scheduler", ("inverse_sqrt",))],
        en="Time scale of the inverse_sqrt schedule.",
        ja="inverse_sqrt スケジュールの時間スケール。",
    )
    lr_scheduler_min_lr_ratio: float | None = option(
        None,
        musubi=None,
        minimum=0,
        maximum=1,
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        only_with=[("lr_scheduler", ("cosine_with_min_lr", "warmup_stable_decay", "rex"))],
        en="Share of the learning rate at which some schedules stop falling.",
        ja="一部のスケジュールで学習率の下降が止まる比率。",
    )
    lr_scheduler_type: str = option(
        "",
        musubi="",
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        en="Import path of a scheduler class that replaces lr_scheduler.",
        ja="lr_scheduler の代わりに使うスケジューラークラスのインポートパス。",
    )
    lr_scheduler_args: list[str] | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-result",
        consequence=_SCHEDULES,
        only_with=[("lr_scheduler", ("rex", "piecewise_constant")), ("lr_scheduler_type", ())],
        en='Settings of the scheduler as "name=value" texts.',
        ja='スケジューラーの設定 ("名前=値" の形)。',
    )


class TimestepsSection(Section):
    """Which noise levels are trained, and how much each counts."""

    timestep_sampling: Literal[
        "sigma",
        "uniform",
        "sigmoid",
        "shift",
        "flux_shift",
        "flux2_shift",
        "ideogram4_shift",
        "qwen_shift",
        "krea2_shift",
        "logsnr",
        "qinglong_flux",
        "qinglong_qwen",
    ] = option(
        "shift",
        musubi="sigma",
        status="deferred-result",
        values=dict.fromkeys(_BUILT_SAMPLINGS, "built"),
        consequence=_SAMPLINGS,
        en="How noise levels are drawn: shift (with discrete_flow_shift), qwen_shift (by picture size), sigmoid, uniform, sigma.",
        ja="ノイズ量の選び方: shift (discrete_flow_shift と併用)、qwen_shift (画像サイズに応じる)、sigmoid、uniform、sigma。",
    )
    discrete_flow_shift: float = option(
        1.0,
        musubi=1.0,
        minimum=0.001,
        only_with=[("timestep_sampling", ("shift",))],
        en="Moves training towards noisier steps in the shift mode; Wan is commonly trained with 3.",
        ja="shift モードで学習をノイズの多い側へ寄せます。Wan では 3 がよく使われます。",
        lower=("more training on detail", "細部の学習が増える"),
        higher=("more training on composition and motion", "構図や動きの学習が増える"),
    )
    sigmoid_scale: float = option(
        1.0,
        musubi=1.0,
        minimum=0,
        expert=True,
        only_with=[("timestep_sampling", _NORMAL_DRAWS)],
        en="Width of the bell curve behind sigmoid, shift and qwen_shift.",
        ja="sigmoid、shift、qwen_shift の元になる釣鐘形分布の広がり。",
        lower=("concentrates on middle noise levels", "中間のノイズ量に集中"),
        higher=("spreads towards both ends", "両端まで広がる"),
    )
    weighting_scheme: Literal["logit_normal", "mode", "cosmap", "sigma_sqrt", "none"] = option(
        "none",
        musubi="none",
        expert=True,
        en="How much each noise level counts in the loss, or how the sigma mode draws them.",
        ja="損失での各ノイズ量の重み、または sigma モードでの選び方。",
    )
    logit_mean: float = option(
        0.0,
        musubi=0.0,
        expert=True,
        only_with=_LOGIT_NORMAL,
        en="Centre of the logit-normal and logsnr distributions.",
        ja="logit-normal 分布と logsnr 分布の中心。",
    )
    logit_std: float = option(
        1.0,
        musubi=1.0,
        minimum=0,
        expert=True,
        only_with=_LOGIT_NORMAL,
        en="Width of the logit-normal and logsnr distributions.",
        ja="logit-normal 分布と logsnr 分布の広がり。",
    )
    mode_scale: float = option(
        1.29,
        musubi=1.29,
        expert=True,
        only_with=[("weighting_scheme", ("mode",))],
        en="Strength of the mode weighting scheme.",
        ja="mode 重み付けの強さ。",
    )
    min_timestep: int | None = option(
        None,
        musubi=None,
        minimum=0,
        maximum=999,
        unit="of 1000",
        expert=True,
        en="Lowest timestep (least noise) that is trained.",
        ja="学習するタイムステップの下限 (ノイズが最も少ない側)。",
    )
    max_timestep: int | None = option(
        None,
        musubi=None,
        minimum=1,
        maximum=1000,
        unit="of 1000",
        expert=True,
        en="Highest timestep (most noise) that is trained.",
        ja="学習するタイムステップの上限 (ノイズが最も多い側)。",
    )
    preserve_distribution_shape: bool = option(
        False,
        musubi=False,
        expert=True,
        only_with=[("min_timestep", ()), ("max_timestep", ())],
        en="Cut the distribution off at min_timestep and max_timestep instead of squeezing it between them.",
        ja="min_timestep と max_timestep の間に分布を押し縮める代わりに、範囲外を切り捨てます。",
    )
    num_timestep_buckets: int | None = option(
        None,
        musubi=None,
        minimum=0,
        expert=True,
        inactive=(0, 1),
        en="Spread the timesteps of an epoch evenly over this many ranges of equal probability; 0 and 1 draw each by itself.",
        ja="1 エポックのタイムステップを、確率の等しいこの数の区間に均等に割り振ります。0 と 1 では独立に選びます。",
    )
    show_timesteps: Literal["image", "console"] | None = option(
        None,
        musubi=None,
        expert=True,
        status="deferred-result",
        consequence=(
            "It would draw timesteps instead of training.",
            "学習の代わりにタイムステップを描画する項目です。",
        ),
        en="Draw a histogram of sampled timesteps and end without training.",
        ja="選ばれるタイムステップのヒストグラムを描き、学習せずに終了します。",
    )
