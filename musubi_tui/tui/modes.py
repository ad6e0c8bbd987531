"""The seven modes on the keys 1 to 7: what each is for, and the commands that do the same at the shell."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from engine.config.language import say

if TYPE_CHECKING:
    from textual.screen import Screen


@dataclass(frozen=True)
class Mode:
    """One mode. ``title`` stands in the top line; ``about`` and ``twins`` are shown while the screen is not built.

    ``screen`` is the ``module:Class`` of its screen, imported when the mode is first shown.
    """

    id: str
    title: str
    about: str = ""
    twins: tuple[str, ...] = ()
    screen: str = ""


MODES: tuple[Mode, ...] = (
    Mode("jobs", say("Jobs", "ジョブ"), twins=("musubi-tui runs list",), screen="musubi_tui.tui.screens.jobs:JobsScreen"),
    Mode(
        "preset",
        say("Preset", "設定"),
        twins=("musubi-tui presets list",),
        screen="musubi_tui.tui.screens.preset.screen:PresetScreen",
    ),
    Mode(
        "data",
        say("Data", "データ"),
        twins=("musubi-tui data scan my.toml", "musubi-tui data buckets my.toml"),
        screen="musubi_tui.tui.screens.data:DataScreen",
    ),
    Mode(
        "run",
        say("Run", "実行"),
        say(
            "Here one run is watched live. There is no run yet: start one on Jobs with {jobs.new}, or at the shell:",
            "ここでは run をライブで監視します。まだ run がありません。ジョブ画面の {jobs.new}、またはシェルで始めてください:",
        ),
        ("musubi-tui train my.toml", "musubi-tui demo"),
    ),
    Mode("compare", say("Compare", "比較"), twins=("musubi-tui runs compare RUN RUN",), screen="musubi_tui.tui.screens.compare:CompareScreen"),
    Mode(
        "tools",
        say("Tools", "ツール"),
        say(
            "Here LoRA files will be inspected, converted and merged. It is not built yet. At the shell there is what concerns "
            "model files:",
            "ここでは LoRA ファイルの確認・変換・マージができるようになります。まだ未実装です。モデルファイルについてはシェルで:",
        ),
        ("musubi-tui models list", "musubi-tui doctor"),
    ),
    Mode(
        "generate",
        say("Gen", "生成"),
        say(
            "Here pictures and clips will be made with a finished LoRA. It is not built yet. A run makes previews while it "
            "trains; at the shell:",
            "ここでは完成した LoRA で画像やクリップを生成できるようになります。まだ未実装です。学習中のプレビューはシェルから作成できます:",
        ),
        ("musubi-tui runs sample last",),
    ),
)  # fmt: skip


def make_screen(mode: Mode) -> Screen[Any]:
    """The screen of a mode, imported when it is first shown."""
    if mode.screen:
        module, _, name = mode.screen.partition(":")
        return cast("Screen[Any]", getattr(import_module(module), name)())
    from musubi_tui.tui.screens.later import LaterScreen

    return LaterScreen(mode)
