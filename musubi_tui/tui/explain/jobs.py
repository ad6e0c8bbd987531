"""The columns of Jobs, the lines of its card, and the status bar."""

from __future__ import annotations

from engine.config.language import say
from musubi_tui.tui.explain.topic import Topic

TOPICS: dict[str, Topic] = {
    "jobs.list": Topic(
        say("runs", "run の一覧"),
        say("The run directories of this home and of every home used before; looked at once a second.",
            "現在と過去に使ったホームの run フォルダー。1 秒ごとに確認します。"),
        say("One run works on a GPU, the others wait in the queue in a known order.",
            "GPU ごとに 1 件が実行中で、残りは順番どおりに待機している状態です。"),
        say("{jobs.new} starts one, {jobs.earlier} and {jobs.later} change the order of what waits, {jobs.archive} archives what is done with, "
            "{jobs.filter} filters, {jobs.sort} sorts.",
            "{jobs.new} で開始、{jobs.earlier} と {jobs.later} で待機順の変更、{jobs.archive} で終わったものをアーカイブ、{jobs.filter} で絞り込み、{jobs.sort} で並べ替え。"),
    ),
    "column.mark": Topic(
        say("mark (* or a)", "印（* または a）"),
        say("*: marked for a comparison. a: archived, and shown because {jobs.archived} is on.",
            "* は比較用の印、a はアーカイブ済み（{jobs.archived} で表示中）です。"),
        say("Two or more marks make a comparison.", "2 件以上に印を付けると比較できます。"),
        say("{jobs.mark} marks, {jobs.compare} compares, {jobs.archived} shows or hides what is archived.",
            "{jobs.mark} で印、{jobs.compare} で比較、{jobs.archived} でアーカイブの表示切り替え。"),
    ),
    "column.name": Topic(
        say("name", "名前"),
        say("output_name of the preset, else the name of its file.", "プリセットの output_name、なければファイル名です。"),
        say("A name that tells this attempt from the last one: versions get -v2, -v3.",
            "前回と区別できる名前（バージョンには -v2、-v3 が付きます）。"),
        say("{jobs.duplicate} makes the next version; output_name in the preset names it.", "{jobs.duplicate} で次のバージョンを作成、名前は output_name で変更。"),
    ),
    "column.family": Topic(
        say("family", "ファミリー"),
        say("family of the preset, or what its keys imply.", "プリセットの family、またはキーから判断した値です。"),
        say("The model the LoRA will be used with.", "LoRA を使うモデルと同じであること。"),
        say("It cannot change within a run: make another preset.", "run の途中では変更できません。別のプリセットを作成してください。"),
    ),
    "column.kind": Topic(
        say("kind", "種類"),
        say("What the engine was asked to do: train, cache and the like.", "エンジンへの依頼内容（train、cache など）。"),
        say("train; cache encodes and ends.", "通常は train。cache はエンコードだけを行います。"),
        say("musubi-tui train and musubi-tui cache start them.", "musubi-tui train と musubi-tui cache で開始します。"),
    ),
    "column.state": Topic(
        say("state", "状態"),
        say("From the process, its start time, the host and the heartbeat, never from a flag in a file alone. With a number: its "
            "place in the queue.",
            "ファイルの記載だけでなく、プロセス、開始時刻、ホスト、ハートビートから判断します。数字はキューの順番です。"),
        say("running, then done. draft: begun in the editor or the wizard, no run yet. orphaned: the process vanished; preempted: it saved before the machine stopped.",
            "running から done へ。draft は編集中・ウィザード途中でまだ run ではないもの。orphaned はプロセス消失、preempted はマシン停止前に保存済みです。"),
        say("{jobs.resume} goes on with everything but done; on a run that is done it asks for more steps.",
            "{jobs.resume} で再開できます。完了した run ではステップ数を増やして続けます。"),
    ),
    "column.phase": Topic(
        say("phase", "フェーズ"),
        say("The stage the engine says it is in.", "エンジンが報告した現在の段階。"),
        say("Caching first, then train; caches that are there already pass in seconds.",
            "キャッシュ作成の後に train。既にあるキャッシュは数秒で終わります。"),
        say("musubi-tui cache encodes beforehand.", "musubi-tui cache で事前にエンコードできます。"),
    ),
    "column.steps": Topic(
        say("steps", "ステップ数"),
        say("Optimizer steps done and asked for (max_train_steps).", "完了したステップ数と max_train_steps。"),
        say("For a LoRA of 20 to 200 pictures 1,000 to 4,000 steps are usual.", "画像 20〜200 枚の LoRA なら 1,000〜4,000 ステップが目安です。"),
        say("runs set RUN max_train_steps=N while it runs; {jobs.resume} when it is done.", "実行中は runs set RUN max_train_steps=N、完了後は {jobs.resume}。"),
    ),
    "column.step": Topic(
        say("step (%)", "進捗 (%)"),
        say("Steps done of max_train_steps, rounded down: 100% means done.", "max_train_steps に対する割合（切り捨て。100% は完了）。"),
        say("It grows.", "増えていれば順調です。"),
        say("The same as steps.", "ステップ数と同じです。"),
    ),
    "column.loss": Topic(
        "loss",
        say("Moving average (0.98) of the training loss, which depends mostly on the timesteps that were drawn.",
            "学習 loss の移動平均（0.98）。値は主に選ばれたタイムステップで決まります。"),
        say("It falls at first and then stays. Compare it only between runs of one model and one dataset; better, compare validation.",
            "最初に下がり、その後は横ばいになります。比較は同じモデル・同じデータで。検証 loss のほうが確実です。"),
        say("Rising or NaN: halve learning_rate. Flat from the start: more rank or rate, or wrong captions.",
            "上昇や NaN なら learning_rate を半分に。最初から横ばいなら学習率やランクを上げるか、キャプションを確認。"),
    ),
    "column.pace": Topic(
        "s/it",
        say("Median seconds of the last 50 optimizer steps.", "直近 50 ステップの中央値（秒）。"),
        say("Stable. A run of the same preset on the same card should be within a few percent.",
            "安定していること。同じ設定・同じ GPU なら数 % 以内に収まります。"),
        say("Fewer swapped blocks, a smaller resolution or batch, caches on a fast disk.",
            "blocks_to_swap を減らす、解像度やバッチを下げる、速いディスクにキャッシュを置く。"),
    ),
    "column.eta": Topic(
        "ETA",
        say("Steps to go times seconds per step; previews and saves come on top.", "残りステップ × 秒/ステップ。プレビューと保存は別途かかります。"),
        say("Shorter than the time the machine is yours.", "マシンを使える時間より短いこと。"),
        say("max_hours stops a run safely before the time is up.", "max_hours で時間内に安全に停止できます。"),
    ),
    "column.cost": Topic(
        say("cost", "費用"),
        say("Hours of engine time, pauses included, times the price per hour of the preset, the environment or config.toml. ~: the engine "
            "knew no price, so today's is taken.",
            "エンジンの稼働時間（一時停止を含む）× 料金（プリセット、環境変数、config.toml）。~ は後から設定した料金での概算です。"),
        say("Below your budget.", "予算内であること。"),
        say("{jobs.price} sets the price; max_cost in the preset stops the run safely.", "{jobs.price} で料金を設定。プリセットの max_cost で安全に停止できます。"),
    ),
    "column.started": Topic(
        say("started", "開始"),
        say("When the first attempt began, by this machine's clock.", "最初の試行の開始時刻（このマシンの時計）。"),
        say("The newest stands first.", "新しいものが先頭です。"),
        say("{jobs.sort} sorts otherwise, {jobs.reverse} turns the order round.", "{jobs.sort} で並べ替え、{jobs.reverse} で逆順。"),
    ),
    "jobs.card": Topic(
        say("the run's card", "run の概要"),
        say("The event log and status.json of the run under the cursor.", "カーソル位置の run のイベントログと status.json。"),
        say("No warnings, a last state that is recent.", "警告がなく、最近の状態が保存されていること。"),
        say("{jobs.open} opens the whole run.", "{jobs.open} で run を開きます。"),
    ),
    "card.progress": Topic(
        say("bar, steps, ep", "進捗バー、ステップ、ep"),
        say("Steps done of those asked for; ep is the pass over the dataset.", "完了したステップと指定数。ep はデータセットの周回数。"),
        say("Every picture is seen 10 to 100 times in all.", "各画像を合計 10〜100 回学習する程度が目安です。"),
        say("max_train_steps and num_repeats.", "max_train_steps と num_repeats で変更。"),
    ),
    "card.learning": Topic(
        say("loss, lr, gn, val", "loss、lr、gn、val"),
        say("The last 2,000 losses as a small curve, the learning rate, the norm of the last gradient, the last validation loss.",
            "直近 2,000 ステップの loss の推移、学習率、勾配ノルム、最新の検証 loss。"),
        say("gn stays in one order of magnitude; val falls or stays. val that rises while loss falls: it learns by heart.",
            "gn は桁が変わらないこと。val は下降か横ばい。loss が下がり val が上がるなら過学習です。"),
        say("learning_rate, max_grad_norm, fewer steps.", "learning_rate や max_grad_norm を下げる、ステップ数を減らす。"),
    ),
    "card.made": Topic(
        say("last sample, LoRA, state", "最新のサンプル、LoRA、状態"),
        say("The step of the newest preview, LoRA file and resume state.", "最新のプレビュー、LoRA、再開用の状態のステップ。"),
        say("A state not older than ten minutes: a killed machine loses no more than that.",
            "状態が 10 分以内であること。マシンが止まっても失うのはその分だけです。"),
        say("{run.save} on the Run screen saves now; save_every_n_steps, sample_every_n_steps.", "Run 画面の {run.save} で保存。save_every_n_steps、sample_every_n_steps。"),
    ),
    "card.memory": Topic(
        say("data, vram, peak, swap, wait", "データ、vram、ピーク、スワップ、待ち"),
        say("Items, batch size and rank of run.toml; what the engine holds of its GPU, the most it held, blocks that stream, and the share of a "
            "step that waited for them.",
            "run.toml の件数・バッチ・ランク、GPU の使用量と最大値、転送されるブロック数、それを待った時間の割合。"),
        say("A peak some percent below the card, waiting near 0%.", "ピークが GPU より数 % 低く、待ちが 0% 近いこと。"),
        say("{run.headroom} on the Run screen says what could be raised or lowered.", "Run 画面の {run.headroom} で上げ下げできるものを表示。"),
    ),
    "card.version": Topic(
        say("version, since the parent", "バージョンと変更点"),
        say("The preset the run was made of, its number, and what that version had changed when the run began.",
            "run の元になったプリセット、その番号、開始時点での親からの変更点。"),
        say("One change at a time tells which one helped.", "一度に 1 つだけ変えると効果が分かります。"),
        say("{jobs.duplicate} makes the next version with a note.", "{jobs.duplicate} でメモ付きの次のバージョンを作成。"),
    ),
    "card.hook": Topic(
        say("command after the run", "run の後のコマンド"),
        say("on_finish, on_error or on_preempt of your configuration; it waits out its grace period, shown in steps of ten seconds.",
            "設定の on_finish、on_error、on_preempt。猶予時間を 10 秒単位で表示します。"),
        say("It stops the machine when nobody needs it any more.", "不要になったマシンを止めます。"),
        say("{app.cancel_hook} cancels it while it waits; hook_grace_seconds says how long.", "待機中は {app.cancel_hook} で取り消し。待ち時間は hook_grace_seconds。"),
    ),
    "card.warnings": Topic(
        say("warnings", "警告"),
        say("What the engine or its checks complained of in this attempt, with what to do about it.", "この試行でのエンジンの警告と対処方法。"),
        say("None.", "ないこと。"),
        say("Do what the second line says.", "2 行目の対処に従ってください。"),
    ),
    "status": Topic(
        say("status bar", "ステータスバー"),
        say("The newest run that works, the busiest GPU by the driver, memory, and free space on the home's disk.",
            "実行中の最新の run、最も忙しい GPU、メモリ、ホームのあるディスクの空き容量。"),
        say("GPU near 100% while training, some gigabytes of disk left.", "学習中の GPU が 100% 近く、ディスクに余裕があること。"),
        say("A GPU that idles waits for data or for swapped blocks: open the run and look at the step time.",
            "GPU が空いているならデータかスワップ待ちです。run を開いて時間の内訳を確認してください。"),
    ),
}  # fmt: skip
_COLUMNS = (
    "mark",
    "name",
    "family",
    "kind",
    "state",
    "phase",
    "steps",
    "step",
    "loss",
    "pace",
    "eta",
    "cost",
    "started",
)
PANELS: dict[str, tuple[str, ...]] = {
    "jobs.list": ("jobs.list", *(f"column.{name}" for name in _COLUMNS), "status"),
    "jobs.card": ("jobs.card", "card.progress", "card.learning", "card.memory", "card.made", "card.version", "card.hook", "card.warnings", "column.cost", "status"),
}  # fmt: skip
