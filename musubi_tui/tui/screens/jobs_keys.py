"""The keys of Jobs. Those that people need first stand in the footer, all of them under ``?``."""

from __future__ import annotations

from textual.binding import BindingType

from engine.config.language import say
from musubi_tui.tui.keymap import key

KEYS: list[BindingType] = [
    key("jobs.new", "n", "new", say("new run", "新規"), show=True),
    key("jobs.resume", "r,R", "resume", say("resume", "再開"), show=True),
    key("jobs.pause", "p", "pause", say("pause", "一時停止"), show=True),
    key("jobs.stop", "s,X", "stop", say("stop", "停止"), show=True),
    key("jobs.edit", "e", "edit", say("edit its preset", "プリセットを編集")),
    key("jobs.log", "l", "log", say("log", "ログ")),
    key("jobs.outputs", "f", "outputs", say("files it made", "出力ファイル")),
    key("jobs.fixes", "F", "fixes", say("why it failed, and what to do", "失敗の原因と対処")),
    key("jobs.duplicate", "D", "duplicate", say("duplicate as the next version", "次のバージョンを作成")),
    key("jobs.mark", "space", "mark", say("mark for a comparison", "比較用の印")),
    key("jobs.compare", "C", "compare", say("compare the marked runs", "印を付けた run を比較")),
    key("jobs.earlier", "K", "shift(-1)", say("earlier in the queue", "待機順を前へ")),
    key("jobs.later", "J", "shift(1)", say("later in the queue", "待機順を後へ")),
    key("jobs.archive", "x", "archive", say("archive, or put back", "アーカイブ・戻す")),
    key("jobs.archived", "A", "archived", say("show archived runs", "アーカイブの表示")),
    key("jobs.delete", "d,delete", "delete", say("delete", "削除")),
    key(
        "jobs.cancel_hook", "h", "app.cancel_hook", say("cancel the command after the run", "終了後コマンドの取り消し")
    ),
    key("jobs.fetch", "H", "fetch", say("copy the line that brings it home", "手元に持ち帰る行をコピー")),
    key("jobs.price", "dollar_sign", "price", say("price of an hour", "1 時間の料金"), display="$"),
    key("jobs.filter", "slash", "filter", say("filter", "絞り込み"), display="/"),
    key("jobs.sort", "o", "sort", say("sort", "並べ替え")),
    key("jobs.reverse", "O", "reverse", say("turn the order round", "逆順")),
    key("jobs.clear", "escape", "clear", say("clear the filter", "絞り込みを解除")),
]
