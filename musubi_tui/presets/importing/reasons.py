"""Why a key of another trainer has no counterpart here: the sentences that several of them share, (English, Japanese)."""

from __future__ import annotations

UNKNOWN = ("this key is not known here", "このキーは未知です")
SWITCHED_OFF = ("switched off there, too", "元でも無効です")
THEIR_DEFAULT = ("its default", "元の既定値")
PACE = ("it only sets how that program works or reports", "元のプログラムの動作や表示だけの設定です")
NO_FAMILY = ("there is no such family here yet", "このモデルは未対応です")
FILES = (
    "name the files one by one: dit, vae and the text encoder",
    "dit・vae・テキストエンコーダーをファイルで指定してください",
)
ONLY_LORA = ("only LoRA is built", "LoRA のみ対応しています")
A_LORA = ("a LoRA, as always here", "LoRA です")
ALPHA = ("there, alpha is the rank", "元では alpha = rank です")
NETWORK_WEIGHTS = ("start from a LoRA with network_weights", "network_weights で LoRA から始められます")
ADAPTER_DTYPE = ("adapters train in 32 bits here", "アダプターは 32 ビットで学習します")
CONVOLUTIONS = ("these models have no convolutions to adapt", "対象の畳み込み層がありません")
ALWAYS = ("it always is", "常に学習します")
TEXT_ENCODERS = ("text encoders are never trained", "テキストエンコーダーは学習しません")
QUANTIZATION = ("a detail of smaller weights, which are not built yet", "量子化の細部の設定です (量子化は未対応)")
GPU = ("the GPU is taken when there is one", "GPU があれば使われます")
EMA = ("there is no EMA of the weights yet", "重みの EMA は未対応です")
UPLOAD = ("there is no upload yet", "アップロードは未対応です")
FLOW = ("flow matching, as always here", "フローマッチングです")
NOISE = ("flow models are trained on plain noise", "フローモデルは通常のノイズで学習します")
UNUSED_TIMESTEPS = ("it shapes a distribution that is not used", "使われない分布の設定です")
SHIFT = (
    'choose timestep_sampling = "qwen_shift" or "flux_shift"',
    'timestep_sampling = "qwen_shift" か "flux_shift" を選んでください',
)
NOTHING_SAVED = ("nothing is saved on the way", "途中の保存がありません")
SAVE_UNITS = ("LoRA files are saved by steps or epochs here", "LoRA はステップかエポックごとに保存します")
PROMPTS = ("preview settings stand in prompts.txt", "プレビューの設定は prompts.txt に入ります")
CACHED = ("latents and captions are always cached", "潜在変数とキャプションは常にキャッシュされます")
CAPTIONS = ("captions are encoded as they stand", "キャプションはそのままエンコードされます")
INTO_CAPTIONS = ("write it into the captions", "キャプションに書き込んでください")
CAPTION_FILES = ("captions are text files beside the pictures here", "キャプションは画像の隣のテキストファイルです")
TAG_SHUFFLE = ("write tag_shuffle into that dataset", "そのデータセットに tag_shuffle を書いてください")
PICTURES = ("pictures are encoded as they are", "画像はそのままエンコードされます")
RANDOM_CROP = ("write random_crop = the number of cuts", "random_crop に切り抜きの数を書いてください")
MASKS = ("loss masks are not carried over", "マスクは引き継がれません")
BUCKETS = ("the shapes come from enable_bucket here", "縦横比は enable_bucket で決まります")
SIZES = (
    "sizes are not chosen one by one here; resolution gives the area",
    "寸法の個別指定はできません (resolution が面積を決めます)",
)
BATCH_SIZE = ("give each dataset its own batch_size", "batch_size をデータセットごとに指定してください")
