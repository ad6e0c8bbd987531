"""The keys of the run screen. Those that people need first stand in the footer, all of them under ``?``."""

from __future__ import annotations

from textual.binding import BindingType

from engine.config.language import say
from musubi_tui.tui.keymap import key

KEYS: list[BindingType] = [
    key("run.pause", "p", "pause", say("pause/resume", "一時停止/再開"), show=True),
    key("run.save", "c", "save", say("save", "保存"), show=True),
    key("run.sample", "n", "sample", say("sample", "サンプル"), show=True),
    key("run.sample_of", "N", "sample_of", say("sample of a prompt", "プロンプトを指定してサンプル")),
    key("run.stop", "X", "stop", say("stop", "停止"), show=True),
    key("run.tune", "t", "tune", say("tune", "調整"), show=True),
    key("run.headroom", "b", "headroom", say("headroom: what memory is left for", "メモリの余裕と使い道")),
    key("run.note", "m", "note", say("write a note", "メモを書く")),
    key("run.fetch", "H", "fetch", say("copy the line that brings it home", "手元に持ち帰る行をコピー")),
    key("run.tab", "tab", "tab(1)", say("next tab", "次のタブ")),
    key("run.tab_back", "shift+tab", "tab(-1)", say("tab before", "前のタブ")),
    key("run.smooth_less", "s", "smooth(-1)", say("shorter average", "平均を短く")),
    key("run.smooth_more", "S", "smooth(1)", say("longer average", "平均を長く")),
    key("run.log", "L", "chart('logarithmic')", say("logarithmic", "対数軸")),
    key(
        "run.axis",
        "x",
        "axis",
        say("x axis: step, epoch, images, time, cost", "横軸: ステップ、エポック、画像数、時間、費用"),
    ),
    key("run.clip", "o", "chart('clip')", say("clip outliers", "外れ値を切る")),
    key("run.raw", "r", "chart('raw')", say("raw band", "生の値")),
    key("run.validation", "v", "chart('only_validation')", say("validation only", "検証のみ")),
    key("run.zoom_in", "plus,equals_sign", "zoom(2)", say("zoom in", "拡大"), display="+"),
    key("run.zoom_out", "minus", "zoom(0.5)", say("zoom out", "縮小"), display="-"),
    key("run.fit", "0", "zoom(0)", say("show all", "全体")),
    key("run.pan_left", "less_than_sign", "pan(-0.25)", say("pan left", "左へ"), display="<"),
    key("run.pan_right", "greater_than_sign", "pan(0.25)", say("pan right", "右へ"), display=">"),
    key("run.left", "left", "walk(-1)", say("cursor left", "カーソル左")),
    key("run.right", "right", "walk(1)", say("cursor right", "カーソル右")),
    key("run.far_left", "shift+left", "walk(-10)", say("cursor far left", "カーソル大きく左")),
    key("run.far_right", "shift+right", "walk(10)", say("cursor far right", "カーソル大きく右")),
    key("run.up", "up", "scroll(1)", say("scroll up, prompt before", "上へ、前のプロンプト")),
    key("run.down", "down", "scroll(-1)", say("scroll down, next prompt", "下へ、次のプロンプト")),
    key("run.alerts", "exclamation_mark", "show_tab('alerts')", say("alerts", "警告"), display="!"),
    key("run.picture", "d,enter", "picture", say("sample A/B, full screen", "サンプル A/B、全画面"), display="d"),
    key("run.blocks", "B", "show_tab('blocks')", say("table of blocks", "ブロックの表")),
    key("run.heat", "h", "heat", say("timesteps: course, height", "タイムステップ: 推移、高さ")),
    key("run.follow", "f", "follow", say("follow the log", "ログの末尾へ")),
    key("run.wrap", "w", "wrap", say("wrap the log", "ログの折り返し")),
    key("run.level", "e", "level", say("log: all, warnings, errors", "ログ: すべて・警告・エラー")),
    key("run.editor", "E", "editor", say("the log in $EDITOR", "ログを $EDITOR で開く")),
    key("run.copy", "y", "copy_line", say("copy the line", "行をコピー")),
    key("run.find", "slash", "find", say("filter the log", "ログの絞り込み"), display="/"),
    key("run.clear", "escape", "clear", say("clear the filter", "絞り込みを解除")),
]
