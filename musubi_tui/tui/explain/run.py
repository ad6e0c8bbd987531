"""The panels of the Run screen."""

from __future__ import annotations

from engine.config.language import say
from musubi_tui.tui.explain.topic import Topic

TOPICS: dict[str, Topic] = {
    "run.loss": Topic(
        say("loss", "損失"),
        say("Each step's loss as a band, its moving average as a line, validation at fixed noise and timesteps as diamonds; marks below "
            "the axis are samples and saves.",
            "各ステップの loss（帯）、移動平均（線）、固定ノイズ・固定タイムステップでの検証（菱形）。軸上の印はサンプルと保存です。"),
        say("The average falls, then stays; validation falls with it. The band stays wide: that is the timesteps drawn.",
            "平均が下がって横ばいになり、検証も下がること。帯の広さはタイムステップによるもので正常です。"),
        say("NaN or rising: lower the learning rate with {run.tune}. Validation rises: stop, and take an earlier LoRA.",
            "NaN や上昇なら {run.tune} で学習率を下げる。検証が上がるなら停止し、以前の LoRA を使います。"),
    ),
    "run.vitals": Topic(
        say("vitals", "状態"),
        say("Memory by owner, where a step's time goes, which blocks are on the card, learning rate and gradient norm.",
            "メモリの内訳、1 ステップの時間の内訳、GPU 上のブロック、学習率、勾配ノルム。"),
        say("Memory below the card's, little waiting, a gradient norm that stays in one order of magnitude.",
            "メモリが GPU に収まり、待ちが少なく、勾配ノルムの桁が安定していること。"),
        say("blocks_to_swap trades memory for time; block_swap_ring_size hides waiting.", "blocks_to_swap でメモリと時間を調整、block_swap_ring_size で待ちを減らします。"),
    ),
    "run.rates": Topic(
        say("learning rate", "学習率"),
        say("What the optimizer used in each step: schedule times the factor of {run.tune}.", "各ステップで実際に使った値（スケジュール × {run.tune} の係数）。"),
        say("Warmup, then flat or falling as lr_scheduler says. 1e-4 is a usual peak for LoRA.", "ウォームアップの後、lr_scheduler のとおり。LoRA では 1e-4 が目安です。"),
        say("{run.tune} changes the factor live; learning_rate, lr_scheduler, lr_warmup_steps.", "{run.tune} で実行中に変更。learning_rate、lr_scheduler、lr_warmup_steps。"),
    ),
    "run.gradients": Topic(
        say("grad norm", "勾配ノルム"),
        say("Norm of the adapter's gradient before clipping.", "クリッピング前のアダプターの勾配ノルム。"),
        say("One order of magnitude; single spikes are clipped and harmless.", "桁が変わらないこと。単発のスパイクはクリップされ無害です。"),
        say("max_grad_norm clips; spikes that stay want a lower learning rate.", "max_grad_norm で制限。続くなら学習率を下げます。"),
    ),
    "run.times": Topic(
        say("step time", "ステップ時間"),
        say("Seconds for data, forward, backward, optimizer, and waiting for swapped blocks.", "データ、順伝播、逆伝播、オプティマイザー、スワップ待ちの秒数。"),
        say("Backward about twice the forward, data and waiting near nothing.", "逆伝播が順伝播の約 2 倍、データと待ちがほぼ 0。"),
        say("Data: faster disk for the caches. Waiting: swap fewer blocks or a larger ring.", "データ: 速いディスクに。待ち: スワップを減らすかリングを大きく。"),
    ),
    "run.bins": Topic(
        say("loss by timestep", "タイムステップ別の損失"),
        say("The average loss of each sixth of the timesteps, how often levels were drawn, and how often they should be.", "タイムステップを 6 区間に分けた平均 loss と、選ばれた回数、目標の分布。"),
        say("High noise learns composition, low noise detail; all of them fall a little.", "高ノイズ側は構図、低ノイズ側は細部を学びます。どれも少し下がります。"),
        say("timestep_sampling and discrete_flow_shift say where training looks.", "timestep_sampling と discrete_flow_shift で学習範囲を変えます。"),
    ),
    "run.samples": Topic(
        say("samples", "サンプル"),
        say("Previews of sample_prompts at the step under the chart's cursor, same seed each time.", "sample_prompts のプレビュー（カーソルのステップ、同じシード）。"),
        say("The subject appears and the rest of the picture stays free.", "対象が現れ、それ以外は自由に変わること。"),
        say("{run.sample} makes one now; up and down change the prompt. Pictures that all look like the dataset: stop earlier.",
            "{run.sample} で今すぐ作成、上下でプロンプト切り替え。データセットと同じ絵ばかりなら早めに停止。"),
    ),
    "run.memory": Topic(
        say("memory", "メモリ"),
        say("The engine's own count by owner, the allocator's reserve, the peak, and what the plan had said.",
            "エンジンによる内訳、アロケーターの確保量、ピーク、計画値。"),
        say("A peak some percent below the card's memory.", "ピークが GPU メモリより数 % 低いこと。"),
        say("More blocks_to_swap, gradient_checkpointing, fp8_base, a smaller resolution or batch.", "blocks_to_swap を増やす、gradient_checkpointing、fp8_base、解像度やバッチを下げる。"),
    ),
    "run.swap": Topic(
        say("block swap", "ブロックスワップ"),
        say("Which blocks live on the card and which stream in, with copy, compute and waiting per block.",
            "GPU に常駐するブロックと転送されるブロック、転送・計算・待ちの時間。"),
        say("Copies are shorter than computing: then nothing waits.", "転送が計算より短ければ待ちは発生しません。"),
        say("block_swap_ring_size, pinned memory, or fewer blocks_to_swap.", "block_swap_ring_size、ピン留めメモリ、blocks_to_swap を減らす。"),
    ),
    "run.health": Topic(
        say("health", "健康"),
        say("Checks over the events: heartbeat, finite loss, spikes, disk, temperature.", "イベントに対する検査（ハートビート、有限な loss、スパイク、ディスク、温度）。"),
        say("No line with an exclamation mark.", "感嘆符の行がないこと。"),
        say("{run.alerts} shows all alerts with what to do.", "{run.alerts} ですべての警告と対処方法を表示。"),
    ),
    "run.bottom": Topic(
        say("log, samples, t-hist, blocks, alerts", "ログ、サンプル、t 分布、ブロック、警告"),
        say("The run's events as lines, and the panels that have no room of their own at this size.", "イベントの行表示と、この画面サイズでは収まらないパネル。"),
        say("Saves and samples come at the cadence you set.", "保存とサンプルが設定した間隔で行われること。"),
        say("{run.tab} changes the tab, up and down scroll, {run.follow} follows the end again.",
            "{run.tab} で切り替え、上下でスクロール、{run.follow} で末尾へ。"),
    ),
}  # fmt: skip
PANELS: dict[str, tuple[str, ...]] = {name: (name,) for name in TOPICS}
PANELS["run.loss"] = ("run.loss", "run.rates", "run.gradients", "run.bins", "column.pace", "column.eta", "column.cost")
PANELS["run.vitals"] = ("run.vitals", "run.memory", "run.times", "run.swap", "run.rates", "run.gradients")
PANELS["run.bottom"] = ("run.bottom", "run.samples", "run.bins", "run.swap", "run.health")
