"""Arguments and options that several commands share, each worded once."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.config.language import say

PresetArgument = Annotated[
    str,
    typer.Argument(
        metavar="PRESET",
        help=say("A file, or a name from `presets list`.", "ファイル、または `presets list` の名前。"),
        show_default=False,
    ),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=say("Which run.", "対象の run。"))]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help=say(
            "Override a value of the preset; may be given several times.", "プリセットの値を上書きします（複数可）。"
        ),
    ),
]
NoMouseOption = Annotated[
    bool,
    typer.Option(
        "--no-mouse",
        help=say(
            "Leave the mouse to the terminal, which then selects text.",
            "マウスを端末に任せます（文字を選択できます）。",
        ),
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help=say("Do not ask.", "確認しません。"))]
JsonOption = Annotated[
    bool, typer.Option("--json", help=say("Print JSON for programs.", "プログラム向けに JSON で出力します。"))
]
