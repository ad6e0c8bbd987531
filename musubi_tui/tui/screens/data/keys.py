"""The keys of the Data screen."""

from __future__ import annotations

from textual.binding import BindingType

from engine.config.language import say
from musubi_tui.tui.keymap import key

KEYS: list[BindingType] = [
    key("data.open", "o", "open_dataset", say("open", "開く"), show=True),
    key("data.open_run", "O", "open_run_dataset", say("dataset of the active run", "実行中の run のデータセット")),
    key("data.caption", "a", "caption", say("caption", "キャプション"), show=True),
    key("data.undo", "u", "undo", say("take back", "取り消し")),
    key("data.ignore", "i", "ignore", say("set aside", "よける")),
    key("data.fix", "F", "fix", say("fix", "修正"), show=True),
    key("data.doctor", "D", "doctor", say("doctor", "精査"), show=True),
    key("data.frames", "f", "frames", say("frames", "フレーム"), show=True),
    key("data.stats", "s", "stats", say("in words", "説明")),
    key("data.group", "b", "group", say("group by", "グループ化")),
    key("data.preview", "v", "preview", say("picture or text", "画像/文字")),
    key("data.cache", "c", "cache", say("cache now", "キャッシュ")),
    key("data.filter", "slash", "filter", say("filter", "絞り込み"), display="/"),
    key("data.clear", "escape", "clear", say("clear the filter", "絞り込みを解除")),
    key("data.rescan", "r", "rescan", say("scan again", "再スキャン")),
]
