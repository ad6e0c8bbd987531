"""The panels of Compare."""

from __future__ import annotations

from engine.config.language import say
from musubi_tui.tui.explain.topic import Topic

TOPICS: dict[str, Topic] = {
    "compare.settings": Topic(
        say("what differs", "異なる設定"),
        say("The resolved settings in each run.toml; only rows that differ, and below them what came of the runs.",
            "各 run.toml の確定した設定のうち異なるものと、その結果。"),
        say("One or two rows: then the losses tell which value is better.", "1〜2 行なら、どの値が良いか loss から判断できます。"),
        say("{compare.all} shows all settings, {compare.copy} copies the table, arrows scroll.", "{compare.all} で全設定、{compare.copy} で表をコピー、矢印でスクロール。"),
    ),
    "compare.overlay": Topic(
        say("loss overlay", "loss の重ね書き"),
        say("The moving average (0.98) of each run's loss from steps.idx, at equal steps, hours of work, or money.",
            "各 run の loss の移動平均（0.98）。ステップ、作業時間、費用のいずれかで揃えます。"),
        say("Lower at the same step learns faster; lower at the same cost is the better bargain. Compare validation before you believe it.",
            "同じステップで低ければ学習が速く、同じ費用で低ければ割安です。検証 loss も確認してください。"),
        say("{compare.axis} changes the axis, {compare.log} the scale, {compare.validation} shows validation, the cursor keys read values.",
            "{compare.axis} で軸、{compare.log} で対数、{compare.validation} で検証、矢印で値を読みます。"),
    ),
    "compare.matrix": Topic(
        say("samples side by side", "サンプルの比較"),
        say("Of each run the newest sample of one prompt that is not after the cursor, with what seed it was made.",
            "各 run の、カーソル位置までで最新の同じプロンプトのサンプルとシード。"),
        say("The same prompt, seed and step: then what differs comes from the settings.", "プロンプト・シード・ステップが同じなら、違いは設定によるものです。"),
        say("The cursor keys walk in time, up and down choose the prompt, {compare.picture} shows them whole to flick between.",
            "左右キーで時点、上下でプロンプト、{compare.picture} で全画面（切り替え表示）。"),
    ),
}  # fmt: skip
PANELS: dict[str, tuple[str, ...]] = {
    "compare.settings": ("compare.settings", "column.loss", "status"),
    "compare.overlay": ("compare.overlay", "column.loss", "status"),
    "compare.matrix": ("compare.matrix", "status"),
}
