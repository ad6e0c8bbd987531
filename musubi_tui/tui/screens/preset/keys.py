"""The keys of the preset editor. Those that people need first stand in the footer, all of them under ``?``."""

from __future__ import annotations

from textual.binding import BindingType

from engine.config.language import say
from musubi_tui.tui.keymap import key

KEYS: list[BindingType] = [
    key("preset.save", "ctrl+s", "save", say("save", "保存"), show=True, display="^s"),
    key("preset.toggle", "space", "toggle_value", say("toggle", "切替"), show=True),
    key("preset.step_down", "minus", "step(-1)", say("step down", "減らす"), display="-"),
    key("preset.step_up", "equals_sign,plus", "step(1)", say("step up", "増やす"), display="="),
    key("preset.reset", "x", "reset", say("reset", "戻す")),
    key("preset.undo", "u", "undo", say("undo", "取り消し"), show=True),
    key("preset.redo", "ctrl+r", "redo", say("redo", "やり直し")),
    key("preset.fix", "f", "fix", say("fix", "修正"), show=True),
    key("preset.search", "slash", "search", say("search options", "項目を検索"), display="/"),
    key("preset.section_before", "left_square_bracket", "section(-1)", say("section before", "前のセクション"), display="["),
    key("preset.section_next", "right_square_bracket", "section(1)", say("next section", "次のセクション"), display="]"),
    key("preset.changed", "full_stop", "look('changed')", say("only what differs", "変更のみ"), display="."),
    key("preset.problems", "exclamation_mark", "look('problems')", say("only problems", "問題のみ"), display="!"),
    key("preset.expert", "e", "look('expert')", say("expert options", "上級の項目")),
    key("preset.everything", "a", "look('everything')", say("also what has no effect here", "無効な項目も表示")),
    key("preset.back", "escape", "back", say("back", "戻る")),
    key("preset.toml", "T", "toml", say("toml", "toml"), show=True),
    key("preset.editor", "E", "editor", say("$EDITOR", "$EDITOR")),
    key("preset.diff", "d", "diff", say("diff", "差分"), show=True),
    key("preset.plan", "P", "plan", say("plan", "計画")),
    key("preset.history", "H", "history", say("history: versions and runs", "履歴: バージョンと run")),
    key("preset.next_version", "D", "next_version", say("make the next version", "次のバージョンを作成")),
    key("preset.save_as", "S", "save_as", say("save as", "別名で保存")),
    key("preset.launch", "L", "launch", say("launch", "開始"), show=True),
    key("preset.open", "o", "open", say("open another", "別のプリセットを開く")),
    key("preset.explain", "f1", "explain", say("all about the option", "項目の説明")),
    key("preset.copy_value", "y", "copy_value", say("copy the line", "行をコピー")),
]  # fmt: skip
