"""The panels of the Data screen: what happens to a picture or clip before it is trained."""

from __future__ import annotations

from engine.config.language import say
from musubi_tui.tui.explain.topic import Topic

TOPICS: dict[str, Topic] = {
    "data.dataset": Topic(
        say("dataset and first line", "データセットと先頭行"),
        say("A dataset file, or a preset that names or holds one; model, time of the scan, files, sources, and how much is cached.",
            "データセットファイル、またはそれを含むプリセット。モデル、スキャン時間、ファイル数、キャッシュ済みの割合。"),
        say("The model is named: without one sizes go in steps of 16 and nobody can tell whose the caches are.",
            "モデルが表示されていること。ないとサイズは 16 刻みで、キャッシュの有無も分かりません。"),
        say("{data.open} opens a dataset or a preset, {data.open_run} that of the active run, {data.rescan} scans again, {data.stats} says it in words.",
            "{data.open} で開く、{data.open_run} で実行中の run のデータセット、{data.rescan} で再スキャン、{data.stats} で説明文。"),
    ),
    "data.buckets": Topic(
        say("buckets", "バケット"),
        say("Sizes near the area of resolution, in many shapes; each item goes to the one nearest in aspect ratio. Width x height, for clips "
            "x frames; the bar and the number are items per epoch.",
            "resolution に近い面積のさまざまな形。各アイテムは縦横比が最も近いものに入ります。幅x高さ（クリップは xフレーム数）、棒と数字は 1 エポックの件数。"),
        say("A few full buckets. Many with one or two items train in small, uneven batches.", "少数のバケットに集まること。1〜2 件のものが多いと小さく不揃いなバッチになります。"),
        say("enable_bucket = false takes one size for all; min_bucket_size and max_bucket_size limit the sides; crop pictures to fewer shapes.",
            "enable_bucket = false で 1 サイズに、min_bucket_size・max_bucket_size で辺を制限、画像の形を揃える。"),
    ),
    "data.batches": Topic(
        say("17x4 +3: batches and short batches", "17x4 +3: バッチと端数"),
        say("Full batches times batch_size, and the items of a last batch that is not full. A batch holds one bucket of one dataset.",
            "満杯のバッチ数 × batch_size と、最後の端数。1 つのバッチは 1 つのデータセットの 1 バケットだけです。"),
        say("Few short ones. They are trained, nothing is dropped; their gradient is only noisier.",
            "端数が少ないこと。端数も学習され、捨てられません（勾配のばらつきが増えるだけです）。"),
        say("Another batch_size, fewer buckets, or num_repeats so that counts divide.", "batch_size を変える、バケットを減らす、num_repeats で割り切れる数にする。"),
    ),
    "data.repeats": Topic(
        say("items, files and repeats", "件数・ファイル数・繰り返し"),
        say("files are counted before num_repeats, items after it and after clips were cut. Steps per epoch are batches.",
            "ファイル数は num_repeats の前、件数は繰り返しとクリップ分割の後。1 エポックのステップ数 = バッチ数。"),
        say("Sets of different size that shall weigh the same have the same number of items.", "同じ重みにしたいデータセットは件数が同程度であること。"),
        say("num_repeats per dataset; loss_weight changes the weight without more steps.", "データセットごとの num_repeats。loss_weight はステップを増やさず重みを変えます。"),
    ),
    "data.frames": Topic(
        say("clips and frames", "クリップとフレーム"),
        say("A video gives clips of target_frames frames, chosen by frame_extraction: head, chunk, slide, uniform, full. name@start+frames.",
            "動画から target_frames の長さのクリップを frame_extraction（head、chunk、slide、uniform、full）で取り出します。名前@開始+フレーム数。"),
        say("The clips cover what moves; lengths that the model takes (Wan: 4n + 1).", "動きのある部分が使われ、モデルに合う長さ（Wan は 4n + 1）であること。"),
        say("{data.frames} shows the clips along the video; target_frames, frame_extraction, frame_stride, frame_sample, max_frames.",
            "{data.frames} で動画上の位置を表示。target_frames、frame_extraction、frame_stride、frame_sample、max_frames。"),
    ),
    "data.rate": Topic(
        say("frame rate", "フレームレート"),
        say("With source_fps or fps_from_file frames are dropped down to the model's rate, of variable rates by the times they are shown; none "
            "is ever repeated.",
            "source_fps または fps_from_file があるとモデルのレートまで間引きます（可変レートは表示時刻で選択）。同じフレームは繰り返しません。"),
        say("Videos at the model's rate, or one of the two keys.", "モデルと同じレートか、どちらかの設定があること。"),
        say("fps_from_file = true where rates differ. Without either key faster videos become slow motion.",
            "レートが混在するなら fps_from_file = true。どちらもないと速い動画はスローモーションになります。"),
    ),
    "data.items": Topic(
        say("items", "アイテム"),
        say("A line per item and per file that is left out: source size, tokens of the caption (t, about), caches, enlargement, findings.",
            "アイテムと除外ファイルを 1 行ずつ表示。元のサイズ、キャプションのトークン数（t、概算）、キャッシュ、拡大率、問題点。"),
        say("No ✗ line that you want to train.", "学習したいファイルに ✗ がないこと。"),
        say("{data.filter} filters by name, caption and reason, {data.caption} edits the caption, {data.ignore} sets a file aside, {data.undo} takes the last change back.",
            "{data.filter} で絞り込み、{data.caption} でキャプション編集、{data.ignore} でよける、{data.undo} で取り消し。"),
    ),
    "data.left_out": Topic(
        say("left out, and why", "除外とその理由"),
        say("Files that are not trained: no caption file, a type that is not read, too short for every clip length, unreadable.",
            "学習されないファイル: キャプションなし、未対応の形式、どのクリップ長より短い、読めない。"),
        say("Only what you meant to leave out.", "意図したものだけであること。"),
        say("{data.fix} mends what can be mended; on_bad_item = \"skip\" trains without files that cannot be read.",
            "{data.fix} で直せるものを修正。on_bad_item = \"skip\" で読めないファイルを飛ばします。"),
    ),
    "data.crop": Topic(
        say("crop", "切り抜き"),
        say("A picture is scaled until it covers its bucket, and the centre is cut out; dim is what the model never sees.",
            "バケットを覆うまで拡大・縮小し、中央を切り抜きます。暗い部分はモデルに見えません。"),
        say("Some percent, and no head or hand cut off.", "数 % 以内で、頭や手が切れていないこと。"),
        say("Other shapes get buckets of their own with enable_bucket; random_crop = N draws from N places; or crop the picture yourself.",
            "enable_bucket で形に合うバケットへ。random_crop = N で N か所から選択。または自分で切り抜く。"),
    ),
    "data.enlarged": Topic(
        say("↑1.4x: enlarged", "↑1.4x: 拡大"),
        say("How much a smaller picture grows to cover its bucket.", "小さい画像をバケットに合わせて拡大した倍率。"),
        say("Below 1.5x. Above it the model learns the blur.", "1.5 倍未満。それ以上はぼけを学習します。"),
        say("A lower resolution, bucket_no_upscale = true (own buckets for small pictures), or leave the file out with {data.ignore}.",
            "resolution を下げる、bucket_no_upscale = true（小さい画像は専用バケット）、または {data.ignore} でよける。"),
    ),
    "data.captions": Topic(
        say("captions and tokens", "キャプションとトークン"),
        say("The text file of the same name, UTF-8 or recognised with a notice. Tokens are counted with the model's tokenizer where it is there, else about.",
            "同名のテキストファイル（UTF-8、それ以外は判別して通知）。トークンはモデルのトークナイザーで数え、ない場合は概算です。"),
        say("What differs between pictures is said; nothing is longer than the encoder reads.", "画像ごとの違いが書かれ、エンコーダーの上限を超えないこと。"),
        say("{data.caption} writes one; trigger_word puts a word before all of them; multiple_captions, tag_shuffle, caption_dropout vary them.",
            "{data.caption} で編集。trigger_word で先頭に語を追加。multiple_captions、tag_shuffle、caption_dropout で変化をつけます。"),
    ),
    "data.caches": Topic(
        say("✓L ✗T –: caches", "✓L ✗T –: キャッシュ"),
        say("Whether latents (L) and text (T) are encoded already and still fit their source, caption and settings. –: nobody can tell without a model.",
            "latent（L）とテキスト（T）がエンコード済みで現在のファイル・設定と一致するか。– はモデル未指定で判断できません。"),
        say("✓L✓T before a paid hour begins.", "有料の時間が始まる前に ✓L✓T であること。"),
        say("{data.cache} encodes now; train does it too, and only what changed is encoded again. cache --prune removes what nothing needs.",
            "{data.cache} で今すぐエンコード（train も自動で、変わった分だけ）。cache --prune で不要なものを削除。"),
    ),
    "data.warnings": Topic(
        say("warnings", "警告"),
        say("What the scan, or a closer look, found wrong, grouped.", "スキャンや精査で見つかった問題（種類ごと）。"),
        say("None, or only those you know.", "ないこと、または承知しているものだけであること。"),
        say("{warnings.files} shows the files of one, {data.fix} what can be mended, {app.zoom} the panel alone.",
            "{warnings.files} で対象ファイル、{data.fix} で修正、{app.zoom} で拡大。"),
    ),
    "data.doctor": Topic(
        say("a closer look ({data.doctor})", "精査（{data.doctor}）"),
        say("A scan reads headers; {data.doctor} decodes every picture and video to its end and reads every cache file: broken files, near duplicates, blank "
            "pictures, NaN.",
            "スキャンはヘッダーだけを読みます。{data.doctor} はすべてをデコードし、破損、ほぼ同じ画像、単色、NaN のキャッシュを見つけます。"),
        say("Run once before a long training.", "長い学習の前に一度実行すること。"),
        say("musubi-tui data doctor FILE does the same at the shell.", "シェルでは musubi-tui data doctor FILE。"),
    ),
    "data.fixes": Topic(
        say("mending ({data.fix})", "修正（{data.fix}）"),
        say("Each fix with a preview of what it changes. Files move to NAME.set-aside with their captions; nothing is deleted.",
            "各修正の内容を事前に表示します。ファイルはキャプションごと NAME.set-aside へ移動し、削除はしません。"),
        say("Only what you picked changes.", "選んだものだけが変わります。"),
        say("{data.undo} takes the newest change back, also one that data doctor made.", "{data.undo} で最新の変更を取り消し（data doctor の変更も）。"),
    ),
    "data.held_out": Topic(
        say("held out, masks, weights", "検証用・マスク・重み"),
        say("validation_split keeps files for the validation loss; masks (mask_directory, alpha_mask) say where the loss counts; loss_weight and is_reg "
            "weigh a dataset. {data.stats} lists them.",
            "validation_split は検証用に取り分け、マスク（mask_directory、alpha_mask）は loss を数える範囲、loss_weight と is_reg は重み。{data.stats} で一覧。"),
        say("A few files held out: only they tell learning from learning by heart.", "数件を検証用に残すこと。過学習が分かります。"),
        say("validation_split = 5 or 0.1, or a dataset with validation = true.", "validation_split = 5 や 0.1、または validation = true のデータセット。"),
    ),
}  # fmt: skip
_ALL = ("data.repeats", "data.frames", "data.rate", "data.held_out")
PANELS: dict[str, tuple[str, ...]] = {
    "data": ("data.dataset", "data.buckets", "data.batches", "data.items", "data.caches", "data.doctor"),
    "data.buckets": ("data.buckets", "data.batches", *_ALL, "data.dataset"),
    "data.items": ("data.items", "data.left_out", "data.crop", "data.enlarged", "data.captions", "data.caches", *_ALL),
    "data.preview-panel": ("data.crop", "data.captions", "data.caches", "data.frames"),
    "data.warnings": ("data.warnings", "data.doctor", "data.fixes", "data.left_out", "data.enlarged", "data.batches", "data.captions"),
}  # fmt: skip
